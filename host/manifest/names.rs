//! What the manifest defines under a name, and the references to it.

use std::collections::HashMap;

use super::mistake::{Fault, Findings, Position, quoted, suggestion};

/// The names of one kind of things, in the manifest's order.
pub(super) struct Names {
    kind: &'static str,
    places: HashMap<String, (usize, Position)>,
    taken: usize,
    unread: bool,
}

impl Names {
    /// No names so far; `unread` says that there are things whose names could not be read.
    pub(super) fn new(kind: &'static str, unread: bool) -> Self {
        Self { kind, places: HashMap::new(), taken: 0, unread }
    }

    /// How many things there are, those without a name that could be read included.
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Takes the name of the next thing; none if it is a mistake.
    pub(super) fn push(&mut self, name: Option<(&str, Position)>, findings: &Findings) {
        let index = self.taken;
        self.taken += 1;
        let Some((name, at)) = name else {
            self.unread = true;
            return;
        };
        if let Some((_, first)) = self.places.get(name) {
            let fault = Fault::new(format!("there is a {} {} already", self.kind, quoted(name)));
            findings.add(at, fault.help(format!("the first is in line {}", first.line)));
        } else {
            self.places.insert(name.to_owned(), (index, at));
        }
    }

    /// The index of what a reference refers to. None is a mistake, unless a thing whose name could not be read may
    /// have been meant.
    pub(super) fn find(&self, name: &str, at: Position, findings: &Findings) -> Option<usize> {
        let index = self.places.get(name).map(|(index, _)| *index);
        if index.is_none() && !self.unread {
            let fault = Fault::new(format!("there is no {} {}", self.kind, quoted(name)));
            // A suggestion compares all names: too much work for a mistake that is only counted.
            let fault = if findings.is_full() { fault } else { fault.help(suggestion(name, &self.sorted())) };
            findings.add(at, fault);
        }
        index
    }

    fn sorted(&self) -> Vec<&str> {
        let mut names: Vec<_> =
            self.places.iter().map(|(name, (index, _))| (*index, name.as_str())).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }
}
