//! Values in `const` and `enum`.

use serde_json::Value as Json;
use tollgate_json::{Kind, Value};

/// Whole numbers up to this are doubles, and no other number is rounded to them.
const MAX_EXACT: u64 = 1 << 53;

/// A value that is neither array nor object.
#[derive(Debug)]
pub(super) enum Scalar {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
}

impl Scalar {
    /// The value, if it can be compared here.
    pub(super) fn read(value: &Json) -> Option<Self> {
        match value {
            Json::Null => Some(Self::Null),
            Json::Bool(value) => Some(Self::Boolean(*value)),
            Json::Number(number) => {
                let is_exact = number.as_i64().is_some_and(|number| number.unsigned_abs() < MAX_EXACT);
                number.as_f64().filter(|_| is_exact).map(Self::Number)
            }
            Json::String(text) => Some(Self::Text(text.clone())),
            Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// Whether a value in a document equals this.
    pub(super) fn is(&self, value: Value<'_>) -> bool {
        match self {
            Self::Null => value.kind() == Kind::Null,
            Self::Boolean(wanted) => value.as_bool() == Some(*wanted),
            Self::Number(wanted) => value.as_f64() == Some(*wanted),
            Self::Text(wanted) => value.is_text(wanted),
        }
    }
}
