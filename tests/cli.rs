//! The command line: what each command prints, on which stream, and with which exit code it ends.

mod run;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::clients::python;
use crate::support::tollgate::{command, directory};
use crate::support::{PATIENCE, guest};

/// How a command ended.
struct Ended {
    code: Option<i32>,
    output: String,
    errors: String,
}

/// Runs a command that ends by itself.
fn run(arguments: &[&str]) -> Ended {
    let mut tollgate = command();
    tollgate.args(arguments);
    end(tollgate)
}

fn end(mut command: Command) -> Ended {
    let directory = directory();
    let [output, errors] = ["output", "errors"].map(|name| directory.join(name));
    command.stdout(std::fs::File::create(&output).unwrap()).stderr(std::fs::File::create(&errors).unwrap());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} does not end: {}", std::fs::read_to_string(&errors).unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let read = |path: &Path| String::from_utf8(std::fs::read(path).unwrap()).expect("text");
    let ended = Ended { code: status.code(), output: read(&output), errors: read(&errors) };
    std::fs::remove_dir_all(directory).unwrap();
    assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    ended
}

/// A file that is gone when this is dropped.
struct File(PathBuf);

impl File {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let path = directory().join("manifest.yaml");
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Left behind, it does no harm.
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// A manifest with keys of every kind.
const SAMPLE: &str = r#"version: 1
listeners:
  - address: 0.0.0.0:8081
    limits: {headers: 100}
admin: {address: 127.0.0.1:9901}
upstreams:
  main:
    endpoints: ["http://127.0.0.1:9000", "http://[::1]:9000"]
    provider: openai
    balance: least-request
    timeouts: {connect: 2s, response: 60s, idle: 60s}
filters:
  - name: validation
    component: builtin:validation
    config: {schemas: {"/v1/chat/completions": builtin:openai-chat}}
    limits: {memory: 64MiB}
  - name: policy
    component: builtin:policy
    config: {max-steps: "${POLICY_MAX_STEPS:-8}"}
  - name: shedding
    component: builtin:shedding
    config: {memory: "${LOAD_SHEDDING_MEMORY_THRESHOLD:-0.85}"}
  - name: breaker
    component: builtin:breaker
    config: {failures: 5, successes: 2, timeout-ms: 60000, probes: 1}
  - name: retry
    component: builtin:retry
    on-error: open
    limits: {time: 20ms, memory: 16MiB}
    isolation: worker
    mode: enforce
routes:
  - match: {path: /metrics}
    serve: metrics
  - match: {path-prefix: /health/}
    serve: health
  - match: {host: api.example.com, path-prefix: /v1/, methods: [GET, POST]}
    upstream: main
    filters: [validation, policy, shedding, breaker, retry]
    timeout: 60s
    body-limit: 10MiB
    errors: openai
  - match: {path-prefix: /}
    upstream: main
retry-budget: {percent: 20, min: 3}
shutdown-timeout: "${GRACEFUL_SHUTDOWN_TIMEOUT:-30000}ms"
telemetry:
  namespace: "${METRICS_NAMESPACE:-tollgate}"
  log: {level: "${LOG_LEVEL:-info}", requests: "${REQUEST_LOGGING_ENABLED:-true}"}
"#;

/// A manifest that can serve, but for the values put in.
fn small(filters: &str) -> String {
    format!(
        "version: 1\nlisteners:\n  - address: 127.0.0.1:0\nupstreams:\n  main:\n    endpoints: [\"http://127.0.0.1:9\"]\n\
         filters:\n{filters}routes:\n  - match: {{path-prefix: /}}\n    upstream: main\n"
    )
}

#[test]
fn check_says_what_a_good_manifest_would_serve() {
    let file = File::new(SAMPLE);
    let ended = run(&["check", file.path()]);
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    assert_eq!(ended.output, format!("{}: good, with 5 filters and 4 routes\n", file.path()));
}

#[test]
fn check_shows_every_mistake_with_its_line_and_column() {
    let file = File::new(
        SAMPLE
            .replace("address: 0.0.0.0:8081", "adress: 0.0.0.0:8081")
            .replace("balance: least-request", "balance: random")
            .replace("connect: 2s", "connect: 2 parsecs")
            .replace("upstream: main\n    filters", "upsteam: main\n    filters")
            .replace("percent: 20", "percent: 200"),
    );
    let ended = run(&["check", file.path()]);
    assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""));
    for (place, message) in [
        ("3:5", "unknown key `adress`; did you mean `address`?"),
        ("10:14", "`random` is not known here; it can be `round-robin`"),
        ("11:25", "`2 parsecs` is not a duration"),
        ("38:5", "unknown key `upsteam`; did you mean `upstream`?"),
        ("45:25", "found `200`"),
    ] {
        let prefix = format!("{}:{place}: ", file.path());
        let line = ended.errors.lines().find(|line| line.starts_with(&prefix));
        assert!(line.is_some_and(|line| line.contains(message)), "{place}: {message} in:\n{}", ended.errors);
    }
}

