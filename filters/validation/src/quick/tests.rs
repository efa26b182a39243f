//! What is quick and what is thorough agree: on every test of the official suite, and on bodies made at random.

use serde_json::{Value as Json, json};

use super::Schema;
use crate::document;
use crate::schemas::{Schemas, builtin};
use crate::suite;

fn quick(schema: &Json) -> Schema {
    Schema::compile(schema).unwrap_or_else(|| panic!("{schema} has keywords that are not known"))
}

#[test]
fn it_agrees_with_the_official_suite_wherever_it_knows_the_schema() {
    let (mut known, mut unknown) = (0, 0);
    for group in suite::groups() {
        let Some(schema) = Schema::compile(&group.schema) else {
            unknown += 1;
            continue;
        };
        for test in group.tests {
            let title = format!("{}: {}", group.description, test.description);
            let text = test.data.to_string();
            assert_eq!(schema.surely_fits(text.as_bytes()), test.valid, "{title}: {text}");
            known += 1;
        }
    }
    assert!(known > 500 && unknown > 50, "{known} tests of known schemas, {unknown} schemas unknown");
}

#[test]
fn the_schemas_that_ship_are_known() {
    for name in ["openai-chat", "openai-embeddings", "anthropic-messages"] {
        quick(&builtin(&format!("builtin:{name}")).expect(name));
    }
}

#[test]
fn what_is_not_understood_for_certain_is_left_to_the_library() {
    for schema in [
        json!({"pattern": "^a"}),
        json!({"properties": {"a": {"uniqueItems": true}}}),
        json!({"$ref": "other.json"}),
        json!({"$ref": "#anchor"}),
        json!({"$ref": "#/$defs/nothing"}),
        json!({"$ref": "#/$defs/a%25b", "$defs": {"a%b": true}}),
        json!({"$defs": {"a": {"$id": "http://example.com/a"}}}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"const": [1]}),
        json!({"enum": [0.1]}),
        json!({"const": 9_007_199_254_740_993_u64}),
        json!({"unheardOf": 1}),
        json!({"required": "a"}),
        json!(7),
    ] {
        assert!(Schema::compile(&schema).is_none(), "{schema}");
    }
    let tree = quick(&json!({"properties": {"child": {"$ref": "#"}}, "required": ["name"]}));
    assert!(tree.surely_fits(br#"{"name":1,"child":{"name":2}}"#));
    assert!(!tree.surely_fits(br#"{"name":1,"child":{"child":{}}}"#));
}

#[test]
fn what_is_no_document_does_not_fit_even_anything() {
    let anything = quick(&json!(true));
    for text in
        ["", "{", r#"{"a":1,"a":1}"#, "1e999", &"[".repeat(128), &format!("[{}0]", "{},".repeat(20_000))]
    {
        assert!(!anything.surely_fits(text.as_bytes()), "{text:.20}");
        assert!(document::read(text.as_bytes()).is_err(), "{text:.20}");
    }
    assert!(anything.surely_fits(format!("[{}0]", "{},".repeat(19_000)).as_bytes()));
}

#[test]
fn it_agrees_with_the_library_on_bodies_made_at_random() {
    let bodies = [
        ("openai-chat", include_str!("../../tests/bodies/openai-chat.json")),
        ("anthropic-messages", include_str!("../../tests/bodies/anthropic-messages.json")),
        ("openai-embeddings", include_str!("../../tests/bodies/openai-embeddings.json")),
    ];
    let mut random = fastrand::Rng::with_seed(11);
    for (name, body) in bodies {
        let raw = builtin(&format!("builtin:{name}")).expect(name);
        let quick = quick(&raw);
        let thorough = Schemas::compile([("/".to_owned(), raw)].into()).expect(name);
        let schema = thorough.of("/").expect(name);
        let original: Json = serde_json::from_str(body).expect(name);
        let mut fit = 0;
        for _ in 0..20_000 {
            let mut body = original.clone();
            (0..random.usize(..4)).for_each(|_| change(&mut body, &mut random));
            let fits = thorough.problems(&body, schema).is_empty();
            let text = body.to_string();
            assert_eq!(quick.surely_fits(text.as_bytes()), fits, "{name}: {text}");
            fit += usize::from(fits);
        }
        assert!((1000..19_000).contains(&fit), "{name}: {fit} of 20000 fit");
    }
}

/// Replaces, removes or adds a value somewhere.
fn change(value: &mut Json, random: &mut fastrand::Rng) {
    let goes_on = random.u8(..8) > 0;
    match value {
        Json::Array(items) if goes_on && !items.is_empty() => {
            let at = random.usize(..items.len());
            match random.u8(..12) {
                0 => drop(items.remove(at)),
                1 => items.push(other(random)),
                _ => change(&mut items[at], random),
            }
        }
        Json::Object(members) if goes_on && !members.is_empty() => {
            let name = members.keys().nth(random.usize(..members.len())).cloned().unwrap_or_default();
            match random.u8(..12) {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert("another".to_owned(), other(random))),
                _ => change(members.get_mut(&name).expect("a member"), random),
            }
        }
        value => *value = other(random),
    }
}

fn other(random: &mut fastrand::Rng) -> Json {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.0),
        json!(0.5),
        json!(2.5),
        json!(1e300),
        json!(""),
        json!("text"),
        json!("user"),
        json!("tool"),
        json!("assistant"),
        json!("function"),
        json!("image_url"),
        json!("tool_use"),
        json!("tool_result"),
        json!([]),
        json!([1, 2]),
        json!(["a"]),
        json!({}),
        json!({"type": "text"}),
        json!([{"type": "text", "text": "é\n"}]),
        json!([{"role": "user", "content": "x"}]),
        json!({"url": "x"}),
    ];
    values[random.usize(..values.len())].clone()
}
