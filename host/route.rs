//! Which route a request takes: the first that matches its host, path and method.

use http::Method;

use crate::manifest::Match;

/// The route's number in the manifest; none if no route matches.
pub fn find<'a>(
    mut routes: impl Iterator<Item = &'a Match>,
    host: &str,
    path: &str,
    method: &Method,
) -> Option<usize> {
    routes.position(|route| matches(route, host, path, method))
}

fn matches(route: &Match, host: &str, path: &str, method: &Method) -> bool {
    route.path.takes(path)
        && route.host.as_ref().is_none_or(|wanted| without_port(host).eq_ignore_ascii_case(wanted))
        && (route.methods.is_empty() || route.methods.contains(method))
}

/// `example.com:8080` → `example.com`, `[::1]:80` → `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PathMatch;

    #[test]
    fn prefixes_end_where_segments_do() {
        for (path, prefix, is) in [
            ("/v1/chat", "/v1/", true),
            ("/v1/chat", "/v1", true),
            ("/v1", "/v1", true),
            ("/v1", "/v1/", false),
            ("/v10", "/v1", false),
            ("/", "/", true),
        ] {
            assert_eq!(PathMatch::Prefix(prefix.into()).takes(path), is, "{path} {prefix}");
        }
    }

    #[test]
    fn the_port_is_no_part_of_the_name() {
        for (host, name) in
            [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:", "a")]
        {
            assert_eq!(without_port(host), name);
        }
    }
}
