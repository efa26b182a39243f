//! Filters that cannot be started: `check` and `run` refuse the manifest with one clear sentence. And those that cannot
//! be started a second time.

use super::{faults, one_worker};
use crate::support::script::{Script, chain};
use crate::support::tollgate::{command, directory};
use crate::support::{Origin, eventually};

/// What a command has to say about a manifest with these filters; it must fail.
fn refusal(arguments: &[&str], filters: &str) -> String {
    let file = directory().join("manifest.yaml");
    let manifest = format!(
        "version: 1\nlisteners:\n  - address: 127.0.0.1:0\nupstreams:\n  main:\n    endpoints: [\"http://127.0.0.1:9\"]\n\
         {filters}routes:\n  - match: {{path-prefix: /}}\n    upstream: main\n"
    );
    std::fs::write(&file, manifest).unwrap();
    let output = command().args(arguments).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text.replace(&file.display().to_string(), "FILE")
}

fn checked(filter: &Script, keys: &str) -> String {
    let text = refusal(&["check"], &chain(&[filter.entry(keys)]));
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_configuration_that_the_filter_refuses_is_refused_in_its_own_words() {
    let filter = Script::new("f")
        .on("on-request", "")
        .on("configure", r#"(return (call $refuse "`limit` must be positive"))"#);
    let expected = "FILE: filter `f`: it refuses its configuration: `limit` must be positive\n";
    assert_eq!(checked(&filter, "config: {limit: -1}"), expected);
    assert_eq!(refusal(&["run", "--manifest"], &chain(&[filter.entry("")])), expected);
}

#[test]
fn all_refusals_come_at_once() {
    let entries: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            Script::new(name)
                .on("on-request", "")
                .on("configure", &format!(r#"(return (call $refuse "no {name}"))"#))
                .entry("")
        })
        .into();
    let text = refusal(&["check"], &chain(&entries));
    let named = ["a", "b", "c"]
        .map(|name| format!("FILE: filter `{name}`: it refuses its configuration: no {name}\n"));
    assert_eq!(text, named.concat());
}

#[test]
fn a_filter_that_fails_while_it_starts_is_refused() {
    let of = |configure: &str| Script::new("f").on("configure", configure).on("on-request", "");
    let starts = Script::new("f").on("on-request", "").with("(func $start (unreachable)) (start $start)");
    let grows =
        "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)";
    let cases = [
        (of("(unreachable)"), "", "unreachable"),
        (starts, "", "unreachable"),
        (of(grows), "", "limits.memory"),
        (of(""), "limits: {memory: 64KiB}", "limits.memory"),
        (of("(call $exchange.id (i32.const 16))"), "", "no exchange in hand"),
        (of("(call $request.path (i32.const 16))"), "", "no exchange in hand"),
        (of("(drop (call $response.status))"), "", "no exchange in hand"),
        (of("(drop (call $body.size))"), "", "no exchange in hand"),
        (of(r#"(call $reply.detail "x")"#), "", "no exchange in hand"),
        (of("(return (i32.const -4))"), "", "out of bounds"),
        (of("(return (call $variant (i32.const 7) (i32.const 0) (i32.const 0)))"), "", "filter `f`: "),
        (of("(return (call $refuse (i32.const 0) (i32.const -1)))"), "", "out of bounds"),
    ];
    for (filter, keys, words) in cases {
        let text = checked(&filter, keys);
        assert!(text.starts_with("FILE: filter `f`: ") && text.contains(words), "{words}: {text}");
        assert!(text.len() < 400, "{text}");
    }
}

#[test]
fn a_filter_that_never_comes_to_an_end_while_it_starts_is_refused() {
    let filter = Script::new("f").on("on-request", "").on("configure", "(loop $ever (br $ever))");
    assert!(checked(&filter, "").contains("it took longer than 5s to start"));
}

#[test]
fn what_does_not_need_an_exchange_can_be_called_while_starting() {
    let filter = Script::new("f")
        .on(
            "configure",
            r#"(call $put (local.get $config) (local.get $size)) (call $log-text)
               (drop (call $cell.add (call $cell.open "started") (i64.const 1)))
               (drop (call $counter.open "c" "" (i32.const 0) (i32.const 0)))
               (call $health.report "check" (i32.const 0) "")
               (call $pressure.read (i32.const 16)) (drop (call $clock.now-micros)) (drop (call $random.next))"#,
        )
        .on("on-request", "");
    let origin = Origin::working();
    let keys = "config: {text: a, list: [1, null, true, 1.5], nested: {k: {}}}";
    let tollgate = one_worker(&origin, &chain(&[filter.entry(keys)]), "");
    assert_eq!(tollgate.get("/").status(), 200);
    let config = r#"{\"text\":\"a\",\"list\":[1,null,true,1.5],\"nested\":{\"k\":{}}}"#;
    eventually("it has got its configuration", || tollgate.has_logged(&[config]));
    let none = Script::new("f")
        .on("configure", "(call $put (local.get $config) (local.get $size)) (call $log-text)");
    let tollgate = one_worker(&origin, &chain(&[none.on("on-request", "").entry("")]), "");
    eventually("without one it is an empty object", || tollgate.has_logged(&["\"msg\":\"{}\""]));
}

#[test]
fn a_configuration_that_nobody_reads_is_a_mistake() {
    let text = checked(&Script::new("f").on("on-request", ""), "config: {a: 1}");
    assert!(text.contains("does not export `lifecycle`") && text.contains("remove its `config`"), "{text}");
}

#[test]
fn a_filter_that_cannot_be_started_again_fails_until_it_can() {
    // It is tried with cells of the trial's own, starts on the worker, and does not again until its cell says otherwise.
    let filter = Script::new("f")
        .on(
            "configure",
            r#"(if (i64.eq (call $cell.add (call $cell.open "starts") (i64.const 1)) (i64.const 2))
                 (then (return (call $refuse "not now"))))"#,
        )
        .on(
            "on-request",
            r#"(call $request.header "x-trap" (i32.const 16))
                             (if (i32.load8_u (i32.const 16)) (then (unreachable)))"#,
        );
    let origin = Origin::working();
    let tollgate = one_worker(&origin, &chain(&[filter.entry("")]), "");
    let mut client = tollgate.client();
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(super::post(&mut client, "x-trap: 1").status(), 503);
    assert_eq!(client.get("/").status(), 503, "the second start is refused");
    assert_eq!(client.get("/").status(), 200, "the third is not");
    assert_eq!(faults(&tollgate, "f", "on-request", "config"), 1.0);
    eventually("it is logged", || tollgate.has_logged(&["filter failed: config: not now"]));
}

#[test]
fn a_grant_that_nothing_can_come_of_is_refused() {
    let filter = Script::new("plain").on("on-request", "");
    let text = refusal(&["check"], &chain(&[filter.entry("grants: {http: [\"http://a.test\"]}")]));
    assert!(text.contains("it sends no requests") && text.contains("remove `grants.http`"), "{text}");
}
