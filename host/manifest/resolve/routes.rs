//! Routes: what each matches, what is done then, and that a request can reach it.

use std::time::Duration;

use http::Method;

use super::super::field::Field;
use super::super::mistake::{Fault, Position, quoted};
use super::super::model::{Forward, Match, PathMatch, Route, Target};
use super::super::names::Names;
use super::super::raw;
use super::super::shadow::{self, Matched};
use super::super::word::{Reference, RequestMethod};
use super::super::written::Written;
use super::Resolver;

impl Resolver<'_> {
    /// The routes, which refer to upstreams and filters by name.
    pub(super) fn routes(
        &self,
        routes: Field<Vec<Field<raw::Route>>>,
        upstreams: &Names,
        filters: &Names,
    ) -> Vec<Route> {
        let Some((routes, at)) = routes.given() else { return Vec::new() };
        if routes.is_empty() {
            self.findings.add(at, Fault::new("there is no route").help("write at least one"));
        }
        let mut names = Names::new("route", false);
        let mut earlier = Vec::new();
        let mut read = Vec::new();
        for (number, route) in self.bounded(routes, at).into_iter().enumerate() {
            let Some((mut route, at)) = route.given() else { continue };
            self.need("match", route.r#match.is_absent(), at);
            let name = std::mem::take(&mut route.name).value_or(format!("routes[{number}]"));
            names.push(Some((&name, at)), self.findings);
            let matcher = std::mem::take(&mut route.r#match).given();
            let matcher = matcher.and_then(|(matcher, _)| self.matcher(matcher));
            let target = self.target(route, at, upstreams, filters);
            let Some(matcher) = matcher else { continue };
            let matched = Matched { name: name.clone(), matcher: matcher.clone(), at };
            shadow::check(&matched, &earlier, self.findings);
            earlier.push(matched);
            read.extend(target.map(|target| Route { name, matcher, target }));
        }
        read
    }

    /// None if a part of it is wrong: what is left would match more than was meant.
    fn matcher(&self, matcher: raw::Match) -> Option<Match> {
        let wrong = matcher.host.is_wrong() || matcher.path.is_wrong() || matcher.path_prefix.is_wrong();
        let methods = self.methods(matcher.methods);
        let path = match (matcher.path.given(), matcher.path_prefix.given()) {
            (Some(_), Some((_, at))) => {
                self.findings
                    .add(at, Fault::new("a match has either `path` or `path-prefix`").help("remove one"));
                return None;
            }
            (Some((path, _)), None) => PathMatch::Exact(path.0),
            (None, Some((prefix, _))) => PathMatch::Prefix(prefix.0),
            (None, None) => PathMatch::Any,
        };
        let methods = methods.filter(|_| !wrong)?;
        Some(Match { host: matcher.host.given().map(|(host, _)| host.0), path, methods })
    }

    /// None if one of them is wrong.
    fn methods(&self, methods: Field<Vec<Field<Written<RequestMethod>>>>) -> Option<Vec<Method>> {
        let wrong = methods.is_wrong();
        let Some((methods, at)) = methods.given() else { return (!wrong).then(Vec::new) };
        if methods.is_empty() {
            let fault = Fault::new("there is no method").help("leave `methods` out to match all");
            self.findings.add(at, fault);
        }
        let mut read = Vec::new();
        let mut all_right = !methods.is_empty();
        for method in self.bounded(methods, at) {
            let Some((method, at)) = method.given() else {
                all_right = false;
                continue;
            };
            if read.contains(&method.0) {
                let fault = Fault::new(format!("the method {} is there twice", quoted(method.0.as_str())));
                self.findings.add(at, fault.help("name each once"));
            }
            read.push(method.0);
        }
        all_right.then_some(read)
    }

    fn target(&self, route: raw::Route, at: Position, upstreams: &Names, filters: &Names) -> Option<Target> {
        match (&route.serve, &route.upstream) {
            (Field::Given(serve, _), _) => {
                let target = match serve {
                    raw::Serve::Metrics => Target::Metrics,
                    raw::Serve::Health => Target::Health,
                };
                self.check_serve_is_alone(&route);
                Some(target)
            }
            (Field::Wrong, _) => None,
            (Field::Absent, Field::Absent) => {
                self.findings
                    .add(at, Fault::new("the route leads nowhere").help("give it `upstream` or `serve`"));
                None
            }
            (Field::Absent, _) => self.forward(route, upstreams, filters).map(Target::Upstream),
        }
    }

    /// What a route that answers itself would ignore is a mistake.
    fn check_serve_is_alone(&self, route: &raw::Route) {
        if let Some(at) = route.upstream.place() {
            self.findings.add(at, Fault::new("a route has either `upstream` or `serve`").help("remove one"));
        }
        let ignored = [
            ("filters", route.filters.place()),
            ("timeout", route.timeout.place()),
            ("body-limit", route.body_limit.place()),
            ("replay-limit", route.replay_limit.place()),
            ("errors", route.errors.place()),
        ];
        for (key, place) in ignored {
            if let Some(at) = place {
                let fault = Fault::new(format!("`{key}` means nothing beside `serve`"));
                self.findings.add(at, fault.help("leave it out"));
            }
        }
    }

    fn forward(&self, route: raw::Route, upstreams: &Names, filters: &Names) -> Option<Forward> {
        let upstream = route.upstream.given();
        let upstream = upstream.and_then(|(name, at)| upstreams.find(&name.0, at, self.findings));
        let filters = self.chosen(route.filters, filters);
        Some(Forward {
            upstream: upstream?,
            filters,
            timeout: route.timeout.value_or(Duration::from_secs(60)),
            body_limit: route.body_limit.value_or(10 << 20),
            replay_limit: route.replay_limit.value_or(64 << 10),
            errors: route.errors.or_default(),
        })
    }

    fn chosen(&self, chosen: Field<Vec<Field<Written<Reference>>>>, filters: &Names) -> Vec<usize> {
        let Some((chosen, at)) = chosen.given() else { return (0..filters.len()).collect() };
        let mut indices: Vec<usize> = Vec::new();
        for (name, at) in self.bounded(chosen, at).into_iter().filter_map(Field::given) {
            let Some(index) = filters.find(&name.0, at, self.findings) else { continue };
            if indices.last().is_some_and(|last| *last >= index) {
                let fault = Fault::new(format!("the filter {} is out of the chain's order", quoted(&name.0)));
                self.findings.add(at, fault.help("name each once, in the order of `filters`"));
            }
            indices.push(index);
        }
        indices
    }
}
