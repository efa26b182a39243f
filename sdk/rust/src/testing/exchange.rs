//! One exchange under test: what the client sent, what the upstream answered, and what the filter made of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::context::{Context, Phase, trap};
use super::fields::Fields;
use super::reply::Reply;
use super::shared::Shared;
use crate::{
    Advice, ChunkAction, Ending, OnAttempt, OnComplete, OnRequest, OnRequestBody, OnResponse,
    OnResponseChunk, Outcome, Verdict,
};

/// One request on its way through the phases of one filter.
///
/// Describe the request first (`method`, `path`, `header`, `body`, …), then run the phases that the host would run,
/// and look at what came of them. Methods that describe panic when the request could not have been sent.
pub struct Exchange {
    shared: Arc<Shared>,
    state: State,
}

/// What the imports read and change.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) id: String,
    pub(super) route: String,
    pub(super) upstream: String,
    pub(super) provider: String,
    pub(super) client_address: IpAddr,
    pub(super) deadline_micros: u64,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) slot: u64,
    pub(super) method: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) request: Fields,
    pub(super) status: u16,
    pub(super) response: Fields,
    pub(super) body: Body,
    pub(super) reply: Option<Reply>,
    began_micros: u64,
    attempt_began_micros: u64,
}

/// The request body: what the client sent, and whether the filter may see it yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    sent: Vec<u8>,
    arrived: bool,
    json: Option<Value>,
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        if self.arrived { &self.sent } else { &[] }
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.json.as_ref()?.pointer(pointer)
    }

    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        self.json = serde_json::from_slice(&bytes).ok();
        self.sent = bytes;
    }

    fn arrive(&mut self) {
        if !self.arrived {
            self.arrived = true;
            let sent = std::mem::take(&mut self.sent);
            self.replace(sent);
        }
    }
}

