//! Request bodies as clients send them, and as they should not: the builtin schemas, and everything before a schema.

use filter_validation::Validation;
use tollgate_sdk::Verdict;
use tollgate_sdk::testing::{Exchange, Host, json};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const MESSAGES: &str = "/v1/messages";

fn filter() -> Validation {
    Host::new().configure(json!({})).expect("the default config")
}

fn post(path: &str, body: impl Into<Vec<u8>>) -> Exchange {
    Host::new().exchange().method("POST").path(path).header("content-type", "application/json").body(body)
}

/// Status, code and details of the filter's answer; none if the request passes.
fn answer(filter: &Validation, mut exchange: Exchange) -> Option<(u16, String, Vec<String>)> {
    match exchange.on_request_body(filter) {
        Verdict::Proceed => None,
        Verdict::Respond => {
            let reply = exchange.reply().expect("a reply");
            Some((reply.status, reply.code.clone(), reply.details.clone()))
        }
    }
}

fn details(filter: &Validation, path: &str, body: &str) -> Vec<String> {
    let (status, code, details) = answer(filter, post(path, body)).unwrap_or_else(|| panic!("{body} passed"));
    assert_eq!((status, code.as_str()), (400, "invalid_request"), "{body}");
    details
}

#[test]
fn real_chat_requests_pass() {
    let filter = filter();
    let user = json!({"role": "user", "content": "Hello"});
    let call =
        json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}});
    let bodies = [
        json!({"model": "gpt-4o", "messages": [user]}),
        json!({"model": "gpt-4o", "messages": [user], "stream": true, "stream_options": {"include_usage": true}}),
        json!({"model": "m", "messages": [user], "max_tokens": 1, "temperature": 0, "top_p": 1, "n": 2, "seed": -4}),
        json!({"model": "m", "messages": [user], "max_tokens": null, "temperature": null, "stop": null, "tools": null}),
        json!({"model": "m", "messages": [user], "max_completion_tokens": 100.0, "reasoning_effort": "high"}),
        json!({"model": "m", "messages": [user], "stop": "\n"}),
        json!({"model": "m", "messages": [user], "stop": ["a", "b"]}),
        json!({"model": "m", "messages": [user], "logit_bias": {"50256": -100}, "logprobs": true, "top_logprobs": 5}),
        json!({"model": "m", "messages": [user], "presence_penalty": -2, "frequency_penalty": 2, "user": "u"}),
        json!({"model": "m", "messages": [user], "metadata": {"a": "b"}, "store": true, "service_tier": "auto"}),
        json!({"model": "m", "messages": [user], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}),
        json!({"model": "m", "messages": [user], "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}),
        json!({"model": "m", "messages": [user], "prediction": {"type": "content", "content": "x"}}),
        json!({"model": "m", "messages": [user], "web_search_options": {}, "top_k": 40, "repetition_penalty": 1.1, "x": [null]}),
        json!({"model": "m", "messages": [user], "tool_choice": "auto", "parallel_tool_calls": false,
               "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}},
                         {"type": "custom", "custom": {"name": "c"}}]}),
        json!({"model": "m", "messages": [user], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
        json!({"model": "m", "messages": [user], "functions": [{"name": "f"}], "function_call": "auto"}),
        json!({"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, user]}),
        json!({"model": "m", "messages": [{"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]}, user]}),
        json!({"model": "m", "messages": [{"role": "user", "name": "bob", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": "https://example.com/a.png"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "video_url", "video_url": {"url": "x"}}]}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": null, "tool_calls": [call]},
                                          {"role": "tool", "tool_call_id": "call_1", "content": "42"}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "tool_calls": [call, call]},
                                          {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "42"}]}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": "", "tool_calls": null, "refusal": null, "annotations": []}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": null, "audio": {"id": "a"}}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
                                          {"role": "function", "name": "f", "content": "1"}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "f", "arguments": {"a": 1}}}, {"id": "c", "type": "custom", "custom": {"name": "c", "input": "x"}}]}]}),
        json!({"model": "m", "messages": [user, {"role": "assistant", "content": "so far", "reasoning_content": "hm", "prefix": true}]}),
    ];
    for body in bodies {
        assert_eq!(answer(&filter, post(CHAT, body.to_string())), None, "{body}");
    }
}

#[test]
fn broken_chat_requests_are_told_all_their_problems() {
    let filter = filter();
    for (body, expected) in [
        (r#"{}"#, &["model is required", "messages is required"][..]),
        (r#"[]"#, &["body must be object"]),
        (
            r#"{"model": 4, "messages": [], "max_tokens": 0}"#,
            &["max_tokens must be positive", "messages must not be empty", "model must be string"],
        ),
        (r#"{"model": "", "messages": "hi"}"#, &["messages must be array", "model must not be empty"]),
        (r#"{"model": "m", "messages": {}}"#, &["messages must be array"]),
        (r#"{"model": "m", "messages": ["hi"]}"#, &["messages[0] must be object"]),
        (r#"{"model": "m", "messages": [{"content": "hi"}]}"#, &["messages[0].role is required"]),
        (
            r#"{"model": "m", "messages": [{"role": "bot", "content": "hi"}]}"#,
            &["messages[0].role must be one of system, developer, user, assistant, tool, function"],
        ),
        (r#"{"model": "m", "messages": [{"role": "user"}]}"#, &["messages[0].content is required"]),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": null}]}"#,
            &["messages[0].content must be string or array"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": 7}, {"role": "tool", "content": "x"}]}"#,
            &["messages[0].content must be string or array", "messages[1].tool_call_id is required"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}, {"text": "x"}, "x"]}]}"#,
            &[
                "messages[0].content[0].text is required",
                "messages[0].content[1].type is required",
                "messages[0].content[2] must be object",
            ],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}"#,
            &["messages[0].content[0].image_url.url is required"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1.5, "temperature": 2.1}"#,
            &["max_tokens must be integer", "temperature must be at most 2"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1, "temperature": "hot"}"#,
            &["max_tokens must be positive", "temperature must be number"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": -0.1, "top_p": 7, "stream": "yes"}"#,
            &["stream must be boolean", "temperature must not be negative", "top_p must be at most 1"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "stop": [1], "n": 0, "tools": [{}]}"#,
            &["n must be positive", "stop[0] must be string", "tools[0].type is required"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": ""}}]}"#,
            &["tools[0].function.name must not be empty"],
        ),
        (
            r#"{"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]}"#,
            &["messages[0].tool_calls[0].function is required"],
        ),
    ] {
        let mut details = details(&filter, CHAT, body);
        details.sort();
        let mut expected: Vec<&str> = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(details, expected, "{body}");
    }
}

#[test]
fn real_anthropic_requests_pass() {
    let filter = filter();
    let user = json!({"role": "user", "content": "Hello"});
    let bodies = [
        json!({"model": "claude-sonnet-4-5", "max_tokens": 1024, "messages": [user]}),
        json!({"model": "c", "max_tokens": 1, "messages": [user], "system": "Be brief", "stream": true, "temperature": 1.0}),
        json!({"model": "c", "max_tokens": 1, "messages": [user], "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]}),
        json!({"model": "c", "max_tokens": 1, "messages": [user], "stop_sequences": ["x"], "top_k": 5, "top_p": 0.5, "metadata": {"user_id": "u"}}),
        json!({"model": "c", "max_tokens": 20000, "messages": [user], "thinking": {"type": "enabled", "budget_tokens": 10000}}),
        json!({"model": "c", "max_tokens": 1, "messages": [user], "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"}}),
        json!({"model": "c", "max_tokens": 1, "messages": [user], "tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "mcp_toolset", "mcp_server_name": "x"}]}),
        json!({"model": "c", "max_tokens": 1, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}, "title": "a"},
            {"type": "text", "text": "What is this?"}]}]}),
        json!({"model": "c", "max_tokens": 1, "messages": [user,
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
                                              {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "1"}], "is_error": false}]}]}),
        json!({"model": "c", "max_tokens": 1, "messages": [user,
            {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
                                              {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}]}]}),
        json!({"model": "c", "max_tokens": 1, "messages": [user, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}),
        json!({"model": "c", "max_tokens": 1, "messages": [user, {"role": "assistant", "content": "{"}], "container": "c", "new_field": 1}),
    ];
    for body in bodies {
        assert_eq!(answer(&filter, post(MESSAGES, body.to_string())), None, "{body}");
    }
}

