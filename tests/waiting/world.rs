//! What there is of WASI: clocks and randomness, streams into the log, and nothing that reaches out.

use super::{answer, does, with_filter};
use crate::support::{Origin, PATIENCE, eventually};

const NOBODY: &str = "config: {url: \"http://127.0.0.1:1\"}";

#[test]
fn there_are_clocks_and_randomness_and_nothing_else() {
    let origin = Origin::working();
    let tollgate = with_filter(NOBODY, &origin);
    let seen = answer(&tollgate, &does("look")).text();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (before, after) = seen.split_once(" s, ").unwrap();
    let (before, seconds) = before.rsplit_once(' ').unwrap();
    assert_eq!(before, "1: 0 variables, 0 arguments, 0 directories, random true,");
    assert_eq!(after, "lookup false");
    assert!(now.abs_diff(seconds.parse().unwrap()) < PATIENCE.as_secs(), "{seconds}");
}

#[test]
fn no_socket_can_be_opened() {
    let origin = Origin::working();
    let tollgate = with_filter(NOBODY, &origin);
    let port = origin.address.port();
    let said = answer(&tollgate, &does(&format!("connect {port}"))).text();
    assert!(said.contains("access-denied"), "{said}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn what_is_written_to_the_standard_streams_is_in_the_log() {
    let origin = Origin::working();
    let tollgate = with_filter(NOBODY, &origin);
    assert_eq!(answer(&tollgate, &does("print")).text(), "1: printed");
    for words in ["said aloud", "and more", "complained"] {
        eventually(words, || tollgate.has_logged(&["guest", words]));
    }
}

#[test]
fn to_exit_is_a_fault_and_the_next_exchange_has_another_instance() {
    let origin = Origin::working();
    let tollgate = with_filter(NOBODY, &origin);
    assert_eq!(answer(&tollgate, &does("print")).text(), "1: printed");
    assert_eq!(answer(&tollgate, &does("exit")).status(), 503);
    assert_eq!(answer(&tollgate, &does("print")).text(), "1: printed");
}

#[test]
fn what_a_guest_has_open_is_bounded() {
    let origin = Origin::working();
    let tollgate = with_filter(NOBODY, &origin);
    assert_eq!(answer(&tollgate, &does("open")).status(), 503);
    assert_eq!(answer(&tollgate, &does("print")).text(), "1: printed");
    assert_eq!(
        tollgate.metric("tollgate_filter_faults_total{filter=\"guest\",phase=\"on-request\",kind=\"trap\"}"),
        1.0
    );
}

#[test]
fn a_body_that_streams_waits_for_no_filter() {
    let origin = Origin::working();
    let tollgate = with_filter(NOBODY, &origin);
    let request = |how| format!("GET / HTTP/1.1\r\nhost: t\r\nx-chunk: {how}\r\n\r\n");
    assert_eq!(answer(&tollgate, &request("print")).text(), "it works");
    // The head has gone; what there is of the body is cut.
    let mut client = tollgate.client();
    client.send(request("wait"));
    assert!(!String::from_utf8_lossy(&client.rest()).ends_with("0\r\n\r\n"));
    eventually("it is logged", || tollgate.has_logged(&["it waited in `on-response-chunk`"]));
}
