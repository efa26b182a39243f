//! Reads JSON that has one meaning only. Of a name that an object has twice, one parser takes the first value and
//! another the last: a filter would judge the one, and the upstream act on the other.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The document in these bytes; none if they are no JSON (RFC 8259), have a name twice in one object, or are nested
/// more than 127 levels deep.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Unambiguous>(bytes).ok().map(|Unambiguous(value)| value)
}

/// A value without a name twice in any object.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unambiguous(value))) = members.next_entry()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is given twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_as_any_parser_reads_them() {
        let text = r#" {"a":[null,true,-1,18446744073709551615,1.5e-3,"\u00e9\ud83d\ude00"],"b":{"a":{}}} "#;
        assert_eq!(read(text.as_bytes()), serde_json::from_str(text).ok());
    }

    #[test]
    fn a_name_given_twice_is_refused_wherever_and_however_it_is_written() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#, r#"{"a":{},"b":0,"a":null}"#] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert!(read(br#"{"a":1,"A":1,"b":{"a":1}}"#).is_some());
    }
}
