//! The demo upstream over real sockets.

mod apis;
mod misbehaves;
mod streams;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::serve;

/// Starts a demo upstream in this test's runtime.
async fn demo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    address
}

/// A connection to it.
async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(
    method: Method,
    path: &str,
    told: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("host", "demo");
    let request = told.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::new(body.into())).unwrap()
}

/// What came back.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    async fn from(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        assert_eq!(head.headers["server"], "tollgate-demo");
        Self { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The events of a stream, checked for their form; `[DONE]` is a string.
    fn events(&self) -> Vec<Value> {
        assert!(self.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let text = str::from_utf8(&self.body).unwrap();
        let events = text.strip_suffix("\n\n").unwrap().split("\n\n");
        events.map(event).collect()
    }
}

fn event(text: &str) -> Value {
    let (name, data) = match text.strip_prefix("event: ") {
        Some(rest) => rest.split_once('\n').map(|(name, data)| (Some(name), data)).unwrap(),
        None => (None, text),
    };
    let data = data.strip_prefix("data: ").unwrap();
    let value = if data == "[DONE]" { data.into() } else { serde_json::from_str::<Value>(data).unwrap() };
    assert_eq!(value.get("type").and_then(Value::as_str), name);
    value
}

/// One request on a connection of its own.
async fn ask(address: SocketAddr, request: Request<Full<Bytes>>) -> Got {
    Got::from(connect(address).await.send_request(request).await.unwrap()).await
}

async fn post(address: SocketAddr, path: &str, body: &Value) -> Got {
    ask(address, request(Method::POST, path, &[], body.to_string())).await
}

async fn get(address: SocketAddr, path: &str, told: &[(&str, &str)]) -> Got {
    ask(address, request(Method::GET, path, told, "")).await
}
