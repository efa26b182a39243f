//! From a schema's JSON to rules that are quick to follow. Whatever is not known for certain to be understood as the library
//! does makes the whole schema unknown.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use tollgate_json::Kind;

use super::scalar::Scalar;
use super::{Condition, Id, Property, Rules, Size, Types};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords that ask for nothing.
const ANNOTATIONS: [&str; 16] = [
    "$comment",
    "$defs",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "else",
    "example",
    "examples",
    "format",
    "readOnly",
    "then",
    "title",
];

/// Keywords that change what `$ref` means, wherever they stand.
const BASES: [&str; 3] = ["$id", "$anchor", "$dynamicAnchor"];

/// How many schemas may apply to one value, one within the other: with the depth of documents, it bounds the stack.
const MAX_DEPTH: u8 = 8;

/// The rules of a schema and of all within it; the first are the whole's. None: something in it is not known here.
pub(super) fn compile(schema: &Json) -> Option<Vec<Rules>> {
    if moves_base(schema) {
        return None;
    }
    let mut compiler = Compiler { root: schema, rules: Vec::new(), known: BTreeMap::new() };
    compiler.schema(String::new(), schema)?;
    let rules: Vec<Rules> = compiler.rules.into_iter().collect::<Option<_>>()?;
    (0..rules.len()).all(|id| is_shallow(&rules, id, MAX_DEPTH)).then_some(rules)
}

fn moves_base(schema: &Json) -> bool {
    match schema {
        Json::Object(members) => {
            members.iter().any(|(name, value)| BASES.contains(&name.as_str()) || moves_base(value))
        }
        Json::Array(items) => items.iter().any(moves_base),
        _ => false,
    }
}

/// Whether no more than so many schemas apply to one value. A `$ref` that leads back to itself is as deep as can be.
fn is_shallow(rules: &[Rules], id: Id, levels: u8) -> bool {
    let (Some(levels), Some(rule)) = (levels.checked_sub(1), rules.get(id)) else { return false };
    let condition = rule.condition.iter().flat_map(|c| [Some(c.test), c.then, c.otherwise]).flatten();
    let lists = rule.all.iter().chain(&rule.any).chain(&rule.one).chain(&rule.not).copied();
    lists.chain(condition).all(|branch| is_shallow(rules, branch, levels))
}

struct Compiler<'a> {
    root: &'a Json,
    /// None: not compiled yet.
    rules: Vec<Option<Rules>>,
    /// By their place, as a JSON pointer.
    known: BTreeMap<String, Id>,
}

impl Compiler<'_> {
    fn schema(&mut self, place: String, schema: &Json) -> Option<Id> {
        if let Some(id) = self.known.get(&place) {
            return Some(*id);
        }
        let id = self.rules.len();
        self.rules.push(None);
        self.known.insert(place.clone(), id);
        let rules = match schema {
            Json::Bool(true) => Rules { types: Types::ALL, is_type_only: true, ..Rules::default() },
            Json::Bool(false) => Rules { types: Types::NONE, is_type_only: true, ..Rules::default() },
            Json::Object(keywords) => self.keywords(&place, keywords)?,
            _ => return None,
        };
        *self.rules.get_mut(id)? = Some(rules);
        Some(id)
    }

    fn keywords(&mut self, place: &str, keywords: &Map<String, Json>) -> Option<Rules> {
        let mut rules = Rules { types: Types::ALL, ..Rules::default() };
        for (keyword, value) in keywords {
            self.keyword(&mut rules, place, keyword, value)?;
        }
        if let Some(test) = keywords.get("if") {
            let mut branch = |name: &str| match keywords.get(name) {
                None => Some(None),
                Some(schema) => self.schema(format!("{place}/{name}"), schema).map(Some),
            };
            let (then, otherwise) = (branch("then")?, branch("else")?);
            let test = self.schema(format!("{place}/if"), test)?;
            rules.condition = Some(Condition { test, then, otherwise });
        }
        rules.properties.sort_by_key(|property| property.key);
        rules.is_type_only = rules.asks_only_for_type();
        Some(rules)
    }

    fn keyword(&mut self, rules: &mut Rules, place: &str, keyword: &str, value: &Json) -> Option<()> {
        let here = format!("{place}/{keyword}");
        match keyword {
            "$schema" if place.is_empty() && value.as_str() == Some(DRAFT) => {}
            "$ref" => rules.all.push(self.reference(value.as_str()?)?),
            "type" => rules.types = types(value)?,
            "const" => rules.constant = Some(Scalar::read(value)?),
            "enum" => rules.values = Some(value.as_array()?.iter().map(Scalar::read).collect::<Option<_>>()?),
            "required" => rules.require(value)?,
            "properties" => self.properties(rules, &here, value)?,
            "additionalProperties" => rules.additional = Some(self.schema(here, value)?),
            "items" => rules.items = Some(self.schema(here, value)?),
            "prefixItems" => rules.prefix_items = self.list(&here, value)?,
            "allOf" => rules.all.extend(self.list(&here, value)?),
            "anyOf" => rules.any = self.list(&here, value)?,
            "oneOf" => rules.one = self.list(&here, value)?,
            "not" => rules.not = Some(self.schema(here, value)?),
            // With its branches, once all keywords are known.
            "if" => {}
            keyword if ANNOTATIONS.contains(&keyword) => {}
            keyword => limit(rules, keyword, value)?,
        }
        Some(())
    }

    fn properties(&mut self, rules: &mut Rules, place: &str, value: &Json) -> Option<()> {
        for (name, schema) in value.as_object()? {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            rules.property_mut(name).schema = Some(self.schema(format!("{place}/{escaped}"), schema)?);
        }
        Some(())
    }

    fn list(&mut self, place: &str, value: &Json) -> Option<Vec<Id>> {
        let schemas = value.as_array()?.iter().enumerate();
        schemas.map(|(index, schema)| self.schema(format!("{place}/{index}"), schema)).collect()
    }

    /// A schema within this one, by its place.
    fn reference(&mut self, reference: &str) -> Option<Id> {
        let pointer = reference.strip_prefix('#')?;
        let is_plain = !pointer.contains('%') && (pointer.is_empty() || pointer.starts_with('/'));
        let schema = self.root.pointer(pointer).filter(|_| is_plain)?;
        self.schema(pointer.to_owned(), schema)
    }
}

