//! From what was written to what is meant: defaults filled in, names turned into indices, and what contradicts itself
//! refused.

mod routes;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::field::{Entries, Field};
use super::mistake::{Fault, Findings, Position};
use super::model::*;
use super::names::Names;
use super::raw;
use super::word::Name;
use super::written::Written;

/// Listeners, upstreams, endpoints, filters, or routes: some are compared each with each.
const MOST: usize = 1000;

/// Resolves a document; none if it is not even a mapping, which is a finding. What comes back counts only if there are
/// no findings.
pub(super) fn resolve(document: Field<raw::Document>, source: &str, findings: &Findings) -> Option<Manifest> {
    let (document, at) = document.given()?;
    let r = Resolver { findings, source };
    r.need("version", document.version.is_absent(), at);
    r.need("listeners", document.listeners.is_absent(), at);
    r.need("routes", document.routes.is_absent(), at);
    let (upstreams, upstream_names) = r.upstreams(document.upstreams);
    let (filters, filter_names) = r.filters(document.filters);
    let routes = r.routes(document.routes, &upstream_names, &filter_names);
    let listeners = r.listeners(document.listeners);
    let admin = r.admin(document.admin, &listeners);
    let telemetry = document.telemetry.or_default();
    let log = telemetry.log.or_default();
    let budget = document.retry_budget.or_default();
    Some(Manifest {
        listeners,
        admin,
        upstreams,
        filters,
        routes,
        retry_budget: RetryBudget { percent: budget.percent.count_or(20), min: budget.min.count_or(3) },
        shutdown_timeout: document.shutdown_timeout.value_or(Duration::from_secs(30)),
        telemetry: Telemetry {
            namespace: telemetry.namespace.value_or("tollgate".into()),
            log: Log {
                level: log.level.or_default(),
                requests: log.requests.or(super::written::Flag(true)).0,
            },
        },
    })
}

struct Resolver<'a> {
    findings: &'a Findings,
    source: &'a str,
}

