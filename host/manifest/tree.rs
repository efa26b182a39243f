//! YAML text as a tree whose every node knows its place. Anchors share nodes instead of copying them; what an alias
//! would expand to is counted, as are depth and size, so that no text takes more than its share of time or memory.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::mistake::{Fault, Findings, Position, quoted};
use super::scalar::{Form, Scalar};
use super::substitution::substitute;

/// The longest manifest that is read, in bytes, and how much the environment may add to it.
const LONGEST: usize = 1 << 20;
/// Lists and mappings within each other: everything that reads the tree recurses.
const DEEPEST: usize = 64;
/// Nodes that all aliases together may stand for.
const ALIASED: usize = 100_000;

/// A value with its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) content: Content,
    /// Nodes in it, itself included, aliases expanded.
    size: usize,
    /// Collections in each other; 0 for a scalar.
    height: usize,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    /// Keys are scalars, each there once, and never typed.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
    /// What was there is a mistake, and was reported.
    Wrong,
}

/// Reads the one document in `text`; none if it is not YAML, or too much of it, which is a finding. What is returned
/// is to be read on for further mistakes, even if there were findings.
pub(super) fn read(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    findings: &Findings,
) -> Option<Rc<Node>> {
    let mut builder = Builder::new(env, findings);
    match check_characters(text).and_then(|()| builder.read(text)) {
        Ok(Some(root)) => return Some(root),
        Ok(None) => {
            let fault =
                Fault::new("the manifest is empty").help("it needs `version`, `listeners` and `routes`");
            findings.add(Position { line: 1, column: 1 }, fault);
        }
        Err((at, fault)) => findings.add(at, fault),
    }
    None
}

/// What ends the reading, and where.
type Failure = (Position, Fault);

/// The parser takes NUL for the end, and the others are no YAML either.
fn check_characters(text: &str) -> Result<(), Failure> {
    if text.len() > LONGEST {
        let fault = Fault::new(format!("the manifest has {} bytes", text.len())).help("it may have 1 MiB");
        return Err((Position { line: 1, column: 1 }, fault));
    }
    let allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some((index, wrong)) = text.char_indices().find(|(_, c)| !allowed(*c)) else { return Ok(()) };
    let before = text[..index].replace("\r\n", "\n");
    let line_start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let at = Position {
        line: before.matches(['\n', '\r']).count() + 1,
        column: before[line_start..].chars().count() + 1,
    };
    let fault = Fault::new(format!("not YAML: the control character U+{:04X}", u32::from(wrong)))
        .help("write it as an escape in double quotes, if it is meant");
    Err((at, fault))
}

struct Builder<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    findings: &'a Findings,
    /// Bytes of variables' values that may still be put in.
    budget: usize,
    /// Nodes that aliases stood for so far.
    aliased: usize,
    anchors: HashMap<usize, Rc<Node>>,
    open: Vec<Open>,
    root: Option<Rc<Node>>,
}

/// A collection that has not ended.
struct Open {
    at: Position,
    anchor: usize,
    size: usize,
    height: usize,
    items: Items,
}

enum Items {
    Sequence(Vec<Rc<Node>>),
    Mapping { entries: Vec<(Rc<Node>, Rc<Node>)>, seen: HashMap<String, Position>, key: Key },
}

/// The key of the entry that is being read.
enum Key {
    Awaited,
    Given(Rc<Node>),
    /// It was a mistake; its value is read, and dropped.
    Wrong,
}

