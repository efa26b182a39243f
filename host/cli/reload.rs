//! `tollgate reload`: has a running Tollgate read its manifest again.

use std::net::SocketAddr;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{Done, print};

/// The exit code is 0 if the newest manifest runs, else 1. The manifest is the one that the running Tollgate was started
/// with.
#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Where the running Tollgate has its administration interface: `admin.address` in its manifest
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9901", env = "TOLLGATE_ADMIN")]
    admin: SocketAddr,
}

/// How large an answer may be, in bytes: all mistakes of a manifest, each with an excerpt.
const MAX_ANSWER: usize = 1 << 20;

impl Reload {
    pub(super) fn run(self) -> Done {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("the system gives no runtime: {error}"))?;
        let (status, answer) = runtime.block_on(ask(self.admin)).map_err(|error| {
            format!(
                "no answer from {}: {error}; is it the `admin.address` of a running Tollgate?",
                self.admin
            )
        })?;
        let report: Option<Value> = serde_json::from_slice(&answer).ok();
        match (status, report) {
            (StatusCode::OK, Some(report)) => print(&format!("{report:#}\n")),
            (_, Some(report)) if report["errors"].is_array() => Err(errors(&report)),
            (status, _) => Err(format!("{} is no Tollgate that can reload: it answers {status}", self.admin)),
        }
    }
}

async fn ask(address: SocketAddr) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let request =
        Request::post("/reload").header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        Ok((head.status, body.to_bytes()))
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The other side may close right after its answer, which is then there already.
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

/// What is wrong, as `check` prints it.
fn errors(report: &Value) -> String {
    let errors = report["errors"].as_array().into_iter().flatten();
    let lines: Vec<_> = errors.filter_map(Value::as_str).collect();
    format!("{}\nwhat was served before goes on", lines.join("\n"))
}
