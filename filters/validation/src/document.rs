//! Reads a request body as JSON, strictly: what two parsers would read differently is refused, and so is what would
//! take much more memory than its bytes.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values in one document. An embeddings request has up to 300 000 tokens. Each takes some 24 bytes, and some 150 more
/// where it is a problem.
pub(crate) const MAX_VALUES: u32 = 320_000;
/// What an object counts: its first members take up a node of some 500 bytes.
pub(crate) const OBJECT_COST: u32 = 16;

/// The document in `bytes`.
///
/// # Errors
///
/// What is wrong, for people, with line and column: not JSON, a name that occurs twice in one object, nested more
/// than 127 levels deep, or too many values.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, String> {
    let values = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let document = Node { values: &values }.deserialize(&mut deserializer);
    let document = document.and_then(|document| deserializer.end().map(|()| document));
    document.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        _ => format!("body is not valid JSON: {error}"),
    })
}

/// A value to come, and how many came before.
struct Node<'a> {
    values: &'a Cell<u32>,
}

impl Node<'_> {
    fn count<E: Error>(&self, cost: u32) -> Result<(), E> {
        self.values.set(self.values.get().saturating_add(cost));
        match self.values.get() > MAX_VALUES {
            true => Err(E::custom("body has too many values")),
            false => Ok(()),
        }
    }

    fn leaf<E: Error>(&self, value: Value) -> Result<Value, E> {
        self.count(1).map(|()| value)
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.leaf(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.leaf(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.leaf(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.leaf(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.leaf(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.leaf(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.count(1)?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Node { values: self.values })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.count(OBJECT_COST)?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{} is given twice", crate::place::quoted(&name))));
            }
            let value = members.next_value_seed(Node { values: self.values })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_as_any_parser_reads_them() {
        for text in [
            "null",
            "true",
            "-12",
            "18446744073709551615",
            "1.5e-3",
            r#""a\u00e9\ud83d\ude00""#,
            "[]",
            r#"{"a": [1, {"b": null}], "c": {"a": 1}}"#,
        ] {
            assert_eq!(read(text.as_bytes()), Ok(serde_json::from_str(text).expect(text)), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_position() {
        for (text, problem) in [
            ("{\n  \"a\": 1,\n}", "body is not valid JSON: trailing comma at line 3 column 1"),
            ("{\"a\": 1} x", "body is not valid JSON: trailing characters at line 1 column 10"),
            ("{", "body is not valid JSON: EOF while parsing an object at line 1 column 1"),
            ("[NaN]", "body is not valid JSON: expected value at line 1 column 2"),
            ("{'a': 1}", "body is not valid JSON: key must be a string at line 1 column 2"),
            ("1e999", "body is not valid JSON: number out of range at line 1 column 5"),
            ("[01]", "body is not valid JSON: invalid number at line 1 column 3"),
            (r#""\ud800""#, "body is not valid JSON: unexpected end of hex escape at line 1 column 8"),
            ("\u{feff}{}", "body is not valid JSON: expected value at line 1 column 1"),
        ] {
            assert_eq!(read(text.as_bytes()), Err(problem.to_owned()), "{text}");
        }
        assert!(read(b"\"\xff\"").expect_err("not UTF-8").contains("line 1 column"));
        assert!(read(b"\xff\xfe{\0}\0").is_err());
    }

    #[test]
    fn a_name_given_twice_is_refused_however_it_is_written() {
        for text in [
            r#"{"model": 1, "model": 2}"#,
            r#"{"model": 1, "\u006dodel": 2}"#,
            r#"[{"a": {"model":1,"model":1}}]"#,
        ] {
            let problem = read(text.as_bytes()).expect_err(text);
            assert!(problem.starts_with("model is given twice at line 1 column "), "{problem}");
        }
    }

    #[test]
    fn depth_and_number_of_values_are_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(127).as_bytes()).is_ok());
        assert!(read(nested(128).as_bytes()).expect_err("too deep").contains("recursion limit"));
        assert!(read("[".repeat(1_000_000).as_bytes()).is_err());
        let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        assert!(read(many("1", 300_000).as_bytes()).is_ok());
        assert!(read(many("1", 400_000).as_bytes()).expect_err("too many").contains("too many values"));
        assert!(read(many("{}", 20_000).as_bytes()).expect_err("too many").contains("too many values"));
    }

    #[test]
    fn random_texts_are_read_as_any_parser_reads_them_or_not_at_all() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = ["{", "}", "[", "]", "\"a\"", ":", ",", "1", "\\", "\"", "\u{0}", "é", "null", "1e9"];
        for _ in 0..20_000 {
            let text: String = (0..random.usize(..16)).filter_map(|_| random.choice(pieces)).collect();
            match (read(text.as_bytes()), serde_json::from_str::<Value>(&text)) {
                (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{text}"),
                (Err(problem), Ok(_)) => assert!(problem.contains("given twice"), "{text}: {problem}"),
                (ours, Err(_)) => assert!(ours.is_err(), "{text}"),
            }
        }
    }
}
