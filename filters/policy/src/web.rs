//! The web rule: which hosts a tool call may name. Addresses are read by the WHATWG URL parser, and refused as soon
//! as another parser could read another host in them: user names, backslashes, odd spellings of an IP address.

use url::{Host, Url};

/// Hosts that may be reached.
#[derive(Debug)]
pub(crate) struct Hosts {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    host: Host<String>,
    /// `*.host` and `.host`: what is below it, not the host itself.
    subdomains: bool,
    /// None: any.
    port: Option<u16>,
}

/// IDNA's deviation characters: two versions of the standard map them to different hosts.
const DEVIATIONS: [char; 4] = ['ß', 'ς', '\u{200c}', '\u{200d}'];

impl Hosts {
    /// Reads entries such as `example.com`, `*.example.com`, `.example.com`, `127.0.0.1:8080`, `[::1]`, and the
    /// address of the search `endpoint`, whose host is allowed, too. No entry at all allows every host: there is
    /// no rule then.
    ///
    /// # Errors
    ///
    /// A sentence that names the entry.
    pub(crate) fn parse(entries: &[String], endpoint: Option<&str>) -> Result<Option<Self>, String> {
        let entries = entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        let mut entries = entries.map(Entry::parse).collect::<Result<Vec<_>, _>>()?;
        let endpoint = endpoint.map(str::trim).filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.map(Entry::of_endpoint).transpose()?;
        if entries.is_empty() {
            return Ok(None);
        }
        entries.extend(endpoint);
        Ok(Some(Self { entries }))
    }

    /// Whether a tool may fetch `address`. A path without a host (`/next`) names none and passes.
    ///
    /// # Errors
    ///
    /// Why not: a sentence without its subject.
    pub(crate) fn check(&self, address: &str) -> Result<(), String> {
        let address = address.trim_matches(|c: char| c.is_ascii_whitespace());
        if names_no_host(address) {
            return Ok(());
        }
        let url = parse_strictly(address)?;
        let host = strip_root_dot(url.host().map(|host| host.to_owned()).ok_or("names no host")?)?;
        match self.entries.iter().any(|entry| entry.admits(&host, url.port_or_known_default())) {
            true => Ok(()),
            false => Err(format!("names a host that is not allowed: {host}")),
        }
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("web-hosts: `{text}` {why}");
        let (host, subdomains) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
            Some(host) => (host, true),
            None => (text, false),
        };
        if host.contains(['/', '*', '?', '#', '@']) {
            return Err(refuse("must be a host such as example.com, *.example.com or example.com:8443"));
        }
        // A scheme without a default port, so that a port that is written is a port that is kept.
        let url =
            Url::parse(&format!("wss://{host}")).map_err(|error| refuse(&format!("is no host: {error}")))?;
        let written_port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let host = url.host().map(|host| host.to_owned()).ok_or_else(|| refuse("is no host"))?;
        let port = url.port().or(written_port.filter(|_| !matches!(host, Host::Ipv6(_))));
        if subdomains && !matches!(host, Host::Domain(_)) {
            return Err(refuse("is an IP address, which has no subdomains"));
        }
        let host = strip_root_dot(host).map_err(|why| refuse(&why))?;
        Ok(Self { host, subdomains, port })
    }

    fn of_endpoint(endpoint: &str) -> Result<Self, String> {
        let url = parse_strictly(endpoint).map_err(|why| format!("web-endpoint: `{endpoint}` {why}"))?;
        let host = url.host().map(|host| host.to_owned()).ok_or("web-endpoint names no host")?;
        Ok(Self { host: strip_root_dot(host)?, subdomains: false, port: None })
    }

    fn admits(&self, host: &Host<String>, port: Option<u16>) -> bool {
        let host_fits = match (&self.host, host) {
            (Host::Domain(parent), Host::Domain(domain)) if self.subdomains => {
                domain.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (expected, host) => expected == host,
        };
        host_fits && (self.port.is_none() || self.port == port)
    }
}

/// Relative references: a query, a fragment, or a path that does not begin with `//`.
fn names_no_host(address: &str) -> bool {
    let rooted = address.starts_with('/') && !address.starts_with("//");
    let plain = !address.contains('\\') && !address.contains(|c: char| c.is_ascii_control());
    address.is_empty() || (plain && (rooted || address.starts_with(['?', '#'])))
}

/// Parses an address that every parser reads alike.
fn parse_strictly(address: &str) -> Result<Url, String> {
    if address.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("has a backslash, a space or a control character".into());
    }
    let address = with_scheme(address);
    let url = Url::parse(&address).map_err(|error| format!("is no web address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {}, not http or https", url.scheme()));
    }
    let authority = authority(&address);
    if authority.contains('@') {
        return Err("has a user name".into());
    }
    reads_alike(authority, &url)?;
    Ok(url)
}

/// What browsers and fetch tools do with `example.com/x` and `//example.com/x`.
fn with_scheme(address: &str) -> String {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    };
    match address.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => address.to_owned(),
        _ => format!("https://{}", address.strip_prefix("//").unwrap_or(address)),
    }
}

