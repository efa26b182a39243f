//! Policy: rules decide over what a request says, and no spelling of it gets around them.

use super::{chain, code};
use crate::support::{Manifest, Message, Origin, Tollgate};

fn start(origin: &Origin, config: &str) -> Tollgate {
    Manifest { process: &chain(&[("policy", config)]), ..Manifest::default() }.in_front_of(origin)
}

/// Sends a request with these fields (each ending in CRLF) and this JSON, if it is not empty.
fn send(tollgate: &Tollgate, method: &str, path: &str, fields: &str, json: &str) -> Message {
    let length = json.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: t\r\n{fields}content-length: {length}\r\n\r\n{json}");
    tollgate.client().send(request).receive()
}

fn outcome(answer: &Message) -> (u16, String) {
    (answer.status(), if answer.status() == 200 { String::new() } else { code(answer) })
}

#[test]
fn rules_look_at_method_path_header_source_and_body() {
    let origin = Origin::working();
    let config = r#"{rules: [
      {name: by-method, match: {method: [DELETE, PUT]}, action: deny, status: 405, code: by_method, message: Read only},
      {match: {path: [/admin, "/internal/*"], not: {header: {x-role: admin}}}, action: deny, code: by_path},
      {match: {header: {x-team: {one-of: [red, blue]}}}, action: deny, code: by_header},
      {match: {source: 127.0.0.0/8, path: /local}, action: deny, code: by_source},
      {match: {source: 10.0.0.0/8}, action: deny, code: by_other_source},
      {match: {body: {/model: {prefix: gpt-5}}}, action: deny, code: by_text},
      {match: {body: {/max_tokens: {above: 4096}}}, action: deny, code: by_number},
      {match: {body: {/messages/0/role: system}}, action: deny, code: by_pointer},
      {match: {any: [{header: {x-a: {present: true}}}, {path: /any}]}, action: deny, code: by_any}
    ]}"#;
    let tollgate = start(&origin, config);
    for (method, path, fields, json, code) in [
        ("GET", "/", "", "", ""),
        ("DELETE", "/", "", "", "by_method"),
        ("PUT", "/", "", "{}", "by_method"),
        ("GET", "/admin", "", "", "by_path"),
        ("GET", "/admin", "x-role: admin\r\n", "", ""),
        ("GET", "/internal/a/b", "", "", "by_path"),
        ("GET", "/internals", "", "", ""),
        ("GET", "/", "X-Team: blue\r\n", "", "by_header"),
        ("GET", "/", "x-team: green\r\n", "", ""),
        ("GET", "/", "x-team: green\r\nx-team: red\r\n", "", "by_header"),
        ("GET", "/local", "", "", "by_source"),
        ("POST", "/", "", r#"{"model":"gpt-5-turbo"}"#, "by_text"),
        ("POST", "/", "", r#"{"model":"gpt-4"}"#, ""),
        ("POST", "/", "", r#"{"max_tokens":4097}"#, "by_number"),
        ("POST", "/", "", r#"{"max_tokens":4096}"#, ""),
        ("POST", "/", "", r#"{"messages":[{"role":"system"}]}"#, "by_pointer"),
        ("POST", "/", "x-a: 1\r\n", "{}", "by_any"),
        ("GET", "/any", "", "", "by_any"),
    ] {
        let answer = send(&tollgate, method, path, fields, json);
        let status = match code {
            "" => 200,
            "by_method" => 405,
            _ => 403,
        };
        assert_eq!(outcome(&answer), (status, code.to_owned()), "{method} {path} {fields:?} {json}");
    }
}

#[test]
fn what_no_rule_allows_is_denied_when_that_is_the_default() {
    let origin = Origin::working();
    let tollgate =
        start(&origin, "{default: deny, rules: [{match: {path: /open/*, method: GET}, action: allow}]}");
    assert_eq!(tollgate.get("/open/door").status(), 200);
    for (method, path) in [("GET", "/"), ("POST", "/open/door"), ("GET", "/closed")] {
        assert_eq!(
            outcome(&send(&tollgate, method, path, "", "")),
            (403, "denied".into()),
            "{method} {path}"
        );
    }
}

/// Spellings of `/secret` and of `/open/../secret` that some server or other takes for it.
const DISGUISES: [&str; 18] = [
    "/open/../secret",
    "/open/..",
    "/open/%2e%2e/secret",
    "/open/.%2E/secret",
    "/open/..%2fsecret",
    "/open/%2e%2e%2fsecret",
    "/open/..%5csecret",
    "/open/..\\secret",
    "/open/%252e%252e/secret",
    "/open/..;/secret",
    "/open/..;a=b/secret",
    "//secret",
    "/open//../secret",
    "/./secret",
    "/%5csecret",
    "/secret%00",
    "/secret%0a",
    "/open/%c0%ae%c0%ae/secret",
];

#[test]
fn paths_that_are_not_allowed_do_not_pass_in_any_disguise() {
    let origin = Origin::working();
    let listed = start(&origin, r#"{paths: {allow: ["/open/*"]}}"#);
    let ruled = start(&origin, r#"{rules: [{match: {path: "/secret*"}, action: deny}]}"#);
    for tollgate in [&listed, &ruled] {
        assert_eq!(tollgate.get("/open/door?q=/secret").status(), 200);
        assert_eq!(tollgate.get("/open/a%20b").status(), 200);
        for plain in ["/secret", "/secret/", "/secret?x=/open/", "/%73ecret", "/s%65cret/"] {
            assert_eq!(tollgate.get(plain).status(), 403, "{plain}");
        }
        for disguise in DISGUISES {
            let answer = tollgate.get(disguise);
            assert!(matches!(answer.status(), 400 | 403), "{disguise}: {}", answer.text());
        }
        let absolute = tollgate.client().send("GET http://t/secret HTTP/1.1\r\nhost: t\r\n\r\n").receive();
        assert_eq!(absolute.status(), 403, "an absolute target");
    }
    assert_eq!(origin.requests(), 4, "nothing else arrived");
}

#[test]
fn rules_over_bodies_do_not_let_pass_what_they_cannot_read() {
    let origin = Origin::working();
    let tollgate = start(&origin, "{rules: [{match: {body: {/model: evil}}, action: deny}]}");
    let utf16: Vec<u8> = r#"{"model":"evil"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (fields, body, expected) in [
        ("content-type: application/json\r\n", r#"{"model":"good"}"#.as_bytes(), (200, "")),
        ("content-type: application/json\r\n", br#"{"model":"evil"}"#, (403, "denied")),
        ("content-type: text/plain\r\n", br#"{"model":"evil"}"#, (403, "denied")),
        ("", br#"  {"model":"evil"}"#, (403, "denied")),
        ("", br#"{"mode\u006c":"evil"}"#, (403, "denied")),
        ("", br#"{"model":"evil",}"#, (400, "unreadable_body")),
        ("", br#"{"model":"good","model":"evil"}"#, (400, "unreadable_body")),
        ("", br#"{"model":"evil","mode\u006c":"good"}"#, (400, "unreadable_body")),
        ("", &utf16, (400, "unreadable_body")),
        ("content-type: application/json\r\n", b"\x1f\x8b\x08", (400, "unreadable_body")),
        ("content-encoding: gzip\r\n", b"\x1f\x8b\x08", (415, "unsupported_media_type")),
        ("content-type: text/plain\r\n", b"just words", (200, "")),
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: t\r\n{fields}content-length: {}\r\n\r\n", body.len());
        let answer = tollgate.client().send(head).send(body).receive();
        let (status, code) = expected;
        assert_eq!(
            outcome(&answer),
            (status, code.to_owned()),
            "{fields:?} {}",
            String::from_utf8_lossy(body)
        );
    }
}

/// A conversation in which the model has called a tool so many times, as OpenAI has it.
fn conversation(steps: usize) -> String {
    let step = r#",{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",
        "function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}"#;
    let steps = step.repeat(steps);
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"go"}}{steps}]}}"#)
}

#[test]
fn a_conversation_past_its_tool_steps_is_429() {
    let origin = Origin::working();
    for (config, limit) in [("{}", 8), ("{max-steps: 2}", 2)] {
        let tollgate = start(&origin, config);
        assert_eq!(tollgate.post("/v1/chat/completions", &conversation(limit)).status(), 200, "{config}");
        let answer = tollgate.post("/v1/chat/completions", &conversation(limit + 1));
        assert_eq!(outcome(&answer), (429, "max_steps_exceeded".into()), "{config}");
    }
    let unlimited = start(&origin, "{max-steps: 0}");
    assert_eq!(unlimited.post("/v1/chat/completions", &conversation(100)).status(), 200);
}

/// One tool call with that argument, in the ways that the APIs have for it.
fn calls(name: &str, value: &str) -> [String; 4] {
    let arguments = serde_json::json!({name: value});
    let text = serde_json::json!(arguments.to_string());
    [
        format!(
            r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"function":{{"name":"f","arguments":{text}}}}}]}}]}}"#
        ),
        format!(
            r#"{{"messages":[{{"role":"assistant","function_call":{{"name":"f","arguments":{text}}}}}]}}"#
        ),
        format!(
            r#"{{"messages":[{{"role":"assistant","content":[{{"type":"tool_use","name":"f","input":{arguments}}}]}}]}}"#
        ),
        format!(r#"{{"input":[{{"type":"function_call","name":"f","arguments":{text}}}]}}"#),
    ]
}

fn assert_calls(tollgate: &Tollgate, name: &str, value: &str, expected: (u16, &str)) {
    for body in calls(name, value) {
        let answer = tollgate.post("/v1/any", &body);
        assert_eq!(outcome(&answer), (expected.0, expected.1.to_owned()), "{body}");
    }
}

#[test]
fn files_outside_the_workspace_are_denied_in_every_disguise() {
    let origin = Origin::working();
    let tollgate = start(&origin, "{workspace-root: /work/app}");
    for inside in
        ["a.txt", "./src/../lib/a.rs", "/work/app/src", "/work/app", "a%20b.txt", "file:///work/app/a"]
    {
        assert_calls(&tollgate, "path", inside, (200, ""));
    }
    for outside in [
        "/etc/passwd",
        "../secret",
        "src/../../secret",
        "/work/app/../secret",
        "/work/application",
        "%2e%2e/secret",
        "..%2fsecret",
        "%252e%252e%252fsecret",
        "..\\secret",
        "file:///etc/passwd",
        "~/.ssh/id_rsa",
        "$HOME/x",
        "C:\\Windows",
        "\u{2025}/secret",
        "a\u{0}/../../x",
    ] {
        assert_calls(&tollgate, "path", outside, (403, "workspace_denied"));
    }
    assert_calls(&tollgate, "File-Path", "/etc/passwd", (403, "workspace_denied"));
    assert_calls(&tollgate, "query", "/etc/passwd", (200, ""));
}

#[test]
fn hosts_that_are_not_listed_are_denied_in_every_disguise() {
    let origin = Origin::working();
    let tollgate = start(&origin, r#"{web-hosts: "example.com, *.example.org, 192.0.2.7"}"#);
    for allowed in
        ["https://example.com/x", "http://EXAMPLE.com:8080", "https://a.example.org/", "http://192.0.2.7/"]
    {
        assert_calls(&tollgate, "url", allowed, (200, ""));
    }
    for denied in [
        "https://evil.example",
        "https://example.com.evil.example",
        "https://sub.example.com",
        "https://example.org",
        "https://example.com@evil.example",
        "https://evil.example\\@example.com",
        "//evil.example",
        "https:evil.example",
        "http://3221225991/",
        "http://0xc0000207/",
        "http://[::ffff:192.0.2.7]/",
        "https://ex%61mple.com",
        "https://\u{24d4}vil.example",
        "ftp://example.com",
        "file:///etc/passwd",
    ] {
        assert_calls(&tollgate, "url", denied, (403, "host_denied"));
    }
    assert_calls(&tollgate, "text", "https://evil.example", (200, ""));
}

#[test]
fn arguments_that_cannot_be_read_are_denied_while_anything_looks_at_them() {
    let origin = Origin::working();
    let strict = start(&origin, "{workspace-root: /work/app}");
    let lenient = start(&origin, "{}");
    let body = r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{broken"}}]}]}"#;
    assert_eq!(outcome(&strict.post("/", body)), (403, "arguments_unreadable".into()));
    assert_eq!(lenient.post("/", body).status(), 200);
}
