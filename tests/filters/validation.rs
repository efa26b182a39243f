//! Validation: what is wrong is told, all at once and in the client's own terms; what is right arrives as it was sent.

use super::{chain, code};
use crate::support::{Manifest, Origin, Tollgate};

const CHAT: &str = "/v1/chat/completions";
const GOOD: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fn start(origin: &Origin, route: &str) -> Tollgate {
    Manifest { route, process: &chain(&[("validation", "{}")]), ..Manifest::default() }.in_front_of(origin)
}

/// An origin that sends back what it gets.
fn echo() -> Origin {
    Origin::answering(|request| {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()).into_bytes();
        answer.extend(&request.body);
        answer
    })
}

#[test]
fn the_guides_example_is_answered_to_the_letter() {
    let origin = echo();
    let tollgate = start(&origin, "errors: plain");
    let broken = r#"{"model":5,"max_tokens":0,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = tollgate.post(CHAT, broken);
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let mut told = answer.json();
    // In which order is nobody's promise.
    told["details"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    let details = ["max_tokens must be positive", "model must be string"];
    assert_eq!(told, serde_json::json!({"error": "Invalid request", "details": details}));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn every_shape_of_errors_tells_all_problems() {
    let origin = echo();
    for (shape, message) in [
        ("problem", "/errors"),
        ("plain", "/details"),
        ("openai", "/error/message"),
        ("anthropic", "/error/message"),
    ] {
        let tollgate = start(&origin, &format!("errors: {shape}"));
        let broken = r#"{"messages":[{"role":"wizard","content":1}],"temperature":9,"stream":"yes"}"#;
        let answer = tollgate.post(CHAT, broken);
        assert_eq!(answer.status(), 400, "{shape}");
        let told = answer
            .json()
            .pointer(message)
            .unwrap_or_else(|| panic!("{shape}: {}", answer.text()))
            .to_string();
        for problem in
            ["model is required", "messages[0].role", "messages[0].content", "temperature", "stream"]
        {
            assert!(told.contains(problem), "{shape} tells of {problem}: {told}");
        }
    }
    let shapes = |shape: &str| start(&origin, &format!("errors: {shape}")).post(CHAT, "{}").json();
    assert_eq!(shapes("openai")["error"]["type"], "invalid_request_error");
    assert_eq!(shapes("openai")["error"]["code"], "invalid_request");
    assert_eq!(shapes("anthropic")["type"], "error");
    assert_eq!(shapes("anthropic")["error"]["type"], "invalid_request_error");
    assert_eq!(shapes("problem")["code"], "invalid_request");
}

#[test]
fn each_api_has_its_schema() {
    let origin = echo();
    let tollgate = start(&origin, "errors: plain");
    for (path, broken, problem) in [
        (
            "/v1/messages",
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
            "max_tokens is required",
        ),
        ("/v1/messages", r#"{"model":"m","max_tokens":5,"messages":[]}"#, "messages must not be empty"),
        ("/v1/embeddings", r#"{"model":"m"}"#, "input is required"),
        ("/v1/embeddings", r#"{"model":"m","input":7}"#, "input must be"),
        (
            CHAT,
            r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#,
            "messages[0].tool_call_id is required",
        ),
        // Another spelling of the same path is no way around it.
        ("/v1/chat/completions/?a=b", "{}", "model is required"),
        ("/v1/ch%61t/completions", "{}", "model is required"),
    ] {
        let answer = tollgate.post(path, broken);
        assert_eq!(answer.status(), 400, "{path}: {broken}");
        assert!(answer.text().contains(problem), "{path}: {}", answer.text());
    }
    assert_eq!(tollgate.post("/v1/other", "{}").status(), 200, "no schema, no complaint");
    assert_eq!(
        tollgate.post("/v1//chat/completions", GOOD).status(),
        400,
        "read differently by different servers"
    );
}

#[test]
fn real_traffic_passes_byte_for_byte() {
    let origin = echo();
    let tollgate = start(&origin, "");
    for (path, body) in [
        (CHAT, GOOD),
        (
            CHAT,
            "{ \"model\" : \"m\" ,\n\t\"messages\":[ {\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9 \u{1f600}\"},\
             {\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\"}},{\"type\":\"hologram\",\"x\":1e-7}]} ] }\n",
        ),
        (
            CHAT,
            r#"{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":
            [{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c",
            "content":"42"}],"tools":[{"type":"function","function":{"name":"f"}}],"future":{"field":[null,1.50]}}"#,
        ),
        (
            "/v1/messages",
            r#"{"model":"m","max_tokens":1,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":
            [{"type":"tool_result","tool_use_id":"t","content":"x"},{"type":"novelty"}]}],"x":12345678901234567890}"#,
        ),
        ("/v1/embeddings", r#"{"model":"m","input":["a","b"],"dimensions":8,"unknown":true}"#),
        ("/v1/embeddings", r#"{"model":"m","input":[[1,2],[3]]}"#),
    ] {
        let answer = tollgate.post(path, body);
        assert_eq!((answer.status(), answer.text().as_str()), (200, body), "{path}");
    }
}

#[test]
fn other_media_types_than_plain_json_are_415() {
    let origin = echo();
    let tollgate = start(&origin, "");
    for fields in [
        "content-type: text/plain\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: application/json; charset=utf-16\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "content-type: application/json\r\ncontent-type: application/json\r\n",
    ] {
        let length = GOOD.len();
        let request =
            format!("POST {CHAT} HTTP/1.1\r\nhost: t\r\n{fields}content-length: {length}\r\n\r\n{GOOD}");
        let answer = tollgate.client().send(request).receive();
        assert_eq!((answer.status(), code(&answer).as_str()), (415, "unsupported_media_type"), "{fields}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn what_is_no_json_or_more_than_one_reading_of_it_is_refused() {
    let origin = echo();
    let tollgate = start(&origin, "errors: plain");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, problem) in [
        ("", "body is required"),
        ("{", "line 1"),
        ("{'model': 1}", "line 1"),
        ("nonsense", "line 1"),
        (r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}{}"#, "line 1"),
        (r#"{"model":"m","model":"other","messages":[{"role":"user","content":"hi"}]}"#, "model"),
        (r#"{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}"#, "content"),
        (r#"{"model":"m","\u006dodel":"other","messages":[{"role":"user","content":"hi"}]}"#, "model"),
        (deep.as_str(), ""),
    ] {
        let answer = tollgate.post(CHAT, body);
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (400, Some("Invalid request")),
            "{body:.100}"
        );
        let details = answer.json()["details"].to_string();
        assert!(details.contains(problem), "{body:.100}: {details}");
    }
    let mut client = tollgate.client();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n"
    );
    assert_eq!(client.send(head).send(b"\"\xff\"").receive().status(), 400, "not UTF-8");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_body_past_the_limit_is_413_however_it_is_framed() {
    let origin = echo();
    let tollgate = start(&origin, "body-limit: 1KiB");
    let padded = |size: usize| format!("{GOOD}{}", " ".repeat(size - GOOD.len()));
    assert_eq!(tollgate.post(CHAT, &padded(1024)).status(), 200);
    let answer = tollgate.post(CHAT, &padded(1025));
    assert_eq!((answer.status(), code(&answer).as_str()), (413, "body_too_large"));
    let chunked = |body: &str| {
        let length = body.len();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        tollgate.client().send(format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n")).receive().status()
    };
    assert_eq!((chunked(&padded(1024)), chunked(&padded(1025))), (200, 413));
}

#[test]
fn schemas_of_ones_own_are_checked_too() {
    let origin = echo();
    let config = r#"{schemas: {"/orders/*": {type: object, required: [id], properties: {id: {type: string, pattern: "^[a-z]+$"}, n: {type: integer, maximum: 9}}}}}"#;
    let manifest = Manifest {
        route: "errors: plain",
        process: &chain(&[("validation", config)]),
        ..Manifest::default()
    };
    let tollgate = manifest.in_front_of(&origin);
    assert_eq!(tollgate.post("/orders/new", r#"{"id":"a","n":9}"#).status(), 200);
    let answer = tollgate.post("/orders/new", r#"{"id":"A","n":10}"#);
    assert_eq!(
        answer.json()["details"],
        serde_json::json!(["id must match ^[a-z]+$", "n must be at most 9"])
    );
    assert_eq!(tollgate.get("/orders/new").status(), 200, "a GET has no body to check");
}
