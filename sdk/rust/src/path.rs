//! Reads the path of a request as an upstream would: percent-encodings decoded once, `.` and `..` resolved, empty
//! segments dropped, backslashes taken for slashes. Where two servers could read a target differently, the reading
//! is an [`Ambiguous`] one, and whoever asks decides what to do about it. Also the patterns that paths are matched
//! with.

use std::borrow::Cow;
use std::fmt;

/// The path of `target` (path and query, as received) in its canonical form: it begins with `/` and does not end
/// with one, unless it is `/`. The `*` of `OPTIONS *` stays as it is.
///
/// # Errors
///
/// [`Ambiguous`], if servers are known to disagree about what the target names.
pub fn read(target: &str) -> Result<Cow<'_, str>, Ambiguous> {
    // Nearly all are canonical as they are, and need no copy.
    match canonical(target) {
        Some(path) => Ok(path.into()),
        None => decipher(target).map(Cow::Owned),
    }
}

/// The path of a target in which there is nothing to decode or to resolve, and nothing to doubt.
fn canonical(target: &str) -> Option<&str> {
    let mut before = b' ';
    let mut end = target.len();
    for (at, byte) in target.bytes().enumerate() {
        match byte {
            b'?' => {
                end = at;
                break;
            }
            b'/' | b'.' if before == b'/' => return None,
            b'%' | b'\\' | b'#' | b';' => return None,
            byte if !byte.is_ascii_graphic() => return None,
            byte => before = byte,
        }
    }
    let path = target.get(..end).filter(|path| path.starts_with('/') && !target.contains('#'))?;
    Some(if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path })
}

fn decipher(target: &str) -> Result<String, Ambiguous> {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let raw = &target[..end];
    if raw == "*" {
        return Ok(raw.to_owned());
    }
    let mut doubt = first_doubt(target, end);
    let decoded = decode(raw, &mut doubt);
    let reading = resolve(&decoded, &mut doubt);
    match doubt {
        None => Ok(reading),
        Some(doubt) => Err(Ambiguous { reading, doubt }),
    }
}

/// A path that servers may read differently.
#[derive(Debug, PartialEq)]
pub struct Ambiguous {
    /// The path after everything that could be decoded and resolved was.
    pub reading: String,
    /// What makes it ambiguous: the first such thing.
    pub doubt: Doubt,
}

/// What makes a path ambiguous. As text, it completes the sentence "path …".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// It is neither `*` nor begins with `/`.
    Relative,
    /// It has a `#`, which no request target may.
    Fragment,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// `%2F` or `%5C`.
    EncodedSlash,
    /// `%25` before two hexadecimal digits.
    EncodedTwice,
    /// `\`.
    Backslash,
    /// A control character, encoded or not.
    Control,
    /// Its bytes are not UTF-8 once decoded.
    NotUtf8,
    /// `//`.
    EmptySegment,
    /// `.` or `..` as a segment, `;parameters` aside.
    DotSegment,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "must begin with /",
            Self::Fragment => "must not have a #",
            Self::BadEscape => "has a % that is not followed by two hexadecimal digits",
            Self::EncodedSlash => "has an encoded slash or backslash",
            Self::EncodedTwice => "is percent-encoded twice",
            Self::Backslash => "has a backslash",
            Self::Control => "has a control character",
            Self::NotUtf8 => "is not UTF-8",
            Self::EmptySegment => "has an empty segment (//)",
            Self::DotSegment => "has a . or .. segment",
        })
    }
}

/// A pattern for canonical paths: `/a` is that path, `/a/*` that path and all below it, `/a*` all that begin so.
#[derive(Debug, PartialEq)]
pub enum Pattern {
    /// Exactly this path.
    Exact(String),
    /// This path, and what continues it with a `/`.
    Below(String),
    /// What begins with this text.
    Prefix(String),
}

