//! The arguments of tool calls: visits every text in them, with the name it stands under, and applies the workspace
//! and web rules to those whose names say that they are paths or addresses.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use tollgate_sdk::body::{self, JsonKind};

use crate::web::Hosts;
use crate::workspace::Workspace;

/// More values than any call has; what goes on beyond was made to waste time.
const MAX_VALUES: u32 = 16_384;
/// As deep as the JSON parsers go.
const MAX_DEPTH: u32 = 128;

/// The rules for arguments.
#[derive(Debug, Default)]
pub(crate) struct ArgumentRules {
    pub(crate) workspace: Option<(Workspace, Names)>,
    pub(crate) web: Option<(Hosts, Names)>,
}

/// Names of arguments, compared without case, `_` and `-`.
#[derive(Debug)]
pub(crate) struct Names(Vec<String>);

/// Why arguments are refused: a sentence without its subject.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    Workspace(String),
    Host(String),
    /// They are no JSON, or too much of it: nobody can say what a tool would read in them.
    Unreadable(String),
}

impl Names {
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| plain(name)).collect())
    }

    fn contain(&self, name: &str) -> bool {
        self.0.contains(&plain(name))
    }
}

impl ArgumentRules {
    /// Whether there is nothing to check.
    pub(crate) fn are_off(&self) -> bool {
        self.workspace.is_none() && self.web.is_none()
    }

    /// Checks arguments that are JSON in a text, as OpenAI has them. A blank text is what models write for none.
    pub(crate) fn check_text(&self, json: &str) -> Result<(), Refusal> {
        if json.trim().is_empty() {
            return Ok(());
        }
        let walk = Walk { rules: self, values: Cell::new(0), refusal: Cell::new(None) };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let outcome =
            Place { walk: &walk, name: "" }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        match (walk.refusal.take(), outcome) {
            (Some(refusal), _) => Err(refusal),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => Err(Refusal::Unreadable(format!("are not valid JSON: {error}"))),
        }
    }

    /// Checks arguments that are a part of the body, as Anthropic has them.
    pub(crate) fn check_body(&self, pointer: &str) -> Result<(), Refusal> {
        let walk = Walk { rules: self, values: Cell::new(0), refusal: Cell::new(None) };
        walk.body(pointer, "", 0)
    }

    fn check(&self, name: &str, value: &str) -> Result<(), Refusal> {
        if let Some((workspace, names)) = &self.workspace
            && names.contain(name)
        {
            workspace.check(value).map_err(|why| Refusal::Workspace(format!("{name} {why}: {value}")))?;
        }
        if let Some((hosts, names)) = &self.web
            && names.contain(name)
        {
            hosts.check(value).map_err(|why| Refusal::Host(format!("{name} {why}: {value}")))?;
        }
        Ok(())
    }
}

/// One walk through the arguments of a call.
struct Walk<'a> {
    rules: &'a ArgumentRules,
    values: Cell<u32>,
    /// Why the walk ended early; a deserializer's error can only be text.
    refusal: Cell<Option<Refusal>>,
}

impl Walk<'_> {
    fn count(&self) -> Result<(), Refusal> {
        self.values.set(self.values.get() + 1);
        match self.values.get() > MAX_VALUES {
            true => Err(Refusal::Unreadable(format!("have more than {MAX_VALUES} values"))),
            false => Ok(()),
        }
    }

    fn text(&self, name: &str, value: &str) -> Result<(), Refusal> {
        self.count().and_then(|()| self.rules.check(name, value))
    }

    fn body(&self, pointer: &str, name: &str, depth: u32) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err(Refusal::Unreadable("are nested too deeply".into()));
        }
        self.count()?;
        match body::kind(pointer) {
            Some(JsonKind::Text) => self.rules.check(name, &body::text(pointer).unwrap_or_default()),
            Some(JsonKind::Array) => (0..body::length(pointer).unwrap_or(0))
                .try_for_each(|index| self.body(&format!("{pointer}/{index}"), name, depth + 1)),
            Some(JsonKind::Object) => body::keys(pointer)
                .iter()
                .try_for_each(|key| self.body(&format!("{pointer}/{}", escape(key)), key, depth + 1)),
            _ => Ok(()),
        }
    }
}

/// Where the walk is in a JSON text: items of a list stand under the list's name. Nothing is collected, so a name that
/// occurs twice is checked twice.
struct Place<'a> {
    walk: &'a Walk<'a>,
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Place<'_> {
    fn note<E: serde::de::Error>(&self, outcome: Result<(), Refusal>) -> Result<(), E> {
        outcome.map_err(|refusal| {
            self.walk.refusal.set(Some(refusal));
            E::custom("refused")
        })
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.note(self.walk.text(self.name, value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.note(self.walk.count())?;
        while items.next_element_seed(Place { walk: self.walk, name: self.name })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.note(self.walk.count())?;
        while let Some(name) = members.next_key::<String>()? {
            members.next_value_seed(Place { walk: self.walk, name: &name })?;
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.note(self.walk.count())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.visit_unit()
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// RFC 6901.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
