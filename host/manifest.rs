//! The manifest: YAML text in, a [`Manifest`] that cannot be wrong out, or every mistake in it at once.

mod address;
mod decode;
mod field;
mod mistake;
mod model;
mod names;
mod quantity;
mod raw;
mod resolve;
mod scalar;
mod shadow;
mod substitution;
#[cfg(test)]
mod tests;
mod tree;
mod word;
mod written;

use serde::Deserialize;

use decode::Decoder;
use field::Field;
use mistake::Findings;

pub use mistake::{Mistake, Mistakes};
pub use model::*;

/// The embedded default.
pub const DEFAULT: &str = include_str!("default.yaml");

/// Reads a manifest. `source` is its name in messages, and its directory is where relative paths begin; `env` gives the
/// values of `${NAME}`.
pub fn parse(text: &str, source: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Manifest, Mistakes> {
    let findings = Findings::default();
    let manifest = tree::read(text, env, &findings).and_then(|root| {
        let document = Field::deserialize(Decoder { node: &root, findings: &findings }).ok()?;
        resolve::resolve(document, source, &findings)
    });
    match manifest {
        Some(manifest) if findings.is_empty() => Ok(manifest),
        _ => Err(findings.into_mistakes(source, text)),
    }
}

/// The JSON Schema of manifests.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(raw::Document).to_value()
}

impl Endpoint {
    /// Reads a URL as a manifest's `endpoints` have it; the error says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        <Self as written::Grammar>::read(url).map_err(|fault| fault.to_string())
    }
}
