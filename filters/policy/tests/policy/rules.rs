//! Rules, defaults and the path allow-list.

use serde_json::{Value, json};
use tollgate_sdk::Verdict;

use crate::{answer, denied, get, policy, post, problem};

/// A policy that denies what matches.
fn deny(condition: Value) -> filter_policy::Policy {
    policy(json!({"rules": [{"name": "test", "match": condition, "action": "deny"}]}))
}

#[test]
fn without_config_ordinary_requests_pass() {
    let policy = policy(json!({}));
    assert_eq!(answer(&policy, get("/anything?x=/../y")), None);
    assert_eq!(answer(&policy, post("/v1/chat/completions", json!({"model": "m", "messages": []}))), None);
    assert_eq!(answer(&policy, get("/upload").method("POST").body(b"\x89PNG\r\n".to_vec())), None);
}

#[test]
fn each_key_of_a_condition_matches_what_it_says() {
    let address = |text: &str| text.parse().expect("an address");
    let yes = [
        (json!({}), get("/x")),
        (json!({"method": "POST"}), get("/x").method("POST")),
        (json!({"method": ["PUT", "POST"]}), get("/x").method("post")),
        (json!({"path": "/x"}), get("/x/?q")),
        (json!({"path": ["/a", "/x/*"]}), get("/x/y")),
        (json!({"path": "/ad*"}), get("/%61dmin")),
        (json!({"header": {"x-env": "prod"}}), get("/x").header("X-Env", "prod")),
        (json!({"header": {"x-env": {"regex": "^p.*d$"}}}), get("/x").header("x-env", "prod")),
        (json!({"header": {"x-env": {"prefix": "pr"}}}), get("/x").header("x-env", "prod")),
        (json!({"header": {"authorization": {"present": false}}}), get("/x")),
        (json!({"header": {"a": "1", "b": "2"}}), get("/x").header("a", "1").header("b", "2")),
        (json!({"source": "10.0.0.0/8"}), get("/x").client_address(address("10.1.2.3"))),
        (json!({"source": ["192.0.2.9", "2001:db8::/32"]}), get("/x").client_address(address("2001:db8::1"))),
        (json!({"source": "10.0.0.0/8"}), get("/x").client_address(address("::ffff:10.1.2.3"))),
        (json!({"body": {"/model": {"one-of": ["a", "b"]}}}), post("/x", json!({"model": "b"}))),
        (json!({"body": {"/max_tokens": {"above": 4096}}}), post("/x", json!({"max_tokens": 4097}))),
        (
            json!({"body": {"/messages/0/role": "system"}}),
            post("/x", json!({"messages": [{"role": "system"}]})),
        ),
        (json!({"body": {"/stream": true}}), post("/x", json!({"stream": true}))),
        (json!({"body": {"/model": {"present": false}}}), post("/x", json!({}))),
        (json!({"body": {"/a~1b": 1}}), post("/x", json!({"a/b": 1}))),
        (json!({"not": {"method": "GET"}}), get("/x").method("PUT")),
        (json!({"not": {"body": {"/model": "a"}}}), post("/x", json!({"model": "b"}))),
        (json!({"any": [{"path": "/y"}, {"method": "GET"}]}), get("/x")),
        (json!({"any": [{"path": "/y"}, {"body": {"/a": 1}}]}), post("/x", json!({"a": 1}))),
    ];
    for (condition, exchange) in yes {
        let text = condition.to_string();
        assert_eq!(answer(&deny(condition), exchange), Some((403, "denied".into())), "{text}");
    }
    let no = [
        (json!({"method": "POST"}), get("/x")),
        (json!({"path": "/x"}), get("/x/y")),
        (json!({"path": "/x/*"}), get("/xy")),
        (json!({"header": {"x-env": "prod"}}), get("/x")),
        (json!({"header": {"x-env": "prod"}}), get("/x").header("x-env", "PROD")),
        (json!({"header": {"a": "1", "b": "2"}}), get("/x").header("a", "1")),
        (json!({"source": "10.0.0.0/8"}), get("/x")),
        (json!({"body": {"/model": "a"}}), post("/x", json!({"model": ["a"]}))),
        (json!({"body": {"/model": "a"}}), get("/x")),
        (json!({"body": {"/max_tokens": {"max": 5}}}), post("/x", json!({"max_tokens": "5"}))),
        (json!({"method": "POST", "body": {"/a": 1}}), post("/x", json!({"a": 1})).method("PUT")),
        (json!({"not": {"path": "/x"}}), get("/x")),
        (json!({"any": [{"path": "/y"}, {"method": "POST"}]}), get("/x")),
        (json!({"path": "/x", "any": [{"body": {"/a": 1}}]}), post("/x", json!({"a": 2}))),
    ];
    for (condition, exchange) in no {
        let text = condition.to_string();
        assert_eq!(answer(&deny(condition), exchange), None, "{text}");
    }
}

#[test]
fn the_first_rule_that_matches_decides_also_across_the_phases() {
    let policy = policy(json!({"default": "deny", "rules": [
        {"match": {"header": {"x-admin": "yes"}}, "action": "allow"},
        {"match": {"body": {"/model": {"prefix": "big-"}}}, "action": "deny", "status": 402, "code": "too_big", "message": "No"},
        {"match": {"path": "/v1/*"}, "action": "allow"},
    ]}));
    let big = || json!({"model": "big-1"});
    assert_eq!(answer(&policy, post("/v1/x", big())), Some((402, "too_big".into())));
    assert_eq!(answer(&policy, post("/v1/x", big()).header("x-admin", "yes")), None);
    assert_eq!(answer(&policy, post("/v1/x", json!({"model": "small"}))), None);
    assert_eq!(answer(&policy, get("/v1/x")), None);
    assert_eq!(answer(&policy, get("/v2/x")), Some((403, "denied".into())));
}