/// What stands between `://` and the path, query or fragment.
fn authority(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// Refuses hosts that the parser had to change: `0x7f.1`, `ex%61mple.com`, `http:///example.com`.
fn reads_alike(authority: &str, url: &Url) -> Result<(), String> {
    let written = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    if written.contains(DEVIATIONS) {
        return Err("has a host that is read differently by different programs".into());
    }
    let read = url.host_str().unwrap_or_default();
    let is_ipv6 = matches!(url.host(), Some(Host::Ipv6(_)));
    if written.is_ascii() && !is_ipv6 && !written.eq_ignore_ascii_case(read) {
        return Err(format!("has a host that is read differently by different programs, here as {read}"));
    }
    Ok(())
}

/// `example.com.` is `example.com`; more dots are nothing.
fn strip_root_dot(host: Host<String>) -> Result<Host<String>, String> {
    let Host::Domain(domain) = host else { return Ok(host) };
    let name = domain.strip_suffix('.').unwrap_or(&domain);
    match name.is_empty() || name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        true => Err("has a host with an empty label".into()),
        false => Ok(Host::Domain(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &str) -> Hosts {
        let entries: Vec<String> = list.split(',').map(str::to_owned).collect();
        Hosts::parse(&entries, Some("https://search.internal:8443/find?q="))
            .expect("entries")
            .expect("a rule")
    }

    const LIST: &str = "example.com, .wild.example, *.star.example, 192.0.2.7, [2001:db8::1], ports.example:8443, \
                        bücher.example";

    #[test]
    fn allowed_hosts_pass_in_every_honest_spelling() {
        let hosts = hosts(LIST);
        for address in [
            "https://example.com",
            "http://example.com/a?b=c#d",
            "HTTPS://EXAMPLE.COM:443/x",
            "https://example.com./x",
            "https://example.com:8080/",
            "example.com/path",
            "example.com:8080/path",
            "//example.com/path",
            "  https://example.com/\n",
            "https://example.com/@evil.example",
            "https://example.com/?to=https://evil.example",
            "https://a.wild.example",
            "https://a.b.wild.example",
            "https://a.star.example",
            "http://192.0.2.7:9000/",
            "http://[2001:db8::1]/",
            "http://[2001:0DB8:0:0::1]:80/",
            "https://ports.example:8443/",
            "https://bücher.example/",
            "https://xn--bcher-kva.example/",
            "https://search.internal/",
            "/relative/path",
            "?page=2",
            "",
        ] {
            assert_eq!(hosts.check(address), Ok(()), "{address}");
        }
    }

    const SLIPS: &[&str] = &[
        "https://evil.example",
        "https://example.com.evil.example",
        "https://evilexample.com",
        "https://sub.example.com",
        "https://wild.example",
        "https://evilwild.example",
        "https://.wild.example",
        "https://a..wild.example",
        "https://example.com@evil.example",
        "https://example.com:443@evil.example",
        "https://evil.example@example.com",
        "https://user:pass@example.com",
        "https://@example.com",
        "https://ü@example.com",
        "https://user@[2001:db8::1]/",
        "https://evil.example\\@example.com",
        "https://example.com\\@evil.example",
        "https://example.com\\.evil.example",
        "https:\\\\evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "//evil.example",
        "///evil.example",
        "https:///evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https://evil.example#@example.com",
        "https://evil.example?@example.com",
        "https://evil.example/example.com",
        "https://example.com%2eevil.example",
        "https://example.com%00.evil.example",
        "https://ex%61mple.com",
        "https://example.com..",
        "https://exa mple.com",
        "https://exa\tmple.com",
        "https://example.com\r\nhost: evil.example",
        "http://0xc0000207",
        "http://3221225991",
        "http://192.0.519",
        "http://0300.0.2.7",
        "http://192.0.2.8",
        "http://[::ffff:192.0.2.7]",
        "http://[2001:db8::2]",
        "http://[fe80::1%25eth0]",
        "http://127.0.0.1",
        "http://2130706433",
        "http://0x7f.1",
        "http://localhost",
        "https://ports.example/",
        "https://ports.example:443/",
        "https://ports.example:08443x/",
        "https://bucher.example",
        "https://ⓔvil.example",
        "https://buß.example",
        "ftp://example.com",
        "file://example.com/etc/passwd",
        "file:///etc/passwd",
        "gopher://example.com",
        "javascript://example.com/%0aalert(1)",
        "javascript:alert(1)",
        "data:text/html,hi",
        "view-source:https://evil.example",
        "jar:https://evil.example!/",
    ];

    #[test]
    fn no_spelling_slips_by() {
        let hosts = hosts(LIST);
        for address in SLIPS {
            assert!(hosts.check(address).is_err(), "{address}");
        }
    }

    #[test]
    fn an_empty_list_is_no_rule() {
        assert!(Hosts::parse(&[], Some("https://search.internal")).expect("fine").is_none());
        assert!(Hosts::parse(&[" ".into(), String::new()], None).expect("fine").is_none());
    }

    #[test]
    fn entries_that_are_no_hosts_are_named() {
        for entry in [
            "https://example.com",
            "a b",
            "*.192.0.2.7",
            "x*.example",
            "exa..mple",
            "user@example.com",
            ":80",
        ] {
            let error = Hosts::parse(&[entry.into()], None).expect_err(entry);
            assert!(error.contains(entry), "{error}");
        }
        assert!(Hosts::parse(&["example.com".into()], Some("ftp://search")).is_err());
    }

    #[test]
    fn random_addresses_never_panic() {
        let hosts = hosts(LIST);
        let alphabet: Vec<char> = "https:/\\@.%20example[]?#ß\u{200d}\0\n7x".chars().collect();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let address: String = (0..random.usize(..24)).filter_map(|_| random.choice(&alphabet)).collect();
            let _unused = hosts.check(&address);
        }
    }
}
