//! The conversation that a request carries: counts its tool steps, and looks into the arguments of its tool calls.
//! Understands the `messages` of OpenAI and Anthropic and the `input` items of OpenAI's responses; a body without
//! them is no conversation. Values are pulled from the host one by one, so that long texts are not copied; of
//! an entry, no more than it takes to account for all of its members, since listing their names costs a string each.

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
        if body::kind("/messages") == Some(JsonKind::Array) {
            Walk::new(self, "messages").entries()?;
        }
        // Embeddings have an `input`, too: of texts or numbers, and there may be many.
        let is_conversation = body::kind("/input/0") == Some(JsonKind::Object);
        if is_conversation && body::kind("/input") == Some(JsonKind::Array) {
            Walk::new(self, "input").entries()?;
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
    /// Where the walk is, as a JSON pointer: one text for all of the way.
    pointer: String,
}

/// The members of an entry that say what it does; those of ordinary messages first.
const MEMBERS: [&str; 5] = ["role", "content", "type", "tool_calls", "function_call"];

impl<'a> Walk<'a> {
    fn new(rules: &'a ConversationRules, list: &'static str) -> Self {
        Self { rules, list, parts: 0, steps: Steps::default(), pointer: format!("/{list}") }
    }

    fn entries(mut self) -> Result<(), Denial<'static>> {
        self.each(|walk| {
            let turn = walk.entry()?;
            walk.steps.add(turn);
            let (steps, limit) = (walk.steps.count(), walk.rules.max_steps);
            match limit > 0 && steps > limit {
                true => Err(Denial::new(
                    429,
                    "max_steps_exceeded",
                    "Too many tool steps",
                    format!("the conversation has more than {limit} tool steps"),
                )),
                false => Ok(()),
            }
        })
    }

    /// Goes to each item of the array here.
    fn each(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), Denial<'static>>,
    ) -> Result<(), Denial<'static>> {
        for index in 0..body::length(&self.pointer).unwrap_or(0) {
            self.count_part()?;
            self.at(&index.to_string(), &mut visit)?;
        }
        Ok(())
    }

    /// Goes one step on, and back.
    fn at<R>(&mut self, token: &str, visit: impl FnOnce(&mut Self) -> R) -> R {
        let here = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(token);
        let result = visit(self);
        self.pointer.truncate(here);
        result
    }

    fn entry(&mut self) -> Result<Turn, Denial<'static>> {
        let mut unseen = body::length(&self.pointer).unwrap_or(0);
        let mut turn = Turn::Talk;
        for name in MEMBERS {
            // Of an ordinary message nothing is left after its role and its content.
            if unseen == 0 {
                break;
            }
            let Some(found) = self.at(name, |walk| walk.member(name))? else { continue };
            unseen -= 1;
            // An entry that calls tools counts as such, whatever else it claims to be.
            turn = if turn == Turn::Talk || found == Turn::Calls { found } else { turn };
        }
        Ok(turn)
    }

    /// What the member here says; none if there is none of that name, or of no kind that says something.
    fn member(&mut self, name: &str) -> Result<Option<Turn>, Denial<'static>> {
        match name {
            "role" => Ok(body::text(&self.pointer).map(|role| turn_of_role(&role))),
            "type" => body::text(&self.pointer).map(|kind| self.item(&kind)).transpose(),
            _ => match body::kind(&self.pointer) {
                None => Ok(None),
                Some(JsonKind::Array) if name == "content" => self.content().map(Some),
                Some(JsonKind::Array | JsonKind::Object) if name == "tool_calls" => {
                    self.tool_calls().map(Some)
                }
                Some(JsonKind::Object) if name == "function_call" => self.function_call().map(Some),
                Some(_) => Ok(Some(Turn::Talk)),
            },
        }
    }

    /// OpenAI: `tool_calls: [{function: {name, arguments}}]`.
    fn tool_calls(&mut self) -> Result<Turn, Denial<'static>> {
        let mut turn = Turn::Talk;
        self.each(|walk| {
            turn = Turn::Calls;
            walk.at("function/arguments", |walk| walk.arguments())
        })?;
        Ok(turn)
    }

    /// OpenAI, formerly: `function_call: {name, arguments}`, and null where there was none.
    fn function_call(&mut self) -> Result<Turn, Denial<'static>> {
        self.at("arguments", |walk| walk.arguments())?;
        Ok(Turn::Calls)
    }

    /// Anthropic: blocks of the types `tool_use` and `tool_result`, and those of tools that run at the server.
    fn content(&mut self) -> Result<Turn, Denial<'static>> {
        let mut turn = Turn::Talk;
        self.each(|walk| {
            let kind = walk.at("type", |walk| body::text(&walk.pointer)).unwrap_or_default();
            if kind.ends_with("tool_use") {
                turn = Turn::Calls;
                return walk.at("input", |walk| walk.arguments());
            }
            if kind.ends_with("tool_result") && turn == Turn::Talk {
                turn = Turn::Result;
            }
            Ok(())
        })?;
        Ok(turn)
    }

    /// OpenAI's responses: items of the types `function_call` and `function_call_output`. Here is their type.
    fn item(&mut self, kind: &str) -> Result<Turn, Denial<'static>> {
        match kind {
            "function_call" => {
                let entry = self.pointer.strip_suffix("/type").unwrap_or(&self.pointer);
                self.arguments_at(&format!("{entry}/arguments")).map(|()| Turn::Call)
            }
            "function_call_output" => Ok(Turn::Result),
            _ => Ok(Turn::Talk),
        }
    }

    fn arguments(&self) -> Result<(), Denial<'static>> {
        self.arguments_at(&self.pointer)
    }

    /// JSON in a text, or a part of the body.
    fn arguments_at(&self, pointer: &str) -> Result<(), Denial<'static>> {
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
fn turn_of_role(role: &str) -> Turn {
    match role {
        "tool" | "function" => Turn::Result,
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
