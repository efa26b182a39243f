//! Wrong manifests and what is said of them, right ones and what they mean, and damaged ones that must do no harm.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

const BASE: &str = "version: 1
listeners:
  - address: 127.0.0.1:0
upstreams:
  main:
    endpoints: [\"http://127.0.0.1:9000\"]
filters:
  - name: retry
    component: builtin:retry
routes:
  - match: {path-prefix: /}
    upstream: main
";
const LISTENER: &str = "  - address: 127.0.0.1:0";
const COMPONENT: &str = "    component: builtin:retry\n";
const ROUTE: &str = "    upstream: main";

/// What is taken out of [`BASE`], what is put there instead, and every mistake that is reported then.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &[&str])] = &[
    ("version: 1", "version: 2", &["1:10: expected version 1, which is all that this program reads, found `2`"]),
    ("version: 1\n", "", &["1:1: `version` is missing"]),
    ("version: 1", "version: \"one\"", &["1:10: expected version 1, which is all that this program reads, found the text `one`"]),
    ("listeners:\n  - address: 127.0.0.1:0\n", "", &["1:1: `listeners` is missing"]),
    (LISTENER, "  - addres: 127.0.0.1:0", &["3:5: unknown key `addres`; did you mean `address`?", "3:5: `address` is missing"]),
    ("127.0.0.1:0", "127.0.0.1", &["3:14: `127.0.0.1` is not an IP address and a port; did you mean `127.0.0.1:8081`?"]),
    ("127.0.0.1:0", "localhost:80", &["3:14: `localhost:80` is not an IP address and a port; did you mean `127.0.0.1:80`?"]),
    ("127.0.0.1:0", "127.0.0.1:99999", &["3:14: `127.0.0.1:99999` is not an IP address and a port; write one such as `127.0.0.1:8081`, or `0.0.0.0:8081` for all interfaces"]),
    (LISTENER, "  - {address: 127.0.0.1:0, tls: {certificate: a}}", &["3:28: `tls` is not available in this version"]),
    (LISTENER, "  - {address: 127.0.0.1:80}\n  - {address: 127.0.0.1:80}", &["4:15: there is a listener on 127.0.0.1:80 already; the first is in line 3"]),
    (LISTENER, "  - {address: 127.0.0.1:0, timeouts: {header: 10}}", &["3:47: the duration `10` has no unit; write `10ms` or `10s`"]),
    (LISTENER, "  - {address: 127.0.0.1:0, timeouts: {header: 0s}}", &["3:47: `0s` is out of range; from `1ms` to `24h`"]),
    (LISTENER, "  - {address: 127.0.0.1:0, timeouts: {header: 10 parsecs}}", &["3:47: `10 parsecs` is not a duration; write a whole number and its unit, `ms`, `s`, `m` or `h`"]),
    (LISTENER, "  - {address: 127.0.0.1:0, limits: {header-bytes: 1KiB}}", &["3:51: `1KiB` is out of range; from `8KiB` to `1MiB`"]),
    (LISTENER, "  - {address: 127.0.0.1:0, limits: {headers: many}}", &["3:46: expected a whole number from 1 to 1000, found `many`"]),
    ("listeners:\n  - address: 127.0.0.1:0", "listeners: []", &["2:12: there is no listener; write at least one"]),
    ("listeners:\n  - address: 127.0.0.1:0", "listeners: 127.0.0.1:0", &["2:12: expected a list, found `127.0.0.1:0`"]),
    ("filters:", "admin: {address: 0.0.0.0:9901}\nfilters:", &["7:18: the administration interface is on no loopback address; write one such as `127.0.0.1:9901`"]),
    ("127.0.0.1:0\n", "0.0.0.0:80\nadmin: {address: \"127.0.0.1:80\"}\n", &["4:18: the administration interface is on a listener's address; traffic must not reach it: write another port"]),
    (LISTENER, "  - {address: 127.0.0.1:80}\n  - {address: 0.0.0.0:80}", &["4:15: there is a listener on 127.0.0.1:80 already; the first is in line 3"]),
    ("main:\n    endpoints: [\"http://127.0.0.1:9000\"]", "main: 5", &["5:9: expected a mapping, found `5`"]),
    ("  main:", "  \"m n\":", &["5:3: `m n` is not a name; a name has up to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"]),
    ("upstreams:", "admin:\nupstreams:", &["4:1: expected a mapping, found nothing"]),
    ("builtin:retry\nroutes", "retry/\n  - {name: \"a b\", component: ./x}\nroutes", &["10:12: `a b` is not a name; a name has up to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"]),
    (ROUTE, "    upstream: main\n    filters: [retry, other]\nfilters: []", &["13:22: there is no filter `other`; it can only be `retry`", "14:1: the key `filters` is there twice; it was first given on line 7"]),
    (ROUTE, "    serve: metrics\n    timeout: 1s\n    errors: plain", &["13:14: `timeout` means nothing beside `serve`; leave it out", "14:13: `errors` means nothing beside `serve`; leave it out"]),
    (ROUTE, "    serve: health\n    filters: [retry]\n    body-limit: 1KiB\n    replay-limit: 1KiB", &["13:14: `filters` means nothing beside `serve`; leave it out", "14:17: `body-limit` means nothing beside `serve`; leave it out", "15:19: `replay-limit` means nothing beside `serve`; leave it out"]),
    ("{path-prefix: /}\n    upstream: main\n", "{path: x}\n    upstream: main\n  - {match: {path: /y}, upstream: main}\n", &["11:19: the path `x` does not begin with `/`; did you mean `/x`?"]),
    ("{path-prefix: /}\n    upstream: main", "5\n    upstream: mian", &["11:12: expected a mapping, found `5`", "12:15: there is no upstream `mian`; did you mean `main`?"]),
    ("{path-prefix: /}", "{methods: [GET, POST, GET]}", &["11:34: the method `GET` is there twice; name each once"]),
    ("{path-prefix: /}\n    upstream: main\n", "{methods: [get]}\n    upstream: main\n  - {match: {}, upstream: main}\n", &["11:23: `get` is not a method; did you mean `GET`?"]),
    ("127.0.0.1:0\n", "127.0.0.1:80\nadmin: {address: \"127.0.0.1:80\"}\n", &["4:18: the administration interface is on a listener's address; traffic must not reach it: write another port"]),
    ("upstreams:", "upsteams:", &["4:1: unknown key `upsteams`; did you mean `upstreams`?", "12:15: there is no upstream `main`; there is none"]),
    (ROUTE, "    upsteam: main", &["11:5: the route leads nowhere; give it `upstream` or `serve`", "12:5: unknown key `upsteam`; did you mean `upstream`?"]),
    (ROUTE, "    upstream: mian", &["12:15: there is no upstream `mian`; did you mean `main`?"]),
    ("[\"http://127.0.0.1:9000\"]", "[]", &["6:16: there is no endpoint; write at least one"]),
    ("http://127.0.0.1:9000", "https://api.example.com", &["6:17: TLS to upstreams is not available in this version"]),
    ("http://127.0.0.1:9000", "127.0.0.1:9000", &["6:17: `127.0.0.1:9000` is not a URL; did you mean `http://127.0.0.1:9000`?"]),
    ("http://127.0.0.1:9000", "http://u:p@h/", &["6:17: `http://u:p@h/` has a user name in it; leave it out"]),
    ("http://127.0.0.1:9000", "http://h/path", &["6:17: `http://h/path` has a path or a query; end it after the host and port"]),
    ("http://127.0.0.1:9000", "ftp://h", &["6:17: `ftp://h` does not begin with `http://`; write one such as `http://127.0.0.1:9000`"]),
    ("    endpoints:", "    balance: random\n    endpoints:", &["6:14: `random` is not known here; it can be `round-robin`, `least-request` or `consistent-hash`"]),
    ("    endpoints:", "    health: {path: /}\n    endpoints:", &["6:5: `health` is not available in this version"]),
    ("    endpoints:", "    timeouts: {conect: 1s}\n    endpoints:", &["6:16: unknown key `conect`; did you mean `connect`?"]),
    ("builtin:retry", "builtin:rety", &["9:16: there is no builtin filter `rety`; did you mean `retry`?"]),
    ("builtin:retry", "retry", &["9:16: the component `retry` is not a path; did you mean `builtin:retry`?"]),
    ("builtin:retry", "oci://x/y", &["9:16: the component `oci://x/y` is not a path; filters are read from files such as `./filters/mine.wasm`"]),
    (COMPONENT, "", &["8:5: `component` is missing"]),
    ("  - name: retry\n    component", "  - component", &["8:5: `name` is missing"]),
    (COMPONENT, "    component: builtin:retry\n  - {name: retry, component: builtin:retry}\n", &["10:12: there is a filter `retry` already; the first is in line 8"]),
    (COMPONENT, "    component: builtin:retry\n    limits: {time: 1h}\n", &["10:20: `1h` is out of range; from `1ms` to `10s`"]),
    (COMPONENT, "    component: builtin:retry\n    limits: {memory: 1KiB}\n", &["10:22: `1KiB` is out of range; from `64KiB` to `4GiB`"]),
    (COMPONENT, "    component: builtin:retry\n    on-error: ignore\n", &["10:15: `ignore` is not known here; it can be `closed` or `open`"]),
    (COMPONENT, "    component: builtin:retry\n    isolation: none\n", &["10:16: `none` is not known here; it can be `worker` or `request`"]),
    (COMPONENT, "    component: builtin:retry\n    mode: shaddow\n", &["10:11: `shaddow` is not known here; did you mean `shadow`?"]),
    (COMPONENT, "    component: builtin:retry\n    grants: {http: [\"https://a/b\", auth.internal]}\n", &["10:21: `https://a/b` has a path or a query; end it after the host and port", "10:36: `auth.internal` is not a URL; did you mean `http://auth.internal`?"]),
    (COMPONENT, "    component: builtin:retry\n    isolation: request\n    max-reuse: 9\n", &["11:16: no exchange shares an instance with another with `isolation: request`; leave `max-reuse` out"]),
    (COMPONENT, "    component: builtin:retry\n    config: 7\n", &["10:13: expected a mapping, found `7`"]),
    (ROUTE, "    serve: metrics\n    upstream: main", &["13:15: a route has either `upstream` or `serve`; remove one"]),
    (ROUTE, "    errors: problem", &["11:5: the route leads nowhere; give it `upstream` or `serve`"]),
    (ROUTE, "    serve: matrics", &["12:12: `matrics` is not known here; did you mean `metrics`?"]),
    (ROUTE, "    upstream: main\n    errors: xml", &["13:13: `xml` is not known here; it can be `problem`, `plain`, `openai` or `anthropic`"]),
    (ROUTE, "    upstream: main\n    filters: [retri]", &["13:15: there is no filter `retri`; did you mean `retry`?"]),
    (ROUTE, "    upstream: main\n    filters: [retry, retry]", &["13:22: the filter `retry` is out of the chain's order; name each once, in the order of `filters`"]),
    (ROUTE, "    upstream: main\n    body-limit: lots", &["13:17: `lots` is not a size; write a whole number and its unit, `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`"]),
    (ROUTE, "    upstream: main\n    timeout: forever", &["13:14: `forever` is not a duration; write a whole number and its unit, `ms`, `s`, `m` or `h`"]),
    ("{path-prefix: /}", "{path-prefix: /, path: /}", &["11:26: a match has either `path` or `path-prefix`; remove one"]),
    ("{path-prefix: /}", "{path-prefix: v1}", &["11:26: the path `v1` does not begin with `/`; did you mean `/v1`?"]),
    ("{path-prefix: /}", "{methods: [get]}", &["11:23: `get` is not a method; did you mean `GET`?"]),
    ("{path-prefix: /}", "{methods: []}", &["11:22: there is no method; leave `methods` out to match all"]),
    ("{path-prefix: /}", "{host: \"a b\"}", &["11:19: the host `a b` is not valid; write one such as `api.example.com`"]),
    (ROUTE, "    upstream: main\n  - match: {path: /x}\n    upstream: main", &["13:5: the route `routes[1]` can never match: `routes[0]` takes all of its requests; move it before line 11"]),
    (ROUTE, "    upstream: main\n    name: a\n  - {name: a, match: {}, upstream: main}", &["14:5: there is a route `a` already; the first is in line 11"]),
    ("  - match: {path-prefix: /}\n", "  - name: x\n", &["11:5: `match` is missing"]),
    ("version: 1", "version: 1\nretry-budget: {percent: 200}", &["2:25: expected a whole number from 0 to 100, found `200`"]),
    ("version: 1", "version: 1\nshutdown-timeout: \"${T:-x}ms\"", &["2:19: `xms` is not a duration; write a whole number and its unit, `ms`, `s`, `m` or `h`"]),
    ("version: 1", "version: 1\nshutdown-timeout: \"${NOPE}ms\"", &["2:19: the environment variable `NOPE` is not set; set it, or write `${NOPE:-default}`"]),
    ("version: 1", "version: 1\nshutdown-timeout: \"${WORD}ms\"", &["2:19: `wordms` is not a duration (from the environment variable `WORD`); write a whole number and its unit, `ms`, `s`, `m` or `h`"]),
    ("version: 1", "version: 1\ntelemetry: {namespace: 9x}", &["2:24: `9x` cannot begin the name of a metric; Prometheus takes letters, digits, `_` and `:`, and no digit first"]),
    ("version: 1", "version: 1\ntelemetry: {log: {level: loud}}", &["2:26: `loud` is not known here; it can be `error`, `warn`, `info`, `debug` or `trace`"]),
    ("version: 1", "version: 1\ntelemetry: {log: {requests: maybe}}", &["2:29: expected `true` or `false`, found `maybe`"]),
    ("version: 1", "version: 1\ntelemetry: {traces: {otlp: x}}", &["2:13: `traces` is not available in this version"]),
    ("version: 1", "version: 1\nversion: 1", &["2:1: the key `version` is there twice; it was first given on line 1"]),
    ("version: 1", "version: 1\n---\nversion: 1", &["2:1: a second document begins here; a manifest is one document"]),
    ("version: 1", "version: [1", &["2:10: not YAML: illegal placement of ':' indicator"]),
    ("version: 1", "\tversion: 1", &["2:1: not YAML: did not find expected <document start>"]),
    (BASE, "", &["1:1: the manifest is empty; it needs `version`, `listeners` and `routes`"]),
    (BASE, "just text", &["1:1: expected a mapping, found `just text`"]),
    ("version: 1", "version: !foo 1", &["1:10: the tag `!foo` is not known; leave it out, or use `!!str`", "1:10: expected version 1, which is all that this program reads, found the text `1`"]),
    ("version: 1", "version: \"${UNCLOSED\"", &["1:10: `${UNCLOSED` names no environment variable; write `${NAME}` or `${NAME:-default}`, or `$${` for a plain `${`"]),
];

