//! Filters written by hand, in WebAssembly text, to do what no compiler would let them. They become core modules that
//! carry their component type, just as wit-bindgen makes them.

use std::path::{Path, PathBuf};

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::tollgate::directory;

/// Builds a guest from WebAssembly text.
pub fn build_text(name: &str, text: &str, interfaces: &[&str]) -> PathBuf {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let exports: String =
        interfaces.iter().map(|i| format!("  export tollgate:filter/{i}@0.1.0;\n")).collect();
    let world = format!(
        "package test:guest;\nworld guest {{\n  include tollgate:filter/imports@0.1.0;\n{exports}}}\n"
    );
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    let package = resolve.push_str("guest.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let path = directory().join(format!("{name}.wasm"));
    std::fs::write(&path, module).unwrap();
    path
}
