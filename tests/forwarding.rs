//! What a request and its response look like on the other side: heads, methods, targets, connections, our own answers.

use std::io::Read;
use std::sync::mpsc::channel;

use crate::support::{Manifest, Message, Origin, PATIENCE, Tollgate};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The request that the origin gets when a client sends `request`.
fn forwarded(request: &str) -> Message {
    let (origin, requests) = Origin::recording(OK);
    let tollgate = Manifest::default().in_front_of(&origin);
    assert_eq!(tollgate.client().send(request).receive().status(), 200);
    requests.recv_timeout(PATIENCE).unwrap()
}

/// The response that a client gets to a GET when the origin answers `response`.
fn answered(response: &'static str) -> Message {
    let (origin, _requests) = Origin::recording(response);
    Manifest::default().in_front_of(&origin).get("/")
}

#[test]
fn connections_are_kept_alive_on_both_sides() {
    let origin = Origin::working();
    let tollgate = Manifest::default().in_front_of_url(&origin.url(), &["--workers", "1"]);
    let mut client = tollgate.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "it works");
    }
    assert_eq!(tollgate.get("/").status(), 200, "on another client's connection");
    assert_eq!((origin.requests(), origin.connections()), (21, 1));
}

#[test]
fn methods_and_paths_go_on_as_they_are() {
    for start in [
        "GET /a%0d%0ab?c=%00&d=é HTTP/1.1",
        "DELETE /a/b//c;x=1 HTTP/1.1",
        "PATCH /a...b/%7E?../ HTTP/1.1",
        "PROPFIND /~user/!$&'()*+,=:@ HTTP/1.1",
        "M-SEARCH /? HTTP/1.1",
        "get / HTTP/1.1",
        "TRACE / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
    ] {
        assert_eq!(forwarded(&format!("{start}\r\nhost: t\r\n\r\n")).start, start);
    }
}

#[test]
fn an_absolute_target_becomes_path_and_host() {
    let request = forwarded("GET http://example.com:81/a?b HTTP/1.1\r\nhost: other\r\n\r\n");
    assert_eq!(request.start, "GET /a?b HTTP/1.1");
    assert_eq!(request.values("host"), ["example.com:81"]);
    assert_eq!(request.values("x-forwarded-host"), ["example.com:81"]);
    let request = forwarded("GET http://example.com HTTP/1.1\r\nhost: example.com\r\n\r\n");
    assert_eq!(request.start, "GET / HTTP/1.1");
}

