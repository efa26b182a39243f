//! What bounds filters that may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{answer, asking, does, with_filter};
use crate::support::{Origin, eventually};

const FAULTS: &str = "tollgate_filter_faults_total{filter=\"guest\",phase=\"on-request\",kind=";

#[test]
fn a_call_that_waits_too_long_ends_and_computing_is_limited_by_itself() {
    let silent = Origin::raw(|mut peer| while peer.request().is_some() {});
    let origin = Origin::working();
    let tollgate = asking(&silent.url(), "limits: {time: 50ms, wait: 300ms}", &origin);
    for what in ["ask", "sleep 100000"] {
        assert_eq!(answer(&tollgate, &does(what)).status(), 503, "{what}");
        eventually("it is logged", || tollgate.has_logged(&["the call waited longer than `limits.wait`"]));
    }
    let timeouts = format!("{FAULTS}\"timeout\"}}");
    assert_eq!(tollgate.metric(&timeouts), 2.0);
    // It waits for longer than it may compute.
    assert_eq!(answer(&tollgate, &does("sleep 120")).text(), "1: slept");
    assert_eq!(answer(&tollgate, &does("spin")).status(), 503);
    eventually("it is logged", || tollgate.has_logged(&["the call took longer than `limits.time`"]));
    assert_eq!(tollgate.metric(&timeouts), 3.0);
    assert_eq!(tollgate.get("/").text(), "it works");
}

#[test]
fn on_error_open_goes_on_without_an_answer() {
    let silent = Origin::raw(|mut peer| while peer.request().is_some() {});
    let origin = Origin::working();
    let tollgate = asking(&silent.url(), "limits: {time: 5s, wait: 200ms}\non-error: open", &origin);
    assert_eq!(answer(&tollgate, &does("ask")).text(), "it works");
}

#[test]
fn a_worker_has_no_more_instances_than_it_may() {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let service = {
        let most = most.clone();
        Origin::answering(move |_| {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(5));
            at_once.fetch_sub(1, Ordering::SeqCst);
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()
        })
    };
    let origin = Origin::working();
    let tollgate = asking(&service.url(), "limits: {time: 5s, wait: 30s, instances: 2}", &origin);
    let mut clients: Vec<_> = (0..20).map(|_| tollgate.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.send(does("ask"));
    });
    for client in &mut clients {
        assert!(client.receive().text().contains(": 200"));
    }
    assert_eq!((service.requests(), most.load(Ordering::SeqCst)), (20, 2));
}

#[test]
fn an_exchange_that_finds_no_place_for_its_own_instance_goes_by_on_error() {
    let held = Origin::raw(|mut peer| while peer.request().is_some() {});
    let keys = "limits: {time: 5s, wait: 30s, instances: 2}\nisolation: request";
    let origin = Origin::working();
    let tollgate = asking(&held.url(), keys, &origin);
    let mut clients: Vec<_> = (0..2).map(|_| tollgate.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.send(does("ask"));
    });
    eventually("both ask", || held.requests() == 2);
    assert_eq!(answer(&tollgate, &does("look")).status(), 503);
    eventually("it is logged", || tollgate.has_logged(&["limits.instances"]));
    assert!(tollgate.metric(&format!("{FAULTS}\"instances\"}}")) >= 1.0);
    drop(clients);
    eventually("there is room again", || answer(&tollgate, &does("look")).status() == 200);
}

#[test]
fn each_exchange_has_its_own_instance_if_it_asks_for_one() {
    let origin = Origin::working();
    let config = "config: {url: \"http://127.0.0.1:1\"}";
    let tollgate = with_filter(&format!("{config}\nisolation: request"), &origin);
    for _ in 0..3 {
        assert!(answer(&tollgate, &does("look")).text().starts_with("1: "));
    }
    let tollgate = with_filter(&format!("{config}\nmax-reuse: 2"), &origin);
    let begun = (0..5).map(|_| answer(&tollgate, &does("print")).text());
    assert_eq!(begun.collect::<Vec<_>>(), [1, 2, 1, 2, 1].map(|n| format!("{n}: printed")));
}

#[test]
fn to_be_configured_may_take_waiting_and_so_long_only() {
    let origin = Origin::working();
    let tollgate = with_filter("config: {url: \"http://127.0.0.1:1\", wait: 50}", &origin);
    assert!(answer(&tollgate, &does("look")).text().starts_with("1: "));
}
