//! What is broken is refused, with the place and the reason, and what served before goes on.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::support::script::entry;
use crate::support::tollgate::directory;

/// Something done to the file of a filter.
type Damage = fn(&Path);

/// Says that nothing has become of a reload but an error.
fn assert_serves_on(tollgate: &Tollgate, version: &str) {
    for _ in 0..6 {
        assert_eq!(tollgate.get("/").field("x-down-f"), Some(version));
    }
    assert_eq!(tollgate.metric("tollgate_config_last_reload_successful"), 0.0);
    let ready = tollgate.get("/health/ready?deep=true");
    let config = &ready.json()["checks"]["config"];
    assert_eq!((ready.status(), config["status"].as_str().unwrap()), (200, "degraded"));
    assert!(config["detail"].as_str().unwrap().contains("was refused"), "{config}");
}

/// Says that a reload works again.
fn assert_recovers(tollgate: &Tollgate, manifest: &str) {
    tollgate.replace_manifest(manifest);
    assert_eq!(reload(tollgate).json()["result"], "unchanged");
    assert_eq!(tollgate.metric("tollgate_config_last_reload_successful"), 1.0);
    assert_eq!(tollgate.get("/health/ready").json()["checks"]["config"]["status"], "ok");
}

#[test]
fn a_manifest_cut_off_anywhere_is_refused_with_its_place() {
    let origin = mirror();
    let good = manifest(&origin, &chain(&[versioned("f", "1").entry("")]));
    let tollgate = start(&good);
    // Cut in the middle of `routes:` and of what comes before. A cut later may leave a manifest that is good.
    let whole = good.find("routes:").unwrap() + 20;
    for length in (0..whole).step_by(23) {
        tollgate.replace_manifest(&good[..length]);
        let errors = refused(&tollgate);
        assert!(errors.contains("manifest.yaml:"), "{errors}");
    }
    assert_serves_on(&tollgate, "1");
    assert_recovers(&tollgate, &good);
}

#[test]
fn a_manifest_that_is_no_file_is_refused_at_once() {
    let origin = mirror();
    let good = manifest(&origin, &chain(&[versioned("f", "1").entry("")]));
    let tollgate = start(&good);
    let place = tollgate.manifest();
    std::fs::remove_file(&place).unwrap();
    assert!(refused(&tollgate).contains("No such file"));
    make_fifo(&place);
    assert!(refused(&tollgate).contains("is no plain file"));
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert!(refused(&tollgate).contains("is no plain file"));
    std::fs::remove_dir(&place).unwrap();
    make_large(&place, 5 << 20);
    assert!(refused(&tollgate).contains("larger than 4 MiB"));
    assert_serves_on(&tollgate, "1");
    assert_recovers(&tollgate, &good);
}

#[test]
fn a_filter_that_is_no_filter_is_refused_at_once() {
    let origin = mirror();
    let own = directory();
    let component = own.join("f.wasm");
    let good_bytes = std::fs::read(versioned("f", "1").build()).unwrap();
    std::fs::write(&component, &good_bytes).unwrap();
    let good = manifest(&origin, &chain(&[entry("f", &component, "limits: {time: 5s}")]));
    let tollgate = start(&good);
    let breaks: [(Damage, &str); 7] = [
        (|_| {}, "No such file"),
        (|path| std::fs::write(path, "garbage").unwrap(), "magic bytes"),
        (|path| std::fs::write(path, "").unwrap(), "magic bytes"),
        (|path| std::fs::write(path, b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f").unwrap(), "not a valid"),
        (|path| make_large(path, (64 << 20) + 1), "larger than 64 MiB"),
        (make_fifo, "is no file"),
        (|path| std::fs::create_dir(path).unwrap(), "is no file"),
    ];
    for (damage, told) in breaks {
        std::fs::remove_file(&component).or_else(|_| std::fs::remove_dir(&component)).unwrap();
        damage(&component);
        let errors = refused(&tollgate);
        assert!(errors.contains("manifest.yaml: filter `f`: ") && errors.contains(told), "{told}: {errors}");
        assert_serves_on(&tollgate, "1");
        if !component.exists() {
            std::fs::write(&component, "").unwrap();
        }
    }
    std::fs::remove_dir(&component).unwrap();
    std::fs::write(&component, &good_bytes[..good_bytes.len() / 2]).unwrap();
    assert!(refused(&tollgate).contains("filter `f`"));
    std::fs::write(&component, &good_bytes).unwrap();
    assert_recovers(&tollgate, &good);
    std::fs::remove_dir_all(own).unwrap();
}

#[test]
fn a_filter_that_fails_in_any_phase_is_refused_and_leaves_no_trace() {
    let origin = mirror();
    let with = |filter: &Script| manifest(&origin, &chain(&[filter.entry("")]));
    let good = with(&versioned("f", "1"));
    let tollgate = start(&good);
    let leaves_traces = r#"
        (drop (call $cell.add (call $cell.open "trace") (i64.const 1)))
        (call $counter.add (call $counter.open "traces" "Traces." (i32.const 0) (i32.const 0)) (i64.const 1))
        (call $health.report "trace" (i32.const 2) "on trial")"#;
    for phase in [
        "on-request",
        "on-request-body",
        "before-attempt",
        "after-attempt",
        "on-response",
        "on-response-chunk",
        "on-complete",
    ] {
        let filter = versioned("f", "2").instead(phase, &format!("{leaves_traces} unreachable"));
        tollgate.replace_manifest(&with(&filter));
        let errors = refused(&tollgate);
        let told = format!("filter `f`: it fails in `{phase}` when it is tried: trap");
        assert!(errors.contains(&told), "{phase}: {errors}");
    }
    for (body, told) in [("unreachable", "it cannot be started"), ("(loop (br 0))", "it cannot be started")] {
        tollgate.replace_manifest(&with(&versioned("f", "2").on("configure", body)));
        assert!(refused(&tollgate).contains(told));
    }
    assert_serves_on(&tollgate, "1");
    assert!(!tollgate.get("/metrics").text().contains("traces"));
    assert!(!tollgate.get("/health/ready").text().contains("trace"));
    assert_eq!(tollgate.metric("tollgate_config_reloads_total{result=\"refused\"}"), 9.0);
    assert_recovers(&tollgate, &good);
}

#[test]
fn a_filter_that_answers_in_a_phase_passes_its_trial() {
    let origin = mirror();
    let tollgate = start(&manifest(&origin, ""));
    let answers = counter("f")
        .on("before-attempt", "(return (call $answer))")
        .on("after-attempt", "unreachable")
        .on("on-response", "(return (call $answer))");
    change(&tollgate, &manifest(&origin, &chain(&[answers.entry("")])));
    // What it counted on trial is not among what it keeps.
    assert!(tollgate.get("/").text().starts_with("1 "));
}

#[test]
fn a_listener_that_cannot_be_had_refuses_the_whole_reload() {
    let origin = mirror();
    let with = |version: &str, more: &str| {
        let main = format!("main: {{endpoints: [\"{}\"]}}", origin.url());
        manifest_with(&main, &format!("LISTENER{more}"), &chain(&[versioned("f", version).entry("")]))
    };
    let good = with("1", "");
    let tollgate = start(&good);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    tollgate.replace_manifest(&with("2", &format!("\n  - address: {address}")));
    assert!(refused(&tollgate).contains(&format!("cannot listen on {address}")));
    assert_serves_on(&tollgate, "1");
    assert_recovers(&tollgate, &good);
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A file of that many bytes, none of which are on the disk.
fn make_large(path: &Path, size: u64) {
    std::fs::File::create(path).unwrap().set_len(size).unwrap();
}
