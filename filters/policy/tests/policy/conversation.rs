//! Steps, workspace and hosts, in the histories of OpenAI, Anthropic and OpenAI's responses.

use serde_json::{Value, json};

use crate::{answer, denied, detail, get, policy, post};

const CHAT: &str = "/v1/chat/completions";

fn openai_step(arguments: &str) -> [Value; 2] {
    [
        json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]}),
        json!({"role": "tool", "tool_call_id": "c", "content": "done"}),
    ]
}

fn anthropic_step(input: &Value) -> [Value; 2] {
    [
        json!({"role": "assistant", "content": [{"type": "text", "text": "hm"}, {"type": "tool_use", "id": "t", "name": "f", "input": input}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "done"}]}),
    ]
}

fn responses_step(arguments: &str) -> [Value; 2] {
    [
        json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}),
        json!({"type": "function_call_output", "call_id": "c", "output": "done"}),
    ]
}

/// A body with `steps` of each kind of history.
fn bodies(steps: usize, arguments: &Value) -> [Value; 3] {
    let text = arguments.to_string();
    let user = json!({"role": "user", "content": "Do it"});
    let history = |step: [Value; 2]| {
        let mut history = vec![user.clone()];
        (0..steps).for_each(|_| history.extend(step.clone()));
        history
    };
    [
        json!({"model": "m", "messages": history(openai_step(&text))}),
        json!({"model": "m", "messages": history(anthropic_step(arguments))}),
        json!({"model": "m", "input": history(responses_step(&text))}),
    ]
}

#[test]
fn a_conversation_ends_after_its_steps() {
    let default = policy(json!({}));
    let three = policy(json!({"max-steps": 3}));
    for kind in 0..3 {
        assert_eq!(answer(&default, post(CHAT, &bodies(8, &json!({}))[kind])), None);
        let expected = Some((429, "max_steps_exceeded".to_owned()));
        assert_eq!(answer(&default, post(CHAT, &bodies(9, &json!({}))[kind])), expected);
        assert_eq!(answer(&three, post(CHAT, &bodies(3, &json!({}))[kind])), None);
        assert_eq!(answer(&three, post(CHAT, &bodies(4, &json!({}))[kind])), expected);
    }
}

