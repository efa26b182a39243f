//! The conversation that a request carries: counts its tool steps, and looks into the arguments of its tool calls.
//! Understands the `messages` of OpenAI and Anthropic and the `input` items of OpenAI's responses; a body without
//! them is no conversation. Values are pulled from the host one by one, so that long texts are not copied.

use tollgate_sdk::body::{self, JsonKind};

use crate::arguments::{ArgumentRules, Refusal};
use crate::denial::Denial;

/// More entries, or more parts of messages, than any model takes.
const MAX_PARTS: u32 = 4096;

/// What a conversation may do.
#[derive(Debug)]
pub(crate) struct ConversationRules {
    /// Tool steps; 0: any number.
    pub(crate) max_steps: u32,
    pub(crate) arguments: ArgumentRules,
}

impl ConversationRules {
    /// Whether there is nothing to check.
    pub(crate) fn are_off(&self) -> bool {
        self.max_steps == 0 && self.arguments.are_off()
    }

    /// Checks the body in hand.
    pub(crate) fn check(&self) -> Result<(), Denial<'static>> {
        for list in ["messages", "input"] {
            let first = body::kind(&format!("/{list}/0"));
            // Embeddings have an `input`, too: of texts or numbers, and there may be many.
            let is_conversation = list == "messages" || first == Some(JsonKind::Object);
            if is_conversation && body::kind(&format!("/{list}")) == Some(JsonKind::Array) {
                Walk { rules: self, list, parts: 0, steps: Steps::default() }.entries()?;
            }
        }
        Ok(())
    }
}

/// A step is a turn in which the model calls tools, however many at once. Turns that only bring results count, too,
/// so that a history without its calls is no way around the limit.
#[derive(Debug, Default)]
struct Steps {
    calls: u32,
    results: u32,
    last: Turn,
}

/// What an entry of the conversation does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Turn {
    #[default]
    Talk,
    /// A message that calls tools.
    Calls,
    /// One call; its neighbours belong to the same turn.
    Call,
    /// One result; its neighbours belong to the same turn.
    Result,
}

impl Steps {
    fn add(&mut self, turn: Turn) {
        match turn {
            Turn::Calls => self.calls += 1,
            Turn::Call if self.last != Turn::Call => self.calls += 1,
            Turn::Result if self.last != Turn::Result => self.results += 1,
            Turn::Talk | Turn::Call | Turn::Result => {}
        }
        self.last = turn;
    }

    fn count(&self) -> u32 {
        self.calls.max(self.results)
    }
}

struct Walk<'a> {
    rules: &'a ConversationRules,
    list: &'static str,
    parts: u32,
    steps: Steps,
}