impl<'a> Builder<'a> {
    fn new(env: &'a dyn Fn(&str) -> Option<String>, findings: &'a Findings) -> Builder<'a> {
        Builder {
            env,
            findings,
            budget: LONGEST,
            aliased: 0,
            anchors: HashMap::new(),
            open: Vec::new(),
            root: None,
        }
    }

    fn read(&mut self, text: &str) -> Result<Option<Rc<Node>>, Failure> {
        let mut documents = 0;
        // Event by event: the parser's own loader recurses without a bound.
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(syntax_error)?;
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 {
                    let fault =
                        Fault::new("a second document begins here").help("a manifest is one document");
                    return Err((position(span.start), fault));
                }
            }
            self.take(event, span)?;
        }
        Ok(self.root.take())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Failure> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // A value that is not there has no place of its own: its key has.
                let absent = text.is_empty() && style == ScalarStyle::Plain;
                let at = self.key_position().filter(|_| absent).unwrap_or(at);
                let form = self.form(at, style, tag.as_deref());
                let content = self.scalar(at, text.into_owned(), form, tag.is_some());
                self.finish(Node { at, content, size: 1, height: 0 }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), Items::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let items = Items::Mapping { entries: Vec::new(), seen: HashMap::new(), key: Key::Awaited };
                self.begin(at, anchor, tag.as_deref(), items)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(at, anchor)?,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, tag: Option<&Tag>, items: Items) -> Result<(), Failure> {
        if self.open.len() == DEEPEST {
            return Err((at, too_deep()));
        }
        if let Some(tag) = tag {
            self.findings.add(at, unknown_tag(tag));
        }
        self.open.push(Open { at, anchor, size: 1, height: 1, items });
        Ok(())
    }

    fn end(&mut self) {
        let Some(Open { at, anchor, size, height, items }) = self.open.pop() else { return };
        let content = match items {
            Items::Sequence(items) => Content::Sequence(items),
            Items::Mapping { entries, .. } => Content::Mapping(entries),
        };
        self.finish(Node { at, content, size, height }, anchor);
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<(), Failure> {
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            return Err((
                at,
                Fault::new("an alias inside of what it stands for").help("write the value out"),
            ));
        };
        self.aliased += node.size;
        if self.aliased > ALIASED {
            let fault = Fault::new("the aliases up to here stand for too much");
            return Err((at, fault.help(format!("they may stand for {ALIASED} values in all"))));
        }
        if self.open.len() + node.height > DEEPEST {
            return Err((at, too_deep()));
        }
        self.attach(node);
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) {
        let node = Rc::new(node);
        // 0 is the parser's word for no anchor.
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node);
    }

    /// Puts a finished node into the collection around it.
    fn attach(&mut self, node: Rc<Node>) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.size += node.size;
        open.height = open.height.max(node.height + 1);
        match &mut open.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, seen, key } => match std::mem::replace(key, Key::Awaited) {
                Key::Given(name) => entries.push((name, node)),
                Key::Wrong => {}
                Key::Awaited => *key = take_key(node, seen, self.findings),
            },
        }
    }

    fn form(&self, at: Position, style: ScalarStyle, tag: Option<&Tag>) -> Form {
        match tag {
            None if style == ScalarStyle::Plain => Form::Plain,
            None => Form::Quoted,
            Some(tag) => {
                if !(tag.is_yaml_core_schema() && tag.suffix == "str") {
                    self.findings.add(at, unknown_tag(tag));
                }
                Form::Quoted
            }
        }
    }

    /// Keys are left as they are: a variable replaces a value, never the structure around it.
    fn scalar(&mut self, at: Position, text: String, form: Form, tagged: bool) -> Content {
        if self.awaits_key() || !text.contains("${") {
            return Content::Scalar(Scalar { text, form, variables: Vec::new() });
        }
        match substitute(&text, self.env, &mut self.budget) {
            Ok(result) => {
                let form = if result.replaced && !tagged { Form::Replaced } else { form };
                Content::Scalar(Scalar { text: result.text, form, variables: result.variables })
            }
            Err(faults) => {
                faults.into_iter().for_each(|fault| self.findings.add(at, fault));
                Content::Wrong
            }
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { items: Items::Mapping { key: Key::Awaited, .. }, .. }))
    }

    fn key_position(&self) -> Option<Position> {
        match self.open.last() {
            Some(Open { items: Items::Mapping { key: Key::Given(name), .. }, .. }) => Some(name.at),
            _ => None,
        }
    }
}

fn take_key(node: Rc<Node>, seen: &mut HashMap<String, Position>, findings: &Findings) -> Key {
    let Content::Scalar(scalar) = &node.content else {
        findings.add(node.at, Fault::new("a list or a mapping cannot be a key").help("a key is a word"));
        return Key::Wrong;
    };
    if let Some(first) = seen.get(&scalar.text) {
        let fault = Fault::new(format!("the key {} is there twice", quoted(&scalar.text)));
        findings.add(node.at, fault.help(format!("it was first given on line {}", first.line)));
        return Key::Wrong;
    }
    seen.insert(scalar.text.clone(), node.at);
    Key::Given(node)
}

fn too_deep() -> Fault {
    Fault::new("nested too deeply").help(format!("lists and mappings may be {DEEPEST} deep"))
}

fn unknown_tag(tag: &Tag) -> Fault {
    let name = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
    Fault::new(format!("the tag {} is not known", quoted(&name))).help("leave it out, or use `!!str`")
}

fn syntax_error(error: ScanError) -> Failure {
    let fault = Fault::new(format!("not YAML: {}", error.info()));
    let fault = if error.info().contains("tab") {
        fault.help("indent with spaces")
    } else if error.info().contains("mapping values are not allowed") {
        fault.help("put text that has `: ` in it in quotes")
    } else {
        fault
    };
    (position(*error.marker()), fault)
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}