#[test]
fn calls_side_by_side_are_one_step_and_results_alone_count() {
    let policy = policy(json!({"max-steps": 1}));
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "x"});
    let talk = json!({"role": "assistant", "content": "hm"});
    let calls = json!({"role": "assistant", "tool_calls": [call, call, call]});
    let item = json!({"type": "function_call", "name": "f", "arguments": "{}"});
    for passes in [
        json!({"messages": [calls, result, result, result, talk]}),
        json!({"input": [item, item, item]}),
        json!({"messages": [{"role": "assistant", "tool_calls": null, "function_call": null}, talk, talk]}),
        json!({"messages": [{"role": "assistant", "tool_calls": []}, {"role": "user", "content": [{"type": "text", "text": "x"}]}]}),
    ] {
        assert_eq!(answer(&policy, post(CHAT, &passes)), None, "{passes}");
    }
    for denied_body in [
        json!({"messages": [calls, calls]}),
        json!({"messages": [result, talk, result]}),
        json!({"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, {"role": "function", "name": "f", "content": "x"}, calls]}),
        json!({"messages": [{"role": "tool", "tool_calls": [call]}, {"tool_calls": [call], "role": "tool"}]}),
        json!({"messages": [{"role": "assistant", "content": [{"type": "server_tool_use", "input": {}}]}, {"role": "assistant", "content": [{"type": "mcp_tool_use", "input": {}}]}]}),
        json!({"input": [item, talk, item]}),
    ] {
        assert!(denied(&policy, post(CHAT, &denied_body)), "{denied_body}");
    }
}

#[test]
fn a_conversation_longer_than_any_is_refused_and_embeddings_are_none() {
    let policy = policy(json!({}));
    let many = json!({"messages": vec![json!({"role": "user", "content": "x"}); 5000]});
    assert_eq!(answer(&policy, post(CHAT, many)), Some((413, "conversation_too_long".into())));
    let parts =
        json!({"messages": [{"role": "user", "content": vec![json!({"type": "text", "text": ""}); 5000]}]});
    assert_eq!(answer(&policy, post(CHAT, parts)), Some((413, "conversation_too_long".into())));
    assert_eq!(answer(&policy, post("/v1/embeddings", json!({"input": vec![7; 20_000]}))), None);
    assert_eq!(answer(&policy, post("/v1/embeddings", json!({"input": "text"}))), None);
}

#[test]
fn file_arguments_stay_in_the_workspace() {
    let policy = policy(json!({"workspace-root": "/work/app"}));
    for arguments in [
        json!({"path": "src/main.rs"}),
        json!({"file_path": "/work/app/x", "content": "../.. /etc/passwd ~"}),
        json!({"paths": ["a", "b/../c"], "pattern": "/etc/*"}),
        json!({"nested": {"cwd": "."}, "path": null, "directory": 5, "dir": true}),
        json!({}),
    ] {
        for body in bodies(1, &arguments) {
            assert_eq!(answer(&policy, post(CHAT, &body)), None, "{body}");
        }
    }
    for arguments in [
        json!({"path": "/etc/passwd"}),
        json!({"filePath": "../x"}),
        json!({"FILE-PATH": "~/x"}),
        json!({"paths": ["a", ["..%2fx"]]}),
        json!({"edits": [{"file": {"path": "C:\\x"}}]}),
        json!({"a/b~c": {"cwd": "/"}}),
        json!({"path": {"path": "/etc"}}),
    ] {
        for body in bodies(1, &arguments) {
            assert_eq!(answer(&policy, post(CHAT, &body)), Some((403, "workspace_denied".into())), "{body}");
        }
    }
}

#[test]
fn addresses_stay_on_the_list() {
    let policy = policy(
        json!({"web-hosts": "example.com, *.example.org", "web-endpoint": "http://search.internal:8888/q"}),
    );
    for arguments in [
        json!({"url": "https://example.com/x", "path": "/etc/passwd"}),
        json!({"urls": ["https://a.example.org", "http://search.internal:8888/q?x"], "query": "https://evil.example"}),
        json!({"url": ""}),
    ] {
        for body in bodies(2, &arguments) {
            assert_eq!(answer(&policy, post(CHAT, &body)), None, "{body}");
        }
    }
    for arguments in [
        json!({"url": "https://evil.example"}),
        json!({"Url": "https://example.com@evil.example"}),
        json!({"options": {"urls": ["https://example.com", "evil.example"]}}),
        json!({"uri": "https://example.org"}),
    ] {
        for body in bodies(1, &arguments) {
            assert_eq!(answer(&policy, post(CHAT, &body)), Some((403, "host_denied".into())), "{body}");
        }
    }
}

#[test]
fn names_of_arguments_can_be_given() {
    let policy = policy(
        json!({"workspace-root": "/w", "path-arguments": ["where"], "web-hosts": ["example.com"], "url-arguments": ["to"]}),
    );
    let body = |arguments: Value| bodies(1, &arguments)[0].clone();
    assert!(!denied(&policy, post(CHAT, body(json!({"path": "/etc", "url": "https://evil.example"})))));
    assert!(denied(&policy, post(CHAT, body(json!({"where": "/etc"})))));
    assert!(denied(&policy, post(CHAT, body(json!({"to": "https://evil.example"})))));
}

#[test]
fn details_say_where_and_are_cut() {
    let policy = policy(json!({"workspace-root": "/work/app"}));
    let [openai, anthropic, _] = bodies(1, &json!({"path": "../x"}));
    assert_eq!(
        detail(&policy, post(CHAT, openai)),
        "messages[1].tool_calls[0].function.arguments: path is outside the workspace: ../x"
    );
    assert_eq!(
        detail(&policy, post(CHAT, anthropic)),
        "messages[1].content[1].input: path is outside the workspace: ../x"
    );
    let [long, ..] = bodies(1, &json!({"path": format!("../{}", "é".repeat(1000))}));
    assert!(detail(&policy, post(CHAT, long)).len() <= 300);
}

#[test]
fn arguments_that_nobody_can_read_are_refused() {
    let policy = policy(json!({"workspace-root": "/work/app"}));
    let body = |arguments: &str| json!({"messages": openai_step(arguments)});
    for blank in ["", "  ", "{}", "null", "[]", "\"text\""] {
        assert_eq!(answer(&policy, post(CHAT, body(blank))), None, "{blank}");
    }
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let many = format!("[{}0]", "0,".repeat(20_000));
    for unreadable in
        ["{", "{path: 1}", "{\"path\": \"a\"} {\"path\": \"/etc\"}", "{'path': '/etc'}", &deep, &many]
    {
        let expected = Some((403, "arguments_unreadable".to_owned()));
        assert_eq!(answer(&policy, post(CHAT, body(unreadable))), expected, "{unreadable:.40}");
    }
    // Both of two values count, whichever a tool would take.
    for twice in
        [r#"{"path": "/etc", "path": "a"}"#, r#"{"path": "a", "path": "/etc"}"#, r#"{"p\u0061th": "/etc"}"#]
    {
        assert_eq!(
            answer(&policy, post(CHAT, body(twice))),
            Some((403, "workspace_denied".into())),
            "{twice}"
        );
    }
}

#[test]
fn a_body_that_only_others_can_read_is_refused() {
    let default = policy(json!({}));
    let text = r#"{"messages": []}"#;
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [&[0xff, 0xfe][..], &utf16].concat();
    let utf8_marked: Vec<u8> = [&[0xef, 0xbb, 0xbf][..], text.as_bytes()].concat();
    let late: Vec<u8> = [&[b' '; 9000][..], text.as_bytes(), b","].concat();
    for body in [utf16, marked, utf8_marked, late, b"{\"a\": NaN}".to_vec(), b"[1,]".to_vec()] {
        let exchange = get(CHAT).method("POST").header("content-type", "text/plain").body(body);
        assert_eq!(answer(&default, exchange), Some((400, "unreadable_body".into())));
    }
    let exchange = get(CHAT).method("POST").header("content-type", "application/json").body("oops");
    assert_eq!(answer(&default, exchange), Some((400, "unreadable_body".into())));
    let exchange = get(CHAT).method("POST").header("content-encoding", "gzip").body(b"\x1f\x8b\x08".to_vec());
    assert_eq!(answer(&default, exchange), Some((415, "unsupported_media_type".into())));
    for body in [&b""[..], b"   ", b"a=b", b"--x\r\n", b"\x1f\x8b\x08"] {
        assert_eq!(answer(&default, get(CHAT).method("POST").body(body)), None, "{body:?}");
    }
    let off = policy(json!({"max-steps": 0}));
    let exchange = get(CHAT).method("POST").header("content-encoding", "gzip").body(b"\x1f\x8b\x08".to_vec());
    assert_eq!(answer(&off, exchange), None);
}
