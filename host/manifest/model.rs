//! A manifest that has been understood: every default filled in, every reference resolved to an index. What breaks a
//! rule of the manifest cannot be written in these types, or was refused before they were made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::written::allow_variable;

/// Everything a process serves, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// At least one; no two on the same address.
    pub listeners: Vec<Listener>,
    /// The administration interface, if there is to be one.
    pub admin: Option<Admin>,
    /// In the manifest's order, under distinct names.
    pub upstreams: Vec<Upstream>,
    /// The chain, in order, under distinct names.
    pub filters: Vec<Filter>,
    /// At least one. The first that matches a request serves it.
    pub routes: Vec<Route>,
    /// How many retries there may be at a time.
    pub retry_budget: RetryBudget,
    /// How long exchanges may go on after the signal to stop.
    pub shutdown_timeout: Duration,
    /// Metrics and logs.
    pub telemetry: Telemetry,
}

/// A socket that takes traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Port 0 lets the system choose one.
    pub address: SocketAddr,
    /// How long clients may take.
    pub timeouts: ListenerTimeouts,
    /// How much clients may send, and how many there may be.
    pub limits: ListenerLimits,
}

/// How long clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// For a whole request head.
    pub header: Duration,
    /// For a connection without a request, or a body that does not move, in either direction.
    pub idle: Duration,
}

/// How much clients may send, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Fields in a request's head.
    pub headers: usize,
    /// Bytes of a request's head; at least 8 KiB.
    pub header_bytes: usize,
    /// Connections in the whole process.
    pub connections: usize,
}

/// The administration interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// On loopback, and not a listener's.
    pub address: SocketAddr,
}

/// A service that requests are forwarded to.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// What routes call it.
    pub name: String,
    /// The label it has in metrics and logs.
    pub provider: String,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// How requests are spread over the endpoints.
    pub balance: Balance,
    /// How long the upstream may take.
    pub timeouts: UpstreamTimeouts,
    /// Connections kept for later requests.
    pub pool: Pool,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was given.
    pub url: String,
    /// A name or an IP address, in lower case, without brackets.
    pub host: String,
    /// Never 0; 80 if none was given.
    pub port: u16,
}

/// How requests are spread over the endpoints of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = allow_variable)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way, as the worker sees it.
    LeastRequest,
    /// The same client address to the same endpoint.
    ConsistentHash,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// To take a connection.
    pub connect: Duration,
    /// From the end of the request to the response's head.
    pub response: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
}

/// Connections kept for later requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Idle connections, per worker and endpoint; 0 keeps none.
    pub max_idle: usize,
    /// How long each is kept.
    pub idle: Duration,
}

/// One filter of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// What routes, logs and metrics call it.
    pub name: String,
    /// Where its code is.
    pub component: Component,
    /// Its configuration: an object.
    pub config: Value,
    /// What becomes of an exchange when the filter fails.
    pub on_error: OnError,
    /// What it may use.
    pub limits: Limits,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// How many exchanges an instance serves, if not any number.
    pub max_reuse: Option<u32>,
    /// Whether its decisions count.
    pub mode: Mode,
    /// What it may reach.
    pub grants: Grants,
}

/// Where a filter's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// In this program, under this name.
    Builtin(String),
    /// In a file; a relative path was resolved against the manifest's directory.
    File(PathBuf),
}

impl Component {
    /// The file, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Builtin(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// What becomes of an exchange when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = allow_variable)]
pub enum OnError {
    /// It is answered with 503.
    #[default]
    Closed,
    /// It goes on without the filter.
    Open,
}

/// What a filter may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What one call may compute: 1 ms to 10 s.
    pub time: Duration,
    /// How long one call may take if it waits for others: 1 ms to 5 min.
    pub wait: Duration,
    /// Bytes of an instance's memory: 64 KiB to 4 GiB.
    pub memory: u64,
    /// Instances that a worker may have at once: 1 to 4096.
    pub instances: usize,
}

/// Where requests can be sent: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// It is reached over TLS.
    pub is_secure: bool,
    /// The host, in lower case; an IPv6 address has no brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What a filter may reach beyond the contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Where it may send requests.
    pub http: Vec<Origin>,
}

/// How long an instance of a filter lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = allow_variable)]
pub enum Isolation {
    /// As long as its worker, unless it fails.
    #[default]
    Worker,
    /// For one request.
    Request,
}

/// Whether the decisions of a filter count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = allow_variable)]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// It runs, is logged and counted, and decides nothing.
    Shadow,
}

/// What is done with some requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Distinct; `routes[N]`, counted from 0, if none was given.
    pub name: String,
    /// Which requests.
    pub matcher: Match,
    /// What is done.
    pub target: Target,
}

/// Which requests a route serves: those that all of these match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// In lower case, without a port, IPv6 addresses in brackets; none matches every host.
    pub host: Option<String>,
    /// The path, without its query.
    pub path: PathMatch,
    /// Distinct; empty for all.
    pub methods: Vec<Method>,
}

/// Which paths a route serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// This one.
    Exact(String),
    /// Those that begin with these segments: `/v1` takes `/v1` and `/v1/chat`, and not `/v10`.
    Prefix(String),
    /// All.
    Any,
}

impl PathMatch {
    /// True if a request with this path is served.
    pub fn takes(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                // A prefix ends where a segment does.
                prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
            }),
            Self::Any => true,
        }
    }
}

/// What a route does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Answers with the process's metrics.
    Metrics,
    /// Answers with the process's health.
    Health,
    /// Forwards it.
    Upstream(Forward),
}

/// How a route forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// An index into [`Manifest::upstreams`].
    pub upstream: usize,
    /// Indices into [`Manifest::filters`], ascending.
    pub filters: Vec<usize>,
    /// Until a response's head must have come, retries and all. Its body has the idle timeouts.
    pub timeout: Duration,
    /// Bytes of a request's body that a filter may see whole.
    pub body_limit: u64,
    /// Bytes of a streamed request's body that are kept for retries.
    pub replay_limit: u64,
    /// The shape of the host's own answers.
    pub errors: ErrorFormat,
}

/// The shape of answers that the host or a filter makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = allow_variable)]
pub enum ErrorFormat {
    /// RFC 9457, `application/problem+json`.
    #[default]
    Problem,
    /// `{"error": …, "details": […]}`.
    Plain,
    /// As the OpenAI API answers.
    OpenAi,
    /// As the Anthropic API answers.
    Anthropic,
}

/// How many retries there may be at a time: the larger of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Of the exchanges in flight; 0 to 100.
    pub percent: u32,
    /// However few exchanges there are.
    pub min: u32,
}

/// Metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// What the names of all metrics begin with; valid for Prometheus.
    pub namespace: String,
    /// What is logged.
    pub log: Log,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least severe that is.
    pub level: LogLevel,
    /// Whether each exchange is.
    pub requests: bool,
}

/// How severe a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = allow_variable)]
pub enum LogLevel {
    /// Something failed that should not.
    Error,
    /// Something is wrong, and was dealt with.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What explains a problem.
    Debug,
    /// Everything.
    Trace,
}