impl Pattern {
    /// Reads a pattern from a manifest.
    ///
    /// # Errors
    ///
    /// A sentence without its subject, if no canonical path could match.
    pub fn parse(text: &str) -> Result<Self, String> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if stem.contains(['*', '?']) {
            return Err(format!("`{text}` may have one `*`, at its end, and no query"));
        }
        let canonical = match read(stem) {
            Ok(path) => path.into_owned(),
            Err(ambiguous) => return Err(format!("`{text}` {}", ambiguous.doubt)),
        };
        let stem_ends_a_segment = stem.ends_with('/');
        Ok(match (stem.len() < text.len(), stem_ends_a_segment) {
            (false, _) => Self::Exact(canonical),
            (true, true) => Self::Below(canonical.trim_end_matches('/').to_owned()),
            (true, false) => Self::Prefix(canonical),
        })
    }

    /// Whether a canonical path matches.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Below(parent) => path
                .strip_prefix(parent.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

fn first_doubt(target: &str, path_end: usize) -> Option<Doubt> {
    if !target.starts_with('/') {
        Some(Doubt::Relative)
    } else if target[path_end..].contains('#') {
        Some(Doubt::Fragment)
    } else {
        None
    }
}

/// Decodes once, and takes backslashes for slashes.
fn decode(raw: &str, doubt: &mut Option<Doubt>) -> String {
    let bytes = raw.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (byte, problem) = match (byte, escape(bytes, at)) {
            (b'%', None) => (b'%', Some(Doubt::BadEscape)),
            (b'%', Some(value)) => {
                at += 2;
                (value, encoded_doubt(value, bytes, at + 1))
            }
            (b'\\', _) => (b'\\', Some(Doubt::Backslash)),
            (byte, _) => (byte, byte.is_ascii_control().then_some(Doubt::Control)),
        };
        *doubt = doubt.or(problem);
        decoded.push(if byte == b'\\' { b'/' } else { byte });
        at += 1;
    }
    String::from_utf8(decoded).unwrap_or_else(|error| {
        *doubt = doubt.or(Some(Doubt::NotUtf8));
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    })
}

/// The byte that the two digits after the `%` at `at` stand for.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

fn encoded_doubt(value: u8, bytes: &[u8], next: usize) -> Option<Doubt> {
    match value {
        b'/' | b'\\' => Some(Doubt::EncodedSlash),
        // `escape` looks at the two bytes after an index: here those right after this escape.
        b'%' if escape(bytes, next - 1).is_some() => Some(Doubt::EncodedTwice),
        value => value.is_ascii_control().then_some(Doubt::Control),
    }
}

