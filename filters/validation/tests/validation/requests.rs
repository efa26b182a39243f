//! What comes before a schema, schemas of one's own, and input that makes no sense.

use filter_validation::Validation;
use tollgate_sdk::testing::{Host, json};

use crate::{CHAT, EMBEDDINGS, answer, details, filter, post};

#[test]
fn there_are_a_hundred_details_at_most() {
    let details =
        details(&filter(), EMBEDDINGS, &json!({"model": "m", "input": vec![true; 20_000]}).to_string());
    assert_eq!(details.len(), 100);
}

#[test]
fn a_body_must_be_there_and_be_json() {
    let filter = filter();
    assert_eq!(details(&filter, CHAT, ""), ["body is required"]);
    assert_eq!(
        details(&filter, CHAT, "{\n \"model\": }"),
        ["body is not valid JSON: expected value at line 2 column 11"]
    );
    assert_eq!(
        details(&filter, CHAT, r#"{"model": "a", "model": "b"}"#),
        ["model is given twice at line 1 column 22"]
    );
}

#[test]
fn only_json_in_utf_8_and_unencoded_is_read() {
    let filter = filter();
    let body = json!({"model": "m", "input": "x"}).to_string();
    let request = || Host::new().exchange().method("POST").path(EMBEDDINGS).body(body.clone());
    assert_eq!(answer(&filter, request()), None);
    assert_eq!(
        answer(&filter, request().header("content-type", "application/vnd.x+json; charset=utf-8")),
        None
    );
    assert_eq!(answer(&filter, request().header("content-encoding", "identity")), None);
    for (fields, detail) in [
        (&[("content-type", "text/plain")][..], "content-type must be application/json, not text/plain"),
        (&[("content-encoding", "gzip")], "content-encoding must be identity, not gzip"),
        (
            &[("content-type", "application/json"), ("content-type", "text/plain")],
            "content-type must be given once",
        ),
        (
            &[("content-encoding", "identity"), ("content-encoding", "br")],
            "content-encoding must be identity, not br",
        ),
    ] {
        let exchange = fields.iter().fold(request(), |exchange, (name, value)| exchange.header(name, value));
        let expected = (415, "unsupported_media_type".to_owned(), vec![detail.to_owned()]);
        assert_eq!(answer(&filter, exchange), Some(expected));
    }
}

#[test]
fn what_has_no_schema_or_no_body_passes() {
    let filter = filter();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let exchange = Host::new().exchange().method(method).path(CHAT);
        assert_eq!(answer(&filter, exchange), None, "{method}");
        let exchange = post(CHAT, "{}").method(method);
        assert!(answer(&filter, exchange).is_some(), "{method} with a body");
    }
    for path in ["/v1/models", "/v1/chat/completions/x", "/v1/chat", "/", "/files/a%2Fb/../c"] {
        assert_eq!(answer(&filter, post(path, "no JSON")), None, "{path}");
    }
}

#[test]
fn no_spelling_of_a_path_slips_by_its_schema() {
    let filter = filter();
    for path in [
        CHAT,
        "/v1/chat/completions?x=y",
        "/v1/chat/completions/",
        "/v1/ch%61t/completions",
        "/%76%31/chat/completions",
    ] {
        let (status, code, _) = answer(&filter, post(path, "{}")).expect(path);
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{path}");
    }
    for path in [
        "//v1/chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat\\completions",
        "/v1/%2e%2e/v1/chat/completions",
    ] {
        let (status, code, _) = answer(&filter, post(path, "{}")).expect(path);
        assert_eq!((status, code.as_str()), (400, "ambiguous_path"), "{path}");
    }
}

