//! What is done when an exchange is over, wherever and however it ended: `on-complete` is called, the figures are
//! counted, and a line goes to the access log. It is a value that travels with the response; dropping it concludes.

use http::StatusCode;

use crate::chain::Run;
use crate::error::Error;
use crate::telemetry::{ErrorType, InFlight, ProviderCounters};
use crate::wasm::Ending;

/// The exchange, and what is to be said of it in the end.
#[derive(Debug)]
pub struct Conclusion {
    /// The exchange on its walk.
    pub run: Run,
    /// The status that the client got; 499 until there is one, as nginx says for a client that left.
    pub status: StatusCode,
    counters: ProviderCounters,
    log: bool,
    /// Counted among the active ones until the end.
    _active: InFlight,
}

/// No status of HTTP's: the client left before there was one.
const CLIENT_GONE: u16 = 499;

impl Conclusion {
    /// The conclusion of an exchange; `log` says whether it goes to the access log.
    pub fn new(run: Run, counters: ProviderCounters, active: InFlight, log: bool) -> Self {
        let status = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST);
        Self { run, status, counters, log, _active: active }
    }

    /// The answer is a filter's or the host's own.
    pub fn replied(&mut self, status: StatusCode) {
        self.status = status;
        self.run.ending = Ending::Replied;
        self.counters.error(self.run.error.map_or(ErrorType::RejectedByFilter, Error::kind));
    }

    /// The upstream's body broke off after its head had been sent on.
    pub fn upstream_broke(&mut self, why: &str) {
        self.run.ending = Ending::UpstreamBroke;
        self.counters.error(ErrorType::UpstreamBroke);
        let exchange = &self.run.exchange;
        tracing::warn!(
            requestId = exchange.id,
            upstream = exchange.names.upstream,
            "the response broke off: {why}"
        );
    }

    /// A filter ended the response's body.
    pub fn aborted(&mut self, why: &str) {
        self.run.ending = Ending::Replied;
        self.counters.error(ErrorType::RejectedByFilter);
        tracing::warn!(requestId = self.run.exchange.id, "a filter cut the response short: {why}");
    }

    fn write_log(&self) {
        let exchange = &self.run.exchange;
        tracing::info!(
            requestId = exchange.id,
            provider = exchange.names.provider,
            statusCode = self.status.as_u16(),
            // Milliseconds, to the microsecond.
            duration = exchange.started.elapsed().as_micros() as f64 / 1000.0,
            method = exchange.request.method.as_str(),
            path = exchange.request.uri.path(),
            route = exchange.names.route,
            client = %exchange.client,
            ending = word(self.run.ending),
            code = exchange.reply.as_ref().map_or("", |reply| reply.code()),
            "request"
        );
    }
}

/// The contract's word for an ending.
fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::ClientGone => "client-gone",
        Ending::UpstreamBroke => "upstream-broke",
        Ending::Replied => "replied",
    }
}

impl Drop for Conclusion {
    fn drop(&mut self) {
        self.counters.request(self.status.as_u16(), self.run.exchange.started.elapsed());
        if self.run.ending == Ending::ClientGone {
            self.counters.error(ErrorType::ClientGone);
        }
        if self.log {
            self.write_log();
        }
    }
}
