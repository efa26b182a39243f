//! WebAssembly that is valid, and no filter of this contract.

use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{component, refused};
use crate::support::script::{chain, entry};
use crate::support::tollgate::directory;
use crate::support::{Origin, Tollgate};

/// A module with a world of its own. `contract` says whether the world may name the real contract; else `packages` has
/// another in its place.
fn module(contract: bool, packages: &str, world: &str, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    if contract {
        resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    }
    let wit = format!("package test:guest;\nworld guest {{ {world} }}\n{packages}");
    let package = resolve.push_str("guest.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// A package of the contract's name, in that version, with that phase.
fn package(version: &str, interface: &str) -> String {
    format!(
        "package tollgate:filter@{version} {{\n interface types {{ enum verdict {{ proceed, respond }} }}\n {interface}\n}}"
    )
}

const ON_REQUEST: &str = "interface on-request { use types.{verdict}; on-request: func() -> verdict; }";

/// A module whose only function answers 0, under this name.
fn answering(export: &str) -> String {
    format!("(module (func (export \"{export}\") (result i32) (i32.const 0)))")
}

fn on_request(version: &str) -> String {
    answering(&format!("tollgate:filter/on-request@{version}#on-request"))
}

/// Both forms must be refused with the same words.
fn both_refused(module: &[u8], words: &[&str]) {
    for bytes in [module, &component(module)] {
        let text = refused(bytes);
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
}

#[test]
fn an_import_that_the_contract_does_not_offer_is_refused_by_name() {
    let wasi = "package wasi:keyvalue@0.2.0 { interface store { count: func() -> u32; } }";
    let text = "(module (import \"wasi:keyvalue/store@0.2.0\" \"count\" (func (result i32)))
        (func (export \"tollgate:filter/on-request@0.1.0#on-request\") (result i32) (call 0)))";
    let world = "import wasi:keyvalue/store@0.2.0; export tollgate:filter/on-request@0.1.0;";
    both_refused(
        &module(true, wasi, world, text),
        &[
            "it imports `wasi:keyvalue/store@0.2.0`, which the contract does not offer",
            "tollgate:filter/…@0.1.0",
        ],
    );
    let sockets = package("0.1.0", &format!("{ON_REQUEST} interface sockets {{ open: func() -> u32; }}"));
    let text =
        text.replace("wasi:keyvalue/store@0.2.0", "tollgate:filter/sockets@0.1.0").replace("count", "open");
    let world = "import tollgate:filter/sockets@0.1.0; export tollgate:filter/on-request@0.1.0;";
    both_refused(&module(false, &sockets, world, &text), &["it imports `tollgate:filter/sockets@0.1.0`"]);
}

#[test]
fn another_version_of_the_contract_is_refused_and_a_compatible_one_is_not() {
    for version in ["0.2.0", "1.0.0", "0.0.1"] {
        let world = format!("export tollgate:filter/on-request@{version};");
        let module = module(false, &package(version, ON_REQUEST), &world, &on_request(version));
        both_refused(&module, &["another version", &format!("@{version}`"), "this host speaks 0.1.0"]);
    }
    let world = "export tollgate:filter/on-request@0.1.7;";
    let later = module(false, &package("0.1.7", ON_REQUEST), world, &on_request("0.1.7"));
    let text = later_says_no(&later);
    let origin = Origin::working();
    for (name, bytes) in [("module", later.clone()), ("component", component(&later)), ("answers", text)] {
        let file = directory().join("later.wasm");
        std::fs::write(&file, bytes).unwrap();
        let tollgate = Tollgate::in_front_of(&origin, &chain(&[entry("f", &file, "")]), "");
        assert_eq!(tollgate.get("/").status(), if name == "answers" { 503 } else { 200 }, "{name}");
        assert_eq!(
            tollgate.metric("tollgate_filter_calls_total{filter=\"f\",phase=\"on-request\"}"),
            1.0,
            "{name}"
        );
    }
}

/// The same, but it answers `respond`, without a reply: so one can see that it was called.
fn later_says_no(later: &[u8]) -> Vec<u8> {
    assert!(!later.is_empty());
    let text = on_request("0.1.7").replace("(i32.const 0)", "(i32.const 1)");
    module(false, &package("0.1.7", ON_REQUEST), "export tollgate:filter/on-request@0.1.7;", &text)
}

#[test]
fn what_exports_no_phase_could_never_be_called() {
    let words = ["it exports no phase", "on-request, on-request-body, on-attempt, on-response"];
    both_refused(&module(true, "", "", "(module)"), &words);
    both_refused(&module(true, "", "export greet: func() -> u32;", &answering("greet")), &words);
    let lifecycle = "(module (memory (export \"memory\") 1)
        (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export \"tollgate:filter/lifecycle@0.1.0#configure\") (param i32 i32) (result i32) (i32.const 0)))";
    both_refused(&module(true, "", "export tollgate:filter/lifecycle@0.1.0;", lifecycle), &words);
}

#[test]
fn a_phase_that_there_is_not_is_refused_by_name() {
    let phases =
        package("0.1.0", &format!("{ON_REQUEST} interface on-connect {{ on-connect: func() -> u32; }}"));
    let text = answering("tollgate:filter/on-connect@0.1.0#on-connect");
    let module = module(false, &phases, "export tollgate:filter/on-connect@0.1.0;", &text);
    both_refused(
        &module,
        &["`tollgate:filter/on-connect@0.1.0`, which is no phase", "the phases are on-request"],
    );
}

#[test]
fn a_phase_of_another_type_does_not_fit() {
    let interfaces = [
        "interface on-request { on-request: func() -> u32; }",
        "interface on-request { use types.{verdict}; on-request: func(x: u32) -> verdict; }",
        "interface on-request { enum verdict { proceed, respond, ignore } on-request: func() -> verdict; }",
        "interface on-request { on-requests: func() -> u32; }",
    ];
    for interface in interfaces {
        let name = if interface.contains("on-requests") { "on-requests" } else { "on-request" };
        let parameter = if interface.contains("x: u32") { "(param i32)" } else { "" };
        let text = answering(&format!("tollgate:filter/on-request@0.1.0#{name}"));
        let text = text.replace("(result i32)", &format!("{parameter} (result i32)"));
        let module =
            module(false, &package("0.1.0", interface), "export tollgate:filter/on-request@0.1.0;", &text);
        both_refused(&module, &["it does not fit the contract 0.1.0", "on-request"]);
    }
}

#[test]
fn an_import_of_another_type_does_not_fit() {
    let packages =
        package("0.1.0", &format!("{ON_REQUEST} interface clock {{ now-micros: func() -> u32; }}"));
    let text = "(module (import \"tollgate:filter/clock@0.1.0\" \"now-micros\" (func (result i32)))
        (func (export \"tollgate:filter/on-request@0.1.0#on-request\") (result i32) (call 0)))";
    let world = "import tollgate:filter/clock@0.1.0; export tollgate:filter/on-request@0.1.0;";
    both_refused(&module(false, &packages, world, text), &["it does not fit the contract 0.1.0", "clock"]);
}

#[test]
fn a_module_without_a_component_type_is_told_what_it_lacks() {
    let plain = [
        on_request("0.1.0"),
        "(module)".to_owned(),
        "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32))) (func (export \"_start\")))".to_owned(),
        "(module (import \"env\" \"log\" (func (param i32 i32))) (memory (export \"memory\") 1))".to_owned(),
    ];
    for text in plain {
        let refusal = refused(&wat::parse_str(&text).unwrap());
        assert!(refusal.contains("no component type") || refusal.contains("exports no phase"), "{refusal}");
        assert!(refusal.contains("wit-bindgen") || refusal.contains("exports no phase"), "{refusal}");
    }
}

#[test]
fn more_memory_or_more_tables_than_an_instance_may_have_are_refused() {
    for (part, words) in [
        ("(memory (export \"memory\") 1) (memory 1)", "memor"),
        ("(table 200000 funcref)", "table"),
        ("(memory 65537)", "memor"),
    ] {
        let text = on_request("0.1.0").replace("(module", &format!("(module {part}"));
        let module = module(true, "", "export tollgate:filter/on-request@0.1.0;", &text);
        let refusal = refused(&module);
        assert!(refusal.contains(words), "{part}: {refusal}");
    }
}
