//! What is a filter and what is not: whatever file is given, it is taken, or refused with one clear sentence.

mod foreign;
mod mutants;

use std::path::Path;

use serde_json::Value;

use crate::support::script::{Script, chain, entry};
use crate::support::tollgate::{command, directory};
use crate::support::{Origin, Tollgate};

/// The sentence with which `inspect` refuses a file, without its name before it.
fn refusal(file: &Path) -> String {
    let output = command().arg("inspect").arg(file).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{text}");
    assert_eq!(text.lines().count(), 1, "one sentence: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text.trim_end().trim_start_matches(&format!("{}: ", file.display())).to_owned()
}

fn refused(bytes: &[u8]) -> String {
    let file = directory().join("filter.wasm");
    std::fs::write(&file, bytes).unwrap();
    refusal(&file)
}

/// What `inspect` finds in a file.
fn inspected(file: &Path) -> Value {
    let output = command().args(["inspect", "--json"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The component that a module with a component type becomes.
fn component(module: &[u8]) -> Vec<u8> {
    wit_component::ComponentEncoder::default().module(module).unwrap().encode().unwrap()
}

/// A filter that takes part in some phases, and shows that it did.
fn filter() -> Script {
    Script::new("f")
        .on("configure", "(i32.store (i32.const 256) (local.get $size))")
        .on(
            "on-request",
            r#"(call $put-int (i32.load (i32.const 256))) (call $request.set-header "x-config" (call $text) (i32.const 16))"#,
        )
        .on("on-response-chunk", r#"(if (local.get $last) (then (return (call $replace "seen"))))"#)
}

#[test]
fn a_module_with_its_component_type_and_the_component_made_of_it_are_one_filter() {
    let module = filter().build();
    let as_component = directory().join("component.wasm");
    std::fs::write(&as_component, component(&std::fs::read(&module).unwrap())).unwrap();
    let origin = Origin::answering(|request| {
        let config = request.field("x-config").unwrap_or("none").to_owned();
        format!("HTTP/1.1 200 OK\r\nx-config: {config}\r\ncontent-length: 1\r\n\r\n1").into_bytes()
    });
    for file in [&module, &as_component] {
        let found = inspected(file);
        assert_eq!(found["phases"], serde_json::json!(["on-request", "on-response-chunk"]));
        assert_eq!((&found["contract"], &found["configurable"]), (&"0.1.0".into(), &true.into()));
        assert_eq!(found["size"], std::fs::metadata(file).unwrap().len());
        let imports: Vec<_> =
            found["imports"].as_array().unwrap().iter().map(|i| i.as_str().unwrap()).collect();
        assert!(imports.contains(&"tollgate:filter/request@0.1.0"), "{imports:?}");
        let tollgate = Tollgate::in_front_of(&origin, &chain(&[entry("f", file, "config: {a: 1}")]), "");
        let answer = tollgate.get("/");
        assert_eq!(
            (answer.text().as_str(), answer.field("x-config")),
            ("seen", Some("7")),
            "{}",
            file.display()
        );
    }
    let text = command().arg("inspect").arg(&module).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for words in [
        "size      ",
        "digest    sha256:",
        "contract  0.1.0",
        "phases    configure\n",
        "tollgate:filter/types@0.1.0",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn every_filter_that_ships_can_be_inspected() {
    for name in ["validation", "policy", "shedding", "breaker", "retry"] {
        let found = inspected(Path::new(&format!("builtin:{name}")));
        assert!(!found["phases"].as_array().unwrap().is_empty(), "{found}");
        assert_eq!(found["digest"].as_str().unwrap().len(), "sha256:".len() + 64);
    }
    let unknown = refusal(Path::new("builtin:validator"));
    assert!(unknown.contains("no builtin filter `validator`") && unknown.contains("validation"), "{unknown}");
}

#[test]
fn what_is_no_webassembly_is_refused() {
    let magic =
        "it is not a valid WebAssembly component or module: it does not begin with WebAssembly's magic bytes";
    let text = filter().text();
    let garbage: Vec<u8> = (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [&b""[..], b"\0", b"\0asm", b"\x7fELF\x02\x01\x01\0", b"(module)", text.as_bytes(), &garbage]
    {
        assert_eq!(refused(bytes), magic, "{:?}", &bytes[..bytes.len().min(16)]);
    }
    for bytes in [&b"\0asm\x02\0\0\0"[..], b"\0asm\x0d\0\x01\0\xff\xff\xff", b"\0asm\x01\0\0\0\xff\xff\xff"] {
        assert!(refused(bytes).starts_with("it is "), "{bytes:?}");
    }
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let place = directory();
    let missing = refusal(&place.join("missing.wasm"));
    assert!(missing.contains("missing.wasm` cannot be read: No such file"), "{missing}");
    let itself = refusal(&place);
    assert!(itself.ends_with("is no file"), "{itself}");
    let fifo = place.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(refusal(&fifo).ends_with("is no file"));
    let large = place.join("large");
    std::fs::File::create(&large).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(refusal(&large).ends_with("is larger than 64 MiB"));
}

#[test]
fn a_file_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let engine = mutants::engine();
    let module = std::fs::read(filter().build()).unwrap();
    for bytes in [&module, &component(&module)] {
        for length in (0..bytes.len()).step_by(97) {
            assert!(engine.load(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        assert!(engine.load(bytes).is_ok());
    }
    assert!(refused(&module[..module.len() / 2]).starts_with("it is "));
}

#[test]
fn check_and_run_name_the_filter_and_the_file() {
    let place = directory();
    let file = place.join("manifest.yaml");
    let manifest = "version: 1\nlisteners:\n  - address: 127.0.0.1:0\nupstreams:\n  main:\n    endpoints: [\"http://127.0.0.1:9\"]\n\
         filters:\n  - name: mine\n    component: ./absent.wasm\n  - name: other\n    component: ./text.wasm\n\
         routes:\n  - match: {path-prefix: /}\n    upstream: main\n";
    std::fs::write(&file, manifest).unwrap();
    std::fs::write(place.join("text.wasm"), "not yet").unwrap();
    for arguments in [&["check"][..], &["run", "--manifest"]] {
        let output = command().args(arguments).arg(&file).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 2), "{text}");
        assert!(text.contains("filter `mine`: `") && text.contains("absent.wasm` cannot be read"), "{text}");
        assert!(text.contains("filter `other`: it is not a valid WebAssembly component or module"), "{text}");
    }
}
