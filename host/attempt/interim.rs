//! Interim responses (1xx, RFC 9110, section 15.2) on their way from the upstream to the client.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request, StatusCode};
use tokio::sync::Notify;

use crate::headers;
use crate::io::Watch;

/// How many bytes of interim responses may wait for the exchange's next turn; more are dropped.
const MAX_WAITING: usize = 64 << 10;

/// Forwards interim responses, unless the client speaks HTTP/1.0.
#[derive(Debug, Clone, Default)]
pub struct Interim(Option<Rc<Way>>);

#[derive(Debug)]
struct Way {
    client: Rc<Watch>,
    /// One line for all attempts of an exchange, made when first needed: `hyper` wants to call from any thread.
    line: RefCell<Option<Arc<Line>>>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<Vec<u8>>,
    arrived: Notify,
}

impl Interim {
    /// Forwards to the client of that connection.
    pub fn to(client: Rc<Watch>) -> Self {
        Self(Some(Rc::new(Way { client, line: RefCell::default() })))
    }

    /// Has `hyper` tell of the interim responses to this request.
    pub(super) fn listen<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(way) = &self.0 {
            let line = way.line.borrow_mut().get_or_insert_default().clone();
            hyper::ext::on_informational(&mut request, move |interim| {
                line.push(interim.status(), interim.headers());
            });
        }
        request
    }

    /// Waits for `sent`, and forwards meanwhile.
    pub(super) async fn forward_while<T>(&self, sent: impl Future<Output = T>) -> T {
        let mut sent = std::pin::pin!(sent);
        loop {
            tokio::select! {
                biased;
                waiting = self.arrived() => self.forward(&waiting).await,
                done = &mut sent => return done,
            }
        }
    }

    /// Ready when interim responses have arrived.
    async fn arrived(&self) -> Vec<u8> {
        let Some(way) = &self.0 else { return std::future::pending().await };
        let line = way.line.borrow_mut().get_or_insert_default().clone();
        line.arrived.notified().await;
        std::mem::take(&mut *line.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts them in line, and gives the connection a turn to send them before the final response can be ready.
    async fn forward(&self, waiting: &[u8]) {
        if let Some(way) = &self.0 {
            way.client.push_interim(waiting);
            tokio::task::yield_now().await;
        }
    }
}

impl Line {
    fn push(&self, status: StatusCode, fields: &HeaderMap) {
        // The host has answered `expect: 100-continue` itself, and upgrades nothing.
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let head = encode(status, fields);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + head.len() <= MAX_WAITING {
            waiting.extend_from_slice(&head);
            self.arrived.notify_one();
        }
    }
}

fn encode(status: StatusCode, fields: &HeaderMap) -> Vec<u8> {
    let mut fields = fields.clone();
    headers::strip_hop_by_hop(&mut fields);
    let mut head =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in &fields {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
