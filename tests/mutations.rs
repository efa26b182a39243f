//! Damaged requests, thousands of them, thrown at one Tollgate with all five filters: nothing panics, traps or hangs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::default::start;
use crate::support::PATIENCE;

const ROUNDS: usize = 750;
const THREADS: u64 = 4;

#[test]
fn damaged_requests_do_no_harm() {
    // No failure of the demo's shall keep the others from reaching it.
    let tollgate = start(&[("API_RETRY_MAX_RETRIES", "0"), ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "1000000")]);
    let address = tollgate.address;
    let throwing: Vec<_> =
        (0..THREADS).map(|seed| std::thread::spawn(move || throw(address, seed))).collect();
    let answered: usize = throwing.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answered > ROUNDS, "most are answered, be it with 400: {answered}");
    assert_eq!(tollgate.get("/").status(), 200);
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(tollgate.post("/v1/chat/completions", chat).status(), 200);
    let metrics = tollgate.get("/metrics").text();
    let faults = metrics.lines().filter(|line| line.starts_with("tollgate_filter_faults_total{"));
    faults.for_each(|line| assert!(line.ends_with(" 0"), "{line}"));
}

/// Sends damaged requests, each on a connection of its own; how many were answered.
fn throw(address: SocketAddr, seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let requests = requests();
    (0..ROUNDS)
        .filter(|round| is_answered(address, &damaged(&requests[round % requests.len()], &mut random)))
        .count()
}

/// One byte in a hundred is another, one request in eight ends too soon.
fn damaged(request: &str, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = request.as_bytes().to_vec();
    for _ in 0..bytes.len().div_ceil(100) {
        let at = random.usize(..bytes.len());
        bytes[at] = random.u8(..);
    }
    if random.u8(..8) == 0 {
        bytes.truncate(random.usize(..bytes.len()));
    }
    bytes
}

/// Whether anything comes back. Either way the connection must end.
fn is_answered(address: SocketAddr, request: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may have been refused before it was sent to its end.
    if stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write)).is_err() {
        return true;
    }
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", String::from_utf8_lossy(request));
    }
    !answer.is_empty()
}

/// Requests of every kind, whole.
fn requests() -> Vec<String> {
    let chat = r#"{"model":"m","stream":true,"max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#;
    let tools = r#"{"model":"m","messages":[{"role":"user","content":"go"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"path\":\"a\"}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}"#;
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"\u00e9"}]}"#;
    let post = |path: &str, fields: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let (first, second) = chat.split_at(40);
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x};a=b\r\n{second}\r\n0\r\nx-trailer: 1\r\n\r\n",
        first.len(),
        second.len()
    );
    vec![
        post("/v1/chat/completions", "", chat),
        post("/v1/chat/completions", "X-Request-ID: abc\r\nExpect: 100-continue\r\n", tools),
        post(
            "/v1/messages",
            "anthropic-version: 2023-06-01\r\nConnection: keep-alive, x-hop\r\nx-hop: 1\r\n",
            messages,
        ),
        post("/v1/embeddings", "", r#"{"model":"m","input":["a",[1,2]],"dimensions":4}"#),
        post("/v1/responses", "", r#"{"model":"m","input":[{"role":"user","content":"hi"}],"stream":true}"#),
        chunked,
        "GET /bytes/100?a=%20b HTTP/1.1\r\nHost: t:80\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n".into(),
        "GET /health/ready?deep=true HTTP/1.1\r\nHost: t\r\n\r\nGET /metrics HTTP/1.1\r\nHost: t\r\n\r\n"
            .into(),
        "GET http://t/echo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".into(),
        "HEAD / HTTP/1.0\r\n\r\n".into(),
        "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n".into(),
    ]
}
