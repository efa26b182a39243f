//! A filter behaves the same whichever way the host calls it: straight into its core module, or through the component
//! layer. One filter notes down what every import answers in every phase, and the notes, the answers that clients get
//! and the figures are compared.

use crate::examples::build;
use crate::support::manifest::Manifest;
use crate::support::script::{chain, entry};
use crate::support::{Origin, Tollgate};

/// The ways to call a filter, as `--door` has them.
pub(crate) const DOORS: [&str; 2] = ["direct", "component"];

/// What a client sends: start line's path, fields, JSON or anything else.
fn requests() -> Vec<(&'static str, String, String)> {
    let long = "long ".repeat(4000); // more than the arena of the Rust SDK holds
    vec![
        ("/", String::new(), r#"{"a":"text","list":[1,"zwei"],"n":-0.5,"yes":true,"nothing":null}"#.into()),
        ("/", "x-probe: eins\r\nX-Probe: zwei\r\nx-empty:\r\n".into(), "no json".into()),
        ("/", "x-probe: \u{fc}ber\r\n".into(), String::new()),
        ("/", format!("x-probe: {long}\r\n"), format!(r#"{{"a":"{long}"}}"#)),
        ("/", "x-replace: 1\r\n".into(), r#"{"a":"old"}"#.into()),
        ("/", "x-reject: 1\r\n".into(), "{}".into()),
        ("/upper", String::new(), "{}".into()),
        ("/abort", String::new(), "{}".into()),
        ("/retry", String::new(), "{}".into()),
        ("/stop", String::new(), "{}".into()),
        ("/", (0..40).map(|n| format!("x-{n}: value {n}\r\n")).collect(), "{}".into()),
    ]
}

/// An origin that shows what it got, and asks for what the path names.
fn origin() -> Origin {
    Origin::answering(|request| {
        let asked = match request.start.split(['?', '&', ' ', '/']).nth(2).unwrap_or_default() {
            "upper" => "x-chunk: upper\r\n",
            "abort" => "x-chunk: abort\r\n",
            "retry" => "x-advice: retry\r\n",
            "stop" => "x-advice: stop\r\n",
            _ => "",
        };
        let mut seen = format!("{}\n", request.start);
        request.fields.iter().for_each(|(name, value)| seen.push_str(&format!("{name}: {value}\n")));
        seen.push_str(&String::from_utf8_lossy(&request.body));
        format!(
            "HTTP/1.1 200 OK\r\nx-origin: here\r\nx-gone: 1\r\n{asked}content-length: {}\r\n\r\n{seen}",
            seen.len()
        )
        .into_bytes()
    })
}

/// Everything that can be seen of a filter behind that door.
fn seen_through(door: &str, filters: &str, url: &str) -> Vec<String> {
    let arguments = ["--workers", "1", "--door", door];
    let manifest = Manifest { process: filters, route: "body-limit: 1MiB", ..Manifest::default() };
    let tollgate = manifest.in_front_of_url(url, &arguments);
    let mut seen = Vec::new();
    for (number, (path, fields, content)) in requests().into_iter().enumerate() {
        let head = format!(
            "POST {path}?q={number} HTTP/1.1\r\nhost: probe.test\r\nconnection: close\r\nx-request-id: r{number}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{fields}\r\n",
            content.len()
        );
        let request = [head.into_bytes().as_slice(), content.as_bytes()].concat();
        seen.push(answer(&tollgate, &request));
    }
    seen.push(answer(
        &tollgate,
        b"GET /report HTTP/1.1\r\nhost: probe.test\r\nconnection: close\r\nx-request-id: last\r\n\r\n",
    ));
    let counted = |line: &&str| line.contains("probe") && !line.contains("_seconds");
    let metrics = tollgate.get("/metrics").text();
    seen.extend(metrics.lines().filter(counted).map(str::to_owned));
    seen
}

/// All that comes back on a connection of its own, but for the time of day.
fn answer(tollgate: &Tollgate, request: &[u8]) -> String {
    let answer = String::from_utf8_lossy(&tollgate.client().send(request).rest()).into_owned();
    answer.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}

#[test]
fn a_filter_sees_and_does_the_same_through_both_doors() {
    let (module, origin) = (build("guest-probe", "guest_probe.wasm"), origin());
    let keys = "config: {greeting: \"grüß dich\"}\nlimits: {time: 5s}";
    for isolation in ["worker", "request"] {
        let filters = chain(&[entry("probe", &module, &format!("{keys}\nisolation: {isolation}"))]);
        let [direct, component] = DOORS.map(|door| seen_through(door, &filters, &origin.url()));
        for (direct, component) in direct.iter().zip(&component) {
            assert_eq!(direct, component);
        }
        assert_eq!(direct.len(), component.len());
        let all = direct.join("\n");
        for words in ["418 I'm a teapot", "POST /UPPER?Q=6", "tollgate_probed_total"] {
            assert!(all.contains(words), "{words} in {all}");
        }
        if isolation == "worker" {
            for words in ["config.greeting = \"grüß dich\"", "request::header_bytes(\"x-set\")", "ending = "]
            {
                assert!(all.contains(words), "{words} in {all}");
            }
        }
    }
}

#[test]
fn a_filter_says_the_same_of_its_configuration_through_both_doors() {
    let module = build("guest-probe", "guest_probe.wasm");
    let [direct, component] = DOORS.map(|door| {
        let mut command = crate::support::tollgate::command();
        let manifest = crate::support::tollgate::directory().join("refused.yaml");
        let filters = chain(&[entry("probe", &module, "config: {greeting: \"\"}")]);
        let text = "version: 1\nlisteners: [{address: \"127.0.0.1:0\"}]\nupstreams: {main: {endpoints: [\"http://127.0.0.1:9\"]}}\n";
        let routes = "routes: [{match: {}, upstream: main}]\n";
        std::fs::write(&manifest, format!("{text}{filters}{routes}")).unwrap();
        let output = command.arg("check").arg(&manifest).args(["--door", door]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        said.replace(&manifest.display().to_string(), "FILE")
    });
    assert!(direct.contains("it refuses its configuration: greeting: öffne dich"), "{direct}");
    assert_eq!(direct, component);
}
