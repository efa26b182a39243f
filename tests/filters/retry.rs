//! Retries: what is tried again, how often, after how long, and what the client gets in the end.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{chain, code, origin_with_status, refusing, response};
use crate::support::{Manifest, Message, Origin, Tollgate, eventually};

/// Delays that no test notices.
const QUICK: &str = "{max-retries: 1, initial-delay-ms: 1}";

fn start(origin: &Origin, config: &str, upstream: &str) -> Tollgate {
    let process = chain(&[("retry", config)]);
    Manifest { upstream, process: &process, ..Manifest::default() }.in_front_of(origin)
}

/// When an origin got its requests.
#[derive(Default, Clone)]
struct Arrivals(Arc<Mutex<Vec<Instant>>>);

impl Arrivals {
    /// Notes one more; how many there were before it.
    fn note(&self) -> usize {
        let mut all = self.0.lock().unwrap();
        all.push(Instant::now());
        all.len() - 1
    }

    fn gaps(&self) -> Vec<Duration> {
        self.0.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// An origin that gives these answers, one after the other, and the last one for ever.
fn origin_with_answers(answers: Vec<Vec<u8>>) -> (Origin, Arrivals) {
    let arrivals = Arrivals::default();
    let noted = arrivals.clone();
    let origin = Origin::answering(move |_| answers[noted.note().min(answers.len() - 1)].clone());
    (origin, arrivals)
}

/// The delays that the filter has asked for, in milliseconds, as it logs them.
fn delays(tollgate: &Tollgate) -> Vec<u64> {
    let lines = tollgate.output();
    let asked =
        lines.iter().filter_map(|line| line.split_once("; retry in ")?.1.split(' ').next()?.parse().ok());
    asked.collect()
}

#[test]
fn delays_double_give_or_take_a_half_and_the_last_answer_is_the_clients() {
    let answers = ["first", "second", "third", "last"].map(|text| response(500, "x-kept: yes\r\n", text));
    let (origin, arrivals) = origin_with_answers(answers.to_vec());
    let tollgate = start(&origin, "{max-retries: 3, initial-delay-ms: 40}", "");
    let answer = tollgate.get("/");
    assert_eq!((answer.status(), answer.text().as_str(), answer.field("x-kept")), (500, "last", Some("yes")));
    assert_eq!(origin.requests(), 4, "the first attempt and three retries");
    eventually("three delays are logged", || delays(&tollgate).len() == 3);
    let asked = delays(&tollgate);
    for ((asked, waited), middle) in asked.iter().zip(arrivals.gaps()).zip([40, 80, 160]) {
        assert!((middle / 2..=middle * 3 / 2).contains(asked), "{asked} ms is no {middle} ms ± 50 %");
        assert!(waited >= Duration::from_millis(*asked), "waited {waited:?} of {asked} ms");
    }
}

#[test]
fn delays_differ_from_exchange_to_exchange() {
    let (origin, _) = origin_with_status(503);
    let tollgate = start(&origin, "{max-retries: 1, initial-delay-ms: 40}", "");
    (0..8).for_each(|_| assert_eq!(tollgate.get("/").status(), 503));
    eventually("eight delays are logged", || delays(&tollgate).len() == 8);
    let asked = delays(&tollgate);
    assert!(asked.iter().any(|delay| *delay != asked[0]), "no jitter: {asked:?}");
}

#[test]
fn no_delay_exceeds_the_cap() {
    let (origin, _) = origin_with_status(503);
    let tollgate = start(&origin, "{max-retries: 4, initial-delay-ms: 10000, max-delay-ms: 25}", "");
    assert_eq!(tollgate.get("/").status(), 503);
    eventually("four delays are logged", || delays(&tollgate).len() == 4);
    assert_eq!(delays(&tollgate), [25; 4]);
}

#[test]
fn retry_after_is_a_floor() {
    let (origin, arrivals) =
        origin_with_answers(vec![response(429, "retry-after: 1\r\n", ""), response(200, "", "at last")]);
    let tollgate = start(&origin, QUICK, "");
    assert_eq!(tollgate.get("/").text(), "at last");
    assert!(arrivals.gaps()[0] >= Duration::from_secs(1));
}

#[test]
fn retry_after_may_be_a_date() {
    // Dates have whole seconds, so that between one and two are left of this.
    let due = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 2;
    let fields = format!("retry-after: {}\r\n", http_date(due));
    let (origin, _) = origin_with_answers(vec![response(503, &fields, ""), response(200, "", "at last")]);
    assert_eq!(start(&origin, QUICK, "").get("/").text(), "at last");
    // Delays have whole milliseconds.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_millis(2);
    assert!(now >= Duration::from_secs(due));
}

fn http_date(seconds: u64) -> String {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", &format!("@{seconds}"), "+%a, %d %b %Y %H:%M:%S GMT"]);
    String::from_utf8(date.output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn retry_after_is_followed_up_to_the_cap() {
    let (origin, arrivals) =
        origin_with_answers(vec![response(503, "retry-after: 3600\r\n", ""), response(200, "", "at last")]);
    let tollgate = start(&origin, "{max-retries: 1, initial-delay-ms: 1, max-delay-ms: 60}", "");
    assert_eq!(tollgate.get("/").text(), "at last");
    assert!(arrivals.gaps()[0] >= Duration::from_millis(60));
}

#[test]
fn of_all_error_statuses_429_and_5xx_are_retried_but_for_what_will_never_work() {
    let seen = Arc::new(Mutex::new(HashMap::<u16, u32>::new()));
    let counted = seen.clone();
    let origin = Origin::answering(move |request| {
        let status = request.start.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        *counted.lock().unwrap().entry(status).or_default() += 1;
        response(status, "", "")
    });
    let tollgate = start(&origin, QUICK, "");
    let mut client = tollgate.client();
    for status in 400..600 {
        assert_eq!(client.get(&format!("/{status}")).status(), status);
        let is_retried = status == 429 || (status >= 500 && status != 501 && status != 505);
        let attempts = seen.lock().unwrap()[&status];
        assert_eq!(attempts, if is_retried { 2 } else { 1 }, "attempts for {status}");
    }
}

#[test]
fn the_statuses_that_are_retried_can_be_chosen() {
    for (status, attempts) in [(404, 2), (418, 1), (500, 2), (501, 2), (429, 1)] {
        let (origin, _) = origin_with_status(status);
        let tollgate = start(&origin, "{max-retries: 1, initial-delay-ms: 1, statuses: [404, 5xx]}", "");
        assert_eq!(tollgate.get("/").status(), status);
        assert_eq!(origin.requests(), attempts, "{status}");
    }
}

#[test]
fn there_are_as_many_retries_as_the_config_says() {
    for retries in [0, 1, 2, 6] {
        let (origin, _) = origin_with_status(500);
        let tollgate = start(&origin, &format!("{{max-retries: {retries}, initial-delay-ms: 1}}"), "");
        assert_eq!(tollgate.get("/").status(), 500);
        assert_eq!(origin.requests(), retries + 1);
    }
}

#[test]
fn methods_that_may_not_be_sent_twice_are_not() {
    let (origin, _) = origin_with_status(500);
    let tollgate = start(&origin, QUICK, "");
    let mut seen = 0;
    for (method, attempts) in
        [("GET", 2), ("PUT", 2), ("DELETE", 2), ("OPTIONS", 2), ("POST", 1), ("PATCH", 1)]
    {
        let mut client = tollgate.client();
        client.send(format!("{method} / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi"));
        assert_eq!(client.receive().status(), 500);
        assert_eq!(origin.requests() - seen, attempts, "{method}");
        seen = origin.requests();
    }
}

#[test]
fn post_is_retried_when_configured_and_its_content_is_sent_again() {
    let contents = Arc::new(Mutex::new(Vec::new()));
    let kept = contents.clone();
    let origin = Origin::answering(move |request: &Message| {
        let mut kept = kept.lock().unwrap();
        kept.push(request.text());
        response(if kept.len() < 3 { 503 } else { 200 }, "", "at last")
    });
    let tollgate = start(&origin, "{max-retries: 3, initial-delay-ms: 1, methods: [POST]}", "");
    let answer = tollgate.post("/", r#"{"a":1}"#);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "at last"));
    assert_eq!(*contents.lock().unwrap(), [r#"{"a":1}"#; 3]);
}

#[test]
fn post_is_retried_when_the_connect_failed() {
    let (_socket, refused) = refusing();
    let origin = Origin::working();
    let endpoints = format!("{refused}\", \"{}", origin.url());
    let process = chain(&[("retry", QUICK)]);
    let tollgate = Manifest { process: &process, ..Manifest::default() }
        .in_front_of_url(&endpoints, &["--workers", "1"]);
    for _ in 0..4 {
        assert_eq!(tollgate.post("/", "{}").text(), "it works");
    }
    let retried =
        tollgate.metric("tollgate_retries_requested_total{provider=\"main\",reason=\"connect_failed\"}");
    assert!(retried >= 1.0, "one of the endpoints refuses");
}

#[test]
fn a_reset_connection_is_retried() {
    let origin = Origin::raw(|mut peer| {
        while peer.request().is_some() {
            if peer.number == 0 {
                return peer.reset();
            }
            peer.send(response(200, "", "at last"));
        }
    });
    assert_eq!(start(&origin, QUICK, "").get("/").text(), "at last");
    assert_eq!(origin.requests(), 2);
}

#[test]
fn an_answer_that_does_not_come_in_time_is_retried() {
    let origin = Origin::raw(|mut peer| {
        while peer.request().is_some() {
            // The first connection stays silent.
            if peer.number > 0 {
                peer.send(response(200, "", "at last"));
            }
        }
    });
    let tollgate = start(&origin, QUICK, "timeouts: {response: 1s}");
    assert_eq!(tollgate.get("/").text(), "at last");
    let retried = "tollgate_retries_requested_total{provider=\"main\",reason=\"timed_out\"}";
    assert_eq!(tollgate.metric(retried), 1.0);
}

#[test]
fn when_no_retry_helps_the_client_is_told_what_happened_last() {
    let (_socket, refused) = refusing();
    let silent = Origin::raw(|mut peer| while peer.request().is_some() {});
    let resets = Origin::raw(|mut peer| {
        if peer.request().is_some() {
            peer.reset();
        }
    });
    let process = chain(&[("retry", "{max-retries: 2, initial-delay-ms: 1}")]);
    let manifest =
        Manifest { upstream: "timeouts: {response: 50ms}", process: &process, ..Manifest::default() };
    for (endpoint, status, last, reason) in [
        (refused, 502, "upstream_connect_failed", "connect_failed"),
        (silent.url(), 504, "upstream_timeout", "timed_out"),
        (resets.url(), 502, "upstream_reset", "reset"),
    ] {
        let tollgate = manifest.in_front_of_url(&endpoint, &[]);
        let answer = tollgate.get("/");
        assert_eq!((answer.status(), code(&answer).as_str()), (status, last));
        let series = format!("tollgate_retries_requested_total{{provider=\"main\",reason=\"{reason}\"}}");
        assert_eq!(tollgate.metric(&series), 2.0, "{reason}");
    }
    assert_eq!(resets.requests(), 3);
}