impl Rules {
    /// The property of that name, added if there is none.
    fn property_mut(&mut self, name: &str) -> &mut Property {
        let known = self.properties.iter().position(|property| property.name == name);
        let at = known.unwrap_or(self.properties.len());
        if known.is_none() {
            let key = Property::order(name.as_bytes());
            self.properties.push(Property { name: name.to_owned(), key, schema: None, required: 0 });
        }
        &mut self.properties[at]
    }

    fn require(&mut self, names: &Json) -> Option<()> {
        for (index, name) in names.as_array()?.iter().enumerate() {
            let bit = 1_u64.checked_shl(u32::try_from(index).ok()?)?;
            self.property_mut(name.as_str()?).required |= bit;
            self.required |= bit;
        }
        Some(())
    }

    fn asks_only_for_type(&self) -> bool {
        let branches = [&self.all, &self.any, &self.one];
        self.constant.is_none()
            && self.values.is_none()
            && self.range.is_none()
            && [&self.length, &self.item_count, &self.member_count].into_iter().all(Option::is_none)
            && [self.items, self.additional, self.not].iter().all(Option::is_none)
            && self.prefix_items.is_empty()
            && self.properties.is_empty()
            && branches.into_iter().all(Vec::is_empty)
            && self.condition.is_none()
    }
}

/// Limits of numbers, lengths and counts.
fn limit(rules: &mut Rules, keyword: &str, value: &Json) -> Option<()> {
    let range = || value.as_f64();
    let size = || value.as_u64();
    match keyword {
        "minimum" => rules.range.get_or_insert_default().minimum = Some(range()?),
        "maximum" => rules.range.get_or_insert_default().maximum = Some(range()?),
        "exclusiveMinimum" => rules.range.get_or_insert_default().above = Some(range()?),
        "exclusiveMaximum" => rules.range.get_or_insert_default().below = Some(range()?),
        "multipleOf" => rules.range.get_or_insert_default().multiple_of = Some(range()?),
        "minLength" => rules.length.get_or_insert_default().min = size()?,
        "maxLength" => rules.length.get_or_insert_default().max = size()?,
        "minItems" => rules.item_count.get_or_insert_default().min = size()?,
        "maxItems" => rules.item_count.get_or_insert_default().max = size()?,
        "minProperties" => rules.member_count.get_or_insert_default().min = size()?,
        "maxProperties" => rules.member_count.get_or_insert_default().max = size()?,
        _ => return None,
    }
    Some(())
}

impl Default for Size {
    fn default() -> Self {
        Self { min: 0, max: u64::MAX }
    }
}

fn types(value: &Json) -> Option<Types> {
    let named = |name: &Json| {
        Some(match name.as_str()? {
            "null" => Types::of(Kind::Null),
            "boolean" => Types::of(Kind::Boolean),
            "number" => Types::of(Kind::Number),
            "integer" => Types::INTEGER,
            "string" => Types::of(Kind::Text),
            "array" => Types::of(Kind::Array),
            "object" => Types::of(Kind::Object),
            _ => return None,
        })
    };
    match value {
        Json::Array(names) => {
            names.iter().try_fold(Types::NONE, |all, name| Some(Types(all.0 | named(name)?.0)))
        }
        name => named(name),
    }
}
