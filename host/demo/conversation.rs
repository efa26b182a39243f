//! What a request to a language model asks, as far as the demo upstream needs to know: who spoke last and
//! what they said, how many tokens there are, and which tools are on offer. One reader serves the message
//! lists of all three APIs. Messages are folded as they are parsed and not kept, so that memory stays near
//! the size of the longest one.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::tokens;

/// What waits for a reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// Neither a user nor a tool has said anything.
    #[default]
    Nobody,
    /// The user's last message.
    User(String),
    /// The result of a tool that was called after the user's last message.
    Tool(String),
}

/// A list of messages, read from a JSON array of them, or from a string that is the user's only message.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) turn: Turn,
    /// The tokens of all messages.
    pub(super) tokens: u64,
    /// Whether there is no message at all.
    pub(super) is_empty: bool,
}

/// A chat message, or an item of a response's input.
#[derive(Deserialize)]
struct Message {
    role: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    content: Text,
    #[serde(default)]
    output: Text,
}

impl Conversation {
    fn add(&mut self, message: Message) {
        let Message { role, kind, content, output } = message;
        self.tokens += tokens::count(&content.text) + tokens::count(&output.text);
        let role = role.as_deref();
        if kind.as_deref().is_some_and(|kind| kind.ends_with("_call_output")) {
            self.turn = Turn::Tool(output.text);
        } else if role == Some("tool") || content.is_tool_result {
            self.turn = Turn::Tool(content.text);
        } else if role == Some("user") {
            self.turn = Turn::User(content.text);
        }
    }
}

impl<'de> Deserialize<'de> for Conversation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Messages;
        impl<'de> Visitor<'de> for Messages {
            type Value = Conversation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("messages")
            }

            fn visit_str<E>(self, text: &str) -> Result<Conversation, E> {
                Ok(Conversation {
                    turn: Turn::User(text.to_owned()),
                    tokens: tokens::count(text),
                    is_empty: false,
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<Conversation, A::Error> {
                let mut conversation = Conversation { is_empty: true, ..Conversation::default() };
                while let Some(message) = messages.next_element()? {
                    conversation.is_empty = false;
                    conversation.add(message);
                }
                Ok(conversation)
            }
        }
        deserializer.deserialize_any(Messages)
    }
}

/// The text of a message's content: nothing, a string, a part or a list of parts; parts without text, such as
/// images, say nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    is_tool_result: bool,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    #[serde(default)]
    content: Text,
}

impl Text {
    fn add(&mut self, part: Part) {
        self.is_tool_result |= part.kind.as_deref() == Some("tool_result");
        for text in part.text.iter().chain([&part.content.text]).filter(|text| !text.is_empty()) {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(text);
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or content parts")
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text::default())
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text { text: text.to_owned(), is_tool_result: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, part: A) -> Result<Text, A::Error> {
                let mut content = Text::default();
                content.add(Part::deserialize(MapAccessDeserializer::new(part))?);
                Ok(content)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text, A::Error> {
                let mut content = Text::default();
                while let Some(part) = parts.next_element()? {
                    content.add(part);
                }
                Ok(content)
            }
        }
        deserializer.deserialize_any(Parts)
    }
}

/// The tools on offer: the names, and the tokens of names and descriptions.
#[derive(Debug, Default)]
pub(super) struct Tools {
    pub(super) names: HashSet<String>,
    pub(super) tokens: u64,
}

/// A tool; chat completions wrap what the other APIs have at the top.
#[derive(Deserialize)]
struct Tool {
    name: Option<String>,
    description: Option<String>,
    function: Option<Box<Tool>>,
}

impl Tools {
    fn add(&mut self, tool: Tool) {
        let tool = tool.function.map_or_else(|| (tool.name, tool.description), |f| (f.name, f.description));
        let (name, description) = tool;
        self.tokens +=
            [&name, &description].into_iter().flatten().map(|text| tokens::count(text)).sum::<u64>();
        self.names.extend(name);
    }
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Tools;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tools")
            }

            fn visit_unit<E>(self) -> Result<Tools, E> {
                Ok(Tools::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tools, A::Error> {
                let mut tools = Tools::default();
                while let Some(tool) = list.next_element()? {
                    tools.add(tool);
                }
                Ok(tools)
            }
        }
        deserializer.deserialize_any(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(json: &str) -> Turn {
        serde_json::from_str::<Conversation>(json).unwrap().turn
    }

    #[test]
    fn the_last_turn_is_found_in_each_providers_messages() {
        let user = |text: &str| Turn::User(text.into());
        let tool = |text: &str| Turn::Tool(text.into());
        for (json, expected) in [
            (r#""hi""#, user("hi")),
            ("[]", Turn::Nobody),
            (r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#, user("a")),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]}]"#,
                user("a\nb"),
            ),
            (
                r#"[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"c"}]"#,
                tool("c"),
            ),
            (
                r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"d"}]}]}]"#,
                tool("d"),
            ),
            (r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"e"}]}]"#, user("e")),
            (
                r#"[{"type":"function_call","name":"f","arguments":"{}"},{"type":"function_call_output","output":"g"}]"#,
                tool("g"),
            ),
        ] {
            assert_eq!(turn(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let deep = format!("[{}", r#"{"role":"user","content":["#.repeat(100_000));
        for json in ["1", "{}", r#"[1]"#, r#"[{"content":1}]"#, r#"[{"content":["x"]}]"#, &deep] {
            assert!(serde_json::from_str::<Conversation>(json).is_err());
        }
    }
}