impl Resolver<'_> {
    fn need(&self, key: &str, absent: bool, at: Position) {
        if absent {
            self.findings.add(at, Fault::new(format!("`{key}` is missing")));
        }
    }

    /// The items of a list or a mapping, and at most [`MOST`] of them.
    fn bounded<T>(&self, mut items: Vec<T>, at: Position) -> Vec<T> {
        if items.len() > MOST {
            let fault = Fault::new(format!("these are {}", items.len()));
            self.findings.add(at, fault.help(format!("there may be {MOST}")));
            items.truncate(MOST);
        }
        items
    }

    fn listeners(&self, listeners: Field<Vec<Field<raw::Listener>>>) -> Vec<Listener> {
        let Some((listeners, at)) = listeners.given() else { return Vec::new() };
        if listeners.is_empty() {
            self.findings.add(at, Fault::new("there is no listener").help("write at least one"));
        }
        let mut seen = Vec::new();
        let listeners = self.bounded(listeners, at).into_iter();
        listeners.filter_map(|listener| self.listener(listener, &mut seen)).collect()
    }

    fn listener(
        &self,
        listener: Field<raw::Listener>,
        seen: &mut Vec<(SocketAddr, Position)>,
    ) -> Option<Listener> {
        let (listener, at) = listener.given()?;
        self.need("address", listener.address.is_absent(), at);
        let (address, at) = listener.address.given()?;
        if let Some((taken, first)) = seen.iter().find(|(taken, _)| overlap(*taken, address.0)) {
            let fault = Fault::new(format!("there is a listener on {taken} already"));
            self.findings.add(at, fault.help(format!("the first is in line {}", first.line)));
        }
        seen.push((address.0, at));
        let timeouts = listener.timeouts.or_default();
        let limits = listener.limits.or_default();
        Some(Listener {
            address: address.0,
            timeouts: ListenerTimeouts {
                header: timeouts.header.value_or(Duration::from_secs(10)),
                idle: timeouts.idle.value_or(Duration::from_secs(60)),
            },
            limits: ListenerLimits {
                headers: limits.headers.count_or(100) as usize,
                header_bytes: bytes(limits.header_bytes.value_or(64 << 10)),
                connections: limits.connections.count_or(10_000) as usize,
            },
        })
    }

    fn admin(&self, admin: Field<raw::Admin>, listeners: &[Listener]) -> Option<Admin> {
        let (admin, at) = admin.given()?;
        self.need("address", admin.address.is_absent(), at);
        let (address, at) = admin.address.given()?;
        if !address.0.ip().is_loopback() {
            let fault = Fault::new("the administration interface is on no loopback address");
            self.findings.add(at, fault.help("write one such as `127.0.0.1:9901`"));
        }
        if listeners.iter().any(|listener| overlap(listener.address, address.0)) {
            let fault = Fault::new("the administration interface is on a listener's address");
            self.findings.add(at, fault.help("traffic must not reach it: write another port"));
        }
        Some(Admin { address: address.0 })
    }

    fn upstreams(&self, upstreams: Field<Entries<Written<Name>, raw::Upstream>>) -> (Vec<Upstream>, Names) {
        let mut names = Names::new("upstream", upstreams.is_wrong());
        let Some((entries, at)) = upstreams.given() else { return (Vec::new(), names) };
        let mut read = Vec::new();
        for (name, upstream) in self.bounded(entries.0, at) {
            let name = name.given();
            names.push(name.as_ref().map(|(name, at)| (name.0.as_str(), *at)), self.findings);
            read.extend(name.and_then(|(name, _)| self.upstream(name.0, upstream)));
        }
        (read, names)
    }

    fn upstream(&self, name: String, upstream: Field<raw::Upstream>) -> Option<Upstream> {
        let (upstream, at) = upstream.given()?;
        self.need("endpoints", upstream.endpoints.is_absent(), at);
        let endpoints = match upstream.endpoints.given() {
            Some((endpoints, at)) => {
                if endpoints.is_empty() {
                    self.findings.add(at, Fault::new("there is no endpoint").help("write at least one"));
                }
                let endpoints = self.bounded(endpoints, at).into_iter();
                endpoints.filter_map(|endpoint| Some(endpoint.given()?.0.0)).collect()
            }
            None => Vec::new(),
        };
        let timeouts = upstream.timeouts.or_default();
        let pool = upstream.pool.or_default();
        Some(Upstream {
            provider: upstream.provider.value_or(name.clone()),
            name,
            endpoints,
            balance: upstream.balance.or_default(),
            timeouts: UpstreamTimeouts {
                connect: timeouts.connect.value_or(Duration::from_secs(2)),
                response: timeouts.response.value_or(Duration::from_secs(60)),
                idle: timeouts.idle.value_or(Duration::from_secs(60)),
            },
            pool: Pool {
                max_idle: pool.max_idle.count_or(128) as usize,
                idle: pool.idle.value_or(Duration::from_secs(30)),
            },
        })
    }

    fn filters(&self, filters: Field<Vec<Field<raw::Filter>>>) -> (Vec<Filter>, Names) {
        let mut names = Names::new("filter", filters.is_wrong());
        let Some((filters, at)) = filters.given() else { return (Vec::new(), names) };
        let filters = self.bounded(filters, at).into_iter();
        let filters = filters.filter_map(|filter| self.filter(filter, &mut names)).collect();
        (filters, names)
    }

    fn filter(&self, filter: Field<raw::Filter>, names: &mut Names) -> Option<Filter> {
        let Some((filter, at)) = filter.given() else {
            names.push(None, self.findings);
            return None;
        };
        self.need("name", filter.name.is_absent(), at);
        self.need("component", filter.component.is_absent(), at);
        let limits = filter.limits.or_default();
        let name = filter.name.given();
        names.push(name.as_ref().map(|(name, at)| (name.0.as_str(), *at)), self.findings);
        let (name, _) = name?;
        let isolation = filter.isolation.or_default();
        let max_reuse = filter.max_reuse.given();
        if let (Some((_, at)), Isolation::Request) = (&max_reuse, isolation) {
            let fault = Fault::new("no exchange shares an instance with another with `isolation: request`");
            self.findings.add(*at, fault.help("leave `max-reuse` out"));
        }
        Some(Filter {
            name: name.0,
            component: self.located(filter.component.given()?.0.0),
            config: Value::Object(filter.config.or_default().0),
            on_error: filter.on_error.or_default(),
            limits: Limits {
                time: limits.time.value_or(Duration::from_millis(10)),
                wait: limits.wait.value_or(Duration::from_secs(1)),
                memory: limits.memory.value_or(16 << 20),
                instances: limits.instances.count_or(1024) as usize,
            },
            isolation,
            max_reuse: max_reuse.map(|(count, _)| count.0),
            mode: filter.mode.or_default(),
            grants: Grants { http: origins(filter.grants.or_default()) },
        })
    }

    fn located(&self, component: Component) -> Component {
        match component {
            Component::File(path) => {
                Component::File(Path::new(self.source).parent().map_or(path.clone(), |base| base.join(&path)))
            }
            builtin @ Component::Builtin(_) => builtin,
        }
    }
}

/// Whether two sockets would take the same connections. Port 0 is another port each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn origins(grants: raw::Grants) -> Vec<Origin> {
    let origins = grants.http.or_default().into_iter();
    origins.filter_map(|origin| origin.given()).map(|(origin, _)| origin.0).collect()
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
