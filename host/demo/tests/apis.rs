//! What it says, and in which shapes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

/// The texts at `pointer` of all events, put together.
fn joined(events: &[Value], pointer: &str) -> String {
    events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

#[tokio::test]
async fn a_chat_completion_is_the_same_plain_and_streamed() {
    let demo = demo().await;
    let ask = json!({"model": "m", "messages": [{"role": "user", "content": "hello  world"}]});
    let plain = post(demo, "/v1/chat/completions", &ask).await.json();
    assert_eq!(plain["choices"][0]["message"]["content"], "You said: hello  world");
    assert_eq!(plain["choices"][0]["finish_reason"], "stop");
    assert_eq!(plain["usage"]["prompt_tokens"], 4);
    assert_eq!(plain["usage"]["completion_tokens"], 7);
    assert_eq!(plain["usage"]["total_tokens"], 11);

    let ask = with(ask, "stream", json!(true));
    let events = post(demo, "/v1/chat/completions", &ask).await.events();
    assert_eq!(joined(&events, "/choices/0/delta/content"), "You said: hello  world");
    assert_eq!(joined(&events, "/choices/0/finish_reason"), "stop");
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    assert_eq!(events.last(), Some(&json!("[DONE]")));

    let ask = with(ask, "stream_options", json!({"include_usage": true}));
    let events = post(demo, "/v1/chat/completions", &ask).await.events();
    let [chunks @ .., last, done] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &plain["usage"]));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk["model"] == "m"));
    assert_eq!(done, "[DONE]");
}

#[tokio::test]
async fn a_response_is_the_same_plain_and_streamed() {
    let demo = demo().await;
    let ask = json!({"model": "m", "instructions": "be kind", "input": "hello"});
    let plain = post(demo, "/v1/responses", &ask).await.json();
    assert_eq!(plain["output"][0]["content"][0]["text"], "You said: hello");
    assert_eq!((&plain["usage"]["input_tokens"], &plain["usage"]["output_tokens"]), (&json!(4), &json!(5)));

    let events = post(demo, "/v1/responses", &with(ask.clone(), "stream", json!(true))).await.events();
    assert_eq!(joined(&events, "/delta"), "You said: hello");
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let different = |name: &&String| last["response"][*name] != plain[*name];
    // The bodies differ in `stream`, and the id follows the body.
    assert_eq!(plain.as_object().unwrap().keys().filter(different).collect::<Vec<_>>(), ["id", "output"]);

    let cut = post(demo, "/v1/responses", &with(ask, "max_output_tokens", json!(1))).await.json();
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[tokio::test]
async fn a_message_is_the_same_plain_and_streamed_and_counted() {
    let demo = demo().await;
    let content = json!([{"type": "text", "text": "hello"}]);
    let ask = json!({"model": "m", "max_tokens": 9, "system": "be kind", "messages": [{"role": "user", "content": content}]});
    let plain = post(demo, "/v1/messages", &ask).await.json();
    assert_eq!(plain["content"], json!([{"type": "text", "text": "You said: hello"}]));
    assert_eq!(plain["stop_reason"], "end_turn");
    let count = post(demo, "/v1/messages/count_tokens", &ask).await.json();
    assert_eq!(count, json!({"input_tokens": plain["usage"]["input_tokens"]}));

    let events = post(demo, "/v1/messages", &with(ask.clone(), "stream", json!(true))).await.events();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let [first @ .., stop, delta, last] = &kinds[..] else { panic!("{kinds:?}") };
    assert_eq!(first[..2], ["message_start", "content_block_start"]);
    assert_eq!((*stop, *delta, *last), ("content_block_stop", "message_delta", "message_stop"));
    assert_eq!(joined(&events, "/delta/text"), "You said: hello");
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], plain["usage"]["input_tokens"]);
    assert_eq!(events[events.len() - 2]["usage"]["output_tokens"], plain["usage"]["output_tokens"]);

    let cut = post(demo, "/v1/messages", &with(ask, "max_tokens", json!(1))).await.json();
    assert_eq!((&cut["stop_reason"], &cut["content"][0]["text"]), (&json!("max_tokens"), &json!("You")));
}

