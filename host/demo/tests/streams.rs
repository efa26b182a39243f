//! Bodies of any size, and the life of the server itself.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::demo::start;

const SIZE: usize = 32 << 20;

#[tokio::test]
async fn echo_gives_back_the_request_as_it_came() {
    let got = ask(demo().await, request(Method::PUT, "/echo?a=b", &[("x-one", "1")], "the body")).await;
    assert_eq!(got.headers["content-type"], "message/http");
    let expected = "PUT /echo?a=b HTTP/1.1\r\nhost: demo\r\nx-one: 1\r\ncontent-length: 8\r\n\r\nthe body";
    assert_eq!(got.body, expected);
}

#[tokio::test]
async fn echo_takes_no_more_than_the_client_takes_back() {
    let mut stream = TcpStream::connect(demo().await).await.unwrap();
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: demo\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let body: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
    let mut sent = 0;
    while let Ok(size) = timeout(Duration::from_millis(500), stream.write(&body[sent..])).await {
        sent += size.unwrap();
    }
    assert!(sent < SIZE / 2, "{sent} bytes were taken from a client that does not read");

    let (mut reading, mut writing) = stream.split();
    let mut got = Vec::new();
    let (read, written) = tokio::join!(reading.read_to_end(&mut got), writing.write_all(&body[sent..]));
    written.unwrap();
    assert!(read.unwrap() > SIZE && got.ends_with(&body));
}

#[tokio::test]
async fn bytes_are_as_many_as_asked_for_and_follow_the_pattern() {
    let demo = demo().await;
    for size in [0, 1, 2, 15, 16, 17, 1000, 65_536, 131_073, SIZE] {
        let got = get(demo, &format!("/bytes/{size}"), &[]).await;
        assert_eq!(got.headers["content-length"], size.to_string());
        assert_eq!(got.body.len(), size);
        assert!(
            got.body.iter().zip(b"0123456789abcdef".iter().cycle()).all(|(got, expected)| got == expected)
        );
    }
}

#[tokio::test]
async fn a_terabyte_starts_at_once_and_waits_for_the_client() {
    let asked = request(Method::GET, "/bytes/1099511627776", &[], "");
    let mut response = connect(demo().await).await.send_request(asked).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1099511627776");
    assert!(response.body_mut().frame().await.unwrap().is_ok());
}

#[tokio::test]
async fn a_body_over_the_limit_is_read_and_answered_413() {
    let demo = demo().await;
    let mut sender = connect(demo).await;
    for (size, status) in [((10 << 20) + 1, 413), (20 << 20, 413), (10 << 20, 400)] {
        sender.ready().await.unwrap();
        let asked = request(Method::POST, "/v1/chat/completions", &[], vec![b' '; size]);
        let got = Got::from(sender.send_request(asked).await.unwrap()).await;
        assert_eq!(got.status.as_u16(), status);
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let mut stream = TcpStream::connect(demo().await).await.unwrap();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: demo\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    assert!(got.starts_with(b"HTTP/1.1 413 "), "{}", got.escape_ascii());
}

#[test]
fn a_demo_runs_until_it_is_dropped() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let demo = start(any).unwrap();
    let address = demo.address;
    assert_eq!(start(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    let mut idle = std::net::TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    drop(demo);
    let ended = std::io::Read::read(&mut idle, &mut [0]);
    assert!(
        matches!(ended.as_ref().map_err(|error| error.kind()), Ok(0) | Err(ErrorKind::ConnectionReset)),
        "{ended:?}"
    );
    assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_socket_that_does_not_listen_is_an_error() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let served = timeout(Duration::from_secs(5), serve(listener)).await.unwrap();
    assert_eq!(served.unwrap_err().kind(), ErrorKind::InvalidInput);
}