#[test]
fn check_shows_every_filter_that_refuses() {
    let entry = |name: &str, component: &str, config: &str| {
        format!("  - name: {name}\n    component: {component}\n    config: {config}\n")
    };
    let nonsense = File::new("no WebAssembly");
    let file = File::new(small(&format!(
        "{}{}{}{}",
        entry("first", "builtin:retry", "{max-retries: many}"),
        entry("second", "builtin:shedding", "{memory: 85, hep: 1}"),
        entry("third", "./missing.wasm", "{}"),
        entry("fourth", nonsense.path(), "{}"),
    )));
    let ended = run(&["check", file.path()]);
    assert_eq!(ended.code, Some(1));
    for (filter, message) in [
        ("first", "max-retries"),
        ("second", "hep"),
        ("third", "missing.wasm` cannot be read"),
        ("fourth", "not a valid WebAssembly component or module"),
    ] {
        let prefix = format!("{}: filter `{filter}`: ", file.path());
        let line = ended.errors.lines().find(|line| line.starts_with(&prefix));
        assert!(line.is_some_and(|line| line.contains(message)), "{filter}: {message} in:\n{}", ended.errors);
    }
}

#[test]
fn check_of_a_damaged_manifest_ends_with_0_or_1() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..40 {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for _ in 0..bytes.len() / 100 {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let file = File::new(&bytes);
        let ended = run(&["check", file.path()]);
        match ended.code {
            Some(0) => assert_eq!(ended.errors, ""),
            Some(1) => assert!(ended.errors.starts_with(file.path()), "{}", ended.errors),
            other => panic!("{other:?}: {}", ended.errors),
        }
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_told_with_its_name() {
    let not_text = File::new(b"version: 1\nlisteners: \xff\n");
    for command in [&["check"][..], &["run", "--manifest"]] {
        for (path, message) in [
            ("/no/such/manifest.yaml", "No such file"),
            ("/", "is no plain file"),
            (not_text.path(), ":2: the manifest is not UTF-8"),
        ] {
            let ended = run(&[command, &[path]].concat());
            assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{command:?} {path}");
            assert!(ended.errors.starts_with(path) && ended.errors.contains(message), "{}", ended.errors);
        }
    }
}

#[test]
fn inspect_shows_what_a_filter_is() {
    let ended = run(&["inspect", "builtin:breaker"]);
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""));
    let shown = ended.output;
    for word in ["builtin:breaker", " bytes", "sha256:", "0.1.0", "before-attempt", "on-complete", "state"] {
        assert!(shown.contains(word), "{word} in:\n{shown}");
    }
    for (name, phases) in [
        ("validation", &["on-request-body"][..]),
        ("policy", &["on-request", "on-request-body"]),
        ("shedding", &["on-request"]),
        ("breaker", &["before-attempt", "after-attempt", "on-complete"]),
        ("retry", &["before-attempt", "after-attempt"]),
    ] {
        let ended = run(&["inspect", "--json", &format!("builtin:{name}")]);
        let shown: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
        assert_eq!(shown["phases"], serde_json::json!(phases), "{name}");
        assert_eq!((&shown["contract"], &shown["configurable"]), (&"0.1.0".into(), &true.into()), "{name}");
        assert!(shown["size"].as_u64().unwrap() > 10_000, "{name}");
        let digest = shown["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        for import in shown["imports"].as_array().unwrap() {
            assert!(
                import.as_str().unwrap().starts_with("tollgate:filter/"),
                "{name} has no other import: {import}"
            );
        }
    }
}

