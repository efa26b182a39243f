//! From what was written to what is meant: defaults filled in, names turned into indices, and what contradicts itself
//! refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::field::Field;
use super::mistake::{Fault, Findings, Position, quoted, suggestion};
use super::model::*;
use super::raw;

/// Resolves a document; none if it is not even a mapping, which is a finding. What comes back counts only if there are
/// no findings.
pub(super) fn resolve(document: Field<raw::Document>, source: &str, findings: &Findings) -> Option<Manifest> {
    let (document, at) = document.given()?;
    let r = Resolver { findings, source };
    r.need("version", document.version.is_absent(), at);
    r.need("listeners", document.listeners.is_absent(), at);
    r.need("routes", document.routes.is_absent(), at);
    let upstreams = r.upstreams(document.upstreams);
    let filters = r.filters(document.filters);
    let routes = r.routes(document.routes, &upstreams, &filters);
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

    fn listeners(&self, listeners: Field<Vec<Field<raw::Listener>>>) -> Vec<Listener> {
        let Some((listeners, at)) = listeners.given() else { return Vec::new() };
        if listeners.is_empty() {
            self.findings.add(at, Fault::new("there is no listener").help("write at least one"));
        }
        let mut seen = HashMap::new();
        listeners.into_iter().filter_map(|listener| self.listener(listener, &mut seen)).collect()
    }

    fn listener(
        &self,
        listener: Field<raw::Listener>,
        seen: &mut HashMap<SocketAddr, Position>,
    ) -> Option<Listener> {
        let (listener, at) = listener.given()?;
        self.need("address", listener.address.is_absent(), at);
        let (address, at) = listener.address.given()?;
        // Port 0 is another port each time.
        if let Some(first) = seen.insert(address.0, at).filter(|_| address.0.port() != 0) {
            let fault = Fault::new(format!("there is a listener on {} already", address.0));
            self.findings.add(at, fault.help(format!("the first is in line {}", first.line)));
        }
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
        if address.0.port() != 0 && listeners.iter().any(|listener| listener.address == address.0) {
            let fault = Fault::new("the administration interface is on a listener's address");
            self.findings.add(at, fault.help("traffic must not reach it: write another port"));
        }
        Some(Admin { address: address.0 })
    }

    fn upstreams(
        &self,
        upstreams: Field<super::field::Entries<super::written::Written<super::word::Name>, raw::Upstream>>,
    ) -> Vec<Upstream> {
        let Some((entries, _)) = upstreams.given() else { return Vec::new() };
        entries
            .0
            .into_iter()
            .filter_map(|(name, upstream)| self.upstream(name.given()?.0.0, upstream))
            .collect()
    }

    fn upstream(&self, name: String, upstream: Field<raw::Upstream>) -> Option<Upstream> {
        let (upstream, at) = upstream.given()?;
        self.need("endpoints", upstream.endpoints.is_absent(), at);
        let endpoints = match upstream.endpoints.given() {
            Some((endpoints, at)) => {
                if endpoints.is_empty() {
                    self.findings.add(at, Fault::new("there is no endpoint").help("write at least one"));
                }
                endpoints.into_iter().filter_map(|endpoint| Some(endpoint.given()?.0.0)).collect()
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

    fn filters(&self, filters: Field<Vec<Field<raw::Filter>>>) -> Vec<Filter> {
        let Some((filters, _)) = filters.given() else { return Vec::new() };
        let mut seen = HashMap::new();
        filters.into_iter().filter_map(|filter| self.filter(filter, &mut seen)).collect()
    }

    fn filter(&self, filter: Field<raw::Filter>, seen: &mut HashMap<String, Position>) -> Option<Filter> {
        let (filter, at) = filter.given()?;
        self.need("name", filter.name.is_absent(), at);
        self.need("component", filter.component.is_absent(), at);
        let limits = filter.limits.or_default();
        let (name, name_at) = filter.name.given()?;
        if let Some(first) = seen.insert(name.0.clone(), name_at) {
            let fault = Fault::new(format!("there is a filter {} already", quoted(&name.0)));
            self.findings.add(name_at, fault.help(format!("the first is in line {}", first.line)));
        }
        Some(Filter {
            name: name.0,
            component: self.located(filter.component.given()?.0.0),
            config: Value::Object(filter.config.or_default().0),
            on_error: filter.on_error.or_default(),
            limits: Limits {
                time: limits.time.value_or(Duration::from_millis(10)),
                memory: limits.memory.value_or(16 << 20),
            },
            isolation: filter.isolation.or_default(),
            mode: filter.mode.or_default(),
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

    fn routes(
        &self,
        routes: Field<Vec<Field<raw::Route>>>,
        upstreams: &[Upstream],
        filters: &[Filter],
    ) -> Vec<Route> {
        let Some((routes, at)) = routes.given() else { return Vec::new() };
        if routes.is_empty() {
            self.findings.add(at, Fault::new("there is no route").help("write at least one"));
        }
        let mut seen = HashMap::new();
        let routes = routes.into_iter().enumerate();
        let routes = routes.filter_map(|(number, route)| {
            let (route, at) = self.route(number, route, upstreams, filters)?;
            if let Some(first) = seen.insert(route.name.clone(), at) {
                let fault = Fault::new(format!("there is a route {} already", quoted(&route.name)));
                self.findings.add(at, fault.help(format!("the first is in line {}", first.line)));
            }
            Some((route, at))
        });
        let (routes, places): (Vec<_>, Vec<_>) = routes.unzip();
        super::shadow::check(&routes, &places, self.findings);
        routes
    }

    fn route(
        &self,
        number: usize,
        route: Field<raw::Route>,
        upstreams: &[Upstream],
        filters: &[Filter],
    ) -> Option<(Route, Position)> {
        let (route, at) = route.given()?;
        self.need("match", route.r#match.is_absent(), at);
        let name = route.name.value_or(format!("routes[{number}]"));
        let matcher = self.matcher(route.r#match)?;
        let led = !(route.serve.is_absent() && route.upstream.is_absent());
        let target = match (route.serve.given(), route.upstream.given()) {
            (Some((raw::Serve::Metrics, _)), None) => Target::Metrics,
            (Some((raw::Serve::Health, _)), None) => Target::Health,
            (None, Some((upstream, at))) => Target::Upstream(Forward {
                upstream: self.find(
                    "upstream",
                    &upstream.0,
                    at,
                    upstreams.iter().map(|u| u.name.as_str()),
                )?,
                filters: self.chosen(route.filters, filters),
                timeout: route.timeout.value_or(Duration::from_secs(60)),
                body_limit: route.body_limit.value_or(10 << 20),
                replay_limit: route.replay_limit.value_or(64 << 10),
                errors: route.errors.or_default(),
            }),
            (Some(_), Some((_, at))) => {
                self.findings
                    .add(at, Fault::new("a route has either `upstream` or `serve`").help("remove one"));
                return None;
            }
            // What it led to is a mistake, and was recorded.
            (None, None) if led => return None,
            (None, None) => {
                self.findings
                    .add(at, Fault::new("the route leads nowhere").help("give it `upstream` or `serve`"));
                return None;
            }
        };
        Some((Route { name, matcher, target }, at))
    }

    fn matcher(&self, matcher: Field<raw::Match>) -> Option<Match> {
        let (matcher, _) = matcher.given()?;
        let path = match (matcher.path.given(), matcher.path_prefix.given()) {
            (Some(_), Some((_, at))) => {
                self.findings
                    .add(at, Fault::new("a match has either `path` or `path-prefix`").help("remove one"));
                PathMatch::Any
            }
            (Some((path, _)), None) => PathMatch::Exact(path.0),
            (None, Some((prefix, _))) => PathMatch::Prefix(prefix.0),
            (None, None) => PathMatch::Any,
        };
        let methods = match matcher.methods.given() {
            Some((methods, at)) if methods.is_empty() => {
                let fault = Fault::new("there is no method").help("leave `methods` out to match all");
                self.findings.add(at, fault);
                methods
            }
            methods => methods.map(|(methods, _)| methods).unwrap_or_default(),
        };
        Some(Match {
            host: matcher.host.given().map(|(host, _)| host.0),
            path,
            methods: methods.into_iter().filter_map(|method| Some(method.given()?.0.0)).collect(),
        })
    }

    fn chosen(
        &self,
        chosen: Field<Vec<Field<super::written::Written<super::word::Reference>>>>,
        filters: &[Filter],
    ) -> Vec<usize> {
        let Some((chosen, _)) = chosen.given() else { return (0..filters.len()).collect() };
        let mut indices: Vec<usize> = Vec::new();
        for (name, at) in chosen.into_iter().filter_map(Field::given) {
            let Some(index) = self.find("filter", &name.0, at, filters.iter().map(|f| f.name.as_str()))
            else {
                continue;
            };
            if indices.last().is_some_and(|last| *last >= index) {
                let fault = Fault::new(format!("the filter {} is out of the chain's order", quoted(&name.0)));
                self.findings.add(at, fault.help("name each once, in the order of `filters`"));
            }
            indices.push(index);
        }
        indices
    }

    fn find<'b>(
        &self,
        what: &str,
        name: &str,
        at: Position,
        names: impl Iterator<Item = &'b str>,
    ) -> Option<usize> {
        let names: Vec<_> = names.collect();
        let found = names.iter().position(|known| *known == name);
        if found.is_none() {
            let fault = Fault::new(format!("there is no {what} {}", quoted(name)));
            let full = self.findings.is_full();
            self.findings.add(at, if full { fault } else { fault.help(suggestion(name, &names)) });
        }
        found
    }
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
