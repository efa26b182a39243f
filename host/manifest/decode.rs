//! A serde deserializer over the tree that does not stop at a mistake. Whatever is refused is recorded with its place;
//! the nearest [`Field`] around it takes note, and reading goes on behind it. Unknown keys are found here, too.

use std::fmt;
use std::rc::Rc;
use std::slice;

use serde::de::{
    self, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::field::FIELD;
use super::mistake::{Fault, Findings, Position, quoted, suggestion};
use super::scalar::{Form, Scalar, Value};
use super::tree::{Content, Node};

/// Keys that are planned: whoever writes one is told so, not that it is misspelt. The block, and its key.
const PLANNED: [(&str, &str); 5] = [
    ("Listener", "tls"),
    ("Upstream", "tls"),
    ("Upstream", "health"),
    ("Route", "cache"),
    ("Telemetry", "traces"),
];

/// A key and its value.
type Entry = (Rc<Node>, Rc<Node>);

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub(super) node: &'a Node,
    pub(super) findings: &'a Findings,
}

/// Why a value was not read.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is still to be recorded.
    Found(Fault),
    /// Something else was expected: this.
    Unexpected(String),
    Reported,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Found(fault) => fault.fmt(f),
            Refusal::Unexpected(wanted) => write!(f, "expected {wanted}"),
            Refusal::Reported => f.write_str("reported already"),
        }
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Refusal {
        Refusal::Found(Fault::from_display(&message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Refusal {
        Refusal::Unexpected(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Refusal {
        Refusal::Unexpected(expected.to_string())
    }
}

impl<'a> Decoder<'a> {
    /// Records what is still to be recorded, with this node's place.
    fn settle<T>(self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        let fault = match result {
            Ok(value) => return Ok(value),
            Err(Refusal::Reported) => return Err(Refusal::Reported),
            Err(Refusal::Found(fault)) => fault,
            Err(Refusal::Unexpected(wanted)) => {
                Fault::new(format!("expected {wanted}, found {}", described(self.node)))
            }
        };
        let variables = match &self.node.content {
            Content::Scalar(scalar) => scalar.variables.as_slice(),
            Content::Sequence(_) | Content::Mapping(_) | Content::Wrong => &[],
        };
        self.findings.add(self.node.at, fault.with_variables(variables));
        Err(Refusal::Reported)
    }

    fn expected<T>(self, wanted: impl ToString) -> Result<T, Refusal> {
        match &self.node.content {
            Content::Wrong => Err(Refusal::Reported),
            _ => self.settle(Err(Refusal::Unexpected(wanted.to_string()))),
        }
    }

    /// The text of a scalar as it was written, whatever it would be typed as: a name may look like a number.
    fn text(self, wanted: impl ToString) -> Result<&'a str, Refusal> {
        match &self.node.content {
            Content::Scalar(scalar) if scalar.value() != Value::Null => Ok(&scalar.text),
            _ => self.expected(wanted),
        }
    }

    fn entries(self) -> Result<&'a [Entry], Refusal> {
        match &self.node.content {
            Content::Mapping(entries) => Ok(entries),
            _ => self.expected("a mapping"),
        }
    }

    fn scalar<V: Visitor<'a>>(self, scalar: &'a Scalar, visitor: V) -> Result<V::Value, Refusal> {
        match scalar.value() {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Unsigned(value) => visitor.visit_u64(value),
            Value::Signed(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::OutOfRange => {
                let fault = Fault::new(format!("the number {} is out of range", quoted(&scalar.text)));
                Err(Refusal::Found(fault.help("put it in quotes if it is meant as text")))
            }
        }
    }
}

/// A node, as a message calls it.
fn described(node: &Node) -> String {
    match &node.content {
        Content::Wrong => "a mistake".to_owned(),
        Content::Sequence(_) => "a list".to_owned(),
        Content::Mapping(_) => "a mapping".to_owned(),
        Content::Scalar(scalar) => match (scalar.value(), scalar.form) {
            (Value::Null, _) => "nothing".to_owned(),
            (Value::Text(text), Form::Quoted) => format!("the text {}", quoted(text)),
            _ => quoted(&scalar.text),
        },
    }
}

impl<'a> de::Deserializer<'a> for Decoder<'a> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let result = match &self.node.content {
            Content::Wrong => Err(Refusal::Reported),
            Content::Scalar(scalar) => self.scalar(scalar, visitor),
            Content::Sequence(_) => return self.deserialize_seq(visitor),
            Content::Mapping(_) => return self.deserialize_map(visitor),
        };
        self.settle(result)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let text = self.text(&visitor as &dyn Expected)?;
        self.settle(visitor.visit_borrowed_str(text))
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.node.content {
            Content::Scalar(scalar) => match scalar.value() {
                Value::Boolean(value) => self.settle(visitor.visit_bool(value)),
                _ => self.expected("`true` or `false`"),
            },
            _ => self.expected("`true` or `false`"),
        }
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let text = self.text("a word")?;
        if variants.contains(&text) {
            return self.settle(visitor.visit_enum(text.into_deserializer()));
        }
        let fault =
            Fault::new(format!("{} is not known here", quoted(text))).help(suggestion(text, variants));
        self.settle(Err(Refusal::Found(fault)))
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let Content::Sequence(items) = &self.node.content else { return self.expected("a list") };
        self.settle(visitor.visit_seq(Items { items: items.iter(), findings: self.findings }))
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let entries = Entries { entries: self.entries()?.iter(), value: None, known: None, decoder: self };
        self.settle(visitor.visit_map(entries))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let known = Some((name, fields));
        let entries = Entries { entries: self.entries()?.iter(), value: None, known, decoder: self };
        self.settle(visitor.visit_map(entries))
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if name == FIELD {
            return visitor.visit_seq(Located { decoder: self, next: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf option unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a> {
    items: slice::Iter<'a, Rc<Node>>,
    findings: &'a Findings,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some(node) = self.items.next() else { return Ok(None) };
        seed.deserialize(Decoder { node, findings: self.findings }).map(Some)
    }
}

struct Entries<'a> {
    entries: slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
    /// The block's name and all its keys; none where any key will do.
    known: Option<(&'static str, &'static [&'static str])>,
    decoder: Decoder<'a>,
}

impl<'a> Entries<'a> {
    /// Records a key that the block does not have.
    fn knows(&self, node: &Node) -> bool {
        let (Some((block, keys)), Content::Scalar(Scalar { text, .. })) = (self.known, &node.content) else {
            return true;
        };
        if keys.contains(&text.as_str()) {
            return true;
        }
        let name = quoted(text);
        let fault = if PLANNED.contains(&(block, text.as_str())) {
            Fault::new(format!("{name} is not available in this version"))
        } else {
            Fault::new(format!("unknown key {name}")).help(suggestion(text, keys))
        };
        self.decoder.findings.add(node.at, fault);
        false
    }
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        while let Some((key, value)) = self.entries.next() {
            if self.knows(key) {
                self.value = Some(value);
                return seed.deserialize(KeyDecoder(Decoder { node: key, ..self.decoder })).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let Some(node) = self.value.take() else { return Err(de::Error::custom("a value before its key")) };
        seed.deserialize(Decoder { node, ..self.decoder })
    }
}

/// Reads a key: it is a text, even if it looks like a number or like nothing.
#[derive(Clone, Copy)]
struct KeyDecoder<'a>(Decoder<'a>);

impl<'a> de::Deserializer<'a> for KeyDecoder<'a> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.0.node.content {
            Content::Scalar(scalar) => self.0.settle(visitor.visit_borrowed_str(&scalar.text)),
            _ => self.0.expected("a word"),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if name == FIELD {
            return visitor.visit_seq(Located { decoder: self, next: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What a [`Field`](super::field::Field) is read from: a line, a column, and the value there.
struct Located<D> {
    decoder: D,
    next: u8,
}

/// A decoder that knows where it reads.
trait Placed {
    fn at(&self) -> Position;
}

impl Placed for Decoder<'_> {
    fn at(&self) -> Position {
        self.node.at
    }
}

impl Placed for KeyDecoder<'_> {
    fn at(&self) -> Position {
        self.0.node.at
    }
}

impl<'a, D> SeqAccess<'a> for Located<D>
where
    D: de::Deserializer<'a, Error = Refusal> + Placed + Copy,
{
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        self.next += 1;
        match self.next {
            1 => seed.deserialize(self.decoder.at().line.into_deserializer()).map(Some),
            2 => seed.deserialize(self.decoder.at().column.into_deserializer()).map(Some),
            3 => seed.deserialize(self.decoder).map(Some),
            _ => Ok(None),
        }
    }
}
