//! What is different between two assemblies, in the manifest's words.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::assembly::Assembly;
use crate::manifest::{Listener, Manifest, Route, Target};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Edit {
    /// The manifest's key: `filters`, `routes` and so on.
    pub key: &'static str,
    /// Which of them; none where there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What happened to it.
    pub change: Change,
}

/// What happened to a part of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It, or a file that it names, is another.
    Changed,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)?;
        self.name.iter().try_for_each(|name| write!(f, " `{name}`"))?;
        f.write_str(match self.change {
            Change::Added => " added",
            Change::Removed => " removed",
            Change::Changed => " changed",
        })
    }
}

/// Everything that differs and can be changed without a restart.
pub(super) fn between(old: &Assembly, new: &Assembly) -> Vec<Edit> {
    let (before, after) = (&old.manifest, &new.manifest);
    let entry = |assembly: &Assembly, index: usize| {
        assembly.entries.get(index).map(|entry| Arc::as_ptr(&entry.filter))
    };
    let filters = named(
        "filters",
        names(&before.filters, |filter| &filter.name),
        names(&after.filters, |filter| &filter.name),
        // An entry is kept if nothing about it is new.
        |i, j| entry(old, i) == entry(new, j),
    );
    let upstreams = named(
        "upstreams",
        names(&before.upstreams, |upstream| &upstream.name),
        names(&after.upstreams, |upstream| &upstream.name),
        |i, j| before.upstreams.get(i) == after.upstreams.get(j),
    );
    let mut edits = [filters, upstreams, listeners(before, after)].concat();
    let mut whole = |key, differs| {
        if differs {
            edits.push(Edit { key, name: None, change: Change::Changed });
        }
    };
    whole("routes", !same_routes(before, after));
    whole("retry-budget", before.retry_budget != after.retry_budget);
    whole("shutdown-timeout", before.shutdown_timeout != after.shutdown_timeout);
    whole("telemetry.log.requests", before.telemetry.log.requests != after.telemetry.log.requests);
    edits
}

/// The keys that differ and take a restart: the log is the process's, metrics keep their names for as long as they are
/// kept, and whoever administers must not lose the address while the process runs.
pub(super) fn beyond_reload(started: &Manifest, new: &Manifest) -> Vec<String> {
    let (old, now) = (&started.telemetry, &new.telemetry);
    let keys = [
        ("admin.address", started.admin != new.admin),
        ("telemetry.namespace", old.namespace != now.namespace),
        ("telemetry.log.level", old.log.level != now.log.level),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

/// For each listener of the new manifest, the place of the same one in the old: the same address, and of several such
/// (each with a port of the system's choice) the same in order.
pub(super) fn kept_listeners(old: &[Listener], new: &[Listener]) -> Vec<Option<usize>> {
    let mut free: Vec<_> = old.iter().map(Some).collect();
    let mut place = |listener: &Listener| {
        let same = |old: &Option<&Listener>| old.is_some_and(|old| old.address == listener.address);
        let found = free.iter().position(same)?;
        free[found] = None;
        Some(found)
    };
    new.iter().map(&mut place).collect()
}

fn listeners(before: &Manifest, after: &Manifest) -> Vec<Edit> {
    let edit = |listener: &Listener, change| Edit {
        key: "listeners",
        name: Some(listener.address.to_string()),
        change,
    };
    let kept = kept_listeners(&before.listeners, &after.listeners);
    let places = after.listeners.iter().zip(&kept);
    let mut edits: Vec<_> = places
        .filter_map(|(listener, place)| match place {
            None => Some(edit(listener, Change::Added)),
            Some(place) if before.listeners.get(*place) != Some(listener) => {
                Some(edit(listener, Change::Changed))
            }
            Some(_) => None,
        })
        .collect();
    let gone = before.listeners.iter().enumerate().filter(|(place, _)| !kept.contains(&Some(*place)));
    edits.extend(gone.map(|(_, listener)| edit(listener, Change::Removed)));
    edits
}

/// Routes name upstreams and filters by their places, which may have moved.
fn same_routes(before: &Manifest, after: &Manifest) -> bool {
    before.routes.len() == after.routes.len()
        && before.routes.iter().zip(&after.routes).all(|(old, new)| {
            reached(before, old) == reached(after, new) && without_places(old) == without_places(new)
        })
}

/// The names of the upstream and the filters that a route leads to.
fn reached<'a>(manifest: &'a Manifest, route: &Route) -> Option<(Option<&'a str>, Vec<&'a str>)> {
    let Target::Upstream(forward) = &route.target else { return None };
    let upstream = manifest.upstreams.get(forward.upstream).map(|upstream| upstream.name.as_str());
    let filters = forward.filters.iter().filter_map(|place| manifest.filters.get(*place));
    Some((upstream, filters.map(|filter| filter.name.as_str()).collect()))
}

fn without_places(route: &Route) -> Route {
    let mut route = route.clone();
    if let Target::Upstream(forward) = &mut route.target {
        (forward.upstream, forward.filters) = (0, Vec::new());
    }
    route
}

fn names<T>(items: &[T], name: impl Fn(&T) -> &String) -> Vec<&str> {
    items.iter().map(|item| name(item).as_str()).collect()
}

fn named(
    key: &'static str,
    old: Vec<&str>,
    new: Vec<&str>,
    same: impl Fn(usize, usize) -> bool,
) -> Vec<Edit> {
    let edit = |name: &str, change| Edit { key, name: Some(name.to_owned()), change };
    let mut edits = Vec::new();
    for (place, name) in new.iter().enumerate() {
        match old.iter().position(|known| known == name) {
            None => edits.push(edit(name, Change::Added)),
            Some(before) if !same(before, place) => edits.push(edit(name, Change::Changed)),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|name| !new.contains(name));
    edits.extend(gone.map(|name| edit(name, Change::Removed)));
    edits
}
