//! A request body that was read whole, and the JSON in it, parsed once for all filters, when first asked for.

use std::cell::OnceCell;

use bytes::Bytes;
use tollgate_json::{Document, ReadError, Value};

/// How many JSON values a body may hold to be parsed. A value may be written in two bytes (`0,`), and takes twelve, as does a
/// name: without a bound, a body would take six times its size in memory. There is one a worker at a time.
const MAX_VALUES: usize = 1 << 19;

/// A request body, whole.
#[derive(Debug, Default)]
pub struct BufferedBody {
    bytes: Bytes,
    json: OnceCell<Result<Document<Bytes>, ReadError>>,
}

/// The body holds more than [`MAX_VALUES`] JSON values. Saying "no JSON" instead would let a padded body slip
/// by the rules of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyValues;

impl BufferedBody {
    /// These bytes, as a body.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, json: OnceCell::new() }
    }

    /// The whole body.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Lets what was read of the JSON go; it is read again if it is asked for again.
    pub fn forget_json(&mut self) {
        self.json = OnceCell::new();
    }

    /// True if asking for a value costs no parsing.
    pub fn is_parsed(&self) -> bool {
        self.json.get().is_some()
    }

    /// The value under an RFC 6901 pointer; none if there is nothing, or the body is no JSON with one meaning.
    pub fn value(&self, pointer: &str) -> Result<Option<Value<'_>>, TooManyValues> {
        match self.json.get_or_init(|| Document::read(self.bytes.clone(), MAX_VALUES)) {
            Ok(document) => Ok(document.find(pointer)),
            Err(ReadError::TooLarge) => Err(TooManyValues),
            Err(ReadError::NotJson | ReadError::NameTwice | ReadError::TooDeep) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_json::Kind;

    #[test]
    fn pointers_find_values() {
        let body = BufferedBody::new(r#"{"a":[1,{"b/c":"x"}],"":0}"#.into());
        let text = |pointer| body.value(pointer).unwrap().and_then(Value::as_str);
        assert_eq!(text("/a/1/b~1c").as_deref(), Some("x"));
        assert_eq!(body.value("/").unwrap().and_then(Value::as_f64), Some(0.0));
        assert!(body.value("/a/2").unwrap().is_none());
        assert!(body.value("a").unwrap().is_none());
        assert_eq!(body.value("").unwrap().map(Value::kind), Some(Kind::Object));
    }

    #[test]
    fn what_has_no_single_meaning_holds_nothing() {
        for text in ["", "{", "nul", "[1] 2", "\u{0}", &"[".repeat(100_000), r#"{"a":1,"\u0061":1}"#] {
            assert!(BufferedBody::new(text.to_owned().into()).value("").unwrap().is_none(), "{text:.9}");
        }
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let body = BufferedBody::new(format!("[{}0]", "0,".repeat(MAX_VALUES)).into());
        assert_eq!(body.value("/0").err(), Some(TooManyValues));
        let text = BufferedBody::new(format!("[\"{}\"]", ",".repeat(MAX_VALUES)).into());
        assert!(text.value("/0").unwrap().is_some(), "commas in a text are no values");
    }
}