/// Resolves dot segments and drops empty ones, as one server does before it routes, and another does not.
fn resolve(decoded: &str, doubt: &mut Option<Doubt>) -> String {
    let relative = decoded.strip_prefix('/').unwrap_or(decoded);
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = relative.split('/').peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment.split(';').next() {
            Some("") if segment.is_empty() && is_last => {}
            Some("") if segment.is_empty() => *doubt = doubt.or(Some(Doubt::EmptySegment)),
            Some(".") => *doubt = doubt.or(Some(Doubt::DotSegment)),
            Some("..") => {
                segments.pop();
                *doubt = doubt.or(Some(Doubt::DotSegment));
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_targets_lose_only_their_query_and_last_slash() {
        for (target, path) in [
            ("/", "/"),
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/models/", "/v1/models"),
            ("/v1/models?limit=2&next=/../a//b", "/v1/models"),
            ("/%76%31/m%6Fdels", "/v1/models"),
            ("/a%20b/caf%C3%A9", "/a b/café"),
            ("/a..b/...c/.well-known", "/a..b/...c/.well-known"),
            ("/100%25", "/100%"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("*", "*"),
        ] {
            assert_eq!(read(target).as_deref(), Ok(path), "{target}");
        }
    }

    #[test]
    fn what_is_taken_for_canonical_reads_the_same_deciphered() {
        let pieces = [
            "/", "/", "a", "b", ".", "..", "?", "#", ";", "%2e", "%61", "\\", "*", " ", "é", "~", "v1",
            "\u{7f}",
        ];
        let mut taken = 0;
        for mut number in 0..200_000_usize {
            let mut target = String::new();
            while number > 0 {
                target.push_str(pieces[number % pieces.len()]);
                number /= pieces.len();
            }
            if let Some(path) = canonical(&target) {
                assert_eq!(decipher(&target).as_deref(), Ok(path), "{target}");
                taken += 1;
            }
        }
        assert!(taken > 1000, "{taken}");
    }

    #[test]
    fn every_known_way_to_hide_a_path_is_seen_through_and_told() {
        use Doubt::*;
        for (target, reading, doubt) in [
            ("/a/../admin", "/admin", DotSegment),
            ("/a/./admin", "/a/admin", DotSegment),
            ("/a/%2e%2e/admin", "/admin", DotSegment),
            ("/a/.%2E/admin", "/admin", DotSegment),
            ("/../../admin", "/admin", DotSegment),
            ("/a/..;/admin", "/admin", DotSegment),
            ("/a/..;x=1/admin", "/admin", DotSegment),
            ("/a/%2e%2e%3b/admin", "/admin", DotSegment),
            ("/admin/.", "/admin", DotSegment),
            ("/admin/x/..", "/admin", DotSegment),
            ("//admin", "/admin", EmptySegment),
            ("/v1//admin", "/v1/admin", EmptySegment),
            ("/admin//", "/admin", EmptySegment),
            ("/v1%2Fadmin", "/v1/admin", EncodedSlash),
            ("/v1%2fadmin", "/v1/admin", EncodedSlash),
            ("/v1/..%2fadmin", "/admin", EncodedSlash),
            ("/v1%5Cadmin", "/v1/admin", EncodedSlash),
            ("/v1/..%5c..%5cadmin", "/admin", EncodedSlash),
            ("/v1\\admin", "/v1/admin", Backslash),
            ("/v1/..\\admin", "/admin", Backslash),
            ("/%2561dmin", "/%61dmin", EncodedTwice),
            ("/v1%252Fadmin", "/v1%2Fadmin", EncodedTwice),
            ("/admin%00", "/admin\0", Control),
            ("/admin%00.png", "/admin\0.png", Control),
            ("/admin%0a", "/admin\n", Control),
            ("/adm\tin", "/adm\tin", Control),
            ("/adm%7fin", "/adm\u{7f}in", Control),
            ("/admin%", "/admin%", BadEscape),
            ("/admin%2", "/admin%2", BadEscape),
            ("/admin%zz", "/admin%zz", BadEscape),
            ("/%c0%af", "/\u{fffd}\u{fffd}", NotUtf8),
            ("/%ff", "/\u{fffd}", NotUtf8),
            ("/admin#/x", "/admin", Fragment),
            ("admin", "/admin", Relative),
            ("", "/", Relative),
            ("?x", "/", Relative),
        ] {
            assert_eq!(read(target), Err(Ambiguous { reading: reading.into(), doubt }), "{target}");
        }
    }

    #[test]
    fn patterns_match_whole_segments_unless_told_otherwise() {
        for (pattern, path, expected) in [
            ("/v1", "/v1", true),
            ("/v1/", "/v1", true),
            ("/v1", "/v1/x", false),
            ("/v1/*", "/v1/x/y", true),
            ("/v1/*", "/v1", true),
            ("/v1/*", "/v10", false),
            ("/v1*", "/v10", true),
            ("/v1*", "/v", false),
            ("/*", "/", true),
            ("/*", "/anything", true),
            ("/a%20b", "/a b", true),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn patterns_that_nothing_could_match_are_refused() {
        for pattern in ["", "*", "v1", "/v1/*/x", "/v1/**", "/v1?x", "/a/../b", "/a//b", "/a%2Fb", "/a\\b"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
