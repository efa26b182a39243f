//! What is read, and what is refused, beside what `serde_json` makes of it.

use super::*;
use crate::Document;

fn read(text: &str) -> Result<serde_json::Value, ReadError> {
    Document::read(text, 1000).map(|document| tree(document.root().unwrap()))
}

/// The same as a tree, through everything that can be asked.
fn tree(value: Value<'_>) -> serde_json::Value {
    match value.kind() {
        Kind::Null => serde_json::Value::Null,
        Kind::Boolean => value.as_bool().unwrap().into(),
        Kind::Number => serde_json::from_slice(value.raw()).unwrap(),
        Kind::Text => value.as_str().unwrap().into_owned().into(),
        Kind::Array => value.items().map(tree).collect(),
        Kind::Object => {
            value.members().map(|(name, value)| (name.as_str().unwrap().into_owned(), tree(value))).collect()
        }
    }
}

#[test]
fn documents_are_read_as_any_parser_reads_them() {
    for text in [
        r#" {"a":[null,true,-1,18446744073709551615,1.5e-3,"\u00e9\ud83d\ude00"],"b":{"a":{}}} "#,
        "0",
        "-0.0e-0",
        "1e308",
        "1e-999",
        "\"\"",
        "[]",
        "\t{\r\n} ",
        r#""\"\\\/\b\f\n\r\t\u0000""#,
        "\"a\u{7f}b\u{2028}c\u{10ffff}d\"",
        r#"[[[]],{"":{"":[{}]}},"]","}",","]"#,
    ] {
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()), "{text}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "]",
        "nul",
        "nulll",
        "[1] 2",
        "\u{0}",
        "\u{feff}{}",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "01",
        "-",
        "-01",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "1e999",
        "-1e999",
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\u{1f}\"",
        "\"\\ud800\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800x\"",
        "'a'",
        "True",
        "[\"a\":1]",
        "{1:2}",
    ] {
        assert_eq!(read(text), Err(ReadError::NotJson), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
    assert_eq!(Document::read(b"\"\xff\"", 9).unwrap_err(), ReadError::NotJson);
    assert_eq!(Document::read(b"\"\xed\xa0\x80\"", 9).unwrap_err(), ReadError::NotJson);
}

#[test]
fn a_name_given_twice_is_refused_wherever_and_however_it_is_written() {
    let many = |last: &str| {
        let names: String = (0..1000).map(|n| format!("\"n{n}\":0,")).collect();
        format!("{{{names}\"{last}\":0}}")
    };
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"[{"b":{"a":1,"\u0061":2}}]"#,
        r#"{"a":{},"b":0,"a":null}"#,
        r#"{"\u002f":1,"\/":1}"#,
        r#"{"":1,"":1}"#,
        &many("n7"),
        &many("n\\u0037"),
    ] {
        assert_eq!(Document::read(text, 9999).unwrap_err(), ReadError::NameTwice, "{text}");
    }
    assert!(read(r#"{"a":1,"A":1,"b":{"a":1}}"#).is_ok());
    assert!(Document::read(many("n"), 9999).is_ok());
}

#[test]
fn depth_and_number_are_limited() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(127)).is_ok());
    assert_eq!(read(&nested(128)), Err(ReadError::TooDeep));
    assert_eq!(Document::read("[".repeat(1_000_000), 9_999_999).unwrap_err(), ReadError::TooDeep);
    let document = Document::read(r#"[1,{"a":2}]"#, 4).unwrap();
    assert_eq!((document.values(), document.objects()), (4, 1));
    assert_eq!(Document::read(r#"[1,{"a":2}]"#, 3).unwrap_err(), ReadError::TooLarge);
}

#[test]
fn random_texts_are_read_as_any_parser_reads_them_or_not_at_all() {
    let mut random = fastrand::Rng::with_seed(7);
    let pieces = [
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\":1,",
        "\"\\u0061\":0",
        "{",
        "}",
        "[",
        "]",
        "\"a\"",
        "\"\\u0061\"",
        ":",
        ",",
        "1",
        "-",
        "0",
        ".",
        "\\",
        "\"",
        "\u{0}",
        "é",
        "null",
        "1e9",
        " ",
        "\\ud83d",
        "\\ude00",
    ];
    let (mut good, mut twice) = (0, 0);
    for _ in 0..200_000 {
        let text: String = (0..random.usize(..16)).filter_map(|_| random.choice(pieces)).collect();
        match (read(&text), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{text}");
                good += 1;
            }
            (Err(error), Ok(_)) => {
                assert_eq!(error, ReadError::NameTwice, "{text}");
                twice += 1;
            }
            (ours, Err(_)) => assert!(ours.is_err(), "{text}"),
        }
    }
    assert!(good > 1000 && twice > 0, "{good} {twice}");
}
