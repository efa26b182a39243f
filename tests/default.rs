//! The embedded default: what a newcomer gets from `tollgate run` alone, and what each environment variable changes.

use std::time::Duration;

use crate::filters::{code, limit_heap, retry_after};
use crate::support::tollgate::{command, directory};
use crate::support::{Message, Origin, Tollgate, eventually};

/// `tollgate run` with nothing else but a free port, in this environment.
pub fn start(environment: &[(&str, &str)]) -> Tollgate {
    let mut tollgate = command();
    tollgate.args(["run", "--listen", "127.0.0.1:0"]).envs(environment.iter().copied());
    Tollgate::watch(tollgate, directory())
}

/// A GET that tells the demo to misbehave.
fn told(tollgate: &Tollgate, fields: &str) -> Message {
    tollgate.client().send(format!("GET / HTTP/1.1\r\nhost: t\r\n{fields}\r\n")).receive()
}

fn fail(tollgate: &Tollgate) -> Message {
    told(tollgate, "x-demo-status: 500\r\n")
}

const NO_RETRIES: (&str, &str) = ("API_RETRY_MAX_RETRIES", "0");

#[test]
fn it_says_plainly_that_it_is_a_demo() {
    let tollgate = start(&[]);
    eventually("it is said", || {
        tollgate.has_logged(&["\"level\":\"warn\"", "this is a DEMO", "--upstream URL"])
    });
    assert!(tollgate.get("/").text().contains("demo upstream"));
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = tollgate.post("/v1/chat/completions", chat);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "You said: hi");
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(tollgate.post("/v1/messages", messages).json()["content"][0]["text"], "You said: hi");
    assert_eq!(tollgate.get("/health/live").json()["status"], "ok");
    assert_eq!(tollgate.get("/health/ready").json()["status"], "ready");
}

#[test]
fn every_route_answers_in_the_shape_of_its_api() {
    let tollgate = start(&[]);
    assert_eq!(tollgate.post("/v1/chat/completions", "{}").json()["error"]["code"], "invalid_request");
    assert_eq!(tollgate.post("/v1/messages", "{}").json()["error"]["type"], "invalid_request_error");
    let other = tollgate.get("/a/../b");
    assert_eq!((other.status(), other.field("content-type")), (400, Some("application/problem+json")));
}

#[test]
fn what_fails_as_told_is_retried_post_and_all() {
    let tollgate = start(&[("API_RETRY_INITIAL_DELAY", "1")]);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let granted = || tollgate.metric("tollgate_retries_total{provider=\"openai\",result=\"granted\"}");
    for (key, fields, retries) in [
        ("a", "", 3.0),
        ("b", "x-demo-status: 502\r\n", 3.0),
        ("c", "x-demo-retry-after: 0\r\n", 3.0),
        // A reset of a connection that was used before passes for one that had been closed already: no attempt.
        ("d", "x-demo-break: head\r\n", 1.0),
    ] {
        let before = granted();
        let fields = format!("x-demo-fail-first: 3\r\nx-demo-key: {key}\r\n{fields}");
        let answer = tollgate.client().post("/v1/chat/completions", &fields, body);
        assert_eq!(answer.status(), 200, "{fields}");
        assert!(granted() - before >= retries, "{fields}");
    }
}

#[test]
fn an_upstream_of_ones_own_takes_the_demos_place() {
    let origin = Origin::working();
    let url = origin.url();
    let mut by_argument = command();
    by_argument.args(["run", "--listen", "127.0.0.1:0", "--upstream", &url]);
    let mut by_environment = command();
    by_environment.arg("run").envs([
        ("TOLLGATE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_UPSTREAM", &url),
        ("TOLLGATE_PROVIDER", "acme"),
    ]);
    for (command, provider) in [(by_argument, "openai"), (by_environment, "acme")] {
        let tollgate = Tollgate::watch(command, directory());
        assert_eq!(tollgate.get("/").text(), "it works");
        assert!(!tollgate.has_logged(&["DEMO"]));
        let series = format!("tollgate_requests_total{{provider=\"{provider}\",status=\"200\"}}");
        eventually("the request is counted", || tollgate.metric(&series) == 1.0);
    }
}

#[test]
fn circuit_breaker_failure_threshold_opens_sooner() {
    let tollgate = start(&[NO_RETRIES, ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "2")]);
    assert_eq!([fail(&tollgate).status(), fail(&tollgate).status()], [500, 500]);
    let refused = tollgate.get("/");
    assert_eq!((refused.status(), code(&refused).as_str()), (503, "circuit_open"));
    assert!(retry_after(&refused) > 30, "the default of a minute");
}

