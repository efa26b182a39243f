//! The builtin schemas: real requests pass, broken ones are told all their problems.

use tollgate_sdk::testing::json;

use crate::{CHAT, EMBEDDINGS, MESSAGES, answer, details, filter, post};

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
