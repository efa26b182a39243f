//! Requests that filters send: to granted origins, over connections that are kept, a worker's for itself. A filter that
//! asks for any other gets `HTTP-request-denied`, and the log says which it was.

use std::future::Future;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::guest::Filter;
use crate::manifest::Origin;

/// Idle connections that a worker keeps to an origin.
const MAX_IDLE: usize = 32;

/// What one instance of a filter may ask of others.
pub(super) struct Callouts {
    filter: String,
    origins: Vec<Origin>,
}

impl Callouts {
    pub(super) fn of(filter: &Filter) -> Self {
        Self { filter: filter.name.clone(), origins: filter.origins.clone() }
    }

    fn is_granted(&self, request: &Request<WasiBody>) -> bool {
        let granted = Origin::of(request.uri()).is_some_and(|origin| self.origins.contains(&origin));
        if !granted {
            let (scheme, authority) = (request.uri().scheme_str(), request.uri().authority());
            tracing::warn!(
                filter = self.filter,
                "it may send no request to {}://{}: its `grants.http` does not name that origin",
                scheme.unwrap_or_default(),
                authority.map_or("", |authority| authority.as_str())
            );
        }
        granted
    }
}

type Finished = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Finished), Error>> + Send>;

impl WasiHttpHooks for Callouts {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _finished: Finished,
    ) -> Sent {
        if !self.is_granted(&request) {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        match CLIENT.with(Clone::clone) {
            Ok(client) => Box::new(send(client, request, options)),
            Err(why) => Box::new(std::future::ready(Err(Error::InternalError(Some(why))))),
        }
    }
}

type Connector = HttpsConnector<HttpConnector>;

thread_local! {
    /// A worker's connections, for all its filters.
    static CLIENT: Result<Client<Connector, WasiBody>, String> = client();
}

fn client() -> Result<Client<Connector, WasiBody>, String> {
    let roots = HttpsConnectorBuilder::new().with_native_roots();
    let roots = roots.map_err(|error| format!("the system's root certificates cannot be read: {error}"))?;
    let connector = roots.https_or_http().enable_http1().build();
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_max_idle_per_host(MAX_IDLE);
    Ok(builder.build(connector))
}

/// The filter's `limits.wait` ends what takes longer than the filter's own timeouts allow, the body included.
async fn send(
    client: Client<Connector, WasiBody>,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<(Response<WasiBody>, Finished), Error> {
    let sent = client.request(request);
    let response = match options.and_then(|options| options.first_byte_timeout) {
        Some(limit) => tokio::time::timeout(limit, sent).await.map_err(|_| Error::HttpResponseTimeout)?,
        None => sent.await,
    };
    let response = response.map_err(|error| sorted(&error))?;
    let finished: Finished = Box::new(std::future::ready(Ok(())));
    Ok((response.map(|body| body.map_err(Error::from).boxed_unsync()), finished))
}

fn sorted(error: &legacy::Error) -> Error {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    match causes.find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(io) if error.is_connect() => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            _ => Error::DestinationUnavailable,
        },
        _ if error.is_connect() => Error::DestinationUnavailable,
        _ => Error::ConnectionTerminated,
    }
}
