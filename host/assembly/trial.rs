//! Filters on trial: started, and led through an exchange that nobody sent, before any traffic depends on them. What a
//! filter counts, keeps and reports meanwhile goes to a host made for the trial, and is forgotten with it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

use crate::body::BufferedBody;
use crate::exchange::{Exchange, Names, Stage};
use crate::health::Board;
use crate::manifest::{Manifest, Target};
use crate::phase::Phase;
use crate::state::Cells;
use crate::telemetry::{FaultKind, Telemetry, TelemetryError};
use crate::wasm::{
    AfterAttempt, Ask, Call, Ending, Fault, Filter, Host, Instance, OnComplete, OnResponseChunk, Outcome,
    Program, Verdict,
};

/// How far a filter is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It must start, and take its configuration.
    Start,
    /// It must also come through every phase that it exports.
    Phases,
}

/// A filter failed its trial.
#[derive(Debug)]
pub(super) struct Failed {
    /// Where; none if it did not start.
    pub(super) phase: Option<Phase>,
    pub(super) fault: Fault,
}

/// How long the exchange has, and takes.
const TIMEOUT: Duration = Duration::from_secs(60);
const ELAPSED: Duration = Duration::from_millis(1);

/// What filters find around them on trial: the same pressure, and figures, health and cells of the trial's own.
pub(super) fn host(like: &Host) -> Result<Host, TelemetryError> {
    Ok(Host {
        telemetry: Telemetry::new(like.telemetry.namespace())?,
        pressure: like.pressure.clone(),
        health: Arc::new(Board::default()),
    })
}

/// Tries a filter, as far as asked. `names` are those of a route that it is on. It can send requests to nobody: there is
/// nothing to ask them about.
pub(super) fn run(
    trial: Trial,
    program: &Program,
    filter: &Filter,
    host: &Host,
    names: Names,
) -> Result<(), Failed> {
    let on_trial = Arc::new(Filter {
        name: filter.name.clone(),
        config: filter.config.clone(),
        cells: Arc::new(Cells::default()),
        host: host.clone(),
        origins: Vec::new(),
        ..*filter
    });
    let tried = async {
        let started = Instance::start(program, &on_trial).await;
        let instance = started.map_err(|fault| Failed { phase: None, fault })?;
        match trial {
            Trial::Start => Ok(()),
            Trial::Phases => {
                Walk { instance, exchange: Box::new(exchange(names)), wait: filter.wait }.run(program).await
            }
        }
    };
    // Nothing but the filter runs here, and nobody else waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(tried),
        Err(error) => {
            let message = format!("there is nothing to try it with: {error}");
            Err(Failed { phase: None, fault: Fault { kind: FaultKind::Trap, message } })
        }
    }
}

/// The names of the first route that the filter at `index` is on.
pub(super) fn names(manifest: &Manifest, index: usize) -> Names {
    let mut routes = manifest.routes.iter().filter_map(|route| match &route.target {
        Target::Upstream(forward) if forward.filters.contains(&index) => Some((route, forward)),
        _ => None,
    });
    let Some((route, forward)) = routes.next() else { return Names::default() };
    let upstream = manifest.upstreams.get(forward.upstream);
    Names {
        route: route.name.clone(),
        upstream: upstream.map(|upstream| upstream.name.clone()).unwrap_or_default(),
        provider: upstream.map(|upstream| upstream.provider.clone()).unwrap_or_default(),
    }
}

/// A filter with the exchange of its trial.
struct Walk {
    instance: Instance,
    exchange: Box<Exchange>,
    /// How long a call may wait.
    wait: Duration,
}

impl Walk {
    /// Every phase is called, whatever the filter says before: one in shadow mode, or after another that failed open,
    /// is called like that, too.
    async fn run(mut self, program: &Program) -> Result<(), Failed> {
        let mut passed = true;
        for phase in program.phases.iter().copied() {
            // The contract: not for an attempt that the filter did not let pass.
            if phase == Phase::AfterAttempt && !passed {
                continue;
            }
            let called = self.call(phase).await.map_err(|fault| Failed { phase: Some(phase), fault })?;
            passed = called != Some(Verdict::Respond);
            self.exchange.reply = None;
        }
        Ok(())
    }

    /// Calls one phase, with the exchange as it is then; its verdict, if the phase has one.
    async fn call(&mut self, phase: Phase) -> Result<Option<Verdict>, Fault> {
        self.arrive_at(phase);
        let outcome = Outcome::Status(200);
        match phase {
            Phase::Configure => Ok(None),
            Phase::OnRequest => self.wait(Ask::Request).await.map(Some),
            Phase::OnRequestBody => self.wait(Ask::RequestBody).await.map(Some),
            Phase::BeforeAttempt => self.wait(Ask::BeforeAttempt(1)).await.map(Some),
            Phase::AfterAttempt => {
                self.wait(AfterAttempt { number: 1, outcome, elapsed: ELAPSED }).await.map(|_| None)
            }
            Phase::OnResponse => self.wait(Ask::Response).await.map(Some),
            Phase::OnResponseChunk => {
                self.wait(OnResponseChunk { chunk: b"{}", last: true }).await.map(|_| None)
            }
            Phase::OnComplete => {
                let complete = OnComplete { ending: Ending::Complete, elapsed: ELAPSED };
                self.wait(complete).await.map(|()| None)
            }
        }
    }

    async fn wait<C: Call>(&mut self, call: C) -> Result<C::Answer, Fault> {
        self.instance.wait(&mut self.exchange, call, self.wait).await
    }

    fn arrive_at(&mut self, phase: Phase) {
        self.exchange.stage = match phase {
            Phase::Configure | Phase::OnRequest => Stage::RequestHead,
            Phase::OnRequestBody => Stage::RequestBody,
            Phase::BeforeAttempt => Stage::BeforeAttempt,
            Phase::AfterAttempt => Stage::AfterAttempt,
            Phase::OnResponse => Stage::ResponseHead,
            Phase::OnResponseChunk => Stage::ResponseBody,
            Phase::OnComplete => Stage::Complete,
        };
        if self.exchange.stage >= Stage::RequestBody && self.exchange.body.is_none() {
            self.exchange.body = Some(BufferedBody::new(Bytes::from_static(b"{}")));
        }
        if self.exchange.stage >= Stage::AfterAttempt && self.exchange.response.is_none() {
            let mut response = Response::new(()).into_parts().0;
            response.status = StatusCode::OK;
            response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            self.exchange.response = Some(response);
        }
    }
}

/// A small POST of JSON from this machine.
fn exchange(names: Names) -> Exchange {
    let mut request = Request::new(()).into_parts().0;
    request.method = http::Method::POST;
    for (name, value) in [
        (header::HOST, "try-out.invalid"),
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_LENGTH, "2"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Exchange::new(request, "try-out".into(), client, Arc::new(names), TIMEOUT)
}
