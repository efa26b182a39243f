//! Where to listen, and where to forward to.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;

use super::mistake::{Fault, quoted};
use super::model::{Endpoint, Origin};
use super::written::Grammar;

/// An IP address and a port to listen on.
pub(super) struct Address;

impl Grammar for Address {
    type Value = SocketAddr;
    const EXPECTED: &'static str = "an address such as `127.0.0.1:8081`";
    const PATTERN: &'static str = "^.+:[0-9]+$";

    fn read(text: &str) -> Result<SocketAddr, Fault> {
        text.parse().map_err(|_| {
            let fault = Fault::new(format!("{} is not an IP address and a port", quoted(text)));
            match probable_address(text) {
                Some(address) => fault.help(format!("did you mean `{address}`?")),
                None => {
                    fault.help("write one such as `127.0.0.1:8081`, or `0.0.0.0:8081` for all interfaces")
                }
            }
        })
    }
}

/// What someone means who writes a port, an IP address, or `localhost`.
fn probable_address(text: &str) -> Option<SocketAddr> {
    let port = |text: &str| text.parse::<u16>().ok();
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some((address, 8081).into());
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
        return Some((address, 8081).into());
    }
    match text.rsplit_once(':') {
        Some(("", digits)) | Some(("*", digits)) => Some((Ipv4Addr::UNSPECIFIED, port(digits)?).into()),
        Some(("localhost", digits)) => Some((Ipv4Addr::LOCALHOST, port(digits)?).into()),
        Some(_) => None,
        None => Some((Ipv4Addr::UNSPECIFIED, port(text)?).into()),
    }
}

impl Grammar for Endpoint {
    type Value = Endpoint;
    const EXPECTED: &'static str = "a URL such as `http://127.0.0.1:9000`";
    const PATTERN: &'static str = "^http://[^/?#@]+/?$";

    fn read(text: &str) -> Result<Endpoint, Fault> {
        let Origin { is_secure, host, port } = Origin::read(text)?;
        if is_secure {
            return Err(Fault::new("TLS to upstreams is not available in this version"));
        }
        Ok(Endpoint { url: text.to_owned(), host, port })
    }
}

impl Grammar for Origin {
    type Value = Origin;
    const EXPECTED: &'static str = "an origin such as `https://auth.internal`";
    const PATTERN: &'static str = "^https?://[^/?#@]+/?$";

    fn read(text: &str) -> Result<Origin, Fault> {
        let wrong = |what: &str| Fault::new(format!("{} {what}", quoted(text)));
        let example = "write one such as `http://127.0.0.1:9000`";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("is not a URL").help(format!("did you mean `http://{text}`?")));
        };
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(wrong("does not begin with `http://`").help(example));
        }
        if rest.contains('@') {
            return Err(wrong("has a user name in it").help("leave it out"));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("is not a URL").help(example))?;
        // `Uri` drops fragments without a word.
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") || text.contains('#') {
            return Err(wrong("has a path or a query").help("end it after the host and port"));
        }
        if uri.host().and_then(host).is_none() {
            return Err(wrong("has no valid host").help(example));
        }
        Origin::of(&uri).ok_or_else(|| wrong("has no valid port").help("ports are from 1 to 65535"))
    }
}

impl Origin {
    /// The origin of a resource; none if the URI has no scheme of HTTP's, no valid host, or no valid port.
    pub fn of(uri: &Uri) -> Option<Self> {
        let is_secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let name = uri.host()?;
        let authority = uri.authority()?.as_str();
        let port = match uri.port_u16() {
            Some(0) => return None,
            Some(port) => port,
            // A port that is no number is `None`, too, but leaves more than the host.
            None if authority.len() == name.len() => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            None => return None,
        };
        Some(Self { is_secure, host: host(name)?, port })
    }
}

/// The host that a request names, in lower case; IPv6 addresses in brackets.
pub(super) struct Host;

impl Grammar for Host {
    type Value = String;
    const EXPECTED: &'static str = "a host such as `api.example.com`";
    const PATTERN: &'static str = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$";

    fn read(text: &str) -> Result<String, Fault> {
        let wrong = |what: &str| Fault::new(format!("the host {} {what}", quoted(text)));
        if text.contains('*') {
            return Err(wrong("has a `*` in it").help("name one host, or leave `host` out to match all"));
        }
        if !text.is_ascii() {
            return Err(wrong("is not ASCII").help("write it as it is sent, beginning with `xn--`"));
        }
        let without_port = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        if let Some((name, _)) = without_port.filter(|(name, _)| host(name).is_some()) {
            return Err(wrong("has a port in it").help(format!("write `{name}`: every port is matched")));
        }
        match host(text) {
            Some(name) if name.contains(':') => Ok(format!("[{name}]")),
            Some(name) => Ok(name),
            None => Err(wrong("is not valid").help("write one such as `api.example.com`")),
        }
    }
}

/// A host in lower case, without an IPv6 address' brackets; none if it cannot be one.
fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    // The longest name that DNS has.
    let sized = (1..=253).contains(&text.len());
    (sized && text.bytes().all(valid)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Grammar, Host, Origin, Uri};

    #[test]
    fn endpoints() {
        let table = [
            ("http://127.0.0.1:9000", "127.0.0.1", 9000),
            ("http://Backend", "backend", 80),
            ("HTTP://backend:8080/", "backend", 8080),
            ("http://[::1]:9000", "::1", 9000),
            ("http://my_service.internal:1", "my_service.internal", 1),
        ];
        for (url, host, port) in table {
            let expected = Endpoint { url: url.to_owned(), host: host.to_owned(), port };
            assert_eq!(Endpoint::read(url), Ok(expected));
        }
        let wrong = [
            "",
            "http://",
            "http://:80",
            "http://h:0",
            "http://h:",
            "http://h:65536",
            "http://h:x",
            "http://h/v1",
            "http://h?q",
            "http://h#f",
            "http://h/#f",
            "http://u:p@h",
            "https://h",
            "ftp://h",
            "h:80",
            "http://h h",
            "http://h\r\nx: y",
            "http://[::1",
            "http://::1",
            "http://%41",
            "http://ü",
        ];
        for url in wrong {
            assert!(Endpoint::read(url).is_err(), "{url}");
        }
    }

    #[test]
    fn origins_are_compared_by_what_they_mean() {
        let granted = Origin::read("https://Auth.internal/").unwrap();
        for (uri, same) in [
            ("https://auth.internal/v1?q", true),
            ("https://AUTH.internal:443", true),
            ("http://auth.internal:443", false),
            ("https://auth.internal:444", false),
            ("https://auth.internal.", false),
            ("https://auth.internal:", false),
            ("https://u@auth.internal", false),
            ("/auth.internal", false),
        ] {
            let origin = Origin::of(&uri.parse::<Uri>().unwrap());
            assert_eq!(origin.as_ref() == Some(&granted), same, "{uri}");
        }
    }

    #[test]
    fn hosts() {
        for (text, host) in
            [("API.example.com", "api.example.com"), ("10.0.0.1", "10.0.0.1"), ("[::1]", "[::1]")]
        {
            assert_eq!(Host::read(text).as_deref(), Ok(host));
        }
        for text in ["", "a b", "a:80", "[::1]:80", "*.example.com", "ä.example", "::1", "a/b", "[x]"] {
            assert!(Host::read(text).is_err(), "{text}");
        }
    }
}
