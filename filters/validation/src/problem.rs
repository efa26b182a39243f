//! Turns what a JSON Schema validator found into lines for people: `model must be string`, `messages is required`,
//! `messages[0].role must be one of system, user`.

use boon::{ErrorKind, InstanceToken, Type, ValidationError};
use serde_json::{Number, Value};

use crate::choice;
use crate::place::{member, quoted, text};

/// More lines help nobody.
pub(crate) const MAX_PROBLEMS: usize = 100;
/// Values listed in one line.
const MAX_LISTED: usize = 20;

/// One line a problem, at most [`MAX_PROBLEMS`], each once.
pub(crate) fn lines(error: &ValidationError<'_, '_>) -> Vec<String> {
    let mut lines = Vec::new();
    collect(error, &mut lines);
    lines
}

/// Adds the problems of `error` and its causes.
pub(crate) fn collect(error: &ValidationError<'_, '_>, lines: &mut Vec<String>) {
    let place = &error.instance_location.tokens;
    match &error.kind {
        ErrorKind::AnyOf | ErrorKind::OneOf(None) => choice::collect(error, lines),
        ErrorKind::Required { want } => {
            want.iter().for_each(|name| add(lines, || format!("{} is required", member(place, name))));
        }
        ErrorKind::AdditionalProperties { got } => {
            got.iter().for_each(|name| add(lines, || format!("{} is not allowed", member(place, name))));
        }
        ErrorKind::DependentRequired { prop, missing } | ErrorKind::Dependency { prop, missing } => {
            let because =
                |name: &&str| format!("{} is required with {}", member(place, name), member(place, prop));
            missing.iter().for_each(|name| add(lines, || because(name)));
        }
        _ if is_group(error) => {
            for cause in &error.causes {
                if lines.len() >= MAX_PROBLEMS {
                    return;
                }
                collect(cause, lines);
            }
        }
        _ => add(lines, || format!("{} {}", text(place), predicate(&error.kind, place))),
    }
}

/// Whether the error only holds others together.
pub(crate) fn is_group(error: &ValidationError<'_, '_>) -> bool {
    let groups = matches!(
        error.kind,
        ErrorKind::Group
            | ErrorKind::Schema { .. }
            | ErrorKind::Reference { .. }
            | ErrorKind::AllOf
            | ErrorKind::ContentSchema
    );
    groups && !error.causes.is_empty()
}

/// `a`, `a or b`, `a, b or c`. That null would do, too, is seldom what the reader looks for.
pub(crate) fn types(types: impl Iterator<Item = Type>) -> String {
    let mut types: Vec<Type> = types.collect();
    if types.len() > 1 {
        types.retain(|kind| *kind != Type::Null);
    }
    let names: Vec<String> = types.iter().map(Type::to_string).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// `a, b, c`, without quotes where a plain word needs none.
pub(crate) fn values<'a>(values: impl ExactSizeIterator<Item = &'a Value>) -> String {
    let hidden = values.len().saturating_sub(MAX_LISTED);
    let mut listed: Vec<String> = values.take(MAX_LISTED).map(value).collect();
    if hidden > 0 {
        listed.push(format!("{hidden} more"));
    }
    listed.join(", ")
}

fn add(lines: &mut Vec<String>, line: impl FnOnce() -> String) {
    if lines.len() < MAX_PROBLEMS {
        let line = line();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
}

fn predicate(kind: &ErrorKind<'_, '_>, place: &[InstanceToken<'_>]) -> String {
    match kind {
        ErrorKind::Type { want, .. } => format!("must be {}", types(want.iter())),
        ErrorKind::Enum { want } => format!("must be one of {}", values(want.iter())),
        ErrorKind::Const { want } => format!("must be {}", value(want)),
        ErrorKind::Format { want, .. } => format!("must be a valid {want}"),
        ErrorKind::Pattern { want, .. } => format!("must match {want}"),
        ErrorKind::FalseSchema => "is not allowed".into(),
        ErrorKind::Not => "has a value that is not allowed".into(),
        ErrorKind::OneOf(_) => "fits more than one of the forms that exclude each other".into(),
        ErrorKind::PropertyName { prop } => format!("has a name that is not allowed: {}", quoted(prop)),
        ErrorKind::UniqueItems { got: [first, second] } => {
            format!(
                "must have no item twice, but {} and {} are equal",
                item(place, *first),
                item(place, *second)
            )
        }
        ErrorKind::ContentEncoding { want, .. } | ErrorKind::ContentMediaType { want, .. } => {
            format!("must be {want}")
        }
        kind => bound(kind),
    }
}

/// Limits of numbers and sizes.
fn bound(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::Minimum { want, .. } if is_zero(want) => "must not be negative".into(),
        ErrorKind::Minimum { want, .. } => format!("must be at least {want}"),
        ErrorKind::ExclusiveMinimum { want, .. } if is_zero(want) => "must be positive".into(),
        ErrorKind::ExclusiveMinimum { want, .. } => format!("must be more than {want}"),
        ErrorKind::Maximum { want, .. } => format!("must be at most {want}"),
        ErrorKind::ExclusiveMaximum { want, .. } => format!("must be less than {want}"),
        ErrorKind::MultipleOf { want, .. } => format!("must be a multiple of {want}"),
        ErrorKind::MinItems { want: 1, .. }
        | ErrorKind::MinLength { want: 1, .. }
        | ErrorKind::MinProperties { want: 1, .. } => "must not be empty".into(),
        ErrorKind::MinItems { want, .. } => format!("must have at least {}", count(*want, "item")),
        ErrorKind::MaxItems { want, .. } => format!("must have at most {}", count(*want, "item")),
        ErrorKind::MinLength { want, .. } => format!("must have at least {}", count(*want, "character")),
        ErrorKind::MaxLength { want, .. } => format!("must have at most {}", count(*want, "character")),
        ErrorKind::MinProperties { want, .. } => format!("must have at least {}", count(*want, "member")),
        ErrorKind::MaxProperties { want, .. } => format!("must have at most {}", count(*want, "member")),
        ErrorKind::Contains => "must have an item of the kind that is asked for".into(),
        ErrorKind::MinContains { want, .. } => {
            format!("must have at least {} of the kind that is asked for", count(*want, "item"))
        }
        ErrorKind::MaxContains { want, .. } => {
            format!("must have at most {} of the kind that is counted", count(*want, "item"))
        }
        _ => "is not what the schema asks for".into(),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => quoted_json(other),
    }
}

fn quoted_json(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => "the value in the schema".into(),
        scalar => scalar.to_string(),
    }
}

fn is_zero(number: &Number) -> bool {
    number.as_f64() == Some(0.0)
}

fn item(place: &[InstanceToken<'_>], index: usize) -> String {
    if place.is_empty() { format!("[{index}]") } else { format!("{}[{index}]", text(place)) }
}

fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
