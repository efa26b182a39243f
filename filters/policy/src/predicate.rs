//! What a rule asks of one value: a header field's, or the one under a JSON pointer.

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

/// A compiled pattern larger than this, in bytes, is a mistake.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// All checks must hold.
#[derive(Debug)]
pub(crate) struct Predicate {
    checks: Vec<Check>,
}

/// A value found in a request.
#[derive(Debug)]
pub(crate) enum Found {
    Text(String),
    Number(f64),
    Boolean(bool),
    /// null, an array or an object: there, but not to be compared.
    Other,
}

#[derive(Debug)]
enum Check {
    Present(bool),
    OneOf(Vec<Value>),
    Prefix(String),
    Regex(Regex),
    Min(f64),
    Max(f64),
    Above(f64),
    Below(f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    present: Option<bool>,
    one_of: Option<Vec<Value>>,
    prefix: Option<String>,
    regex: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
}

impl Predicate {
    /// Reads `"value"`, `4096`, `true`, or an object of checks.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        let checks = match value {
            Value::Object(_) => checks(Keys::deserialize(value).map_err(|error| error.to_string())?)?,
            literal => vec![Check::OneOf(vec![scalar(literal)?])],
        };
        if checks.is_empty() {
            return Err(
                "needs a value, or one of: present, one-of, prefix, regex, min, max, above, below".into()
            );
        }
        if checks.len() > 1 && checks.iter().any(|check| matches!(check, Check::Present(false))) {
            return Err("`present: false` goes with no other check".into());
        }
        Ok(Self { checks })
    }

    /// Whether it compares numbers, which header fields are not.
    pub(crate) fn is_numeric(&self) -> bool {
        let numeric = |check: &Check| match check {
            Check::Min(_) | Check::Max(_) | Check::Above(_) | Check::Below(_) => true,
            Check::OneOf(values) => values.iter().any(|value| !value.is_string()),
            Check::Present(_) | Check::Prefix(_) | Check::Regex(_) => false,
        };
        self.checks.iter().any(numeric)
    }

    /// Whether the value satisfies it. Nothing satisfies only `present: false`.
    pub(crate) fn holds(&self, found: Option<&Found>) -> bool {
        self.checks.iter().all(|check| check.holds(found))
    }
}

impl Check {
    fn holds(&self, found: Option<&Found>) -> bool {
        match (self, found) {
            (Self::Present(expected), found) => *expected == found.is_some(),
            (Self::OneOf(values), Some(found)) => values.iter().any(|value| equals(value, found)),
            (Self::Prefix(prefix), Some(Found::Text(text))) => text.starts_with(prefix.as_str()),
            (Self::Regex(regex), Some(Found::Text(text))) => regex.is_match(text),
            (Self::Min(limit), Some(Found::Number(number))) => number >= limit,
            (Self::Max(limit), Some(Found::Number(number))) => number <= limit,
            (Self::Above(limit), Some(Found::Number(number))) => number > limit,
            (Self::Below(limit), Some(Found::Number(number))) => number < limit,
            _ => false,
        }
    }
}

fn checks(keys: Keys) -> Result<Vec<Check>, String> {
    let one_of = match &keys.one_of {
        Some(values) if values.is_empty() => return Err("one-of: needs at least one value".into()),
        Some(values) => Some(values.iter().map(scalar).collect::<Result<_, _>>()?),
        None => None,
    };
    let regex = keys.regex.as_deref().map(compile).transpose()?;
    let checks = [
        keys.present.map(Check::Present),
        one_of.map(Check::OneOf),
        keys.prefix.map(Check::Prefix),
        regex.map(Check::Regex),
        keys.min.map(Check::Min),
        keys.max.map(Check::Max),
        keys.above.map(Check::Above),
        keys.below.map(Check::Below),
    ];
    Ok(checks.into_iter().flatten().collect())
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|error| format!("regex: `{pattern}`: {error}"))
}

fn scalar(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        other => Err(format!("`{other}` is no text, number or boolean to compare with")),
    }
}

fn equals(value: &Value, found: &Found) -> bool {
    match (value, found) {
        (Value::String(expected), Found::Text(text)) => expected == text,
        (Value::Number(expected), Found::Number(number)) => expected.as_f64() == Some(*number),
        (Value::Bool(expected), Found::Boolean(boolean)) => expected == boolean,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_check_holds_for_what_it_says() {
        let text = |text: &str| Some(Found::Text(text.into()));
        let number = |number| Some(Found::Number(number));
        for (predicate, found, expected) in [
            (json!("a"), text("a"), true),
            (json!("a"), text("A"), false),
            (json!("1"), number(1.0), false),
            (json!(1), number(1.0), true),
            (json!(true), Some(Found::Boolean(true)), true),
            (json!(true), text("true"), false),
            (json!({"one-of": ["a", 2]}), number(2.0), true),
            (json!({"one-of": ["a", 2]}), text("2"), false),
            (json!({"prefix": "gpt-"}), text("gpt-4o"), true),
            (json!({"prefix": "gpt-"}), text("my-gpt-4o"), false),
            (json!({"regex": "^v[0-9]+$"}), text("v12"), true),
            (json!({"regex": "^v[0-9]+$"}), text("v12x"), false),
            (json!({"min": 1, "max": 3}), number(3.0), true),
            (json!({"min": 1, "max": 3}), number(3.5), false),
            (json!({"above": 3}), number(3.0), false),
            (json!({"above": 3}), number(3.1), true),
            (json!({"above": 3}), text("4"), false),
            (json!({"below": 0}), number(-1.0), true),
            (json!({"present": true}), Some(Found::Other), true),
            (json!({"present": true}), None, false),
            (json!({"present": false}), None, true),
            (json!({"max": 3}), None, false),
        ] {
            let parsed = Predicate::parse(&predicate).expect("a predicate");
            assert_eq!(parsed.holds(found.as_ref()), expected, "{predicate} of {found:?}");
        }
    }

    #[test]
    fn a_pattern_that_makes_others_backtrack_takes_linear_time() {
        let predicate = Predicate::parse(&json!({"regex": "^(a+)+$"})).expect("a predicate");
        let started = std::time::Instant::now();
        assert!(!predicate.holds(Some(&Found::Text(format!("{}!", "a".repeat(50_000))))));
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn mistakes_are_told() {
        for (value, problem) in [
            (json!(null), "null"),
            (json!(["a"]), "no text, number or boolean"),
            (json!({}), "needs a value"),
            (json!({"one-of": []}), "at least one"),
            (json!({"one-of": [{}]}), "no text, number or boolean"),
            (json!({"is": "a"}), "unknown field `is`"),
            (json!({"regex": "(a"}), "(a"),
            (json!({"regex": "(?:a{1000}){1000}"}), "size"),
            (json!({"min": "1"}), "invalid type"),
            (json!({"present": false, "prefix": "a"}), "no other check"),
        ] {
            let error = Predicate::parse(&value).expect_err("a mistake");
            assert!(error.contains(problem), "{value}: {error}");
        }
    }
}
