//! Reads JSON (RFC 8259) that has one meaning only, for the host and for filters: a name that an object has twice is
//! refused, because one parser takes the first value and another the last.
//!
//! A [`Document`] is its text and a flat list of places in it, twelve bytes each: nothing is copied or decoded until it is
//! asked for, and letting it go frees one allocation. Of a chat request of 1 KiB it takes 0.5 µs to make natively, where
//! a tree of `serde_json` values takes 3.4; a lookup takes 0.1 µs, a walk from the root without hashing.

mod lookup;
mod read;
mod text;
mod value;

pub use read::{MAX_DEPTH, ReadError};
pub use text::prefix;
pub use value::{Items, Kind, Members, Value};

use std::cell::RefCell;

/// A text that was read as JSON.
#[derive(Debug, Default)]
pub struct Document<T> {
    text: T,
    entries: Vec<Entry>,
    values: usize,
    objects: usize,
    trail: RefCell<lookup::Trail>,
}

/// Where a value, or the name of a member, is.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    /// A text that has escapes in it.
    is_escaped: bool,
    /// Of a scalar, where its text begins: of a string, without quotes. Of an array or object, how many items or members.
    first: u32,
    /// Of a scalar, where its text ends. Of an array or object, the number of the entry after its last one.
    second: u32,
}

impl<T: AsRef<[u8]>> Document<T> {
    /// The document in `text`, if it has at most `max_values` values, arrays and objects included.
    ///
    /// # Errors
    /// Why this is no JSON with one meaning, or too much of it. What was read takes at most 24 bytes a value until then.
    pub fn read(text: T, max_values: usize) -> Result<Self, ReadError> {
        let read::Outcome { entries, values, objects } = read::read(text.as_ref(), max_values)?;
        Ok(Self { text, entries, values, objects, trail: RefCell::default() })
    }

    /// The value that holds all others; none only in a document that was never read.
    pub fn root(&self) -> Option<Value<'_>> {
        Value::at(self.text.as_ref(), &self.entries, 0)
    }

    /// The value under an RFC 6901 pointer; none if there is nothing. Walking through the items of an array, or the members
    /// of an object, in their order takes the same time for each, however many there are.
    pub fn find(&self, pointer: &str) -> Option<Value<'_>> {
        lookup::find(self.root()?, pointer, &mut self.trail.borrow_mut())
    }

    /// How many values there are, arrays and objects included.
    pub fn values(&self) -> usize {
        self.values
    }

    /// How many of the values are objects.
    pub fn objects(&self) -> usize {
        self.objects
    }
}
