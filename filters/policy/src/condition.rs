//! What a rule matches: method, path, header fields, source address and body values, joined by `not` and `any`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use tollgate_sdk::body::{self, JsonKind};
use tollgate_sdk::{exchange, request};

use crate::predicate::{Found, Predicate};
use tollgate_sdk::path::Pattern;

/// Conditions in conditions in conditions are read by nobody.
const MAX_NESTING: u8 = 8;

/// Everything in it must hold; one that is empty always does.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    methods: Vec<String>,
    paths: Vec<Pattern>,
    headers: Vec<(String, Predicate)>,
    sources: Vec<IpNet>,
    body: Vec<(String, Predicate)>,
    not: Option<Box<Condition>>,
    any: Vec<Condition>,
}

/// The head of a request, as conditions look at it. What none of them asks for is not asked of the host.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// Canonical, as [`tollgate_sdk::path::read`] gives it.
    pub(crate) path: &'a str,
    pub(crate) body_has_arrived: bool,
    method: OnceCell<String>,
    source: OnceCell<Option<IpAddr>>,
}

impl<'a> Head<'a> {
    /// The request in hand; its path was read before.
    pub(crate) fn of_request(path: &'a str, body_has_arrived: bool) -> Self {
        Self { path, body_has_arrived, method: OnceCell::new(), source: OnceCell::new() }
    }

    fn method(&self) -> &str {
        self.method.get_or_init(request::method)
    }

    fn source(&self) -> Option<IpAddr> {
        *self.source.get_or_init(|| exchange::client_address().map(|address| address.to_canonical()))
    }
}

/// A condition as a manifest has it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawCondition {
    method: OneOrMany,
    path: OneOrMany,
    header: BTreeMap<String, Value>,
    source: OneOrMany,
    body: BTreeMap<String, Value>,
    not: Option<Box<RawCondition>>,
    any: Option<Vec<RawCondition>>,
}

/// `POST` or `[POST, PUT]`.
#[derive(Clone, Default, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub(crate) enum OneOrMany {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn items(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        }
    }
}

impl Condition {
    /// # Errors
    ///
    /// Which key is wrong, and how.
    pub(crate) fn parse(raw: RawCondition) -> Result<Self, String> {
        Self::parse_nested(raw, MAX_NESTING)
    }

    fn parse_nested(raw: RawCondition, levels_left: u8) -> Result<Self, String> {
        let Some(levels_left) = levels_left.checked_sub(1) else {
            return Err(format!("`not` and `any` go {MAX_NESTING} levels deep at most"));
        };
        let nested = |raw| Self::parse_nested(raw, levels_left);
        let any =
            raw.any.map(|any| any.into_iter().map(nested).collect::<Result<Vec<_>, _>>()).transpose()?;
        if any.as_ref().is_some_and(Vec::is_empty) {
            return Err("any: an empty list never matches".into());
        }
        Ok(Self {
            methods: each("method", raw.method, method)?,
            paths: each("path", raw.path, |path| Pattern::parse(&path))?,
            headers: predicates("header", raw.header, header_name)?,
            sources: each("source", raw.source, network)?,
            body: predicates("body", raw.body, pointer)?,
            not: raw.not.map(|raw| nested(*raw)).transpose()?.map(Box::new),
            any: any.unwrap_or_default(),
        })
    }

    /// Whether the request in hand matches. None: that hangs on a body which has not arrived. `in_doubt` is the answer
    /// where the request leaves it open: an unknown source, or a field that occurs several times with values of which
    /// only some fit.
    pub(crate) fn matches(&self, head: &Head<'_>, in_doubt: bool) -> Option<bool> {
        let without_body = fits(&self.methods, |method| method.eq_ignore_ascii_case(head.method()))
            && fits(&self.paths, |path| path.matches(head.path))
            && fits(&self.sources, |network| {
                head.source().map_or(in_doubt, |source| network.contains(&source))
            })
            && self.headers.iter().all(|(name, predicate)| header_holds(name, predicate, in_doubt));
        if !without_body {
            return Some(false);
        }
        let not = self.not.as_deref().map(|not| not.matches(head, !in_doubt).map(|matches| !matches));
        let any =
            (!self.any.is_empty()).then(|| any_of(self.any.iter().map(|any| any.matches(head, in_doubt))));
        all_of([Some(self.body_holds(head)), not, any].into_iter().flatten())
    }

    fn body_holds(&self, head: &Head<'_>) -> Option<bool> {
        if !self.body.is_empty() && !head.body_has_arrived {
            return None;
        }
        Some(self.body.iter().all(|(pointer, predicate)| predicate.holds(body_value(pointer).as_ref())))
    }
}

/// An empty list asks for nothing.
fn fits<T>(wanted: &[T], fits: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

/// "And" over what may be unknown yet.
fn all_of(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

/// "Or", by De Morgan.
fn any_of(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all_of(parts.map(|part| part.map(|matches| !matches))).map(|none| !none)
}

fn header_holds(name: &str, predicate: &Predicate, in_doubt: bool) -> bool {
    let values = request::header_bytes(name);
    let mut holds = values.iter().map(|value| Found::Text(String::from_utf8_lossy(value).into_owned()));
    match values.len() {
        0 => predicate.holds(None),
        _ if in_doubt => holds.any(|value| predicate.holds(Some(&value))),
        _ => holds.all(|value| predicate.holds(Some(&value))),
    }
}

fn body_value(pointer: &str) -> Option<Found> {
    Some(match body::kind(pointer)? {
        JsonKind::Text => Found::Text(body::text(pointer)?),
        JsonKind::Number => Found::Number(body::number(pointer)?),
        JsonKind::Boolean => Found::Boolean(body::boolean(pointer)?),
        JsonKind::Null | JsonKind::Array | JsonKind::Object => Found::Other,
    })
}

fn each<T>(key: &str, raw: OneOrMany, parse: impl Fn(String) -> Result<T, String>) -> Result<Vec<T>, String> {
    raw.items().into_iter().map(|item| parse(item).map_err(|problem| format!("{key}: {problem}"))).collect()
}

fn predicates(
    key: &str,
    raw: BTreeMap<String, Value>,
    check: impl Fn(&str, &Predicate) -> Result<(), String>,
) -> Result<Vec<(String, Predicate)>, String> {
    let parse = |(name, value): (String, Value)| {
        let parsed =
            Predicate::parse(&value).and_then(|predicate| check(&name, &predicate).map(|()| predicate));
        match parsed {
            Ok(predicate) => Ok((name, predicate)),
            Err(problem) => Err(format!("{key}: {name}: {problem}")),
        }
    };
    raw.into_iter().map(parse).collect()
}

fn method(text: String) -> Result<String, String> {
    match is_token(&text) {
        true => Ok(text),
        false => Err(format!("`{text}` is no method")),
    }
}

fn header_name(name: &str, predicate: &Predicate) -> Result<(), String> {
    if !is_token(name) {
        return Err("is no field name".into());
    }
    match predicate.is_numeric() {
        true => {
            Err("header fields are text: compare them with text, one-of, prefix, regex or present".into())
        }
        false => Ok(()),
    }
}

fn pointer(pointer: &str, _predicate: &Predicate) -> Result<(), String> {
    match pointer.is_empty() || pointer.starts_with('/') {
        true => Ok(()),
        false => Err(format!("is no JSON pointer; did you mean `/{pointer}`?")),
    }
}

/// A network, or one address.
fn network(text: String) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    parsed.ok_or_else(|| format!("`{text}` is no address or network such as 10.0.0.0/8"))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