impl Exchange {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = shared.monotonic_micros();
        let state = State {
            id: "test-exchange".to_owned(),
            route: "routes[0]".to_owned(),
            upstream: "main".to_owned(),
            provider: "main".to_owned(),
            client_address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            deadline_micros: now + 60_000_000,
            attributes: BTreeMap::new(),
            slot: 0,
            method: "GET".to_owned(),
            authority: "example.com".to_owned(),
            path: "/".to_owned(),
            request: Fields::default(),
            status: 0,
            response: Fields::default(),
            body: Body::default(),
            reply: None,
            began_micros: now,
            attempt_began_micros: now,
        };
        Self { shared, state }
    }

    /// Sets the id, `test-exchange` by default.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.state.id);
        self
    }

    /// Sets the route's name, `routes[0]` by default.
    #[must_use]
    pub fn route(mut self, name: &str) -> Self {
        name.clone_into(&mut self.state.route);
        self
    }

    /// Sets the upstream's name, `main` by default, and its provider.
    #[must_use]
    pub fn upstream(mut self, name: &str, provider: &str) -> Self {
        name.clone_into(&mut self.state.upstream);
        provider.clone_into(&mut self.state.provider);
        self
    }

    /// Sets where the client connects from, 192.0.2.1 by default.
    #[must_use]
    pub fn client_address(mut self, address: IpAddr) -> Self {
        self.state.client_address = address;
        self
    }

    /// Sets how long the exchange may take from now on, 60 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.state.deadline_micros = self.state.began_micros.saturating_add(micros(timeout));
        self
    }

    /// Sets the method, `GET` by default.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.state.method);
        self
    }

    /// Sets the authority, `example.com` by default.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.state.authority);
        self
    }

    /// Sets path and query, `/` by default.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.state.path);
        self
    }

    /// Adds a field to the request. The value may be any bytes that a field can carry.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        receive(&mut self.state.request, name, value.as_ref());
        self
    }

    /// Sets the request body, which the filter sees from `on_request_body` on.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.state.body = Body { sent: bytes.into(), ..Body::default() };
        self
    }

    /// The head of the upstream's response has arrived.
    pub fn receive_response(&mut self, status: u16, fields: &[(&str, &str)]) {
        self.state.status = status;
        self.state.response = Fields::default();
        for (name, value) in fields {
            receive(&mut self.state.response, name, value.as_bytes());
        }
    }

    /// Runs the phase, and panics if the filter says `Respond` without having made a reply; so do the others.
    pub fn on_request<F: OnRequest>(&mut self, filter: &F) -> Verdict {
        self.decide(Phase::OnRequest, || filter.on_request())
    }

    /// Runs the phase: the body has arrived.
    pub fn on_request_body<F: OnRequestBody>(&mut self, filter: &F) -> Verdict {
        self.state.body.arrive();
        self.decide(Phase::OnRequestBody, || filter.on_request_body())
    }

    /// Begins attempt `number`, counted from 1, and forgets the response to the one before.
    pub fn before_attempt<F: OnAttempt>(&mut self, filter: &F, number: u32) -> Verdict {
        self.receive_response(0, &[]);
        self.state.attempt_began_micros = self.shared.monotonic_micros();
        self.decide(Phase::BeforeAttempt, || filter.before_attempt(number))
    }

    /// Ends attempt `number`. It took as long as the clock moved since it began. An outcome with a status is a
    /// response without fields, unless [`receive_response`](Self::receive_response) came before.
    pub fn after_attempt<F: OnAttempt>(&mut self, filter: &F, number: u32, outcome: Outcome) -> Advice {
        match outcome {
            Outcome::Status(status) if status == self.state.status => {}
            Outcome::Status(status) => self.receive_response(status, &[]),
            Outcome::ConnectFailed | Outcome::TimedOut | Outcome::Reset => self.receive_response(0, &[]),
        }
        let elapsed = self.since(self.state.attempt_began_micros);
        self.run(Phase::AfterAttempt, || filter.after_attempt(number, outcome, elapsed))
    }

    /// Runs the phase, on the response that came last.
    pub fn on_response<F: OnResponse>(&mut self, filter: &F) -> Verdict {
        self.decide(Phase::OnResponse, || filter.on_response())
    }

    /// Runs the phase on one chunk.
    pub fn on_response_chunk<F: OnResponseChunk>(
        &mut self,
        filter: &F,
        chunk: &[u8],
        last: bool,
    ) -> ChunkAction {
        self.run(Phase::OnResponseChunk, || filter.on_response_chunk(chunk.to_vec(), last))
    }

    /// Ends the exchange, which took as long as the clock moved since it was made.
    pub fn on_complete<F: OnComplete>(&mut self, filter: &F, ending: Ending) {
        let elapsed = self.since(self.state.began_micros);
        self.run(Phase::OnComplete, || filter.on_complete(ending, elapsed));
    }

    /// The answer that the filter made.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.state.reply.as_ref()
    }

    /// Path and query as they go upstream.
    #[must_use]
    pub fn request_path(&self) -> &str {
        &self.state.path
    }

    /// The first value of that field as it goes upstream.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<String> {
        self.state.request.first(name)
    }

    /// The request body as it goes upstream.
    #[must_use]
    pub fn request_body(&self) -> &[u8] {
        &self.state.body.sent
    }

    /// The status as it goes to the client; 0 before a response has arrived.
    #[must_use]
    pub fn response_status(&self) -> u16 {
        self.state.status
    }

    /// The first value of that field as it goes to the client.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<String> {
        self.state.response.first(name)
    }

    /// The attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.state.attributes.get(name).map(String::as_str)
    }

    /// The filter's slot.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.state.slot
    }

    fn decide(&mut self, phase: Phase, filter: impl FnOnce() -> Verdict) -> Verdict {
        self.state.reply = None;
        let verdict = self.run(phase, filter);
        if verdict == Verdict::Respond && self.state.reply.is_none() {
            trap("`Respond` without a reply");
        }
        verdict
    }

    fn run<R>(&mut self, phase: Phase, filter: impl FnOnce() -> R) -> R {
        let exchange = Some(self.state.clone());
        let (result, state) = Context { shared: Arc::clone(&self.shared), phase, exchange }.run(filter);
        if let Some(state) = state {
            self.state = state;
        }
        result
    }

    fn since(&self, began_micros: u64) -> Duration {
        Duration::from_micros(self.shared.monotonic_micros().saturating_sub(began_micros))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn receive(fields: &mut Fields, name: &str, value: &[u8]) {
    if fields.receive(name, value).is_err() {
        trap(&format!("no message can carry the field {name:?}"));
    }
}
