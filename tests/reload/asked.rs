//! Who asks for a reload, what they are told, and what the chain does then.

use std::process::Command;

use serde_json::json;

use super::*;
use crate::support::tollgate::command;

/// What `tollgate reload` ends with: whether it succeeded, its output and its errors.
fn run_reload(address: &str) -> (bool, String, String) {
    let mut command: Command = command();
    let output = command.args(["reload", "--admin", address]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn is_served(tollgate: &Tollgate, version: &str) -> bool {
    tollgate.get("/").field("x-down-f") == Some(version)
}

#[test]
fn a_post_changes_what_serves_and_says_what_that_is() {
    let origin = mirror();
    let with = |filters: &[String]| manifest(&origin, &chain(filters));
    let f = |version: &str| versioned("f", version).entry("");
    let tollgate = start(&with(&[f("1"), versioned("g", "1").entry("")]));
    let mut client = tollgate.client();
    assert_eq!(client.get("/").field("x-down-f"), Some("1"));
    let report = change(&tollgate, &with(&[f("2"), versioned("h", "1").entry("")]));
    assert_eq!(report["manifest"], tollgate.manifest().to_str().unwrap());
    assert!(report["milliseconds"].as_f64().unwrap() > 0.0);
    let edit = |key: &str, name: &str, change: &str| json!({"key": key, "name": name, "change": change});
    assert_eq!(
        report["changes"],
        json!([
            edit("filters", "f", "changed"),
            edit("filters", "h", "added"),
            edit("filters", "g", "removed"),
            {"key": "routes", "change": "changed"},
        ])
    );
    // The same connection, and others, on either worker.
    for response in [client.get("/")].into_iter().chain((0..20).map(|_| tollgate.get("/"))) {
        let text = response.text();
        assert_eq!((response.field("x-down-f"), response.field("x-down-g")), (Some("2"), None));
        assert!(text.contains("x-up-f: 2\n") && text.contains("x-up-h: 1\n") && !text.contains("x-up-g"));
    }
    let chain = Client::connect(tollgate.admin()).get("/chain").json();
    let names: Vec<_> = chain["filters"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert_eq!(names, ["f", "h"]);
    assert_eq!(tollgate.metric("tollgate_config_reloads_total{result=\"applied\"}"), 1.0);
}

#[test]
fn what_has_not_changed_is_not_touched() {
    let origin = Origin::working();
    let counter = counter("count");
    let component = counter.entry("");
    // One worker: its instance's memory shows whether it is the same one.
    let with =
        |after: &str| manifest(&origin, &format!("{}{after}", chain(std::slice::from_ref(&component))));
    let tollgate = Tollgate::start_with(&with(""), &["--workers", "1", "--no-watch"], |_| {});
    assert_eq!(tollgate.get("/").text(), "1 1");
    let response = reload(&tollgate);
    assert_eq!((response.status(), response.json()["result"].as_str().unwrap()), (200, "unchanged"));
    assert_eq!(tollgate.get("/").text(), "2 2");
    let report = change(&tollgate, &with(&versioned("f", "1").entry("")));
    assert_eq!(report["changes"][0], json!({"key": "filters", "name": "f", "change": "added"}));
    assert_eq!(tollgate.get("/").text(), "3 3", "the same instance in another chain");
    let limits = counter.entry("limits: {time: 4s}");
    change(&tollgate, &manifest(&origin, &chain(&[limits])));
    assert_eq!(tollgate.get("/").text(), "4 1", "another instance, with what the host keeps");
    assert_eq!(tollgate.metric("tollgate_config_reloads_total{result=\"unchanged\"}"), 1.0);
}

#[test]
fn an_exchange_ends_on_the_chain_that_it_began_with() {
    let (origin, questions, go) = waiting();
    let with = |version: &str| manifest(&origin, &chain(&[versioned("f", version).entry("")]));
    let tollgate = start(&with("1"));
    let mut waiting = tollgate.client();
    waiting.send("GET /wait HTTP/1.1\r\nhost: t\r\n\r\n");
    questions.recv_timeout(PATIENCE).unwrap();
    change(&tollgate, &with("2"));
    assert!(is_served(&tollgate, "2"));
    change(&tollgate, &manifest(&origin, ""));
    assert_eq!(tollgate.get("/").field("x-down-f"), None);
    go.send(()).unwrap();
    assert_eq!(waiting.receive().field("x-down-f"), Some("1"));
    assert_eq!(waiting.get("/").field("x-down-f"), None, "and the next one on the chain of its own time");
}

#[test]
fn sighup_reloads() {
    let origin = mirror();
    let with = |version: &str| manifest(&origin, &chain(&[versioned("f", version).entry("")]));
    let tollgate = start(&with("1"));
    tollgate.replace_manifest(&with("2"));
    tollgate.signal("HUP");
    eventually("the second version serves", || is_served(&tollgate, "2"));
    eventually("it is logged", || tollgate.has_logged(&["reloaded: filters `f` changed"]));
    tollgate.replace_manifest("version: 2\n");
    tollgate.signal("HUP");
    eventually("it is logged", || tollgate.has_logged(&["reload refused", "manifest.yaml:1:10"]));
    assert!(is_served(&tollgate, "2"));
}

#[test]
fn the_command_says_what_changed_or_what_is_wrong() {
    let origin = mirror();
    let with = |version: &str| manifest(&origin, &chain(&[versioned("f", version).entry("")]));
    let tollgate = start(&with("1"));
    let admin = tollgate.admin().to_string();
    tollgate.replace_manifest(&with("2"));
    let (succeeded, output, errors) = run_reload(&admin);
    assert!(succeeded, "{errors}");
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["changes"][0]["name"], "f");
    assert!(is_served(&tollgate, "2"));
    tollgate.replace_manifest(&with("3").replace("routes:", "rotues:"));
    let (succeeded, output, errors) = run_reload(&admin);
    assert!(!succeeded && output.is_empty());
    assert!(errors.contains("did you mean `routes`?"), "{errors}");
    assert!(errors.ends_with("what was served before goes on\n"), "{errors}");
    assert!(is_served(&tollgate, "2"));
}

#[test]
fn the_command_says_when_nobody_answers_or_somebody_else() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let (succeeded, _, errors) = run_reload(&address);
    assert!(!succeeded && errors.contains("no answer from") && errors.contains("admin.address"), "{errors}");
    let (succeeded, _, errors) = run_reload(&Origin::working().address.to_string());
    assert!(!succeeded && errors.contains("is no Tollgate"), "{errors}");
}

#[test]
fn what_takes_a_restart_is_said_and_the_rest_is_applied() {
    let origin = mirror();
    let tollgate = start(&manifest(&origin, ""));
    let log = "telemetry: {namespace: other, log: {level: debug, requests: false}}\n";
    let text = manifest(&origin, &format!("{}{log}", chain(&[versioned("f", "1").entry("")])));
    let report = change(&tollgate, &text.replace("admin: {address: \"127.0.0.1:0\"}\n", ""));
    assert_eq!(
        report["needs-restart"],
        json!(["admin.address", "telemetry.namespace", "telemetry.log.level"])
    );
    assert!(is_served(&tollgate, "1"));
    eventually("it is logged", || tollgate.has_logged(&["these changes take a restart: admin.address"]));
    assert_eq!(reload(&tollgate).json()["needs-restart"], report["needs-restart"], "it is said again");
    assert!(tollgate.get("/metrics").text().contains("\ntollgate_active_requests "));
}

#[test]
fn the_embedded_default_has_nothing_new() {
    let mut command = command();
    command.args(["run", "--listen", "127.0.0.1:0"]);
    let tollgate = Tollgate::watch(command, crate::support::tollgate::directory());
    tollgate.signal("HUP");
    eventually("it is logged", || tollgate.has_logged(&["reloaded: nothing has changed"]));
}
