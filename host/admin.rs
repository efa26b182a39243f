//! The administration interface, on an address of its own: what runs, and how to change it, for the people who run it. It is served by the
//! main thread, so that it answers when every worker is busy.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::chain::Entry;
use crate::error::Error;
use crate::listener::accept_one;
use crate::manifest::{Component, ErrorFormat, Isolation, Mode, OnError};
use crate::reload::Reloader;
use crate::wasm::Host;

/// What there is to tell about, and to do.
#[derive(Debug)]
pub struct Admin {
    /// What runs, and how to change it.
    pub reloader: Reloader,
    /// Figures and health.
    pub host: Host,
}

/// Serves the interface, for ever. Must be polled within a `LocalSet`.
pub async fn serve(admin: Arc<Admin>, socket: TcpListener) {
    loop {
        let (stream, _) = accept_one(&socket).await;
        let admin = admin.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(admin.answer(&request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong on such a connection, whoever asked sees.
            drop(connection.await);
        });
    }
}

impl Admin {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let uri = request.uri();
        let answer = match (request.method(), uri.path()) {
            (&Method::GET, "/chain") => json_response(&self.chain()),
            (&Method::GET, "/metrics") => self.host.telemetry.answer(),
            (&Method::GET, path) => self
                .host
                .health
                .answer(path, uri.query(), &self.host.pressure)
                .unwrap_or_else(|| Error::NoRoute.reply().render(ErrorFormat::Problem, "")),
            (&Method::POST, "/reload") => self.reload().await,
            _ => Error::NoRoute.reply().render(ErrorFormat::Problem, ""),
        };
        answer.map(Full::new)
    }

    /// 200 if the newest manifest runs, 422 if it was refused, 503 if nobody can tell any more.
    async fn reload(&self) -> Response<Bytes> {
        let Some(report) = self.reloader.reload().await else {
            let mut response =
                json_response(&json!({"result": "refused", "errors": ["the process is ending"]}));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        };
        let mut response = json_response(&json!(&*report));
        if !report.is_current() {
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        }
        response
    }

    fn chain(&self) -> Value {
        let running = self.reloader.running();
        let filters = running.manifest.filters.iter().zip(&running.entries);
        let filters: Vec<_> = filters.map(|(filter, entry)| describe(&filter.component, entry)).collect();
        json!({"filters": filters})
    }
}

fn describe(component: &Component, entry: &Entry) -> Value {
    let phases: Vec<_> = entry.program.phases.iter().map(|phase| phase.as_str()).collect();
    let component = match component {
        Component::Builtin(name) => format!("builtin:{name}"),
        Component::File(path) => path.display().to_string(),
    };
    json!({
        "name": entry.filter.name,
        "component": component,
        "digest": format!("sha256:{}", entry.program.digest),
        "size": entry.program.size,
        "contract": entry.program.contract(),
        "phases": phases,
        "on-error": match entry.on_error { OnError::Closed => "closed", OnError::Open => "open" },
        "isolation": match entry.isolation { Isolation::Worker => "worker", Isolation::Request => "request" },
        "mode": match entry.mode() { Mode::Enforce => "enforce", Mode::Shadow => "shadow" },
        "limits": {"time-ms": entry.filter.time.as_secs_f64() * 1000.0, "memory": entry.filter.memory},
    })
}

fn json_response(value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
