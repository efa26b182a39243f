//! Values that are written as a text with a grammar of its own: durations, sizes, addresses, names. Each grammar says
//! what it expects, reads it, and describes itself in the JSON Schema.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use super::field::Field;
use super::mistake::Fault;

/// What the JSON Schema takes for a value with a variable in it, whose type shows only when it is replaced.
pub(super) const VARIABLE: &str = r"\$\{";

/// A grammar.
pub(super) trait Grammar {
    /// What is read.
    type Value;
    /// What to write, as in "expected …".
    const EXPECTED: &'static str;
    /// A regular expression that takes everything that is right, and little more.
    const PATTERN: &'static str;

    fn read(text: &str) -> Result<Self::Value, Fault>;
}

/// A value of a grammar.
pub(super) struct Written<G: Grammar>(pub(super) G::Value);

impl<G: Grammar> Field<Written<G>> {
    pub(super) fn value_or(self, default: G::Value) -> G::Value {
        self.or(Written(default)).0
    }
}

impl<'de, G: Grammar> Deserialize<'de> for Written<G> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Written<G>, D::Error> {
        deserializer.deserialize_str(WrittenVisitor(PhantomData))
    }
}

struct WrittenVisitor<G>(PhantomData<G>);

impl<G: Grammar> Visitor<'_> for WrittenVisitor<G> {
    type Value = Written<G>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(G::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written<G>, E> {
        G::read(text).map(Written).map_err(E::custom)
    }
}

impl<G: Grammar> JsonSchema for Written<G> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        G::EXPECTED.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("{}|{VARIABLE}", G::PATTERN) })
    }
}

/// A whole number within bounds, both included.
pub(super) struct Count<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<const MIN: u32, const MAX: u32> Field<Count<MIN, MAX>> {
    pub(super) fn count_or(self, default: u32) -> u32 {
        self.or(Count(default)).0
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count<MIN, MAX>, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Visitor<'_> for CountVisitor<MIN, MAX> {
    type Value = Count<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Count<MIN, MAX>, E> {
        match u32::try_from(value) {
            Ok(count) if (MIN..=MAX).contains(&count) => Ok(Count(count)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count from {MIN} to {MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        or_variable(json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }))
    }
}

/// Yes or no.
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flag, D::Error> {
        bool::deserialize(deserializer).map(Flag)
    }
}

impl JsonSchema for Flag {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        or_variable(json_schema!({ "type": "boolean" }))
    }
}

/// A schema that also takes a text with a variable in it.
fn or_variable(schema: Schema) -> Schema {
    json_schema!({ "anyOf": [schema, { "type": "string", "pattern": VARIABLE }] })
}

/// The same, as a transformation, for enumerations.
pub(super) fn allow_variable(schema: &mut Schema) {
    *schema = or_variable(std::mem::take(schema));
}