fn env(name: &str) -> Option<String> {
    match name {
        "WORD" => Some("word".into()),
        "NUMBER" => Some("7".into()),
        "TOLLGATE_UPSTREAM" => Some("http://127.0.0.1:9000".into()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Manifest, Mistakes> {
    parse(text, "dir/manifest.yaml", &env)
}

fn with(old: &str, new: &str) -> Manifest {
    read(&BASE.replacen(old, new, 1)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn every_mistake_is_reported_with_its_place_and_its_remedy() {
    for (old, new, expected) in WRONG {
        assert!(BASE.contains(old), "{old:?}");
        let mistakes = read(&BASE.replacen(old, new, 1)).expect_err(new);
        let found: Vec<_> = mistakes.mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(&found, expected, "{new:?}");
    }
}

#[test]
fn all_mistakes_come_in_one_run_in_the_order_of_the_file() {
    let text =
        BASE.replace("version: 1", "version: 3").replace("upstreams", "upstream").replace("retry", "rety");
    let mistakes = read(&text).unwrap_err();
    assert_eq!(mistakes.mistakes.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [1, 4, 9, 12]);
    let shown = mistakes.to_string();
    assert!(shown.starts_with("dir/manifest.yaml:1:10: "), "{shown}");
    assert!(shown.contains("\n  4 | upstream:\n    | ^"), "{shown}");
}

#[test]
fn what_is_left_out_has_a_default() {
    let manifest = with("", "");
    let listener = &manifest.listeners[0];
    assert_eq!(
        (listener.timeouts.header, listener.timeouts.idle),
        (Duration::from_secs(10), Duration::from_secs(60))
    );
    assert_eq!((listener.limits.headers, listener.limits.header_bytes), (100, 64 << 10));
    let upstream = &manifest.upstreams[0];
    assert_eq!((upstream.provider.as_str(), upstream.balance), ("main", Balance::RoundRobin));
    assert_eq!(upstream.timeouts.connect, Duration::from_secs(2));
    let filter = &manifest.filters[0];
    assert_eq!(
        (filter.on_error, filter.isolation, filter.mode),
        (OnError::Closed, Isolation::Worker, Mode::Enforce)
    );
    assert_eq!((filter.limits.time, filter.limits.memory), (Duration::from_millis(10), 16 << 20));
    assert_eq!(filter.config, json!({}));
    let Target::Upstream(forward) = &manifest.routes[0].target else { panic!("a forwarding route") };
    assert_eq!((forward.upstream, forward.filters.as_slice()), (0, [0].as_slice()));
    assert_eq!((forward.timeout, forward.body_limit), (Duration::from_secs(60), 10 << 20));
    assert_eq!((manifest.retry_budget.percent, manifest.retry_budget.min), (20, 3));
    assert_eq!(manifest.shutdown_timeout, Duration::from_secs(30));
}

/// Writes out every default that the schema states for what is in `value`, and counts them.
fn write_defaults(root: &Value, schema: &Value, value: &mut Value) -> usize {
    let schema = match schema["$ref"].as_str() {
        Some(name) => root.pointer(&name[1..]).expect("a definition"),
        None => schema,
    };
    match value {
        Value::Array(items) => {
            items.iter_mut().map(|item| write_defaults(root, &schema["items"], item)).sum()
        }
        Value::Object(entries) if schema["additionalProperties"].is_object() => entries
            .values_mut()
            .map(|entry| write_defaults(root, &schema["additionalProperties"], entry))
            .sum(),
        Value::Object(entries) => {
            let mut written = 0;
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let definition = property["$ref"].as_str().and_then(|name| root.pointer(&name[1..]));
                if let Some(default) = property.get("default") {
                    entries.entry(key.as_str()).or_insert(default.clone());
                    written += 1;
                } else if definition
                    .is_some_and(|block| block["required"].is_null() && block["properties"].is_object())
                {
                    entries.entry(key.as_str()).or_insert(json!({}));
                }
                if let Some(entry) = entries.get_mut(key) {
                    written += write_defaults(root, property, entry);
                }
            }
            written
        }
        _ => 0,
    }
}

#[test]
fn defaults_in_the_schema_are_those_that_apply() {
    let mut written = json!({
        "version": 1,
        "listeners": [{"address": "127.0.0.1:0"}],
        "upstreams": {"main": {"endpoints": ["http://127.0.0.1:9000"]}},
        "filters": [{"name": "retry", "component": "builtin:retry"}],
        "routes": [{"match": {"path-prefix": "/"}, "upstream": "main"}],
    });
    let schema = json_schema();
    assert_eq!(write_defaults(&schema, &schema, &mut written), 28, "{written:#}");
    // JSON is YAML.
    let manifest = read(&written.to_string()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(manifest, with("", ""));
}

#[test]
fn the_schema_takes_what_is_right_and_no_unknown_key() {
    let schema = jsonschema::validator_for(&json_schema()).unwrap();
    // As an editor sees it, with its variables.
    let as_written = |text: &str| {
        let findings = Findings::default();
        let root = tree::read(&text.replace("${", "$${"), &env, &findings).unwrap();
        Value::deserialize(Decoder { node: &root, findings: &findings }).unwrap()
    };
    for text in [BASE, DEFAULT, SAMPLE] {
        let problems: Vec<_> = schema.iter_errors(&as_written(text)).map(|e| e.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
    }
    for (old, new) in [
        ("upstreams:", "upsteams:"),
        ("version: 1", "version: 2"),
        ("version: 1\n", ""),
        ("address: 127.0.0.1:0", "limits: {}"),
        (COMPONENT, ""),
        ("{path-prefix: /}", "{path: /, path-prefix: /}"),
        ("builtin:retry", "builtin:rety"),
        (ROUTE, "    timeout: 1s"),
    ] {
        assert!(!schema.is_valid(&as_written(&BASE.replacen(old, new, 1))), "{new}");
    }
}

/// Every key of this version.
const SAMPLE: &str = r#"
version: 1
listeners:
  - address: 0.0.0.0:8081
admin:
  address: 127.0.0.1:9901
upstreams:
  main:
    endpoints: ["http://127.0.0.1:9000"]
    provider: openai
    balance: round-robin
    timeouts: {connect: 2s, response: 60s, idle: 60s}
filters:
  - name: shedding
    component: builtin:shedding
    config: {memory: "${THRESHOLD:-0.85}", active-requests: "${REQUESTS:-1000}"}
  - name: mine
    component: ./filters/mine.wasm
    on-error: closed
    limits: {time: 10ms, wait: 1s, memory: 16MiB, instances: 8}
    isolation: worker
    mode: enforce
    max-reuse: 1000
    grants: {http: ["https://auth.internal"]}
routes:
  - match: {path: /metrics}
    serve: metrics
  - match: {host: api.example.com, path-prefix: /v1/, methods: [GET, POST]}
    upstream: main
    filters: [shedding, mine]
    timeout: 60s
    body-limit: 10MiB
    errors: openai
  - match: {path-prefix: /}
    upstream: main
retry-budget: {percent: 20, min: 3}
shutdown-timeout: "${TIMEOUT:-30000}ms"
telemetry:
  namespace: "${NAMESPACE:-tollgate}"
  log: {level: "${LEVEL:-info}", requests: "${REQUESTS_LOGGED:-true}"}
"#;

#[test]
fn every_key_is_read() {
    let manifest = read(SAMPLE).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(manifest.admin, Some(Admin { address: "127.0.0.1:9901".parse().unwrap() }));
    assert_eq!(manifest.upstreams[0].provider, "openai");
    assert_eq!(manifest.filters[0].config, json!({"memory": 0.85, "active-requests": 1000}));
    let matcher = &manifest.routes[1].matcher;
    assert_eq!(matcher.host.as_deref(), Some("api.example.com"));
    assert_eq!(matcher.methods, [http::Method::GET, http::Method::POST]);
    assert_eq!(manifest.routes[1].name, "routes[1]");
    let Target::Upstream(forward) = &manifest.routes[1].target else { panic!("a forwarding route") };
    assert_eq!((forward.filters.as_slice(), forward.errors), ([0, 1].as_slice(), ErrorFormat::OpenAi));
    assert_eq!(manifest.shutdown_timeout, Duration::from_secs(30));
    assert!(manifest.telemetry.log.requests);
}

#[test]
fn a_relative_component_is_found_beside_the_manifest() {
    let component = with("builtin:retry", "./mine.wasm").filters[0].component.clone();
    assert_eq!(component, Component::File("dir/./mine.wasm".into()));
}

#[test]
fn a_variable_is_typed_by_what_stands_in_its_place() {
    let manifest = with(
        COMPONENT,
        "    component: builtin:retry\n    config: {a: \"${NUMBER}\", b: \"${X:-}\", c: \"x${NUMBER}\", d: \"$${X}\"}\n",
    );
    assert_eq!(manifest.filters[0].config, json!({"a": 7, "b": "", "c": "x7", "d": "${X}"}));
}

#[test]
fn a_value_from_the_environment_is_never_read_as_structure() {
    let hostile = |_: &str| Some("x, admin: {address: 1}\nversion: 2".to_owned());
    let text = BASE.replacen(COMPONENT, "    component: builtin:retry\n    config: {a: \"${V}\"}\n", 1);
    let manifest = parse(&text, "m", &hostile).unwrap();
    assert_eq!(manifest.filters[0].config["a"], "x, admin: {address: 1}\nversion: 2");
}

#[test]
fn the_embedded_default_is_right() {
    let manifest = parse(DEFAULT, "default.yaml", &env).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let names: Vec<_> = manifest.filters.iter().map(|filter| filter.name.as_str()).collect();
    assert_eq!(names, ["validation", "policy", "shedding", "breaker", "retry"]);
    assert_eq!(manifest.filters[1].config["workspace-root"], "");
    assert_eq!(manifest.filters[3].config["failures"], 5);
}

#[test]
fn aliases_do_not_multiply() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let of = format!("*a{}", n - 1);
        text += &format!("a{n}: &a{n} [{of}, {of}, {of}, {of}, {of}, {of}, {of}, {of}, {of}]\n");
    }
    assert!(read(&text).is_err());
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{BASE}x: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).is_err());
    assert!(read(&format!("{BASE}#{}", "x".repeat(2 << 20))).is_err());
}

#[test]
fn a_thousand_mistakes_are_counted_and_not_pondered() {
    let filters: String =
        (0..900).map(|n| format!("  - {{name: a-long-name-{n}, component: ./x}}\n")).collect();
    let unknown = vec!["a-lnog-name"; 1000].join(", ");
    let text = BASE.replacen("  - name: retry\n    component: builtin:retry\n", &filters, 1);
    let mistakes = read(&format!("{text}    filters: [{unknown}]\n")).unwrap_err();
    assert_eq!((mistakes.mistakes.len(), mistakes.omitted), (100, 900));
}

#[test]
fn a_mebibyte_of_mistakes_takes_no_time() {
    let filters: String =
        (0..8000).map(|n| format!("  - {{name: filter-with-a-long-name-{n}, component: ./x}}\n")).collect();
    let references = vec!["filtre-with-a-long-nam"; 20_000].join(", ");
    let unknown = BASE.replacen(COMPONENT, &format!("{COMPONENT}{filters}"), 1).replacen(
        ROUTE,
        &format!("{ROUTE}\n    filters: [{references}]"),
        1,
    );
    let routes: String =
        (0..20_000).map(|n| format!("  - {{match: {{path: /{n}}}, serve: health}}\n")).collect();
    let crowded = BASE.replacen("routes:\n", &format!("routes:\n{routes}"), 1);
    for text in [unknown, crowded] {
        let begun = Instant::now();
        assert!(read(&text).is_err());
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_damaged_manifest_does_no_harm() {
    let mut random = fastrand::Rng::with_seed(1);
    let begun = Instant::now();
    for round in 0..6000 {
        let mut bytes = if round % 2 == 0 { BASE.as_bytes().to_vec() } else { DEFAULT.as_bytes().to_vec() };
        for _ in 0..(bytes.len() / 100).max(1) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(mistakes) = read(&text) {
            assert!(!mistakes.to_string().is_empty());
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(120), "a manifest takes milliseconds");
}
