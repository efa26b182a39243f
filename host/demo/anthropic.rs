//! Anthropic's `POST /v1/messages`, with one block of text or one tool use, plain or streamed, and
//! `POST /v1/messages/count_tokens`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::conversation::{Conversation, Text, Tools};
use super::events::Events;
use super::provider::{Answer, Failure, model, parse};
use super::reply::{Reply, Says, json_text};
use super::tokens::{self, Tokens};

#[derive(Deserialize)]
struct MessageRequest {
    #[serde(deserialize_with = "model")]
    model: String,
    messages: Conversation,
    #[serde(default)]
    system: Text,
    tools: Option<Tools>,
    stream: Option<bool>,
    max_tokens: Option<u64>,
}

/// Answers a request for a message.
///
/// # Errors
/// 400 if it is not such a request.
pub(super) fn message(body: &[u8]) -> Result<Answer, Failure> {
    let request = read(body)?;
    let limit = request.max_tokens.ok_or_else(|| Failure::invalid("missing field `max_tokens`"))?;
    let reply = Reply::new(body, request.messages, request.tools, Some(limit));
    if request.stream == Some(true) {
        Ok(stream(&request.model, &reply))
    } else {
        Ok(Answer::json(&shape(&request.model, &reply)))
    }
}

/// Answers a request to count what a message would take.
///
/// # Errors
/// 400 if it is not such a request.
pub(super) fn count_tokens(body: &[u8]) -> Result<Answer, Failure> {
    let request = read(body)?;
    let reply = Reply::new(body, request.messages, request.tools, None);
    Ok(Answer::json(&json!({"input_tokens": reply.input_tokens})))
}

fn read(body: &[u8]) -> Result<MessageRequest, Failure> {
    let mut request: MessageRequest = parse(body)?;
    if request.messages.is_empty {
        return Err(Failure::invalid("messages must not be empty"));
    }
    request.messages.tokens += tokens::count(&request.system.text);
    Ok(request)
}

fn shape(model: &str, reply: &Reply) -> Value {
    let block = match &reply.says {
        Says::Text(text) => json!({"type": "text", "text": text}),
        Says::ToolCall { name, arguments } => tool_use(reply, name, json!(arguments)),
    };
    envelope(model, reply, json!([block]), json!(stop_reason(reply)), reply.output_tokens)
}

fn stream(model: &str, reply: &Reply) -> Answer {
    let (block, text, delta): (_, _, fn(String) -> Value) = match &reply.says {
        Says::Text(text) => (json!({"type": "text", "text": ""}), text.clone(), |token| {
            block_delta(json!({"type": "text_delta", "text": token}))
        }),
        Says::ToolCall { name, arguments } => {
            let delta = |token| block_delta(json!({"type": "input_json_delta", "partial_json": token}));
            (tool_use(reply, name, json!({})), json_text(arguments), delta)
        }
    };
    let opening = vec![
        json!({"type": "message_start", "message": envelope(model, reply, json!([]), Value::Null, 0)}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
    ];
    let closing = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop_reason(reply), "stop_sequence": null},
            "usage": {"output_tokens": reply.output_tokens}}),
        json!({"type": "message_stop"}),
    ];
    Events { opening, tokens: Tokens::of(text), delta, closing: closing.into_iter() }
        .answer(|event| event, None)
}

fn envelope(model: &str, reply: &Reply, content: Value, stop_reason: Value, output_tokens: u64) -> Value {
    json!({
        "id": format!("msg_{}", reply.id),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {
            "input_tokens": reply.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        },
    })
}

fn block_delta(delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": delta})
}

fn tool_use(reply: &Reply, name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_{}", reply.id), "name": name, "input": input})
}

fn stop_reason(reply: &Reply) -> &'static str {
    match reply.says {
        Says::ToolCall { .. } => "tool_use",
        Says::Text(_) if reply.truncated => "max_tokens",
        Says::Text(_) => "end_turn",
    }
}