#[test]
fn circuit_breaker_timeout_and_success_threshold_close_sooner() {
    let tollgate = start(&[
        NO_RETRIES,
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "1"),
        ("CIRCUIT_BREAKER_TIMEOUT", "20"),
        ("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", "1"),
    ]);
    assert_eq!(fail(&tollgate).status(), 500);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(tollgate.get("/").status(), 200, "a probe");
    let closed = "tollgate_circuit_breaker_state{provider=\"openai\",state=\"closed\"}";
    eventually("one success is enough", || tollgate.metric(closed) == 1.0);
}

/// The delays of retries as the debug log has them, once there are so many.
fn delays(tollgate: &Tollgate, count: usize) -> Vec<u64> {
    let find = || {
        let lines = tollgate.output();
        let asked =
            lines.iter().filter_map(|line| line.split_once("; retry in ")?.1.split(' ').next()?.parse().ok());
        asked.collect::<Vec<u64>>()
    };
    eventually("all delays are logged", || find().len() >= count);
    find()
}

#[test]
fn api_retry_settings_change_number_and_delay_of_retries() {
    let tollgate =
        start(&[("LOG_LEVEL", "debug"), ("API_RETRY_MAX_RETRIES", "2"), ("API_RETRY_INITIAL_DELAY", "20")]);
    assert_eq!(fail(&tollgate).status(), 500);
    let asked = delays(&tollgate, 2);
    assert!(asked.len() == 2 && (10..=30).contains(&asked[0]) && (20..=60).contains(&asked[1]), "{asked:?}");
    let capped = start(&[("LOG_LEVEL", "debug"), ("API_RETRY_MAX_DELAY", "15")]);
    assert_eq!(fail(&capped).status(), 500);
    assert_eq!(delays(&capped, 3), [15, 15, 15]);
}

#[test]
fn load_shedding_thresholds_shed_sooner() {
    let tollgate = start(&[("LOAD_SHEDDING_MEMORY_THRESHOLD", "0.0001")]);
    assert_eq!(code(&tollgate.get("/")), "overloaded");

    let tollgate = start(&[("LOAD_SHEDDING_ACTIVE_REQUESTS_THRESHOLD", "1")]);
    let mut hanging = tollgate.client();
    hanging.send("GET / HTTP/1.1\r\nhost: t\r\nx-demo-delay-ms: 600000\r\n\r\n");
    eventually("it is in flight", || tollgate.metric("tollgate_active_requests") == 1.0);
    assert_eq!(code(&tollgate.get("/")), "overloaded");

    let tollgate = start(&[("LOAD_SHEDDING_HEAP_THRESHOLD", "0.00001")]);
    assert_eq!(tollgate.get("/").status(), 200);
    limit_heap(&tollgate);
    eventually("the heap counts as full", || tollgate.get("/").status() == 503);
}

#[test]
fn graceful_shutdown_timeout_cuts_what_takes_longer() {
    let mut tollgate = start(&[("GRACEFUL_SHUTDOWN_TIMEOUT", "100")]);
    let mut hanging = tollgate.client();
    hanging.send("GET / HTTP/1.1\r\nhost: t\r\nx-demo-delay-ms: 600000\r\n\r\n");
    eventually("it is in flight", || tollgate.metric("tollgate_active_requests") == 1.0);
    tollgate.signal("TERM");
    assert_eq!(tollgate.wait(), Some(1));
    assert!(hanging.is_closed());
}

#[test]
fn metrics_namespace_names_the_metrics_as_the_guide_does() {
    let tollgate = start(&[("METRICS_NAMESPACE", "lynkr")]);
    assert_eq!(tollgate.get("/").status(), 200);
    eventually("the request is counted", || {
        tollgate.metric("lynkr_requests_total{provider=\"openai\",status=\"200\"}") == 1.0
    });
    let metrics = tollgate.get("/metrics").text();
    for series in [
        "lynkr_request_duration_seconds_bucket{provider=\"openai\",le=\"+Inf\"} 1",
        "lynkr_errors_total{provider=\"openai\",type=\"reset\"} 0",
        "lynkr_circuit_breaker_state{provider=\"openai\",state=\"closed\"} 1",
        "lynkr_circuit_breaker_state{provider=\"openai\",state=\"open\"} 0",
        "lynkr_active_requests ",
        "lynkr_load_shedding_requests_shed_total{reason=\"memory\"} 0",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(series)), "{series} in:\n{metrics}");
    }
    assert!(!metrics.contains("tollgate_"), "{metrics}");
}

