//! `${NAME}` and `${NAME:-default}` in scalar values, replaced from the environment. What is put in is text: it is
//! never read as YAML structure, nor searched for further `${`.

use super::mistake::{Fault, quoted};

/// A text with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Substituted {
    pub(super) text: String,
    /// Whether anything was replaced, by a value or by a default.
    pub(super) replaced: bool,
    /// The variables whose values from the environment are in the text.
    pub(super) variables: Vec<String>,
}

/// Replaces what `text` refers to. As in a shell, `:-default` also stands in for a variable that is empty, and `$${`
/// is a plain `${`. At most `budget` bytes of values are put in, and are taken off it. Every fault is returned.
pub(super) fn substitute(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    budget: &mut usize,
) -> Result<Substituted, Vec<Fault>> {
    let mut result =
        Substituted { text: String::with_capacity(text.len()), replaced: false, variables: Vec::new() };
    let mut faults = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        if let Some(unescaped) = before.strip_suffix('$') {
            result.text.push_str(unescaped);
            result.text.push_str("${");
            rest = &reference[2..];
            continue;
        }
        result.text.push_str(before);
        let Some(end) = reference.find('}') else {
            faults.push(malformed(reference));
            return Err(faults);
        };
        rest = &reference[end + 1..];
        match value(&reference[2..end], env, budget, &mut result.variables) {
            Ok(value) => result.text.push_str(&value),
            Err(fault) => faults.push(fault),
        }
        result.replaced = true;
    }
    result.text.push_str(rest);
    if faults.is_empty() { Ok(result) } else { Err(faults) }
}

/// What stands for the reference with this inside, between the braces.
fn value(
    inside: &str,
    env: &dyn Fn(&str) -> Option<String>,
    budget: &mut usize,
    variables: &mut Vec<String>,
) -> Result<String, Fault> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_variable(name) {
        return Err(malformed(&format!("${{{inside}}}")));
    }
    let value = match (env(name), default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => return Ok(default.to_owned()),
        (None, None) => {
            return Err(Fault::new(format!("the environment variable {} is not set", quoted(name)))
                .help(format!("set it, or write `${{{name}:-default}}`")));
        }
    };
    *budget = budget.checked_sub(value.len()).ok_or_else(|| {
        Fault::new(format!("with the value of {}, the manifest grows too large", quoted(name)))
            .help("the values put into it may have 1 MiB in all")
    })?;
    variables.push(name.to_owned());
    Ok(value)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn malformed(reference: &str) -> Fault {
    Fault::new(format!("{} names no environment variable", quoted(reference)))
        .help("write `${NAME}` or `${NAME:-default}`, or `$${` for a plain `${`")
}

#[cfg(test)]
mod tests {
    use super::{Substituted, substitute};

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    fn text(input: &str) -> String {
        substitute(input, &env, &mut 100).unwrap().text
    }

    #[test]
    fn variables_defaults_and_escapes() {
        let table = [
            ("plain", "plain"),
            ("${A}", "one"),
            ("<${A}|${A}>", "<one|one>"),
            ("${B:-two}", "two"),
            ("${A:-two}", "one"),
            ("${EMPTY}", ""),
            ("${EMPTY:-two}", "two"),
            ("${B:-}", ""),
            ("${B:-a:-b}", "a:-b"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("$A $ {A}", "$A $ {A}"),
            ("${NESTED}", "${A}"),
        ];
        for (input, expected) in table {
            assert_eq!(text(input), expected, "{input}");
        }
    }

    #[test]
    fn only_values_from_the_environment_are_attributed() {
        let substituted = substitute("${A}${B:-b}", &env, &mut 100).unwrap();
        let expected =
            Substituted { text: "oneb".to_owned(), replaced: true, variables: vec!["A".to_owned()] };
        assert_eq!(substituted, expected);
        assert!(!substitute("$${A}", &env, &mut 100).unwrap().replaced);
    }

    #[test]
    fn every_fault_is_returned() {
        let faults = substitute("${B} ${1} ${A", &env, &mut 100).unwrap_err();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn values_are_bounded() {
        let mut budget = 7;
        assert!(substitute("${A}${A}", &env, &mut budget).is_ok());
        assert_eq!(budget, 1);
        assert!(substitute("${A}", &env, &mut budget).is_err());
    }
}
