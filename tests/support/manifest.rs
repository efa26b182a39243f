//! A manifest with one listener, one upstream and one route, to which a test adds the keys that it is about.

use super::{Origin, Tollgate};

/// What a test adds to each part, as YAML in flow style: `timeouts: {idle: 1s}, limits: {headers: 9}`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Manifest<'a> {
    /// To the listener.
    pub listener: &'a str,
    /// To the upstream.
    pub upstream: &'a str,
    /// To the route that takes every request but those for `/metrics` and `/health/…`.
    pub route: &'a str,
    /// To the manifest itself, as lines.
    pub process: &'a str,
}

impl Manifest<'_> {
    /// Tollgate in front of that origin.
    pub fn in_front_of(&self, origin: &Origin) -> Tollgate {
        self.in_front_of_url(&origin.url(), &[])
    }

    /// Tollgate in front of any address, with further arguments.
    pub fn in_front_of_url(&self, url: &str, arguments: &[&str]) -> Tollgate {
        let Self { listener, upstream, route, process } = self;
        let text = format!(
            "version: 1\nlisteners:\n  - {{address: \"127.0.0.1:0\", {listener}}}\n\
             upstreams:\n  main: {{endpoints: [\"{url}\"], {upstream}}}\n\
             routes:\n  - {{match: {{path: /metrics}}, serve: metrics}}\n  \
             - {{match: {{path-prefix: /health/}}, serve: health}}\n  - {{match: {{}}, upstream: main, {route}}}\n{process}\n"
        );
        Tollgate::start_with(&text, arguments, |_| {})
    }
}
