//! The demo upstream: what `tollgate run` forwards to when no upstream is given, so that everything can be
//! tried at once. It answers like the OpenAI and Anthropic APIs without a model behind it, and misbehaves
//! when a request's headers tell it to, so that retries, timeouts and circuits can be watched at work. The
//! same request always gets the same bytes. It speaks HTTP/1.1 and marks every answer `server:
//! tollgate-demo`; credentials are not looked at.
//!
//! # What it answers
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/chat/completions` | OpenAI chat completion; `stream`, `stream_options.include_usage` and tools work |
//! | `POST /v1/responses` | OpenAI response; `stream` and tools work |
//! | `POST /v1/embeddings` | unit vectors, as floats or base64; texts that share words are close to each other |
//! | `POST /v1/messages` | Anthropic message; `stream` and tools work |
//! | `POST /v1/messages/count_tokens` | the `input_tokens` that `/v1/messages` would report |
//! | `GET /v1/models` | two models, in both providers' shape; requests may name any other |
//! | `GET /` | a short text |
//! | any method, `/echo` | the request as it arrived, as `message/http`: request line, header fields, blank line, body of any size. The body is sent back while it is being read: a client must read while it sends |
//! | `GET /bytes/N` | N bytes, at most 2^40: `0123456789abcdef` again and again |
//! | anything else | 404 |
//!
//! The reply to a user's message is `You said: ` and the message. With `tools` in the request and `call NAME
//! {…}` in the user's last message, NAME being one of them, it is a call of that tool with the JSON object as
//! its arguments (`{}` if there is none, or one over 64 KiB). The reply to a tool's result is `The tool
//! answered: ` and the result. A token is up to four characters of a word, together with the white space
//! before it: usage counts these, streams send one an event, and the limits on output tokens cut after them.
//!
//! Errors have the shape of the provider: Anthropic's below `/v1/messages` and for requests with an
//! `anthropic-version` header, OpenAI's otherwise. Invalid JSON, a missing member or one of the wrong type is
//! 400, a body over 10 MiB is 413, one that takes more than 30 s to arrive is 408, a wrong method is 405. A
//! connection that is idle for 60 s is closed.
//!
//! # How to make it misbehave
//!
//! Request headers, for every path; a value that is out of its range is answered 400.
//!
//! | header | value | effect |
//! |---|---|---|
//! | `x-demo-status` | 400–599 | fails with this status, in the provider's error shape |
//! | `x-demo-retry-after` | seconds, 0–86400 | fails with a `Retry-After` field; the status is 429 if not told |
//! | `x-demo-delay-ms` | 0–600000 | waits before the head of the answer |
//! | `x-demo-stall-ms` | 0–600000 | waits in the middle of the answer's body, or half-way through its events; for `/echo` before the request's body, if it has one |
//! | `x-demo-break` | `head` or `body` | resets the connection (TCP RST) instead of answering, or where a stall would be |
//! | `x-demo-fail-first` | 0–1000 | only the first so many requests with the same `x-demo-key` misbehave as told, later ones are answered properly. If neither status, `Retry-After` nor break is told, they fail with 503 |
//! | `x-demo-key` | 1–128 bytes | the key for `x-demo-fail-first`; the last 1024 new keys are remembered |
//!
//! A break in the body comes 50 ms after the bytes before it, so that they arrive. A body of no bytes has no
//! middle.

mod anthropic;
mod body;
mod chat;
mod connection;
mod conversation;
mod embeddings;
mod events;
mod misbehaviour;
mod provider;
mod reply;
mod responses;
mod routes;
#[cfg(test)]
mod tests;
mod tokens;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::misbehaviour::FailFirst;

/// Connections served at the same time; more wait to be accepted. Bounds what bodies can take of memory.
const MAX_CONNECTIONS: usize = 1024;

/// The pause after a failed accept: when file descriptors run out, trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A demo upstream on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Demo {
    /// Where it listens; the port is the real one even if port 0 was asked for.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a demo upstream on its own thread, listening when this returns.
///
/// # Errors
/// The address cannot be bound, or the system refuses a runtime or a thread.
pub fn start(address: SocketAddr) -> io::Result<Demo> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new().name("demo-upstream".into()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            tokio::select! {
                served = serve(listener) => served,
                _ = stopped => Ok(()),
            }
        });
        if let Err(error) = served {
            tracing::error!(%error, "the demo upstream stopped");
        }
    })?;
    Ok(Demo { address, stop: Some(stop), thread: Some(thread) })
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop.take(); // dropping the sender is the signal
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the demo upstream's thread panicked");
        }
    }
}

/// Serves the demo upstream on `listener` for ever, within a Tokio runtime with I/O and time.
///
/// Dropping the future closes the listener and the connections that it accepted.
///
/// # Errors
/// The socket cannot accept at all, because it is not listening. Other failures to accept, such as running
/// out of file descriptors, pass: they are waited out.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let fail_first = Arc::new(FailFirst::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(stream, Arc::clone(&fail_first)));
                }
                Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the demo upstream could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection of the demo upstream failed");
                }
            }
        }
    }
}