#[tokio::test]
async fn tools_are_called_in_every_api() {
    let demo = demo().await;
    let user = json!([{"role": "user", "content": "call add {\"a\": 1, \"b\": [2]}"}]);
    let (text, value) = (r#"{"a":1,"b":[2]}"#, json!({"a": 1, "b": [2]}));

    let ask =
        json!({"model": "m", "messages": user, "tools": [{"type": "function", "function": {"name": "add"}}]});
    let plain = post(demo, "/v1/chat/completions", &ask).await.json();
    let call = &plain["choices"][0]["message"]["tool_calls"][0];
    assert_eq!((&call["function"]["name"], &call["function"]["arguments"]), (&json!("add"), &json!(text)));
    assert_eq!(plain["choices"][0]["finish_reason"], "tool_calls");
    let events = post(demo, "/v1/chat/completions", &with(ask, "stream", json!(true))).await.events();
    assert_eq!(joined(&events, "/choices/0/delta/tool_calls/0/function/name"), "add");
    assert_eq!(joined(&events, "/choices/0/delta/tool_calls/0/function/arguments"), text);

    let ask = json!({"model": "m", "input": user, "tools": [{"type": "function", "name": "add"}]});
    let plain = post(demo, "/v1/responses", &ask).await.json();
    assert_eq!(
        (&plain["output"][0]["type"], &plain["output"][0]["arguments"]),
        (&json!("function_call"), &json!(text))
    );
    let events = post(demo, "/v1/responses", &with(ask, "stream", json!(true))).await.events();
    assert_eq!(joined(&events, "/delta"), text);

    let ask = json!({"model": "m", "max_tokens": 9, "messages": user, "tools": [{"name": "add", "input_schema": {}}]});
    let plain = post(demo, "/v1/messages", &ask).await.json();
    assert_eq!((&plain["content"][0]["type"], &plain["content"][0]["input"]), (&json!("tool_use"), &value));
    let events = post(demo, "/v1/messages", &with(ask, "stream", json!(true))).await.events();
    assert_eq!(joined(&events, "/delta/partial_json"), text);
}

#[tokio::test]
async fn embeddings_are_the_same_as_floats_and_as_base64() {
    let demo = demo().await;
    let ask = json!({"model": "m", "input": ["hello world", "and you"], "dimensions": 32});
    let floats = post(demo, "/v1/embeddings", &ask).await.json();
    let base64 = post(demo, "/v1/embeddings", &with(ask, "encoding_format", json!("base64"))).await.json();
    assert_eq!(floats["usage"], base64["usage"]);
    for index in 0..2 {
        let expected: Vec<f32> = serde_json::from_value(floats["data"][index]["embedding"].clone()).unwrap();
        assert_eq!(expected.len(), 32);
        let bytes = STANDARD.decode(base64["data"][index]["embedding"].as_str().unwrap()).unwrap();
        let got: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn failures_have_their_status_and_the_providers_shape() {
    let demo = demo().await;
    let chat = "/v1/chat/completions";
    let (openai, anthropic) = ("invalid_request_error", "invalid_request_error");
    for (method, path, body, status, kind) in [
        (Method::POST, chat, "{", 400, openai),
        (Method::POST, chat, "[]", 400, openai),
        (Method::POST, chat, r#"{"model":1,"messages":[]}"#, 400, openai),
        (Method::POST, chat, r#"{"model":"m","messages":[]}"#, 400, openai),
        (Method::POST, chat, r#"{"model":"m","messages":[{}],"max_tokens":-1}"#, 400, openai),
        (Method::POST, "/v1/responses", r#"{"model":"m"}"#, 400, openai),
        (Method::POST, "/v1/embeddings", r#"{"model":"m","input":[]}"#, 400, openai),
        (Method::POST, "/v1/embeddings", r#"{"model":"m","input":"a","dimensions":3073}"#, 400, openai),
        (Method::POST, "/v1/embeddings", r#"{"model":"m","input":"a","encoding_format":"hex"}"#, 400, openai),
        (
            Method::POST,
            "/v1/messages",
            r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
            400,
            anthropic,
        ),
        (Method::POST, "/v1/messages", "nonsense", 400, anthropic),
        (Method::GET, "/v1/messages/other", "", 404, "not_found_error"),
        (Method::GET, "/v1/other", "", 404, openai),
        (Method::GET, chat, "", 405, openai),
        (Method::GET, "/bytes/-1", "", 400, openai),
        (Method::GET, "/bytes/1099511627777", "", 400, openai),
    ] {
        let got = ask(demo, request(method, path, &[], body)).await;
        let error = got.json();
        assert_eq!(got.status, status, "{path} {body}: {error}");
        assert_eq!(error["error"]["type"], kind, "{path} {body}");
        assert_eq!(error["type"] == "error", path.starts_with("/v1/messages"));
        assert_eq!(got.headers.get("allow").is_some(), status == 405);
    }
    let anthropic = get(demo, "/v1/other", &[("anthropic-version", "2023-06-01")]).await;
    assert_eq!(anthropic.json()["type"], "error");
}

#[tokio::test]
async fn an_error_message_does_not_repeat_a_long_value() {
    let demo = demo().await;
    let long = "ü".repeat(1 << 20);
    for ask in [json!({"model": "m", "messages": [], "stream": long}), json!({"model": long, "messages": []})]
    {
        let got = post(demo, "/v1/chat/completions", &ask).await;
        assert_eq!(got.status, 400);
        assert!(got.body.len() < 1000);
    }
}

#[tokio::test]
async fn models_and_welcome_are_told_and_head_has_no_body() {
    let demo = demo().await;
    assert_eq!(get(demo, "/v1/models", &[]).await.json()["data"][0]["id"], "tollgate-demo");
    let welcome = get(demo, "/", &[]).await;
    assert!(welcome.body.starts_with(b"This is Tollgate's demo upstream."));
    let head = ask(demo, request(Method::HEAD, "/", &[], "")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], welcome.body.len().to_string());
}

#[tokio::test]
async fn mutated_requests_are_answered_with_200_or_400() {
    let demo = demo().await;
    let mut random = fastrand::Rng::with_seed(2);
    let tool = json!({"type": "function", "name": "f", "function": {"name": "f", "description": "d"}});
    let content = json!([{"type": "text", "text": "call f {\"ü\": [1, 2.5e3, null]}"}, {"type": "tool_result", "content": "x"}]);
    let ask = json!({"model": "m", "input": ["a", "b"], "stream": true, "max_tokens": 5, "tools": [tool],
        "messages": [{"role": "user", "content": content}, {"role": "tool", "content": "t"}]});
    let template = ask.to_string().into_bytes();
    let mut sender = connect(demo).await;
    for _ in 0..1500 {
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"] {
            let mut body = template.clone();
            for _ in 0..random.usize(0..4) {
                let at = random.usize(0..body.len());
                body[at] =
                    if random.bool() { random.u8(..) } else { *random.choice(br#"[]{},:"0-"#).unwrap() };
            }
            sender.ready().await.unwrap();
            let got =
                Got::from(sender.send_request(request(Method::POST, path, &[], body)).await.unwrap()).await;
            assert!(got.status == 200 || got.status == 400, "{path}: {}", got.status);
        }
    }
}
