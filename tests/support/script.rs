//! Filters that a test writes in place: a body of WebAssembly text for each phase, on top of `tests/guests/prelude.wat`.
//! In a body, `"text"` stands for the address and the length of that text.

use std::path::{Path, PathBuf};

use super::guest;

/// A filter in the making.
#[derive(Debug, Clone)]
pub struct Script {
    name: String,
    phases: Vec<(&'static str, String)>,
    allocator: String,
    more: String,
}

/// Interface, function, parameters, result, and the answer of a body that comes to its end.
type Signature = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// The first case of a variant: `ok`, `accept`, `pass`.
const FIRST: &str = "(call $variant (i32.const 0) (i32.const 0) (i32.const 0))";

const PHASES: [Signature; 8] = [
    ("lifecycle", "configure", "(param $config i32) (param $size i32)", "(result i32)", FIRST),
    ("on-request", "on-request", "", "(result i32)", "(i32.const 0)"),
    ("on-request-body", "on-request-body", "", "(result i32)", "(i32.const 0)"),
    ("on-attempt", "before-attempt", "(param $number i32)", "(result i32)", "(i32.const 0)"),
    (
        "on-attempt",
        "after-attempt",
        "(param $number i32) (param $outcome i32) (param $status i32) (param $elapsed i64)",
        "(result i32)",
        FIRST,
    ),
    ("on-response", "on-response", "", "(result i32)", "(i32.const 0)"),
    (
        "on-response-chunk",
        "on-response-chunk",
        "(param $chunk i32) (param $size i32) (param $last i32)",
        "(result i32)",
        FIRST,
    ),
    ("on-complete", "on-complete", "(param $ending i32) (param $elapsed i64)", "", ""),
];

/// Where literals begin in the guest's memory.
const LITERALS: usize = 1024;

impl Script {
    /// A filter of that name, without a phase yet.
    pub fn new(name: &str) -> Self {
        let allocator = "(call $allocate (local.get $align) (local.get $size))".into();
        Self { name: name.into(), phases: Vec::new(), allocator, more: String::new() }
    }

    /// The same filter under another name.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Adds a phase, by its function's name. The body may use the phase's parameters, the locals `$i`, `$j` (i32), `$n`
    /// (i64), and all of the prelude; it returns its answer, or goes on by coming to its end.
    pub fn on(mut self, phase: &'static str, body: &str) -> Self {
        self.phases.push((phase, body.into()));
        self
    }

    /// Puts another body in the place of a phase's.
    pub fn instead(mut self, phase: &'static str, body: &str) -> Self {
        self.phases.retain(|(known, _)| *known != phase);
        self.on(phase, body)
    }

    /// Puts something before the body of a phase.
    pub fn first(mut self, phase: &'static str, body: &str) -> Self {
        self.phases
            .iter_mut()
            .filter(|(known, _)| *known == phase)
            .for_each(|(_, rest)| rest.insert_str(0, body));
        self
    }

    /// Another body for `cabi_realloc`, with the parameters `$old`, `$old_size`, `$align`, `$size`.
    pub fn allocator(mut self, body: &str) -> Self {
        self.allocator = body.into();
        self
    }

    /// Adds definitions to the module.
    pub fn with(mut self, definitions: &str) -> Self {
        self.more.push_str(definitions);
        self
    }

    /// The module's text.
    pub fn text(&self) -> String {
        let mut literals = Vec::new();
        let mut functions = String::new();
        for (interface, phase, parameters, result, end) in PHASES {
            let body = self.phases.iter().find(|(known, _)| *known == phase).map(|(_, body)| body.as_str());
            if body.is_none() && !self.interfaces().contains(&interface) {
                continue;
            }
            let body = addressed(body.unwrap_or(""), &mut literals);
            let full = format!("tollgate:filter/{interface}@0.1.0#{phase}");
            // What the host has put into memory for the call must stay until it is over.
            let takes_memory = matches!(phase, "configure" | "on-response-chunk");
            let begin = if takes_memory { "" } else { "(call $begin)" };
            functions.push_str(&format!(
                "(func (export \"{full}\") {parameters} {result} (local $i i32) (local $j i32) (local $n i64)\n{begin}\n{body}\n{end})\n"
            ));
            if takes_memory {
                functions
                    .push_str(&format!("(func (export \"cabi_post_{full}\") (param i32) (call $begin))\n"));
            }
        }
        let prelude = include_str!("../guests/prelude.wat");
        let (allocator, more) =
            (addressed(&self.allocator, &mut literals), addressed(&self.more, &mut literals));
        let data: String = literals.iter().map(|byte| format!("\\{byte:02x}")).collect();
        assert!(literals.len() < 7168, "literals of {} do not fit", self.name);
        format!(
            "(module\n{prelude}\n(func (export \"cabi_realloc\") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) \
             (result i32)\n{allocator})\n(data (i32.const {LITERALS}) \"{data}\")\n{more}\n{functions})"
        )
    }

    fn interfaces(&self) -> Vec<&'static str> {
        let exported =
            PHASES.iter().filter(|(_, phase, ..)| self.phases.iter().any(|(known, _)| known == phase));
        let mut interfaces: Vec<_> = exported.map(|(interface, ..)| *interface).collect();
        interfaces.dedup();
        interfaces
    }

    /// Builds it; the path of the module.
    pub fn build(&self) -> PathBuf {
        guest::build_text(&self.name, &self.text(), &self.interfaces())
    }

    /// Its place in a manifest's `filters:`, with further keys, each on a line of its own. If they set no limits, the
    /// filter has much time: on a busy machine, one that is not about limits must not pass them.
    pub fn entry(&self, keys: &str) -> String {
        let limits = if keys.contains("limits:") { "" } else { "\nlimits: {time: 5s}" };
        entry(&self.name, &self.build(), &format!("{keys}{limits}"))
    }
}

/// A filter's place in a manifest's `filters:`.
pub fn entry(name: &str, component: &Path, keys: &str) -> String {
    let keys: String =
        keys.lines().filter(|line| !line.is_empty()).map(|line| format!("    {}\n", line.trim())).collect();
    format!("  - name: {name}\n    component: \"{}\"\n{keys}", component.display())
}

/// A manifest's `filters:`.
pub fn chain(entries: &[String]) -> String {
    format!("filters:\n{}", entries.concat())
}

/// The body with an address and a length in the place of each `"text"`.
fn addressed(body: &str, literals: &mut Vec<u8>) -> String {
    let mut addressed = String::new();
    for (number, part) in body.split('"').enumerate() {
        if number % 2 == 0 {
            addressed.push_str(part);
        } else {
            addressed.push_str(&format!(
                "(i32.const {}) (i32.const {})",
                LITERALS + literals.len(),
                part.len()
            ));
            literals.extend_from_slice(part.as_bytes());
        }
    }
    addressed
}
