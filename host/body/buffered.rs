//! A request body that was read whole, and the JSON in it, parsed once for all filters, when first asked for.

use std::cell::OnceCell;

use bytes::Bytes;
use serde_json::Value;

use super::json;

/// How many JSON values a body may hold to be parsed. A value may be written in two bytes (`0,`) and take a hundred and
/// fifty (an object of one member): without a bound, a small body would make a big tree. With it, a tree stays below
/// 80 MiB, and there is one a worker at a time.
const MAX_VALUES: usize = 1 << 19;

/// A request body, whole.
#[derive(Debug, Default)]
pub struct BufferedBody {
    bytes: Bytes,
    json: OnceCell<Option<Value>>,
}

/// The body may hold more than [`MAX_VALUES`] JSON values. Saying "no JSON" instead would let a padded body slip
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

    /// Lets the tree go; it is made again if it is asked for again.
    pub fn forget_json(&mut self) {
        self.json = OnceCell::new();
    }

    /// True if asking for a value costs no parsing.
    pub fn is_parsed(&self) -> bool {
        self.json.get().is_some()
    }

    /// The value under an RFC 6901 pointer; none if there is nothing, or the body is no JSON.
    pub fn value(&self, pointer: &str) -> Result<Option<&Value>, TooManyValues> {
        if self.json.get().is_none() && may_hold(&self.bytes) > MAX_VALUES {
            return Err(TooManyValues);
        }
        let json = self.json.get_or_init(|| json::read(&self.bytes));
        Ok(json.as_ref().and_then(|json| json.pointer(pointer)))
    }
}

/// No document has more values than this: each but the first follows one of these bytes.
fn may_hold(bytes: &[u8]) -> usize {
    1 + bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{' | b':')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pointers_find_values() {
        let body = BufferedBody::new(r#"{"a":[1,{"b/c":"x"}],"":0}"#.into());
        assert_eq!(body.value("/a/1/b~1c"), Ok(Some(&json!("x"))));
        assert_eq!(body.value("/"), Ok(Some(&json!(0))));
        assert_eq!(body.value("/a/2"), Ok(None));
        assert_eq!(body.value("a"), Ok(None));
        assert!(body.value("").unwrap().unwrap().is_object());
    }

    #[test]
    fn what_is_no_json_holds_nothing() {
        for text in ["", "{", "nul", "[1] 2", "\u{0}", &"[".repeat(100_000)] {
            assert_eq!(BufferedBody::new(text.to_owned().into()).value(""), Ok(None), "{text:.9}");
        }
    }

    #[test]
    fn a_tree_is_bounded() {
        let body = BufferedBody::new(format!("[{}0]", "0,".repeat(MAX_VALUES)).into());
        assert_eq!(body.value("/0"), Err(TooManyValues));
    }
}
