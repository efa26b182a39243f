//! Names, paths, methods and components, as a manifest writes them.

use std::path::PathBuf;

use http::Method;

use super::mistake::{Fault, nearest, quoted};
use super::model::Component;
use super::written::Grammar;

/// The filters that ship with the program.
const BUILTIN: [&str; 5] = ["validation", "policy", "shedding", "breaker", "retry"];

/// A name for something in the manifest; it becomes a label in metrics and logs.
pub(super) struct Name;

impl Grammar for Name {
    type Value = String;
    const EXPECTED: &'static str = "a name";
    const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

    fn read(text: &str) -> Result<String, Fault> {
        let valid = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if valid {
            return Ok(text.to_owned());
        }
        Err(Fault::new(format!("{} is not a name", quoted(text))).help(
            "a name has up to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or a digit",
        ))
    }
}

/// A name that is defined elsewhere in the manifest, where it is checked.
pub(super) struct Reference;

impl Grammar for Reference {
    type Value = String;
    const EXPECTED: &'static str = Name::EXPECTED;
    const PATTERN: &'static str = Name::PATTERN;

    fn read(text: &str) -> Result<String, Fault> {
        Ok(text.to_owned())
    }
}

/// What the names of all metrics begin with.
pub(super) struct Namespace;

impl Grammar for Namespace {
    type Value = String;
    const EXPECTED: &'static str = "a prefix for metrics";
    const PATTERN: &'static str = "^[a-zA-Z_:][a-zA-Z0-9_:]*$";

    fn read(text: &str) -> Result<String, Fault> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
        let begins = text.bytes().next().is_some_and(|b| valid(b) && !b.is_ascii_digit());
        if begins && text.len() <= 64 && text.bytes().all(valid) {
            return Ok(text.to_owned());
        }
        Err(Fault::new(format!("{} cannot begin the name of a metric", quoted(text)))
            .help("Prometheus takes letters, digits, `_` and `:`, and no digit first"))
    }
}

/// A path, or the beginning of one.
pub(super) struct RequestPath;

impl Grammar for RequestPath {
    type Value = String;
    const EXPECTED: &'static str = "a path such as `/v1/`";
    const PATTERN: &'static str = "^/[^?#\\s]*$";

    fn read(text: &str) -> Result<String, Fault> {
        if !text.starts_with('/') {
            return Err(Fault::new(format!("the path {} does not begin with `/`", quoted(text)))
                .help(format!("did you mean `/{text}`?")));
        }
        match text.chars().find(|c| matches!(c, '?' | '#' | '*') || !c.is_ascii_graphic()) {
            None => Ok(text.to_owned()),
            Some(c) => {
                let fault =
                    Fault::new(format!("the path {} has a {} in it", quoted(text), quoted(&c.to_string())));
                Err(match c {
                    '*' => fault.help("use `path-prefix` for all paths that begin alike"),
                    '?' | '#' => fault.help("only the path is matched, without query and fragment"),
                    _ => fault.help("write it as it is sent, percent-encoded"),
                })
            }
        }
    }
}

/// A request method.
pub(super) struct RequestMethod;

impl Grammar for RequestMethod {
    type Value = Method;
    const EXPECTED: &'static str = "a method such as `GET`";
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Z-]+$";

    fn read(text: &str) -> Result<Method, Fault> {
        let wrong = || Fault::new(format!("{} is not a method", quoted(text)));
        let upper = text.to_ascii_uppercase();
        // Methods are case-sensitive (RFC 9110, section 9.1), and no registered one has a small letter.
        if upper != text {
            return Err(wrong().help(format!("did you mean `{upper}`?")));
        }
        Method::from_bytes(text.as_bytes()).map_err(|_| wrong().help("write one such as `GET`"))
    }
}

impl Grammar for Component {
    type Value = Component;
    const EXPECTED: &'static str = "a component such as `builtin:policy` or `./mine.wasm`";
    const PATTERN: &'static str = "^(builtin:(validation|policy|shedding|breaker|retry)|[^:]*[./][^:]*)$";

    fn read(text: &str) -> Result<Component, Fault> {
        if let Some(name) = text.strip_prefix("builtin:") {
            if BUILTIN.contains(&name) {
                return Ok(Component::Builtin(name.to_owned()));
            }
            let fault = Fault::new(format!("there is no builtin filter {}", quoted(name)));
            return Err(fault.help(super::mistake::suggestion(name, &BUILTIN)));
        }
        if text.contains("://") || text.contains('\0') {
            return Err(Fault::new(format!("the component {} is not a path", quoted(text)))
                .help("filters are read from files such as `./filters/mine.wasm`"));
        }
        if text.contains(['/', '.']) {
            return Ok(Component::File(PathBuf::from(text)));
        }
        let fault = Fault::new(format!("the component {} is not a path", quoted(text)));
        Err(match nearest(text, &BUILTIN) {
            Some(name) => fault.help(format!("did you mean `builtin:{name}`?")),
            None => fault.help("write `builtin:` and a name, or a path such as `./filters/mine.wasm`"),
        })
    }
}
