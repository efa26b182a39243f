//! What must never slip by, tried from the outside, and input that makes no sense at all.

use serde_json::json;

use crate::{answer, denied, get, policy, post};

#[test]
fn no_spelling_of_a_denied_path_passes() {
    let policy = policy(json!({"rules": [{"match": {"path": "/admin/*"}, "action": "deny"}]}));
    for path in [
        "/admin",
        "/admin/",
        "/admin?x",
        "/admin/users",
        "/%61dmin/users",
        "/adm%69n",
        "/%61%64%6d%69%6e",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2e/admin",
        "/x/..%2fadmin",
        "/x%2f..%2fadmin",
        "/admin%2fusers",
        "/admin%5cusers",
        "/admin\\users",
        "/x/..\\admin",
        "/x/..;/admin",
        "/x/..;a=b/admin",
        "/%252e/admin",
        "/x/%252e%252e/admin",
        "/%2561dmin",
        "/admin%00",
        "/admin%00/x",
        "/admin%0a",
        "/admin%",
        "/admin/..",
        "/admin/.",
        "/admin//",
        "/admin/%2e",
        "/admin#x",
        "/x/../../admin",
    ] {
        assert!(denied(&policy, get(path)), "{path}");
    }
}

#[test]
fn random_targets_never_panic_and_never_reach_a_denied_path() {
    let policy =
        policy(json!({"rules": [{"match": {"path": "/admin/*"}, "action": "deny"}], "max-steps": 0}));
    let pieces =
        ["/", "admin", "%61dmin", "..", ".", "%2e", "%2f", "%5c", ";", "\\", "x", "%", "é", "?", "//", "%25"];
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let target: String =
            std::iter::once("/").chain((0..8).filter_map(|_| random.choice(pieces))).collect();
        if !denied(&policy, get(&target)) {
            let path = target.split('?').next().unwrap_or_default().replace("%61", "a");
            let first = path.split('/').find(|segment| !segment.is_empty());
            assert_ne!(first, Some("admin"), "{target}");
        }
    }
}

#[test]
fn random_bodies_never_panic() {
    let policy = policy(json!({
        "workspace-root": "/work", "web-hosts": "example.com", "max-steps": 2,
        "rules": [{"match": {"body": {"/messages/0/role": {"regex": "x"}, "/a": {"min": 1}}}, "action": "deny"}],
    }));
    let call = json!({"function": {"name": "f", "arguments": "{\"path\": \"a\", \"url\": \"https://example.com\"}"}});
    let body = json!({"a": 1, "messages": [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "user", "content": [{"type": "tool_use", "input": {"path": ["a"], "url": "example.com"}}]},
    ]});
    assert_eq!(answer(&policy, post("/x", &body)), None);
    let mut random = fastrand::Rng::with_seed(5);
    let mut refused = 0;
    for _ in 0..5_000 {
        let mut bytes = body.to_string().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        refused += u32::from(denied(&policy, get("/x").method("POST").body(bytes)));
    }
    assert!((1_000..5_000).contains(&refused), "{refused}");
}