#[test]
fn log_level_and_request_logging_say_what_is_logged() {
    for (environment, debug, requests) in [
        (&[][..], false, true),
        (&[("LOG_LEVEL", "debug")], true, true),
        (&[("REQUEST_LOGGING_ENABLED", "false")], false, false),
    ] {
        let quick = [("API_RETRY_INITIAL_DELAY", "1"), ("API_RETRY_MAX_RETRIES", "1")];
        let mut tollgate = start(&[&quick, environment].concat());
        assert_eq!(fail(&tollgate).status(), 500);
        // Now all that was to be logged is.
        tollgate.signal("TERM");
        assert_eq!(tollgate.wait(), Some(0));
        eventually("the last line is read", || tollgate.has_logged(&["good-bye"]));
        assert_eq!(tollgate.has_logged(&["\"level\":\"debug\"", "status_5xx"]), debug, "{environment:?}");
        let line = ["\"msg\":\"request\"", "\"statusCode\":500", "\"provider\":\"openai\"", "\"duration\":"];
        assert_eq!(tollgate.has_logged(&line), requests, "{environment:?}");
    }
}

#[test]
fn policy_max_steps_allows_fewer() {
    let step = r#",{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",
        "function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}"#;
    let conversation = |steps: usize| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"go"}}{}]}}"#, step.repeat(steps))
    };
    for (environment, limit) in [(&[][..], 8), (&[("POLICY_MAX_STEPS", "1")], 1)] {
        let tollgate = start(environment);
        assert_eq!(tollgate.post("/v1/chat/completions", &conversation(limit)).status(), 200);
        let answer = tollgate.post("/v1/chat/completions", &conversation(limit + 1));
        assert_eq!((answer.status(), &answer.json()["error"]["code"]), (429, &"max_steps_exceeded".into()));
    }
}

/// A tool call with that argument, posted; the code of the answer, if it is an error.
fn call(tollgate: &Tollgate, name: &str, value: &str) -> Option<String> {
    let arguments = serde_json::json!({name: value}).to_string();
    let function = serde_json::json!({"name": "f", "arguments": arguments});
    let calls = serde_json::json!([{"id": "c", "type": "function", "function": function}]);
    let body = serde_json::json!({"model": "m", "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": null, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]});
    let answer = tollgate.post("/v1/chat/completions", &body.to_string());
    answer.json()["error"]["code"].as_str().map(str::to_owned)
}

#[test]
fn workspace_root_bounds_files() {
    let tollgate = start(&[("WORKSPACE_ROOT", "/work/app")]);
    assert_eq!(call(&tollgate, "path", "/work/app/a"), None);
    assert_eq!(call(&tollgate, "path", "/etc/passwd").as_deref(), Some("workspace_denied"));
    assert_eq!(call(&start(&[]), "path", "/etc/passwd"), None, "not set: off");
}

#[test]
fn web_search_allowed_hosts_and_endpoint_bound_addresses() {
    let tollgate = start(&[
        ("WEB_SEARCH_ALLOWED_HOSTS", "example.com,*.example.org"),
        ("WEB_SEARCH_ENDPOINT", "https://search.internal/find"),
    ]);
    for allowed in ["https://example.com/", "https://a.example.org/", "https://search.internal/x"] {
        assert_eq!(call(&tollgate, "url", allowed), None, "{allowed}");
    }
    assert_eq!(call(&tollgate, "url", "https://evil.example/").as_deref(), Some("host_denied"));
    assert_eq!(call(&start(&[]), "url", "https://evil.example/"), None, "not set: off");
}

#[test]
fn a_variable_that_makes_no_sense_is_told_by_its_name() {
    for (name, value) in [
        ("LOG_LEVEL", "loud"),
        ("REQUEST_LOGGING_ENABLED", "perhaps"),
        ("METRICS_NAMESPACE", "1 2"),
        ("GRACEFUL_SHUTDOWN_TIMEOUT", "soon"),
        ("TOLLGATE_LISTEN", "nowhere"),
        ("TOLLGATE_UPSTREAM", "nowhere"),
    ] {
        let ended = command().args(["run"]).env(name, value).output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{name}={value}");
        assert!(errors.contains(name) && errors.contains(value), "{name}={value}: {errors}");
    }
    for (name, value, key) in [
        ("API_RETRY_MAX_RETRIES", "-1", "max-retries"),
        ("LOAD_SHEDDING_MEMORY_THRESHOLD", "85", "memory"),
        ("CIRCUIT_BREAKER_TIMEOUT", "1m", "timeout-ms"),
        ("WORKSPACE_ROOT", "relative", "workspace-root"),
    ] {
        let ended = command().args(["run"]).env(name, value).output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{name}={value}");
        assert!(errors.contains(key), "{name}={value}: {errors}");
    }
}
