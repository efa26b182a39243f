//! The least that must work: without it, no other test can.

use crate::support::{Origin, Tollgate};

#[test]
fn a_request_reaches_the_origin_and_the_answer_comes_back() {
    let origin = Origin::answering(|request| {
        assert_eq!(request.start, "GET /path?query HTTP/1.1");
        assert_eq!(request.field("host"), Some("t"));
        assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
        b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nit works".to_vec()
    });
    let tollgate = Tollgate::in_front_of(&origin, "", "");
    let response = tollgate.get("/path?query");
    assert_eq!((response.status(), response.text().as_str()), (200, "it works"));
    assert!(response.field("x-request-id").is_some());
}
