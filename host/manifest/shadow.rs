//! Routes that can never match, since an earlier one takes all that they would. Only plain cases are found: one earlier
//! route that is at least as broad in host, path and methods.

use super::mistake::{Fault, Findings, Position, quoted};
use super::model::{Match, PathMatch, Route};

/// Records the routes that an earlier one shadows. `places` are where the routes are.
pub(super) fn check(routes: &[Route], places: &[Position], findings: &Findings) {
    for (number, (route, at)) in routes.iter().zip(places).enumerate() {
        let earlier = routes.iter().zip(places).take(number);
        let mut shadows = earlier.filter(|(earlier, _)| covers(&earlier.matcher, &route.matcher));
        if let Some((earlier, earlier_at)) = shadows.next() {
            let (name, earlier) = (quoted(&route.name), quoted(&earlier.name));
            let fault =
                Fault::new(format!("the route {name} can never match: {earlier} takes all of its requests"));
            findings.add(*at, fault.help(format!("move it before line {}", earlier_at.line)));
        }
    }
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
