//! Where messages end: lengths, chunks, trailers, messages without content, old clients, pipelines, broken messages.

use std::sync::mpsc::{Receiver, channel};

use crate::support::{Client, Manifest, Message, Origin, PATIENCE, Tollgate};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn recording(answer: &'static str) -> (Tollgate, Receiver<Message>, Origin) {
    let (origin, requests) = Origin::recording(answer);
    (Manifest::default().in_front_of(&origin), requests, origin)
}

/// An origin whose answer is in the request's path: the one of that place.
fn choosing(answers: &'static [&'static str]) -> Origin {
    Origin::answering(move |request| {
        let place: usize = request.start.split(' ').nth(1).unwrap()[1..].parse().unwrap();
        answers[place].as_bytes().to_vec()
    })
}

/// What follows on a connection if it is still good for another exchange.
fn assert_usable(client: &mut Client) {
    assert_eq!(client.get("/0").text(), "ok");
}

#[test]
fn content_is_framed_as_the_sender_framed_it() {
    let (tollgate, requests, _origin) = recording(OK);
    let mut client = tollgate.client();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello").receive();
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(request.values("content-length"), ["5"]);
    assert_eq!((request.field("transfer-encoding"), request.text().as_str()), (None, "hello"));
    client
        .send("POST / HTTP/1.1\r\nhost: t\r\nTransfer-Encoding: Chunked\r\n\r\n5;name=\"a b\"\r\nhello\r\n00001\r\n!\r\n000\r\n\r\n")
        .receive();
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(request.values("transfer-encoding"), ["chunked"]);
    assert_eq!((request.field("content-length"), request.text().as_str()), (None, "hello!"));
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn responses_are_framed_as_the_origin_framed_them() {
    let origin = choosing(&[
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 404 No\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nno",
    ]);
    let tollgate = Manifest::default().in_front_of_url(&origin.url(), &["--workers", "1"]);
    let mut client = tollgate.client();
    assert_eq!(client.get("/0").field("content-length"), Some("2"));
    let chunked = client.get("/1");
    assert_eq!((chunked.field("transfer-encoding"), chunked.text().as_str()), (Some("chunked"), "abcde"));
    let empty = client.get("/2");
    assert_eq!((empty.values("content-length"), empty.field("transfer-encoding")), (vec!["0"], None));
    assert_eq!(client.get("/3").text(), "");
    let twice = client.get("/4");
    assert_eq!((twice.values("content-length"), twice.text().as_str()), (vec!["2"], "no"));
    assert_usable(&mut client);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_empty_content_is_still_announced_where_servers_ask_for_a_length() {
    let (tollgate, requests, _origin) = recording(OK);
    let mut client = tollgate.client();
    for method in ["POST", "PUT", "PATCH"] {
        client.send(format!("{method} / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n")).receive();
        assert_eq!(requests.recv_timeout(PATIENCE).unwrap().values("content-length"), ["0"], "{method}");
        client
            .send(format!("{method} / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"))
            .receive();
        assert_eq!(requests.recv_timeout(PATIENCE).unwrap().body, b"", "{method}, chunked");
    }
    client.get("/");
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (None, None));
}

#[test]
fn trailers_pass_in_both_directions() {
    let (tollgate, requests, _origin) = recording(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-more\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\nx-more: 8\r\n\r\n",
    );
    let mut client = tollgate.client();
    let response = client
        .send("POST / HTTP/1.1\r\nhost: t\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\ntrailer: x-md5\r\n\r\n1\r\na\r\n0\r\nX-MD5: 9\r\n\r\n")
        .receive();
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(request.trailers, [("x-md5".into(), "9".into())]);
    assert_eq!((request.field("te"), request.field("trailer")), (Some("trailers"), Some("x-md5")));
    assert_eq!(response.trailers, [("x-sum".into(), "7".into()), ("x-more".into(), "8".into())]);
    let response = client.get("/");
    assert_eq!(
        (response.text().as_str(), response.trailers),
        ("ok", vec![]),
        "it has not said `te: trailers`"
    );
}

#[test]
fn answers_without_content_leave_the_connection_in_step() {
    let origin = choosing(&[
        OK,
        "HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 1000\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
    ]);
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    for (path, status) in [("/1", 204), ("/2", 304), ("/3", 205), ("/4", 304)] {
        let response = client.get(path);
        assert_eq!((response.status(), response.body.len()), (status, 0));
        if status != 205 {
            assert_eq!(response.field("transfer-encoding"), None, "{status}");
        }
        if status == 204 {
            assert_eq!(response.field("content-length"), None);
        }
        assert_usable(&mut client);
    }
}

#[test]
fn the_answer_to_head_says_the_length_and_has_no_content() {
    let origin = choosing(&[
        OK,
        "HTTP/1.1 200 OK\r\ncontent-length: 1234567890123\r\netag: \"a\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ]);
    let tollgate = Manifest::default().in_front_of_url(&origin.url(), &["--workers", "1"]);
    let mut client = tollgate.client();
    let mut head =
        |path: &str| client.send(format!("HEAD {path} HTTP/1.1\r\nhost: t\r\n\r\n")).receive_head();
    assert_eq!(head("/1").field("content-length"), Some("1234567890123"));
    assert_eq!(head("/2").field("content-length"), None);
    assert_eq!(head("/3").field("content-length"), None);
    assert_usable(&mut client);
    assert_eq!(origin.connections(), 1);
    let refused = tollgate.client().send("HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n").rest();
    let refused = String::from_utf8(refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 400") && refused.find("\r\n\r\n").is_some(), "{refused}");
    assert!(!refused.contains("\r\n\r\n{"), "an error that answers HEAD has no content: {refused}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| {
        let text = format!("{} {}", request.start, request.text());
        // The first are the slowest.
        let slow = u64::from(request.start.contains("/1 ")) * 50;
        std::thread::sleep(std::time::Duration::from_millis(slow));
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()
    });
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send(
        "GET /1 HTTP/1.1\r\nhost: t\r\n\r\nPOST /2 HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\r\nhost: t\r\n\r\n\
         PUT /4 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\r\nGET /5 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n\
         GET /6 HTTP/1.1\r\nhost: t\r\n\r\n",
    );
    assert_eq!(client.receive().text(), "GET /1 HTTP/1.1 ");
    assert_eq!(client.receive().text(), "POST /2 HTTP/1.1 abc");
    assert_eq!(client.receive_head().body, b"");
    assert_eq!(client.receive().text(), "PUT /4 HTTP/1.1 x");
    let last = client.receive();
    assert_eq!((last.text().as_str(), last.field("connection")), ("GET /5 HTTP/1.1 ", Some("close")));
    assert!(client.is_closed());
    assert_eq!(origin.requests(), 5);
}

#[test]
fn an_old_client_gets_an_old_answer() {
    let origin = choosing(&[
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    ]);
    let origin_of_the_last = Origin::raw(|mut peer| {
        assert_eq!(peer.request().unwrap().start, "GET /2 HTTP/1.1");
        peer.send("HTTP/1.1 200 OK\r\n\r\nto the end");
    });
    let tollgate = Manifest::default().in_front_of(&origin);
    let old = |path: &str| {
        let rest = tollgate.client().send(format!("GET {path} HTTP/1.0\r\n\r\n")).rest();
        String::from_utf8(rest).unwrap()
    };
    let answer = old("/0");
    assert!(
        answer.starts_with("HTTP/1.0 200")
            && answer.contains("content-length: 2\r\n")
            && answer.ends_with("\r\n\r\nok"),
        "{answer}"
    );
    let answer = old("/1");
    assert!(
        !answer.to_lowercase().contains("transfer-encoding") && answer.ends_with("\r\n\r\nabcdef"),
        "{answer}"
    );
    let mut client = tollgate.client();
    for _ in 0..2 {
        let response = client.send("GET /0 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").receive();
        assert_eq!((response.field("connection"), response.text().as_str()), (Some("keep-alive"), "ok"));
    }
    let tollgate = Manifest::default().in_front_of(&origin_of_the_last);
    let answer = String::from_utf8(tollgate.client().send("GET /2 HTTP/1.0\r\n\r\n").rest()).unwrap();
    assert!(answer.ends_with("\r\n\r\nto the end"), "{answer}");
}

#[test]
fn either_side_may_close_after_an_exchange() {
    let (tollgate, requests, origin) =
        recording("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    let mut client = tollgate.client();
    for connections in 1..=3 {
        let response = client.get("/");
        assert_eq!(
            (response.text().as_str(), response.field("connection")),
            ("ok", None),
            "its close is not ours"
        );
        assert_eq!(origin.connections(), connections);
    }
    let response = client.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: Close\r\n\r\n").receive();
    assert_eq!(response.field("connection"), Some("close"));
    assert!(client.is_closed());
    assert!(requests.try_iter().all(|request| request.field("connection").is_none()));
}

#[test]
fn a_response_that_ends_with_its_connection_is_chunked_for_the_client() {
    let origin = Origin::raw(|mut peer| {
        peer.request().unwrap();
        peer.send("HTTP/1.1 200 OK\r\n\r\nup to ");
        peer.send("the end");
    });
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(
            (response.field("transfer-encoding"), response.text().as_str()),
            (Some("chunked"), "up to the end")
        );
    }
}

#[test]
fn a_response_that_breaks_off_is_no_clean_end() {
    let broken = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nx: 1",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nffffffffffffffff1\r\n",
    ];
    for answer in broken {
        let origin = Origin::raw(move |mut peer| {
            peer.request().unwrap();
            peer.send(answer);
        });
        let tollgate = Manifest::default().in_front_of(&origin);
        let got =
            String::from_utf8(tollgate.client().send("GET / HTTP/1.1\r\nhost: t\r\n\r\n").rest()).unwrap();
        let (head, content) = got.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}: {got}");
        assert!(content.len() < 10 && !content.contains("0\r\n\r\n"), "{answer}: {got}");
        crate::support::eventually("it is counted", || {
            tollgate.metric("tollgate_errors_total{provider=\"main\",type=\"upstream_broke\"}") == 1.0
        });
    }
}

#[test]
fn a_request_that_breaks_off_is_never_whole_for_the_origin() {
    for half in [
        "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ] {
        let (sender, seen) = channel();
        let origin = Origin::raw(move |mut peer| {
            let mut all = Vec::new();
            // However it ends.
            let _ = std::io::Read::read_to_end(&mut peer.stream, &mut all);
            sender.send(String::from_utf8(all).unwrap()).unwrap();
        });
        let tollgate = Manifest::default().in_front_of(&origin);
        let mut client = tollgate.client();
        client.send(half);
        crate::support::eventually("the request is under way", || origin.connections() == 1);
        drop(client);
        let seen = seen.recv_timeout(PATIENCE).unwrap();
        let content = seen.split_once("\r\n\r\n").unwrap().1;
        assert!(content.len() < 10 && !content.contains("0\r\n"), "{half}: {seen}");
    }
}

#[test]
fn an_origin_may_answer_before_it_has_read_the_request() {
    let origin = Origin::raw(|mut peer| {
        Message::read_head(&mut peer.stream).unwrap();
        peer.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig");
    });
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100000000\r\n\r\nonly a little of it");
    let response = client.receive();
    assert_eq!((response.status(), response.text().as_str()), (413, "big"));
}
