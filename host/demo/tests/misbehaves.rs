//! What it does when told, and that it does it when told only.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Sends a GET over a plain socket.
async fn raw(address: SocketAddr, path: &str, told: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: demo\r\n{told}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    stream
}

#[tokio::test]
async fn a_status_is_answered_in_the_providers_shape_and_the_connection_lives() {
    let demo = demo().await;
    let mut sender = connect(demo).await;
    for (path, status, kind) in [
        ("/v1/chat/completions", "503", "server_error"),
        ("/v1/chat/completions", "429", "requests"),
        ("/v1/messages", "529", "overloaded_error"),
        ("/echo", "500", "server_error"),
        ("/bytes/7", "404", "invalid_request_error"),
    ] {
        sender.ready().await.unwrap();
        let told = request(Method::POST, path, &[("x-demo-status", status)], vec![b' '; 1 << 20]);
        let got = Got::from(sender.send_request(told).await.unwrap()).await;
        assert_eq!((got.status.as_str(), &got.json()["error"]["type"]), (status, &kind.into()));
    }
}

#[tokio::test]
async fn retry_after_comes_with_429_unless_another_status_is_told() {
    let demo = demo().await;
    let got = get(demo, "/", &[("x-demo-retry-after", "7")]).await;
    assert_eq!((got.status.as_u16(), &got.headers["retry-after"]), (429, &"7".parse().unwrap()));
    let got = get(demo, "/", &[("x-demo-retry-after", "0"), ("x-demo-status", "503")]).await;
    assert_eq!((got.status.as_u16(), &got.headers["retry-after"]), (503, &"0".parse().unwrap()));
}

#[tokio::test]
async fn the_first_requests_with_a_key_fail_and_later_ones_do_not() {
    let demo = demo().await;
    for key in ["a", "b"] {
        let told = [("x-demo-fail-first", "2"), ("x-demo-key", key), ("x-demo-status", "500")];
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(get(demo, "/", &told).await.status.as_u16());
        }
        assert_eq!(statuses, [500, 500, 200, 200]);
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_is_answered_400() {
    let got = get(demo().await, "/echo", &[("x-demo-status", "200")]).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.json()["error"]["message"], "x-demo-status must be a number from 400 to 599");
}

#[tokio::test]
async fn a_delay_comes_before_the_head_and_a_stall_after_it() {
    let demo = demo().await;
    let start = Instant::now();
    get(demo, "/", &[("x-demo-delay-ms", "200")]).await;
    assert!(start.elapsed() >= Duration::from_millis(200));

    for path in ["/bytes/10", "/echo", "/"] {
        let start = Instant::now();
        let told = request(Method::GET, path, &[("x-demo-stall-ms", "600")], "");
        let mut response = connect(demo).await.send_request(told).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        assert!(
            start.elapsed() < Duration::from_millis(600),
            "{path}: half of the body comes before the stall"
        );
        response.body_mut().collect().await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(600), "{path}");
    }
}

#[tokio::test]
async fn a_stream_stalls_between_its_events() {
    let demo = demo().await;
    let ask = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"one two three four"}]}"#;
    let told = request(Method::POST, "/v1/chat/completions", &[("x-demo-stall-ms", "600")], ask);
    let mut body = connect(demo).await.send_request(told).await.unwrap().into_body();
    let (mut before, start) = (String::new(), Instant::now());
    while let Ok(frame) = tokio::time::timeout(Duration::from_millis(300), body.frame()).await {
        let data = frame.unwrap().unwrap().into_data().unwrap();
        before.push_str(str::from_utf8(&data).unwrap());
    }
    assert!(before.contains("said") && before.ends_with("\n\n") && !before.contains("four"), "{before}");
    let after = body.collect().await.unwrap().to_bytes();
    assert!(after.ends_with(b"data: [DONE]\n\n") && start.elapsed() >= Duration::from_millis(590));
}

#[tokio::test]
async fn a_break_resets_the_connection_before_the_head() {
    let mut stream = raw(demo().await, "/", "x-demo-break: head").await;
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_break_resets_the_connection_in_the_middle_of_the_body() {
    for (path, told) in [("/bytes/100000", ""), ("/bytes/100000", "x-demo-stall-ms: 100\r\n")] {
        let mut stream = raw(demo().await, path, &format!("{told}x-demo-break: body")).await;
        let mut got = Vec::new();
        let error = loop {
            match stream.read_buf(&mut got).await {
                Ok(0) => panic!("closed without a reset"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let text = String::from_utf8(got).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length: 100000"));
        assert_eq!(body.len(), 50_000);
    }
}

#[tokio::test]
async fn a_told_failure_can_break_too() {
    let mut stream = raw(demo().await, "/", "x-demo-status: 503\r\nx-demo-break: body").await;
    let mut got = Vec::new();
    while stream.read_buf(&mut got).await.is_ok_and(|size| size > 0) {}
    assert!(got.starts_with(b"HTTP/1.1 503 "));
}
