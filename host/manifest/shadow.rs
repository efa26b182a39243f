//! Routes that can never match, since an earlier one takes all that they would. Only plain cases are found: one earlier
//! route that is at least as broad in host, path and methods.

use super::mistake::{Fault, Findings, Position, quoted};
use super::model::{Match, PathMatch};

/// What a route matches, under which name, and where it is.
pub(super) struct Matched {
    pub(super) name: String,
    pub(super) matcher: Match,
    pub(super) at: Position,
}

/// Records the route if one of the earlier ones takes all that it matches.
pub(super) fn check(route: &Matched, earlier: &[Matched], findings: &Findings) {
    let Some(first) = earlier.iter().find(|first| covers(&first.matcher, &route.matcher)) else { return };
    let (name, earlier) = (quoted(&route.name), quoted(&first.name));
    let fault = Fault::new(format!("the route {name} can never match: {earlier} takes all of its requests"));
    findings.add(route.at, fault.help(format!("move it before line {}", first.at.line)));
}

fn covers(broad: &Match, narrow: &Match) -> bool {
    (broad.host.is_none() || broad.host == narrow.host)
        && covers_path(&broad.path, &narrow.path)
        && (broad.methods.is_empty() || covers_methods(broad, narrow))
}

fn covers_methods(broad: &Match, narrow: &Match) -> bool {
    !narrow.methods.is_empty() && narrow.methods.iter().all(|method| broad.methods.contains(method))
}

fn covers_path(broad: &PathMatch, narrow: &PathMatch) -> bool {
    match (broad, narrow) {
        (PathMatch::Any, _) => true,
        (_, PathMatch::Any) | (PathMatch::Exact(_), PathMatch::Prefix(_)) => false,
        (broad, PathMatch::Exact(path) | PathMatch::Prefix(path)) => broad.takes(path),
    }
}
