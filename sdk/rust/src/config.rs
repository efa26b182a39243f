//! Reads a filter's config, and says in one line which key is wrong and why.

use serde::de::DeserializeOwned;

/// The config in `json`, as the host hands it to `configure`.
///
/// # Errors
/// `key.path: what was wrong`; without a path when it is the config as a whole.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    // By way of a value: a position in the host's rendering as JSON would mislead whoever wrote the manifest.
    let value: serde_json::Value = serde_json::from_str(json).map_err(|error| format!("no JSON: {error}"))?;
    if !value.is_object() {
        // A list would be taken for the fields of a struct in their order.
        return Err("must be keys and values".to_owned());
    }
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::parse;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Limits {
        max_retries: u32,
        #[serde(default)]
        rules: Vec<BTreeMap<String, u8>>,
    }

    #[test]
    fn a_good_config_is_read() {
        let limits = parse::<Limits>(r#"{"max-retries": 3}"#).unwrap();
        assert_eq!(limits, Limits { max_retries: 3, rules: Vec::new() });
    }

    #[test]
    fn an_error_names_the_key_and_the_problem() {
        let message = |json| parse::<Limits>(json).unwrap_err();
        assert_eq!(
            message(r#"{"max-retries": "three"}"#),
            "max-retries: invalid type: string \"three\", expected u32"
        );
        assert_eq!(message("{}"), "missing field `max-retries`");
        assert_eq!(
            message(r#"{"max-retry": 3}"#),
            "max-retry: unknown field `max-retry`, expected `max-retries` or `rules`"
        );
        assert_eq!(
            message(r#"{"max-retries": 1, "rules": [{}, {"a": 300}]}"#),
            "rules[1].a: invalid value: integer `300`, expected u8"
        );
        assert_eq!(message("[3, []]"), "must be keys and values");
        assert_eq!(message("{"), "no JSON: EOF while parsing an object at line 1 column 1");
    }
}
