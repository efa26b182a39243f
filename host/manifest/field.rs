//! A value of the manifest that may be absent or wrong. Every value that is read on its own is wrapped in a
//! [`Field`], so that a mistake in one does not hide those in its neighbours.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::mistake::Position;

/// The name by which the deserializer knows a field.
pub(super) const FIELD: &str = "a field with its place";

/// One value, and where it is.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    /// It is there, and is a mistake, which was recorded.
    Wrong,
    Given(T, Position),
}

/// A mapping with keys of the user's choice, in order.
#[derive(Debug)]
pub(super) struct Entries<K, T>(pub(super) Vec<(Field<K>, Field<T>)>);

impl<T> Field<T> {
    /// The value, or one to stand for it: what is returned for a wrong field is never seen, as the manifest is refused.
    pub(super) fn or(self, default: T) -> T {
        self.given().map_or(default, |(value, _)| value)
    }

    pub(super) fn given(self) -> Option<(T, Position)> {
        match self {
            Field::Given(value, at) => Some((value, at)),
            Field::Absent | Field::Wrong => None,
        }
    }

    pub(super) fn is_wrong(&self) -> bool {
        matches!(self, Field::Wrong)
    }

    pub(super) fn place(&self) -> Option<Position> {
        match self {
            Field::Given(_, at) => Some(*at),
            Field::Absent | Field::Wrong => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }
}

impl<T: Default> Field<T> {
    pub(super) fn or_default(self) -> T {
        self.or(T::default())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field<T>, D::Error> {
        deserializer.deserialize_newtype_struct(FIELD, FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIELD)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field<T>, A::Error> {
        let (Some(line), Some(column)) = (seq.next_element()?, seq.next_element()?) else {
            return Ok(Field::Wrong);
        };
        // The deserializer has recorded what is wrong.
        Ok(match seq.next_element() {
            Ok(Some(value)) => Field::Given(value, Position { line, column }),
            Ok(None) | Err(_) => Field::Wrong,
        })
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for Entries<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<K, T>, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<K, T>(PhantomData<(K, T)>);

impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<K, T> {
    type Value = Entries<K, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<K, T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

impl<K: JsonSchema, T: JsonSchema> JsonSchema for Entries<K, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}s", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<K>(),
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}