#[test]
fn what_the_head_decides_is_not_put_off() {
    let policy = policy(json!({"rules": [
        {"match": {"path": "/admin/*"}, "action": "deny"},
        {"match": {"path": "/v1/*", "body": {"/a": 1}}, "action": "deny"},
    ]}));
    assert_eq!(get("/admin/x").on_request(&policy), Verdict::Respond);
    assert_eq!(post("/v1/x", json!({"a": 1})).on_request(&policy), Verdict::Proceed);
    assert!(denied(&policy, post("/v1/x", json!({"a": 1}))));
}

#[test]
fn a_field_given_twice_gets_the_worse_of_it() {
    let twice = || get("/x").header("x-role", "guest").header("x-role", "admin");
    for role in ["guest", "admin"] {
        let denies = deny(json!({"header": {"x-role": role}}));
        assert!(denied(&denies, twice()), "{role}");
        let allows = policy(
            json!({"default": "deny", "rules": [{"match": {"header": {"x-role": role}}, "action": "allow"}]}),
        );
        assert!(denied(&allows, twice()), "{role}");
        let denies_others = deny(json!({"not": {"header": {"x-role": role}}}));
        assert!(denied(&denies_others, twice()), "{role}");
    }
}

#[test]
fn only_allowed_paths_pass() {
    let policy = policy(json!({"paths": {"allow": ["/v1/*", "/healthz"]}}));
    for path in ["/v1", "/v1/", "/v1/chat/completions?x", "/healthz", "/%76%31/x"] {
        assert_eq!(answer(&policy, get(path)), None, "{path}");
    }
    for path in ["/", "/v10", "/v2/x", "/healthz/x", "/admin"] {
        assert_eq!(answer(&policy, get(path)), Some((403, "path_denied".into())), "{path}");
    }
    for path in [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/..%2fadmin",
        "/v1//x",
        "/v1\\..\\admin",
        "/v1/..;/admin",
        "/v1/%252e",
    ] {
        assert_eq!(answer(&policy, get(path)), Some((400, "ambiguous_path".into())), "{path}");
    }
}

#[test]
fn mistakes_name_the_rule_and_the_problem_and_all_are_told() {
    let rule = |rule: Value| json!({"rules": [{"action": "allow"}, rule]});
    for (config, expected) in [
        (
            rule(json!({"name": "r", "match": {"paths": "/x"}, "action": "deny"})),
            "rule `r`: match.paths: unknown field `paths`",
        ),
        (
            rule(json!({"match": {"path": "x"}, "action": "deny"})),
            "rules[1]: match: path: `x` must begin with /",
        ),
        (rule(json!({"name": "r"})), "rule `r`: missing field `action`"),
        (
            rule(json!({"name": "r", "action": "refuse"})),
            "rule `r`: action: unknown variant `refuse`, expected `allow` or `deny`",
        ),
        (
            rule(json!({"name": "r", "action": "allow", "status": 403})),
            "rule `r`: status, code and message go with `action: deny`",
        ),
        (rule(json!({"name": "r", "action": "deny", "status": 200})), "rule `r`: status: 200 is no error"),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"method": "GE T"}})),
            "rule `r`: match: method: `GE T` is no method",
        ),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"header": {"a b": "x"}}})),
            "rule `r`: match: header: a b: is no field name",
        ),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"header": {"a": 5}}})),
            "rule `r`: match: header: a: header fields are text",
        ),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"header": {"a": {"regex": "("}}}})),
            "rule `r`: match: header: a: regex: `(`",
        ),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"body": {"model": "x"}}})),
            "body: model: is no JSON pointer; did you mean `/model`?",
        ),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"source": "10.0.0.0/33"}})),
            "source: `10.0.0.0/33` is no address or network",
        ),
        (
            rule(json!({"name": "r", "action": "deny", "match": {"any": []}})),
            "any: an empty list never matches",
        ),
        (json!({"default": "maybe"}), "default: unknown variant `maybe`"),
        (json!({"max-steps": -1}), "max-steps: invalid value"),
        (json!({"maxsteps": 1}), "unknown field `maxsteps`"),
        (json!({"paths": {"allow": ["/a/*/b"]}}), "paths: allow: `/a/*/b` may have one `*`"),
        (json!({"workspace-root": "work"}), "workspace-root: `work` must be an absolute path"),
        (json!({"web-hosts": "https://x"}), "web-hosts: `https://x` must be a host"),
        (
            json!({"web-hosts": "x.example", "web-endpoint": "gopher://x"}),
            "web-endpoint: `gopher://x` has the scheme gopher",
        ),
    ] {
        let text = config.to_string();
        let problem = problem(config);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    let problem = problem(
        json!({"workspace-root": "work", "web-hosts": "a b", "rules": [{"name": "p"}, {"name": "q"}]}),
    );
    for part in ["rule `p`", "rule `q`", "workspace-root", "web-hosts"] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
}

#[test]
fn conditions_are_not_nested_without_end() {
    let nested = (0..50).fold(json!({"method": "GET"}), |inner, _| json!({"not": inner}));
    assert!(problem(json!({"rules": [{"match": nested, "action": "deny"}]})).contains("levels deep"));
}

#[test]
fn what_the_environment_leaves_empty_is_off() {
    let policy = policy(json!({"workspace-root": "", "web-hosts": "", "web-endpoint": "", "max-steps": 0}));
    let call = json!({"function": {"name": "f", "arguments": r#"{"path": "/etc/passwd", "url": "http://evil.example"}"#}});
    let messages = vec![json!({"role": "assistant", "tool_calls": [call]}); 50];
    assert_eq!(answer(&policy, post("/x", json!({"messages": messages}))), None);
}
