//! What the demo upstream says, before a provider's API gives it a shape.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::conversation::{Conversation, Tools, Turn};
use super::tokens;

/// The longest arguments that a user's message can give to a tool call, in bytes.
const ARGUMENTS_LIMIT: usize = 64 << 10;

/// When every answer was made, in seconds since 1970 (the start of 2025): the same request gets the same
/// bytes.
pub(super) const CREATED: u64 = 1_735_689_600;

/// The same as [`CREATED`], as RFC 3339 writes it.
pub(super) const CREATED_AT: &str = "2025-01-01T00:00:00Z";

/// A reply with its usage.
#[derive(Debug)]
pub(super) struct Reply {
    /// 24 hexadecimal digits that depend on the request's body only.
    pub(super) id: String,
    pub(super) says: Says,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Whether the limit on output tokens cut it.
    pub(super) truncated: bool,
}

/// A reply's content.
#[derive(Debug, PartialEq)]
pub(super) enum Says {
    Text(String),
    ToolCall { name: String, arguments: Map<String, Value> },
}

impl Reply {
    /// The reply to a request with this body, of at most `limit` tokens if it is text.
    pub(super) fn new(
        body: &[u8],
        conversation: Conversation,
        tools: Option<Tools>,
        limit: Option<u64>,
    ) -> Self {
        let tools = tools.unwrap_or_default();
        let input_tokens = conversation.tokens + tools.tokens;
        let mut says = Says::in_turn(conversation.turn, &tools);
        let truncated = match (&mut says, limit) {
            (Says::Text(text), Some(limit)) => tokens::truncate(text, limit),
            _ => false,
        };
        Self { id: id(body), input_tokens, output_tokens: says.tokens(), truncated, says }
    }

    /// The sum of both usages.
    pub(super) fn total_tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

impl Says {
    fn in_turn(turn: Turn, tools: &Tools) -> Self {
        match turn {
            Turn::Nobody => Self::Text("You said nothing.".into()),
            Turn::Tool(result) => Self::Text(format!("The tool answered: {result}")),
            Turn::User(text) => {
                tool_call(&text, tools).unwrap_or_else(|| Self::Text(format!("You said: {text}")))
            }
        }
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens::count(text),
            Self::ToolCall { name, arguments } => tokens::count(name) + tokens::count(&json_text(arguments)),
        }
    }
}

/// A tool call's arguments as the text that OpenAI's API has for them.
pub(super) fn json_text(arguments: &Map<String, Value>) -> String {
    serde_json::to_string(arguments).unwrap_or_default() // a map with string keys is always JSON
}

/// The call that a message asks for: the first `call NAME` whose name is that of a tool.
fn tool_call(text: &str, tools: &Tools) -> Option<Says> {
    if tools.names.is_empty() {
        return None;
    }
    text.match_indices("call ").find_map(|(at, call)| {
        let rest = text[at + call.len()..].trim_start();
        let end = rest.find(|c: char| c.is_whitespace() || c == '{').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let name = tools.names.get(name)?.clone();
        let rest = &rest[..rest.floor_char_boundary(ARGUMENTS_LIMIT)];
        let arguments = serde_json::Deserializer::from_str(rest).into_iter().next();
        Some(Says::ToolCall { name, arguments: arguments.and_then(Result::ok).unwrap_or_default() })
    })
}

fn id(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(12).fold(String::new(), |mut id, byte| {
        let _infallible = write!(id, "{byte:02x}");
        id
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(text: &str) -> Says {
        let tools = Tools { names: ["weather".to_owned()].into(), tokens: 0 };
        Says::in_turn(Turn::User(text.into()), &tools)
    }

    #[test]
    fn a_tool_is_called_with_the_json_that_follows_its_name() {
        let call = |arguments: Value| Says::ToolCall {
            name: "weather".into(),
            arguments: arguments.as_object().unwrap().clone(),
        };
        assert_eq!(says(r#"please call weather {"city": "Zürich"} now"#), call(json!({"city": "Zürich"})));
        assert_eq!(says(r#"call weather{"days":2}"#), call(json!({"days": 2})));
        assert_eq!(says("call me, then call weather"), call(json!({})));
        assert_eq!(says("call weather {broken"), call(json!({})));
        assert_eq!(says("call weather [1]"), call(json!({})));
        let long = format!(r#"call weather {{"x":"{}"}}"#, "x".repeat(ARGUMENTS_LIMIT));
        assert_eq!(says(&long), call(json!({})));
        assert_eq!(says("call whether {}"), Says::Text("You said: call whether {}".into()));
    }

    #[test]
    fn text_is_cut_at_the_limit_and_counted() {
        let conversation = |text| serde_json::from_value::<Conversation>(json!(text)).unwrap();
        let reply = Reply::new(b"", conversation("hello"), None, Some(2));
        assert_eq!(
            (reply.says, reply.output_tokens, reply.truncated),
            (Says::Text("You said".into()), 2, true)
        );
        let reply = Reply::new(b"", conversation("hello"), None, None);
        assert_eq!((reply.input_tokens, reply.output_tokens, reply.truncated), (2, 5, false));
        assert_eq!(reply.id, "e3b0c44298fc1c149afbf4c8");
    }
}
