//! Load shedding: when requests are refused, and which never are.

use super::{chain, code, limit_heap, origin_that_hangs, retry_after, settle};
use crate::support::{Manifest, Message, Origin, Tollgate, eventually};

fn start(origin: &Origin, config: &str) -> Tollgate {
    let process = chain(&[("shedding", config)]);
    Manifest { process: &process, ..Manifest::default() }.in_front_of_url(&origin.url(), &["--workers", "2"])
}

fn assert_shed(answer: &Message, resource: &str) {
    assert_eq!((answer.status(), code(answer).as_str()), (503, "overloaded"), "{}", answer.text());
    assert!(answer.text().contains(resource), "{}", answer.text());
    assert!(retry_after(answer) >= 1);
}

fn assert_built_in_routes_answer(tollgate: &Tollgate) {
    for path in ["/metrics", "/health/live", "/health/ready", "/health/ready?deep=true"] {
        assert_eq!(tollgate.get(path).status(), 200, "{path}");
    }
}

fn shed(tollgate: &Tollgate, reason: &str) -> f64 {
    tollgate.metric(&format!("tollgate_load_shedding_requests_shed_total{{reason=\"{reason}\"}}"))
}

#[test]
fn requests_over_the_number_allowed_in_flight_are_shed_until_others_end() {
    let (origin, release) = origin_that_hangs();
    let tollgate = start(&origin, "{active-requests: 2, retry-after-s: 7}");
    let mut hanging = [tollgate.client(), tollgate.client()];
    for client in &mut hanging {
        client.send("GET /hang HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    eventually("two exchanges hang", || origin.requests() == 2);
    for _ in 0..10 {
        let answer = tollgate.get("/");
        assert_shed(&answer, "in flight");
        assert_eq!(retry_after(&answer), 7);
    }
    assert_built_in_routes_answer(&tollgate);
    assert_eq!(origin.requests(), 2, "what is shed does not reach the upstream");
    assert_eq!(shed(&tollgate, "active_requests"), 10.0);
    (0..2).for_each(|_| release.send(()).unwrap());
    for client in &mut hanging {
        assert_eq!(client.receive().text(), "at last", "what was admitted is finished");
    }
    settle(&tollgate);
    assert_eq!(tollgate.get("/").status(), 200);
}

#[test]
fn short_of_memory_everything_but_built_in_routes_is_shed() {
    let origin = Origin::working();
    let tollgate = start(&origin, "{memory: 0.0001}");
    for _ in 0..5 {
        assert_shed(&tollgate.get("/"), "memory");
    }
    assert_built_in_routes_answer(&tollgate);
    assert_eq!(origin.connections(), 0);
    assert_eq!(shed(&tollgate, "memory"), 5.0);
    assert_eq!(tollgate.metric("tollgate_load_shedding_threshold{resource=\"memory\"}"), 0.0001);
}

#[test]
fn a_heap_near_its_limit_sheds_and_one_without_limit_never_does() {
    let origin = Origin::working();
    let tollgate = start(&origin, "{heap: 0.00001}");
    assert_eq!(tollgate.get("/").status(), 200, "no limit is set");
    limit_heap(&tollgate);
    // It is measured once a second.
    eventually("the heap counts as full", || tollgate.get("/").status() == 503);
    assert_shed(&tollgate.get("/"), "heap");
    assert_built_in_routes_answer(&tollgate);
}
