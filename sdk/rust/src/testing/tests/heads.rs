//! What of heads can be changed, and when.

use super::{in_request, script};
use crate::request::HeaderError;
use crate::testing::Host;
use crate::{Ending, Outcome, request, response};

#[test]
fn the_request_can_be_changed_until_it_is_sent() {
    let host = Host::new();
    let change = script(&host, || {
        request::set_path("/new?x=1").unwrap();
        request::set_header("x-a", "1").unwrap();
        request::append_header("X-A", "2").unwrap();
        request::remove_header("x-b").unwrap();
        request::remove_header("x-none").unwrap();
        assert_eq!(request::header_bytes("x-a").len(), 2);
    });
    let mut exchange = host.exchange().header("x-b", "1");
    exchange.on_request(&change);
    exchange.on_request_body(&change);
    exchange.before_attempt(&change, 1);
    assert_eq!(exchange.request_path(), "/new?x=1");
    assert_eq!(
        (exchange.request_header("x-a").as_deref(), exchange.request_header("x-b")),
        (Some("1"), None)
    );
    let late = script(&host, || {
        assert_eq!(request::set_header("x-a", "3"), Err(HeaderError::TooLate));
        assert_eq!(request::set_path("/late"), Err(HeaderError::TooLate));
    });
    exchange.after_attempt(&late, 1, Outcome::Status(200));
    exchange.on_response(&late);
    exchange.on_response_chunk(&late, b"", true);
    exchange.on_complete(&late, Ending::Complete);
    assert_eq!(exchange.request_path(), "/new?x=1");
}

#[test]
fn fields_that_are_the_hosts_or_that_no_message_can_carry_are_refused() {
    in_request(|| {
        for name in [
            "Host",
            "expect",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
            "X-Request-ID",
        ] {
            assert_eq!(request::set_header(name, "1"), Err(HeaderError::Forbidden), "{name}");
            assert_eq!(request::append_header(name, "1"), Err(HeaderError::Forbidden), "{name}");
            assert_eq!(request::remove_header(name), Err(HeaderError::Forbidden), "{name}");
        }
        for name in ["", "a b", "a:", "é", "a\r\n"] {
            assert_eq!(request::set_header(name, "1"), Err(HeaderError::InvalidName), "{name:?}");
        }
        for value in ["a\r\nb: c", "\0", "\u{7f}"] {
            assert_eq!(request::set_header("x", value), Err(HeaderError::InvalidValue), "{value:?}");
        }
        for path in ["", "x", "http://a/", "/a b", "/\r\n"] {
            assert_eq!(request::set_path(path), Err(HeaderError::InvalidValue), "{path:?}");
        }
    });
}

#[test]
fn a_head_cannot_grow_without_end() {
    in_request(|| {
        assert_eq!(request::set_header("x", &"a".repeat(64 * 1024)), Err(HeaderError::TooLarge));
        for _ in 0..256 {
            request::append_header("x", "1").unwrap();
        }
        assert_eq!(request::append_header("x", "1"), Err(HeaderError::TooLarge));
        assert_eq!(request::header_bytes("x").len(), 256);
    });
}

#[test]
fn the_response_can_be_changed_in_on_response_only() {
    let host = Host::new();
    let change = script(&host, || {
        assert_eq!(response::header("server").as_deref(), Some("x"));
        response::set_status(201).unwrap();
        response::set_header("server", "y").unwrap();
        for status in [0, 199, 204, 304, 600] {
            assert_eq!(response::set_status(status), Err(HeaderError::InvalidValue), "{status}");
        }
    });
    let refused = script(&host, || {
        assert_eq!(response::set_status(202), Err(HeaderError::TooLate));
        assert_eq!(response::set_header("server", "z"), Err(HeaderError::TooLate));
    });
    let mut exchange = host.exchange();
    exchange.on_request(&refused);
    exchange.before_attempt(&refused, 1);
    exchange.receive_response(200, &[("server", "x")]);
    exchange.after_attempt(&refused, 1, Outcome::Status(200));
    exchange.on_response(&change);
    assert_eq!((exchange.response_status(), exchange.response_header("server").as_deref()), (201, Some("y")));
    exchange.on_complete(&refused, Ending::Complete);
    exchange.receive_response(304, &[]);
    exchange.on_response(&script(&host, || {
        assert_eq!(response::set_status(200), Err(HeaderError::InvalidValue), "it promises a body");
    }));
}
