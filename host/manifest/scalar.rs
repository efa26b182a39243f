//! What an unquoted word of YAML is: the core schema of YAML 1.2, section 10.3.

/// The text of one value, and how it came to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) form: Form,
    /// The environment variables whose values are in the text.
    pub(super) variables: Vec<String>,
}

/// How a scalar was written: it decides whether its text can be anything but text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without quotes.
    Plain,
    /// In quotes, as a block, or tagged `!!str`.
    Quoted,
    /// Quoted or not, at least one variable in it was replaced.
    Replaced,
}

/// The value of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    /// Finite.
    Float(f64),
    Text(&'a str),
    /// A number that neither 64 bits nor JSON can carry.
    OutOfRange,
}

impl Scalar {
    /// A replaced scalar is typed like an unquoted one, but is never null: an empty variable is an empty text.
    pub(super) fn value(&self) -> Value<'_> {
        match (self.form, core_schema(&self.text)) {
            (Form::Quoted, _) | (Form::Replaced, Value::Null | Value::OutOfRange) => Value::Text(&self.text),
            (Form::Plain | Form::Replaced, value) => value,
        }
    }
}

fn core_schema(text: &str) -> Value<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => Value::OutOfRange,
        _ => number(text).unwrap_or(Value::Text(text)),
    }
}

fn number(text: &str) -> Option<Value<'_>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(Value::OutOfRange);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Some(integer(text));
    }
    float(text, unsigned)
}

fn based(digits: &str, radix: u32) -> Option<Value<'_>> {
    let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    valid.then(|| u64::from_str_radix(digits, radix).map_or(Value::OutOfRange, Value::Unsigned))
}

fn integer(text: &str) -> Value<'_> {
    match (text.parse(), text.parse()) {
        (Ok(value), _) => Value::Unsigned(value),
        (_, Ok(value)) => Value::Signed(value),
        _ => Value::OutOfRange,
    }
}

fn float<'a>(text: &'a str, unsigned: &str) -> Option<Value<'a>> {
    // Rust also reads words, such as `infinity`, as numbers.
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value: f64 = text.parse().ok().filter(|_| starts)?;
    Some(if value.is_finite() { Value::Float(value) } else { Value::OutOfRange })
}

#[cfg(test)]
mod tests {
    use super::{Form, Scalar, Value, core_schema};

    #[test]
    fn unquoted_words_are_typed_by_the_core_schema() {
        let table = [
            ("", Value::Null),
            ("~", Value::Null),
            ("NULL", Value::Null),
            ("nULL", Value::Text("nULL")),
            ("true", Value::Boolean(true)),
            ("False", Value::Boolean(false)),
            ("yes", Value::Text("yes")),
            ("off", Value::Text("off")),
            ("0", Value::Unsigned(0)),
            ("+12", Value::Unsigned(12)),
            ("-12", Value::Signed(-12)),
            ("+-12", Value::Text("+-12")),
            ("007", Value::Unsigned(7)),
            ("0x1F", Value::Unsigned(31)),
            ("0o17", Value::Unsigned(15)),
            ("0o8", Value::Text("0o8")),
            ("0x", Value::Text("0x")),
            ("0x+1", Value::Text("0x+1")),
            ("18446744073709551615", Value::Unsigned(u64::MAX)),
            ("18446744073709551616", Value::OutOfRange),
            ("-9223372036854775809", Value::OutOfRange),
            ("1_000", Value::Text("1_000")),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("-1e3", Value::Float(-1000.0)),
            ("1e999", Value::OutOfRange),
            ("-.inf", Value::OutOfRange),
            (".nan", Value::OutOfRange),
            ("inf", Value::Text("inf")),
            ("nan", Value::Text("nan")),
            ("infinity", Value::Text("infinity")),
            (".", Value::Text(".")),
            ("-", Value::Text("-")),
            ("e5", Value::Text("e5")),
            ("1e", Value::Text("1e")),
            ("10ms", Value::Text("10ms")),
            ("127.0.0.1", Value::Text("127.0.0.1")),
        ];
        for (text, expected) in table {
            assert_eq!(core_schema(text), expected, "{text}");
        }
    }

    #[test]
    fn the_form_decides_whether_a_word_is_typed() {
        let value = |text: &str, form| {
            let scalar = Scalar { text: text.to_owned(), form, variables: Vec::new() };
            format!("{:?}", scalar.value())
        };
        assert_eq!(value("8", Form::Quoted), r#"Text("8")"#);
        assert_eq!(value("8", Form::Replaced), "Unsigned(8)");
        assert_eq!(value("true", Form::Replaced), "Boolean(true)");
        assert_eq!(value("", Form::Replaced), r#"Text("")"#);
        assert_eq!(value("~", Form::Replaced), r#"Text("~")"#);
        assert_eq!(value("1e999", Form::Replaced), r#"Text("1e999")"#);
        assert_eq!(value("~", Form::Plain), "Null");
    }
}
