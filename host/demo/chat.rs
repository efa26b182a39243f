//! OpenAI's `POST /v1/chat/completions`: one choice, with text or a tool call, plain or streamed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::conversation::{Conversation, Tools};
use super::events::Events;
use super::provider::{Answer, Failure, model, parse};
use super::reply::{CREATED, Reply, Says, json_text};
use super::tokens::Tokens;

#[derive(Deserialize)]
struct ChatRequest {
    #[serde(deserialize_with = "model")]
    model: String,
    messages: Conversation,
    tools: Option<Tools>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Answers a request with this body.
///
/// # Errors
/// 400 if it is not such a request.
pub(super) fn complete(body: &[u8]) -> Result<Answer, Failure> {
    let request: ChatRequest = parse(body)?;
    if request.messages.is_empty {
        return Err(Failure::invalid("messages must not be empty"));
    }
    let limit = request.max_completion_tokens.or(request.max_tokens);
    let reply = Reply::new(body, request.messages, request.tools, limit);
    if request.stream == Some(true) {
        let with_usage = request.stream_options.and_then(|options| options.include_usage) == Some(true);
        Ok(stream(&request.model, &reply, with_usage))
    } else {
        Ok(Answer::json(&completion(&request.model, &reply)))
    }
}

fn completion(model: &str, reply: &Reply) -> Value {
    let message = match &reply.says {
        Says::Text(text) => json!({"role": "assistant", "content": text, "refusal": null, "annotations": []}),
        Says::ToolCall { name, arguments } => {
            let function = json!({"name": name, "arguments": json_text(arguments)});
            json!({"role": "assistant", "content": null, "refusal": null, "annotations": [],
                "tool_calls": [{"id": call_id(reply), "type": "function", "function": function}]})
        }
    };
    json!({
        "id": format!("chatcmpl-{}", reply.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null,
            "finish_reason": finish_reason(reply)}],
        "usage": usage(reply),
    })
}

fn stream(model: &str, reply: &Reply, with_usage: bool) -> Answer {
    let chunk = json!({
        "id": format!("chatcmpl-{}", reply.id),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
    });
    let mut closing = vec![choice(json!({}), Some(finish_reason(reply)))];
    if with_usage {
        closing.push(json!({"choices": [], "usage": usage(reply)}));
    }
    let (opening, text, delta): (_, _, fn(String) -> Value) = match &reply.says {
        Says::Text(text) => {
            let opening = json!({"role": "assistant", "content": "", "refusal": null});
            (opening, text.clone(), |token| choice(json!({"content": token}), None))
        }
        Says::ToolCall { name, arguments } => {
            let function = json!({"name": name, "arguments": ""});
            let call = json!({"index": 0, "id": call_id(reply), "type": "function", "function": function});
            let opening = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            (opening, json_text(arguments), |token| {
                choice(json!({"tool_calls": [{"index": 0, "function": {"arguments": token}}]}), None)
            })
        }
    };
    let opening = vec![choice(opening, None)];
    let events = Events { opening, tokens: Tokens::of(text), delta, closing: closing.into_iter() };
    events.answer(move |event| finish_chunk(event, &chunk, with_usage), Some("data: [DONE]\n\n"))
}

/// Puts an event's own members into what all chunks have. When usage was asked for, chunks without it say so.
fn finish_chunk(event: Value, chunk: &Value, with_usage: bool) -> Value {
    let mut finished = chunk.clone();
    if let (Some(finished), Value::Object(event)) = (finished.as_object_mut(), event) {
        finished.extend(event);
        if with_usage {
            finished.entry("usage").or_insert(Value::Null);
        }
    }
    finished
}

fn choice(delta: Value, finish_reason: Option<&str>) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]})
}

fn call_id(reply: &Reply) -> String {
    format!("call_{}", reply.id)
}

fn finish_reason(reply: &Reply) -> &'static str {
    match reply.says {
        Says::ToolCall { .. } => "tool_calls",
        Says::Text(_) if reply.truncated => "length",
        Says::Text(_) => "stop",
    }
}

fn usage(reply: &Reply) -> Value {
    json!({
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })
}
