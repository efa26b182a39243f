//! The manifest as it is written: its keys, their types and bounds. The JSON Schema comes from here, so the comments
//! are for whoever writes a manifest. Defaults are stated here for the schema, and applied in `resolve`; a test holds
//! the two together.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde_json::{Map, Value};

use super::address::{Address, Host};
use super::field::{Entries, Field};
use super::model::{Balance, Component, Endpoint, ErrorFormat, Isolation, LogLevel, Mode, OnError, Origin};
use super::quantity::{Grace, Size, Span, Timeout};
use super::word::{Name, Namespace, Reference, RequestMethod, RequestPath};
use super::written::{Count, Flag, Written, allow_variable};

/// A block: `#[serde(default)]` makes all its fields absent at first, so that schemars takes none for required: those
/// that are, are named at the block. `deny_unknown_fields` is for the schema.
macro_rules! block {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Default, Deserialize, JsonSchema)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        $(#[$meta])*
        pub(super) struct $name { $($(#[$field_meta])* pub(super) $field: Field<$type>,)* }
    };
}

block! {
/// What a Tollgate process serves, and how. A value may have `${NAME}` or `${NAME:-default}` in it: these are replaced from the environment.
#[schemars(title = "Tollgate manifest", extend("required" = ["version", "listeners", "routes"]))]
Document {
    /// The version of the manifest's format.
    version: Version,
    /// Where requests come in.
    #[schemars(length(min = 1))]
    listeners: Vec<Field<Listener>>,
    /// Where the process is administered; nowhere, if it is left out.
    admin: Admin,
    /// The services that requests are forwarded to, by the name that routes call them.
    upstreams: Entries<Written<Name>, Upstream>,
    /// The chain of filters, in order.
    filters: Vec<Field<Filter>>,
    /// The first that matches a request serves it. What matches none is answered with 404.
    #[schemars(length(min = 1))]
    routes: Vec<Field<Route>>,
    /// How many retries there may be at a time, over all routes.
    retry_budget: RetryBudget,
    /// How long exchanges may go on after SIGTERM or SIGINT.
    #[schemars(extend("default" = "30s"))]
    shutdown_timeout: Written<Grace>,
    /// Metrics and logs.
    telemetry: Telemetry,
}}

block! {
/// A socket that takes traffic.
#[schemars(extend("required" = ["address"]))]
Listener {
    /// An IP address and a port; port 0 lets the system choose one.
    address: Written<Address>,
    /// How long clients may take.
    timeouts: ListenerTimeouts,
    /// How much clients may send.
    limits: ListenerLimits,
}}

block! {
/// How long clients may take.
ListenerTimeouts {
    /// For a whole request head.
    #[schemars(extend("default" = "10s"))]
    header: Written<Timeout>,
    /// For a connection without a request, or a body that does not move.
    #[schemars(extend("default" = "60s"))]
    idle: Written<Timeout>,
}}

block! {
/// How much clients may send, and how many there may be.
ListenerLimits {
    /// Fields in a request's head.
    #[schemars(extend("default" = 100))]
    headers: Count<1, 1000>,
    /// The size of a request's head: 8KiB to 1MiB.
    #[schemars(extend("default" = "64KiB"))]
    header_bytes: Written<Size<{ 8 << 10 }, { 1 << 20 }>>,
    /// Connections in the whole process.
    #[schemars(extend("default" = 10000))]
    connections: Count<1, 1_000_000>,
}}

block! {
/// The administration interface.
#[schemars(extend("required" = ["address"]))]
Admin {
    /// A loopback address, such as 127.0.0.1:9901.
    address: Written<Address>,
}}

block! {
/// A service that requests are forwarded to.
#[schemars(extend("required" = ["endpoints"]))]
Upstream {
    /// Its URLs: http://, a host, and a port.
    #[schemars(length(min = 1))]
    endpoints: Vec<Field<Written<Endpoint>>>,
    /// Its label in metrics and logs; its name, if it is left out.
    provider: Written<Name>,
    /// How requests are spread over the endpoints.
    #[schemars(extend("default" = "round-robin"))]
    balance: Balance,
    /// How long it may take.
    timeouts: UpstreamTimeouts,
    /// Connections kept for later requests.
    pool: Pool,
}}

block! {
/// How long an upstream may take.
UpstreamTimeouts {
    /// To take a connection.
    #[schemars(extend("default" = "2s"))]
    connect: Written<Timeout>,
    /// From the end of the request to the response's head.
    #[schemars(extend("default" = "60s"))]
    response: Written<Timeout>,
    /// Between two pieces of a body.
    #[schemars(extend("default" = "60s"))]
    idle: Written<Timeout>,
}}

block! {
/// Connections kept for later requests.
Pool {
    /// Idle connections, per worker and endpoint; 0 keeps none.
    #[schemars(extend("default" = 128))]
    max_idle: Count<0, 100_000>,
    /// How long each is kept.
    #[schemars(extend("default" = "30s"))]
    idle: Written<Timeout>,
}}

block! {
/// One filter of the chain.
#[schemars(extend("required" = ["name", "component"]))]
Filter {
    /// What routes, logs and metrics call it.
    name: Written<Name>,
    /// `builtin:` and a name, or a path, seen from the manifest's directory.
    component: Written<Component>,
    /// Handed to the filter as it is.
    config: Settings,
    /// What becomes of a request when the filter fails.
    #[schemars(extend("default" = "closed"))]
    on_error: OnError,
    /// What one call of it may use.
    limits: Limits,
    /// How long an instance of it lives.
    #[schemars(extend("default" = "worker"))]
    isolation: Isolation,
    /// How many exchanges an instance of `isolation: worker` serves before a fresh one takes its place; any number, if it is left out.
    max_reuse: Count<1, 1_000_000_000>,
    /// Whether its decisions count.
    #[schemars(extend("default" = "enforce"))]
    mode: Mode,
    /// What it may reach.
    grants: Grants,
}}

block! {
/// What a filter may use.
Limits {
    /// What one call may compute: 1ms to 10s.
    #[schemars(extend("default" = "10ms"))]
    time: Written<Span<1, 10_000>>,
    /// How long one call may take that waits for others, in all: 1ms to 5min.
    #[schemars(extend("default" = "1s"))]
    wait: Written<Span<1, 300_000>>,
    /// The memory of an instance: 64KiB to 4GiB.
    #[schemars(extend("default" = "16MiB"))]
    memory: Written<Size<{ 64 << 10 }, { 4 << 30 }>>,
    /// Instances that a worker may have at once.
    #[schemars(extend("default" = 1024))]
    instances: Count<1, 4096>,
}}

block! {
/// What a filter may reach beyond the contract.
Grants {
    /// The origins that it may send requests to.
    http: Vec<Field<Written<Origin>>>,
}}

block! {
/// What is done with some requests: they are forwarded to `upstream`, or answered by `serve`.
#[schemars(extend("oneOf" = [{ "required": ["upstream"] }, { "required": ["serve"] }]))]
#[schemars(extend("required" = ["match"]))]
Route {
    /// What logs and metrics call it; `routes[N]`, counted from 0, if it is left out.
    name: Written<Name>,
    /// Which requests; `{}` for all.
    r#match: Match,
    /// Answers from the process itself.
    serve: Serve,
    /// The upstream to forward to.
    upstream: Written<Reference>,
    /// The filters that requests pass, in the chain's order; all, if it is left out.
    filters: Vec<Field<Written<Reference>>>,
    /// Until a response's head must have come, retries and all. Its body has the idle timeouts.
    #[schemars(extend("default" = "60s"))]
    timeout: Written<Timeout>,
    /// The largest body that a filter may see whole; bodies that no filter asks for stream without a limit.
    #[schemars(extend("default" = "10MiB"))]
    body_limit: Written<Size<1, { 4 << 30 }>>,
    /// How much of a streamed body is kept for retries.
    #[schemars(extend("default" = "64KiB"))]
    replay_limit: Written<Size<0, { 4 << 30 }>>,
    /// The shape of our own answers.
    #[schemars(extend("default" = "problem"))]
    errors: ErrorFormat,
}}

block! {
/// Which requests: those that everything here matches.
#[schemars(extend("not" = { "required": ["path", "path-prefix"] }))]
Match {
    /// The host, without a port; in small or capital letters.
    host: Written<Host>,
    /// The whole path.
    path: Written<RequestPath>,
    /// What the path begins with.
    path_prefix: Written<RequestPath>,
    /// One of these methods.
    #[schemars(length(min = 1))]
    methods: Vec<Field<Written<RequestMethod>>>,
}}

block! {
/// How many retries there may be at a time: the larger of the two.
RetryBudget {
    /// Of the exchanges in flight.
    #[schemars(extend("default" = 20))]
    percent: Count<0, 100>,
    /// However few exchanges there are.
    #[schemars(extend("default" = 3))]
    min: Count<0, 1_000_000>,
}}

block! {
/// Metrics and logs.
Telemetry {
    /// What the names of all metrics begin with.
    #[schemars(extend("default" = "tollgate"))]
    namespace: Written<Namespace>,
    /// What is logged.
    log: Log,
}}

block! {
/// What is logged.
Log {
    /// The least severe that is.
    #[schemars(extend("default" = "info"))]
    level: LogLevel,
    /// Whether each request is.
    #[schemars(extend("default" = true))]
    requests: Flag,
}}

/// What the process answers itself.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = allow_variable)]
pub(super) enum Serve {
    /// The metrics, for Prometheus.
    Metrics,
    /// The health, for an orchestrator.
    Health,
}

/// The version of the format that this program reads.
pub(super) struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        deserializer.deserialize_any(VersionVisitor)
    }
}

struct VersionVisitor;

impl Visitor<'_> for VersionVisitor {
    type Value = Version;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("version 1, which is all that this program reads")
    }

    fn visit_u64<E: Error>(self, version: u64) -> Result<Version, E> {
        if version == 1 { Ok(Version) } else { Err(E::invalid_value(Unexpected::Unsigned(version), &self)) }
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

/// A filter's configuration: any object.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Settings(pub(super) Map<String, Value>);
