//! One client connection of the demo upstream: hyper serves it, and a break that a request asked for becomes
//! a reset.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::body::{BoxError, ToldToBreak};
use super::misbehaviour::FailFirst;
use super::routes;

/// How long a connection may be idle, or take to send the head of a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one connection until either side closes it.
pub(super) async fn serve(stream: TcpStream, fail_first: Arc<FailFirst>) {
    if let Err(error) = serve_requests(stream, fail_first).await {
        tracing::debug!(error, "a connection of the demo upstream broke off");
    }
}

async fn serve_requests(stream: TcpStream, fail_first: Arc<FailFirst>) -> Result<(), BoxError> {
    stream.set_nodelay(true)?; // an event must not wait for the acknowledgement of the one before
    let service = service_fn(move |request| routes::answer(request, Arc::clone(&fail_first)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let Err(error) = (&mut connection).await else { return Ok(()) };
    if error.source().is_some_and(|source| source.is::<ToldToBreak>()) {
        // With a linger time of zero, closing sends RST and not FIN.
        connection.into_parts().io.into_inner().set_zero_linger()?;
        return Ok(());
    }
    Err(error.into())
}