#[test]
fn schemas_of_ones_own_are_found_by_path() {
    let config = json!({"schemas": {
        "/orders/*": {"type": "object", "required": ["id"]},
        "/orders/new": {"type": "object", "required": ["item"], "properties": {"id": false}},
        "/b*": false,
    }});
    let filter: Validation = Host::new().configure(config).expect("a config");
    for (path, body, expected) in [
        ("/orders/7", "{}", &["id is required"][..]),
        ("/orders", "{}", &["id is required"]),
        ("/orders/new", r#"{"id": 1}"#, &["id is not allowed", "item is required"]),
        ("/bulk", "1", &["body is not allowed"]),
    ] {
        let mut details = details(&filter, path, body);
        details.sort();
        assert_eq!(details, expected, "{path}");
    }
    assert_eq!(answer(&filter, post("/orders/7", r#"{"id": 1}"#)), None);
    assert_eq!(answer(&filter, post(CHAT, "{}")), None);
}

#[test]
fn choices_are_reduced_to_what_was_meant() {
    let shape = json!({"oneOf": [
        {"type": "object", "required": ["type", "side"], "properties": {"type": {"const": "square"}, "side": {"type": "number"}}},
        {"type": "object", "required": ["type", "radius"], "properties": {"type": {"const": "circle"}, "radius": {"type": "number"}}},
        {"type": "string", "enum": ["none"]},
    ]});
    let config = json!({"schemas": {"/s": {"type": "object", "properties": {"a": shape, "b": {"anyOf": [{"type": "string"}, {"type": ["integer", "array"]}]},
        "c": {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "integer", "maximum": 2}]}}}}});
    let filter: Validation = Host::new().configure(config).expect("a config");
    for (body, expected) in [
        (r#"{"a": {"type": "circle", "radius": "x"}}"#, "a.radius must be number"),
        (r#"{"a": {"type": "circle"}}"#, "a.radius is required"),
        (r#"{"a": {"type": "cube", "side": 1, "radius": 1}}"#, "a.type must be one of square, circle"),
        (r#"{"a": 1}"#, "a must be object or string"),
        (r#"{"a": "some"}"#, "a must be one of none"),
        (r#"{"b": {}}"#, "b must be string, integer or array"),
        (r#"{"c": 3}"#, "c must be at least 5"),
    ] {
        assert_eq!(details(&filter, "/s", body), [expected], "{body}");
    }
}

#[test]
fn mistakes_in_the_config_name_the_key_and_the_problem() {
    for (config, expected) in [
        (json!({"schemas": {"/x": {"type": "strin"}}}), "schemas: /x: is no valid JSON Schema: type must be"),
        (json!({"schemas": {"/x": {"minLength": -1, "required": 5}}}), "minLength must not be negative"),
        (json!({"schemas": {"/x": {"pattern": "(a"}}}), "schemas: /x: is no valid JSON Schema"),
        (json!({"schemas": {"/x": {"pattern": "(?=a)b"}}}), "schemas: /x: is no valid JSON Schema"),
        (json!({"schemas": {"/x": {"$ref": "https://example.com/schema.json"}}}), "nothing is fetched"),
        (json!({"schemas": {"/x": {"$ref": "file:///etc/passwd"}}}), "nothing is fetched"),
        (json!({"schemas": {"/x": {"$ref": "#/$defs/none"}}}), "schemas: /x: "),
        (
            json!({"schemas": {"/x": "builtin:openai"}}),
            "no schema is called `builtin:openai`; there are builtin:openai-chat",
        ),
        (json!({"schemas": {"/x": 5}}), "schemas: /x: `5` is no JSON Schema"),
        (json!({"schemas": {"x": true, "/y/*/z": true}}), "`/y/*/z` may have one `*`"),
        (json!({"schemas": {"x": true}}), "`x` must begin with /"),
        (json!({"schema": {}}), "unknown field `schema`, expected `schemas`"),
    ] {
        let error = Host::new().configure::<Validation>(config.clone()).err().expect("a mistake");
        assert!(error.contains(expected), "{config}: {error}");
    }
}

#[test]
fn patterns_take_linear_time() {
    let config = json!({"schemas": {"/x": {"type": "string", "pattern": "^(a+)+$"}}});
    let filter: Validation = Host::new().configure(config).expect("a config");
    let started = std::time::Instant::now();
    let body = format!("\"{}!\"", "a".repeat(100_000));
    assert_eq!(details(&filter, "/x", &body), ["body must match ^(a+)+$"]);
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn mutated_bodies_never_panic() {
    let filter = filter();
    let body = json!({"model": "m", "max_tokens": 5, "temperature": 1, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hé\u{1F600}"}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]});
    let mut random = fastrand::Rng::with_seed(3);
    let mut refused = 0;
    for _ in 0..3_000 {
        let mut bytes = body.to_string().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        refused += u32::from(answer(&filter, post(CHAT, bytes)).is_some());
    }
    assert!(refused > 1_000, "{refused}");
}
