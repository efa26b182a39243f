//! The schemas of a config: which path has which, and their compilation.

use std::collections::BTreeMap;
use std::error::Error;

use boon::{CompileError, Compiler, Draft, SchemaIndex, Schemas as Compiled, UrlLoader};
use serde_json::Value;

use crate::{problem, quick};
use tollgate_sdk::path::Pattern;

/// The schemas that ship with the filter, by the name after `builtin:`.
const BUILTIN: [(&str, &str); 3] = [
    ("openai-chat", include_str!("../schemas/openai-chat.json")),
    ("openai-embeddings", include_str!("../schemas/openai-embeddings.json")),
    ("anthropic-messages", include_str!("../schemas/anthropic-messages.json")),
];

/// Compiled schemas by path.
pub(crate) struct Schemas {
    /// The most specific patterns first.
    by_path: Vec<(Pattern, Schema)>,
    compiled: Compiled,
}

/// A schema, in one or both of its forms.
pub(crate) struct Schema {
    thorough: SchemaIndex,
    /// None: it has keywords that are not known there.
    quick: Option<quick::Schema>,
}

impl Schemas {
    /// Compiles the schemas that `raw` has by path: inline, or as `builtin:NAME`.
    ///
    /// # Errors
    ///
    /// All that is wrong, each with the path that it stands under.
    pub(crate) fn compile(raw: BTreeMap<String, Value>) -> Result<Self, String> {
        let mut compiler = compiler();
        let mut compiled = Compiled::new();
        let mut by_path = Vec::new();
        let mut problems = Vec::new();
        for (index, (path, schema)) in raw.into_iter().enumerate() {
            let location = format!("schema:///{index}");
            let pattern = Pattern::parse(&path);
            let added = source(schema).and_then(|schema| {
                let quick = quick::Schema::compile(&schema);
                let thorough = add(&mut compiler, &mut compiled, &location, schema)?;
                Ok(Schema { thorough, quick })
            });
            match (pattern, added) {
                (Ok(pattern), Ok(schema)) => by_path.push((path, pattern, schema)),
                (Err(problem), _) => problems.push(format!("schemas: {problem}")),
                (_, Err(problem)) => problems.push(format!("schemas: {path}: {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        by_path.sort_by_key(|(path, ..)| (path.ends_with('*'), std::cmp::Reverse(path.len())));
        let by_path = by_path.into_iter().map(|(_, pattern, schema)| (pattern, schema)).collect();
        Ok(Self { by_path, compiled })
    }

    /// The schema for a canonical path.
    pub(crate) fn of(&self, path: &str) -> Option<&Schema> {
        self.by_path.iter().find(|(pattern, _)| pattern.matches(path)).map(|(_, schema)| schema)
    }

    /// What is wrong with `document`, a line each; none if nothing is.
    pub(crate) fn problems(&self, document: &Value, schema: &Schema) -> Vec<String> {
        let outcome = self.compiled.validate(document, schema.thorough);
        outcome.err().map(|error| problem::lines(&error)).unwrap_or_default()
    }
}

impl Schema {
    /// Whether this is JSON that fits the schema, for certain.
    pub(crate) fn is_surely_fit_by(&self, text: &[u8]) -> bool {
        self.quick.as_ref().is_some_and(|quick| quick.surely_fits(text))
    }
}

/// JSON Schema 2020-12 unless a schema says otherwise. Nothing is fetched: a `$ref` stays in its schema.
pub(crate) fn compiler() -> Compiler {
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V2020_12);
    compiler.use_loader(Box::new(NoRemote));
    compiler
}

struct NoRemote;

impl UrlLoader for NoRemote {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn Error>> {
        Err("a $ref must stay within its schema; nothing is fetched".into())
    }
}

fn source(schema: Value) -> Result<Value, String> {
    match schema {
        Value::Object(_) | Value::Bool(_) => Ok(schema),
        Value::String(name) => builtin(&name),
        other => Err(format!("`{other}` is no JSON Schema and no builtin:NAME")),
    }
}

pub(crate) fn builtin(name: &str) -> Result<Value, String> {
    let found = BUILTIN.iter().find(|(short, _)| name.strip_prefix("builtin:") == Some(*short));
    let Some((_, text)) = found else {
        let names: Vec<String> = BUILTIN.iter().map(|(short, _)| format!("builtin:{short}")).collect();
        return Err(format!("no schema is called `{name}`; there are {}", names.join(", ")));
    };
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(crate) fn add(
    compiler: &mut Compiler,
    compiled: &mut Compiled,
    location: &str,
    schema: Value,
) -> Result<SchemaIndex, String> {
    compiler.add_resource(location, schema).map_err(|error| explain(&error))?;
    compiler.compile(location, compiled).map_err(|error| explain(&error))
}

/// The library's sentence, or its reasons where the sentence has none.
fn explain(error: &CompileError) -> String {
    match error {
        CompileError::ValidationError { src, .. } => {
            format!("is no valid JSON Schema: {}", problem::lines(src).join(", "))
        }
        CompileError::LoadUrlError { url, src } => format!("{url}: {src}"),
        CompileError::Bug(source) => format!("is no valid JSON Schema: {source}"),
        other => format!("is no valid JSON Schema: {other:#}").replace("schema:///", "schema "),
    }
}