#[test]
fn connect_is_not_implemented() {
    let (origin, _requests) = Origin::recording(OK);
    let tollgate = Manifest::default().in_front_of(&origin);
    let response =
        tollgate.client().send("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n").receive();
    assert_eq!(response.status(), 501);
    assert_eq!(response.json()["code"], "not_implemented");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn bytes_that_are_not_utf8_pass_in_both_directions() {
    let (sender, heads) = channel();
    let origin = Origin::raw(move |mut peer| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            peer.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        sender.send(head).unwrap();
        peer.send(b"HTTP/1.1 200 OK\r\nx-back: \xfe\t\xff\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send(b"GET / HTTP/1.1\r\nhost: t\r\nx-there: \xc3\x28\x80 \xff\r\nconnection: close\r\n\r\n");
    let response = client.rest();
    let head = heads.recv_timeout(PATIENCE).unwrap();
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(&head, b"x-there: \xc3\x28\x80 \xff\r\n"), "{}", head.escape_ascii());
    assert!(has(&response, b"x-back: \xfe\t\xff\r\n"), "{}", response.escape_ascii());
}

#[test]
fn repeated_fields_keep_their_order() {
    let response = answered(
        "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nvary: x\r\nset-cookie: b=2\r\nset-cookie: a=3\r\nvary: y\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2", "a=3"]);
    assert_eq!(response.values("vary"), ["x", "y"]);
    let request = forwarded("GET / HTTP/1.1\r\nhost: t\r\ncookie: a\r\nx: 1\r\ncookie: b\r\n\r\n");
    assert_eq!(request.values("cookie"), ["a", "b"]);
}

#[test]
fn the_reason_phrase_may_change_and_the_status_does_not() {
    assert_eq!(answered("HTTP/1.1 299 Whatever\r\ncontent-length: 0\r\n\r\n").status(), 299);
    assert_eq!(answered("HTTP/1.1 599\r\ncontent-length: 0\r\n\r\n").status(), 599);
}

#[test]
fn hop_by_hop_fields_stay_on_their_connection() {
    let request = forwarded(
        "GET / HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, X-Mine\r\nconnection: x-too\r\nkeep-alive: timeout=5\r\n\
         x-mine: 1\r\nx-too: 2\r\nproxy-connection: keep-alive\r\nupgrade: h2c\r\nte: gzip\r\nx-kept: 3\r\n\r\n",
    );
    for name in ["connection", "keep-alive", "x-mine", "x-too", "proxy-connection", "upgrade", "te"] {
        assert_eq!(request.field(name), None, "{name}");
    }
    assert_eq!(request.field("x-kept"), Some("3"));
    let response = answered(
        "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nproxy-authenticate: Basic\r\n\
         x-kept: 2\r\ncontent-length: 0\r\n\r\n",
    );
    for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-kept"), Some("2"));
}

#[test]
fn connection_cannot_take_away_what_framing_and_routing_rest_on() {
    let request = forwarded(
        "POST / HTTP/1.1\r\nhost: t\r\nconnection: host, content-length, x-forwarded-for, x-request-id\r\n\
         x-forwarded-for: 9.9.9.9\r\nx-request-id: mine\r\ncontent-length: 3\r\n\r\nabc",
    );
    assert_eq!((request.field("host"), request.text().as_str()), (Some("t"), "abc"));
    assert_eq!(request.field("x-forwarded-for"), Some("9.9.9.9, 127.0.0.1"));
    assert_eq!(request.field("x-request-id"), Some("mine"));
}

#[test]
fn forwarding_fields_say_who_asked_and_how() {
    let request = forwarded(
        "GET / HTTP/1.1\r\nhost: t.example:8\r\nx-forwarded-for: 1.1.1.1\r\nx-forwarded-proto: gopher\r\n\
         x-forwarded-for: 2.2.2.2\r\nx-forwarded-host: evil\r\n\r\n",
    );
    assert_eq!(request.values("x-forwarded-for"), ["1.1.1.1, 2.2.2.2, 127.0.0.1"]);
    assert_eq!(request.values("x-forwarded-proto"), ["http"]);
    assert_eq!(request.values("x-forwarded-host"), ["t.example:8"]);
}

#[test]
fn a_request_id_is_taken_made_or_replaced_and_sent_both_ways() {
    let (origin, requests) =
        Origin::recording("HTTP/1.1 200 OK\r\nx-request-id: not-mine\r\ncontent-length: 0\r\n\r\n");
    let tollgate = Manifest::default().in_front_of(&origin);
    let ids = |fields: &str| {
        let response = tollgate.client().send(format!("GET / HTTP/1.1\r\nhost: t\r\n{fields}\r\n")).receive();
        let request = requests.recv_timeout(PATIENCE).unwrap();
        assert_eq!(response.values("x-request-id"), request.values("x-request-id"));
        assert_eq!(request.values("x-request-id").len(), 1);
        request.field("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ids("x-request-id: abc-123/=\r\n"), "abc-123/=");
    assert_eq!(ids("x-request-id: first\r\nx-request-id: second\r\n"), "first");
    let long = "x".repeat(129);
    for nonsense in [
        "",
        "x-request-id:\r\n",
        "x-request-id: a b\r\n",
        "x-request-id: é\r\n",
        &format!("x-request-id: {long}\r\n"),
    ] {
        let id = ids(nonsense);
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{nonsense:?} became {id:?}"
        );
    }
    assert_ne!(ids(""), ids(""));
    let refused = tollgate.client().send("GET / HTTP/1.1\r\nx-request-id: mine\r\n\r\n").receive();
    assert_eq!((refused.status(), refused.field("x-request-id")), (400, Some("mine")));
}

#[test]
fn interim_responses_go_to_clients_that_know_them() {
    let (origin, _requests) = Origin::recording(
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x\r\nx: 1\r\ncontent-length: 40\r\n\r\nHTTP/1.1 103 Early Hints\r\n\
         link: </b.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    for (status, link) in [(103, Some("</a.css>; rel=preload")), (103, Some("</b.css>")), (200, None)] {
        let head = Message::read_head(&mut client.stream).unwrap();
        assert_eq!((head.status(), head.field("link"), head.field("x")), (status, link, None));
        assert_eq!(head.field("content-length"), (status == 200).then_some("2"));
    }
    let mut old = tollgate.client();
    let response = String::from_utf8(old.send("GET / HTTP/1.0\r\nhost: t\r\n\r\n").rest()).unwrap();
    assert!(response.starts_with("HTTP/1.0 200") && !response.contains("Early Hints"), "{response}");
}

#[test]
fn early_hints_arrive_before_the_origin_has_answered() {
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::raw(move |mut peer| {
        peer.request().unwrap();
        peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        peer.send(OK);
    });
    let tollgate = Manifest::default().in_front_of(&origin);
    let mut client = tollgate.client();
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(Message::read_head(&mut client.stream).unwrap().status(), 103);
    go.send(()).unwrap();
    assert_eq!(client.receive().text(), "ok");
}

#[test]
fn continue_is_said_only_when_the_content_is_wanted() {
    let (origin, requests) = Origin::recording(OK);
    let route = "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  main: {endpoints: [\"URL\"]}\nroutes:\n  \
                 - {match: {path: /known}, upstream: main}\n";
    let tollgate = Tollgate::start(&route.replace("URL", &origin.url()));
    let post = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
    };
    let mut client = tollgate.client();
    assert_eq!(Message::read_head(&mut client.send(post("/known")).stream).unwrap().status(), 100);
    assert_eq!(client.send("body").receive().text(), "ok");
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!((request.text().as_str(), request.field("expect")), ("body", None));
    let mut client = tollgate.client();
    assert_eq!(Message::read_head(&mut client.send(post("/unknown")).stream).unwrap().status(), 404);
}

#[test]
fn our_own_answers_have_the_shape_that_the_route_asks_for() {
    // An endpoint where nobody listens.
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let manifest = |shape: &str| {
        Manifest { route: &format!("errors: {shape}"), ..Manifest::default() }.in_front_of_url(&url, &[])
    };
    let response = manifest("problem").get("/");
    assert_eq!((response.status(), response.field("content-type")), (502, Some("application/problem+json")));
    let problem = response.json();
    assert_eq!(problem["code"], "upstream_connect_failed");
    assert_eq!((&problem["status"], &problem["title"]), (&502.into(), &"Bad Gateway".into()));
    assert_eq!(problem["request_id"], response.field("x-request-id").unwrap());
    let response = manifest("plain").get("/");
    assert_eq!((response.status(), response.field("content-type")), (502, Some("application/json")));
    assert_eq!(
        response.json(),
        serde_json::json!({"error": "The upstream cannot be reached", "details": []})
    );
    let error = manifest("openai").get("/").json()["error"].clone();
    assert_eq!(error["type"], "server_error");
    assert_eq!(
        (&error["code"], &error["message"]),
        (&"upstream_connect_failed".into(), &"The upstream cannot be reached".into())
    );
    let answer = manifest("anthropic").get("/").json();
    assert_eq!((&answer["type"], &answer["error"]["type"]), (&"error".into(), &"api_error".into()));
}

#[test]
fn a_body_that_is_too_large_is_refused_in_every_shape() {
    let origin = Origin::working();
    let filters =
        "filters:\n  - {name: reader, component: builtin:validation, limits: {memory: 128MiB, time: 5s}}";
    let refused = |shape: &str| {
        let route = format!("body-limit: 8, errors: {shape}");
        let tollgate =
            Manifest { route: &route, process: filters, ..Manifest::default() }.in_front_of(&origin);
        let response = tollgate.post("/", "[1, 2, 3, 4]");
        assert_eq!(response.status(), 413, "{shape}");
        response.json()
    };
    assert_eq!(refused("problem")["code"], "body_too_large");
    assert_eq!(refused("plain")["error"], "The request's body is larger than this route allows");
    let error = refused("openai")["error"].clone();
    assert_eq!((&error["type"], &error["code"]), (&"invalid_request_error".into(), &"body_too_large".into()));
    assert_eq!(refused("anthropic")["error"]["type"], "request_too_large");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn what_no_route_takes_is_not_found_and_reaches_no_upstream() {
    let origin = Origin::working();
    let manifest = "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  main: {endpoints: [\"URL\"]}\nroutes:\n  \
                    - {match: {host: a.example, path-prefix: /v1, methods: [GET]}, upstream: main, errors: openai}\n";
    let tollgate = Tollgate::start(&manifest.replace("URL", &origin.url()));
    let mut client = tollgate.client();
    for (request, status) in [
        ("GET /v1 HTTP/1.1\r\nhost: a.example\r\n\r\n", 200),
        ("GET /v1/x?y HTTP/1.1\r\nhost: A.Example:81\r\n\r\n", 200),
        ("GET /v10 HTTP/1.1\r\nhost: a.example\r\n\r\n", 404),
        ("GET /V1 HTTP/1.1\r\nhost: a.example\r\n\r\n", 404),
        ("GET /v1 HTTP/1.1\r\nhost: b.example\r\n\r\n", 404),
        ("GET http://b.example/v1 HTTP/1.1\r\nhost: a.example\r\n\r\n", 404),
        ("DELETE /v1 HTTP/1.1\r\nhost: a.example\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n", 404),
    ] {
        let response = client.send(request).receive();
        assert_eq!(response.status(), status, "{request}");
        if status == 404 {
            assert_eq!(response.json()["code"], "no_route");
        }
    }
    assert_eq!(origin.requests(), 2);
}