#[test]
fn inspect_shows_a_file_and_refuses_what_is_no_filter() {
    let module = r#"(module
      (memory (export "memory") 1)
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
      (func (export "tollgate:filter/on-request@0.1.0#on-request") (result i32) i32.const 0))"#;
    let filter = guest::build_text("passes", module, &["on-request"]);
    let ended = run(&["inspect", "--json", filter.to_str().unwrap()]);
    let shown: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(
        (&shown["phases"], &shown["configurable"]),
        (&serde_json::json!(["on-request"]), &false.into())
    );
    std::fs::remove_dir_all(filter.parent().unwrap()).unwrap();
    let text = File::new("no WebAssembly");
    for (reference, told) in [
        ("builtin:nonesuch", "there is no builtin filter `nonesuch`; there are breaker, policy,"),
        ("/no/such/filter.wasm", "`/no/such/filter.wasm` cannot be read: No such file"),
        ("/dev/zero", "`/dev/zero` is no file"),
        ("", "cannot be read"),
        (text.path(), "not a valid WebAssembly component or module"),
    ] {
        let ended = run(&["inspect", reference]);
        assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{reference}");
        assert!(ended.errors.contains(told), "{reference}: {}", ended.errors);
    }
}

#[test]
fn the_schema_is_a_json_schema_that_tells_good_manifests_from_bad() {
    let schema = run(&["schema"]);
    assert_eq!((schema.code, schema.errors.as_str()), (Some(0), ""));
    let schema = File::new(schema.output);
    let good = [File::new(SAMPLE), File::new(tollgate::manifest::DEFAULT)];
    let bad = [
        SAMPLE.replace("version: 1", "version: 2"),
        SAMPLE.replace("endpoints:", "endpoint:"),
        SAMPLE.replace("least-request", "random"),
        SAMPLE.replace("serve: health", "serve: wealth"),
    ]
    .map(File::new);
    let mut check = python("schema.py");
    check.arg(schema.path()).args(good.iter().map(File::path)).arg("--bad").args(bad.iter().map(File::path));
    let ended = end(check);
    assert_eq!((ended.code, ended.output.trim()), (Some(0), "6 manifests"), "{}", ended.errors);
}

#[test]
fn completions_are_scripts_for_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&["completions", shell]);
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""), "{shell}");
        for word in ["tollgate", "manifest", "inspect"] {
            assert!(ended.output.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let script = File::new(ended.output);
            let parsed = Command::new("bash").args(["-n", script.path()]).output().unwrap();
            assert!(parsed.status.success() && parsed.stderr.is_empty(), "{parsed:?}");
        }
    }
    assert_eq!(run(&["completions", "abacus"]).code, Some(2));
}

#[test]
fn every_command_has_help() {
    for command in ["run", "check", "inspect", "schema", "completions"] {
        let ended = run(&[command, "--help"]);
        assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""), "{command}");
        assert!(ended.output.contains(&format!("Usage: tollgate {command}")), "{}", ended.output);
        assert!(run(&["--help"]).output.contains(command));
    }
    let version = run(&["--version"]);
    assert_eq!(version.output.trim(), format!("tollgate {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_mistyped_is_told_with_what_was_meant() {
    for (arguments, told) in [
        (&["run", "--lisen", "127.0.0.1:0"][..], "'--listen'"),
        (&["run", "--upstrem", "x"], "'--upstream'"),
        (&["chek"], "'check'"),
        (&["inspect", "--jsn", "builtin:retry"], "'--json'"),
        (&["run", "--workers", "0"], "--workers"),
        (&["run", "--workers", "many"], "--workers"),
        (&["run", "--listen", "localhost"], "--listen"),
        (&["check"], "<FILE>"),
        (&[], "Usage: tollgate"),
    ] {
        let ended = run(arguments);
        assert_eq!((ended.code, ended.output.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.errors.contains(told), "{arguments:?}: {}", ended.errors);
    }
}