#[test]
fn broken_anthropic_requests_are_told_all_their_problems() {
    let filter = filter();
    for (body, expected) in [
        (r#"{}"#, &["max_tokens is required", "messages is required", "model is required"][..]),
        (
            r#"{"model": "c", "max_tokens": "9", "messages": []}"#,
            &["max_tokens must be integer", "messages must not be empty"],
        ),
        (
            r#"{"model": "c", "max_tokens": 1, "messages": [{"role": "tool", "content": "x"}], "temperature": 1.5}"#,
            &["messages[0].role must be one of user, assistant, system", "temperature must be at most 1"],
        ),
        (
            r#"{"model": "c", "max_tokens": 1, "messages": [{"role": "user"}], "system": 5}"#,
            &["messages[0].content is required", "system must be string or array"],
        ),
        (
            r#"{"model": "c", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}"#,
            &["messages[0].content[0].tool_use_id is required"],
        ),
        (
            r#"{"model": "c", "max_tokens": 1, "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": "{}"}]}]}"#,
            &["messages[0].content[0].input must be object"],
        ),
        (
            r#"{"model": "c", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "tools": [{"name": "f"}]}"#,
            &["tools[0].input_schema is required"],
        ),
    ] {
        let mut details = details(&filter, MESSAGES, body);
        details.sort();
        assert_eq!(details, expected, "{body}");
    }
}

#[test]
fn embeddings_requests_are_texts_or_tokens() {
    let filter = filter();
    for input in [json!("text"), json!(["a", "b"]), json!([1, 2, 3]), json!([[1, 2], [3]])] {
        let body = json!({"model": "m", "input": input, "encoding_format": "base64", "dimensions": 256});
        assert_eq!(answer(&filter, post(EMBEDDINGS, body.to_string())), None, "{body}");
    }
    for (body, expected) in [
        (r#"{"model": "m"}"#, "input is required"),
        (r#"{"model": "m", "input": ""}"#, "input must not be empty"),
        (r#"{"model": "m", "input": []}"#, "input must not be empty"),
        (r#"{"model": "m", "input": 5}"#, "input must be string or array"),
        (r#"{"model": "m", "input": [{}]}"#, "input[0] must be integer, string or array"),
        (r#"{"model": "m", "input": [["a"]]}"#, "input[0][0] must be integer"),
        (r#"{"model": "m", "input": "a", "dimensions": 0}"#, "dimensions must be positive"),
    ] {
        assert_eq!(details(&filter, EMBEDDINGS, body), [expected], "{body}");
    }
}

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