impl Walk<'_> {
    fn entries(mut self) -> Result<(), Denial<'static>> {
        for index in 0..body::length(&format!("/{}", self.list)).unwrap_or(0) {
            self.count_part()?;
            let turn = self.entry(&format!("/{}/{index}", self.list))?;
            self.steps.add(turn);
            let (steps, limit) = (self.steps.count(), self.rules.max_steps);
            if limit > 0 && steps > limit {
                return Err(Denial::new(
                    429,
                    "max_steps_exceeded",
                    "Too many tool steps",
                    format!("the conversation has more than {limit} tool steps"),
                ));
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &str) -> Result<Turn, Denial<'static>> {
        let mut turn = Turn::Talk;
        for name in body::keys(entry) {
            let pointer = format!("{entry}/{name}");
            let found = match name.as_str() {
                "role" => turn_of_role(body::text(&pointer)),
                "content" => self.content(&pointer)?,
                "tool_calls" => self.tool_calls(&pointer)?,
                "function_call" => self.function_call(&pointer)?,
                "type" => self.item(entry, body::text(&pointer))?,
                _ => Turn::Talk,
            };
            // An entry that calls tools counts as such, whatever else it claims to be.
            turn = if turn == Turn::Talk || found == Turn::Calls { found } else { turn };
        }
        Ok(turn)
    }

    /// OpenAI: `tool_calls: [{function: {name, arguments}}]`.
    fn tool_calls(&mut self, pointer: &str) -> Result<Turn, Denial<'static>> {
        let calls = body::length(pointer).unwrap_or(0);
        for index in 0..calls {
            self.count_part()?;
            self.arguments(&format!("{pointer}/{index}/function/arguments"))?;
        }
        Ok(if calls > 0 { Turn::Calls } else { Turn::Talk })
    }

    /// OpenAI, formerly: `function_call: {name, arguments}`, and null where there was none.
    fn function_call(&self, pointer: &str) -> Result<Turn, Denial<'static>> {
        if body::kind(pointer) != Some(JsonKind::Object) {
            return Ok(Turn::Talk);
        }
        self.arguments(&format!("{pointer}/arguments"))?;
        Ok(Turn::Calls)
    }

    /// Anthropic: blocks of the types `tool_use` and `tool_result`, and those of tools that run at the server.
    fn content(&mut self, pointer: &str) -> Result<Turn, Denial<'static>> {
        if body::kind(pointer) != Some(JsonKind::Array) {
            return Ok(Turn::Talk);
        }
        let mut turn = Turn::Talk;
        for index in 0..body::length(pointer).unwrap_or(0) {
            self.count_part()?;
            let block = format!("{pointer}/{index}");
            let kind = body::text(&format!("{block}/type")).unwrap_or_default();
            if kind.ends_with("tool_use") {
                self.arguments(&format!("{block}/input"))?;
                turn = Turn::Calls;
            } else if kind.ends_with("tool_result") && turn == Turn::Talk {
                turn = Turn::Result;
            }
        }
        Ok(turn)
    }

    /// OpenAI's responses: items of the types `function_call` and `function_call_output`.
    fn item(&self, entry: &str, kind: Option<String>) -> Result<Turn, Denial<'static>> {
        match kind.as_deref() {
            Some("function_call") => self.arguments(&format!("{entry}/arguments")).map(|()| Turn::Call),
            Some("function_call_output") => Ok(Turn::Result),
            _ => Ok(Turn::Talk),
        }
    }

    /// JSON in a text, or a part of the body.
    fn arguments(&self, pointer: &str) -> Result<(), Denial<'static>> {
        let rules = &self.rules.arguments;
        if rules.are_off() {
            return Ok(());
        }
        let outcome = match body::text(pointer) {
            Some(text) => rules.check_text(&text),
            None => rules.check_body(pointer),
        };
        outcome.map_err(|refusal| denial(pointer, refusal))
    }

    fn count_part(&mut self) -> Result<(), Denial<'static>> {
        self.parts += 1;
        match self.parts > MAX_PARTS {
            true => Err(Denial::new(
                413,
                "conversation_too_long",
                "Conversation too long",
                format!("{} has more than {MAX_PARTS} parts", self.list),
            )),
            false => Ok(()),
        }
    }
}

/// OpenAI: the results of tools have a role of their own.
fn turn_of_role(role: Option<String>) -> Turn {
    match role.as_deref() {
        Some("tool" | "function") => Turn::Result,
        _ => Turn::Talk,
    }
}

fn denial(pointer: &str, refusal: Refusal) -> Denial<'static> {
    let place = place(pointer);
    match refusal {
        Refusal::Workspace(why) => {
            Denial::new(403, "workspace_denied", "Path outside the workspace", format!("{place}: {why}"))
        }
        Refusal::Host(why) => Denial::new(403, "host_denied", "Host not allowed", format!("{place}: {why}")),
        Refusal::Unreadable(why) => {
            Denial::new(403, "arguments_unreadable", "Unreadable tool arguments", format!("{place} {why}"))
        }
    }
}

/// `messages[1].content[0].input` for `/messages/1/content/0/input`.
fn place(pointer: &str) -> String {
    let mut place = String::new();
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        match step.parse::<u32>() {
            Ok(index) => place.push_str(&format!("[{index}]")),
            Err(_) if place.is_empty() => place.push_str(step),
            Err(_) => place.push_str(&format!(".{step}")),
        }
    }
    place
}
