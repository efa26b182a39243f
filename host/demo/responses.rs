//! OpenAI's `POST /v1/responses`: one output item, a message or a function call, plain or streamed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::conversation::{Conversation, Text, Tools};
use super::events::Events;
use super::provider::{Answer, Failure, model, parse};
use super::reply::{CREATED, Reply, Says, json_text};
use super::tokens::{self, Tokens};

#[derive(Deserialize)]
struct ResponseRequest {
    #[serde(deserialize_with = "model")]
    model: String,
    input: Conversation,
    #[serde(default)]
    instructions: Text,
    tools: Option<Tools>,
    stream: Option<bool>,
    max_output_tokens: Option<u64>,
}

/// The event for a token of the item with this id.
type Delta = fn(&str, String) -> Value;

/// An event that says again what was said.
type Closing = fn(&Response) -> Value;

/// Answers a request with this body.
///
/// # Errors
/// 400 if it is not such a request.
pub(super) fn respond(body: &[u8]) -> Result<Answer, Failure> {
    let mut request: ResponseRequest = parse(body)?;
    request.input.tokens += tokens::count(&request.instructions.text);
    let limit = request.max_output_tokens;
    let reply = Reply::new(body, request.input, request.tools, limit);
    let response = Response { model: request.model, limit, reply };
    if request.stream == Some(true) { Ok(response.stream()) } else { Ok(Answer::json(&response.finished())) }
}

struct Response {
    model: String,
    limit: Option<u64>,
    reply: Reply,
}

impl Response {
    fn stream(self) -> Answer {
        let item = self.item_id();
        let mut opening = vec![
            json!({"type": "response.created", "response": self.begun()}),
            json!({"type": "response.in_progress", "response": self.begun()}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": self.item_begun()}),
        ];
        let (text, delta, closing): (_, Delta, &[Closing]) = match &self.reply.says {
            Says::Text(text) => {
                opening.push(self.part_added());
                let closing = &[Self::text_done, Self::part_done, Self::item_done, Self::response_done];
                (text.clone(), text_delta, closing)
            }
            Says::ToolCall { arguments, .. } => {
                let closing = &[Self::arguments_done, Self::item_done, Self::response_done];
                (json_text(arguments), arguments_delta, closing)
            }
        };
        let delta = move |token| delta(&item, token);
        let closing = closing.iter().map(move |event| event(&self)); // each repeats the text: one at a time
        let mut number = 0;
        Events { opening, tokens: Tokens::of(text), delta, closing }.answer(
            move |mut event| {
                if let Some(event) = event.as_object_mut() {
                    event.insert("sequence_number".into(), json!(number));
                }
                number += 1;
                event
            },
            None,
        )
    }

    fn part_added(&self) -> Value {
        json!({"type": "response.content_part.added", "item_id": self.item_id(), "output_index": 0,
            "content_index": 0, "part": part("")})
    }

    fn text_done(&self) -> Value {
        json!({"type": "response.output_text.done", "item_id": self.item_id(), "output_index": 0,
            "content_index": 0, "text": self.text(), "logprobs": []})
    }

    fn part_done(&self) -> Value {
        json!({"type": "response.content_part.done", "item_id": self.item_id(), "output_index": 0,
            "content_index": 0, "part": part(&self.text())})
    }

    fn arguments_done(&self) -> Value {
        let name = match &self.reply.says {
            Says::ToolCall { name, .. } => name.as_str(),
            Says::Text(_) => "",
        };
        json!({"type": "response.function_call_arguments.done", "item_id": self.item_id(), "output_index": 0,
            "name": name, "arguments": self.text()})
    }

    fn item_done(&self) -> Value {
        json!({"type": "response.output_item.done", "output_index": 0, "item": self.item()})
    }

    fn response_done(&self) -> Value {
        json!({"type": format!("response.{}", self.status()), "response": self.finished()})
    }

    /// The response before anything was said.
    fn begun(&self) -> Value {
        self.shape("in_progress", json!([]), Value::Null, Value::Null)
    }

    /// The response when everything was said.
    fn finished(&self) -> Value {
        let reply = &self.reply;
        let usage = json!({
            "input_tokens": reply.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": reply.total_tokens(),
        });
        let reason = if reply.truncated { json!({"reason": "max_output_tokens"}) } else { Value::Null };
        self.shape(self.status(), json!([self.item()]), reason, usage)
    }

    fn shape(&self, status: &str, output: Value, incomplete: Value, usage: Value) -> Value {
        json!({
            "id": format!("resp_{}", self.reply.id),
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": null,
            "incomplete_details": incomplete,
            "instructions": null,
            "max_output_tokens": self.limit,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": false,
            "previous_response_id": null,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
        })
    }

    fn item_begun(&self) -> Value {
        match &self.reply.says {
            Says::Text(_) => self.message("in_progress", json!([])),
            Says::ToolCall { name, .. } => self.function_call("in_progress", name, ""),
        }
    }

    fn item(&self) -> Value {
        match &self.reply.says {
            Says::Text(text) => self.message(self.status(), json!([part(text)])),
            Says::ToolCall { name, .. } => self.function_call("completed", name, &self.text()),
        }
    }

    fn message(&self, status: &str, content: Value) -> Value {
        json!({"id": self.item_id(), "type": "message", "status": status, "role": "assistant",
            "content": content})
    }

    fn function_call(&self, status: &str, name: &str, arguments: &str) -> Value {
        json!({"id": self.item_id(), "type": "function_call", "status": status,
            "call_id": format!("call_{}", self.reply.id), "name": name, "arguments": arguments})
    }

    fn item_id(&self) -> String {
        let prefix = match self.reply.says {
            Says::Text(_) => "msg",
            Says::ToolCall { .. } => "fc",
        };
        format!("{prefix}_{}", self.reply.id)
    }

    /// What the deltas add up to.
    fn text(&self) -> String {
        match &self.reply.says {
            Says::Text(text) => text.clone(),
            Says::ToolCall { arguments, .. } => json_text(arguments),
        }
    }

    fn status(&self) -> &'static str {
        if self.reply.truncated { "incomplete" } else { "completed" }
    }
}

fn text_delta(item: &str, token: String) -> Value {
    json!({"type": "response.output_text.delta", "item_id": item, "output_index": 0, "content_index": 0,
        "delta": token, "logprobs": []})
}

fn arguments_delta(item: &str, token: String) -> Value {
    json!({"type": "response.function_call_arguments.delta", "item_id": item, "output_index": 0,
        "delta": token})
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}
