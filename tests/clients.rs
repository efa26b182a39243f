//! Clients that others wrote: curl, the official libraries of OpenAI and Anthropic, and wrk, all through the embedded
//! default.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::default::start;
use crate::support::{Tollgate, tollgate::directory};

/// Python that has what `tests/clients/requirements.txt` names, about to run a script in `tests/clients`.
pub fn python(script: &str) -> Command {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(environment);
    let mut python = Command::new(environment.join("bin/python"));
    // No settings of this machine's, such as a proxy, and no compiled files beside the scripts.
    python.env_clear().env("PYTHONDONTWRITEBYTECODE", "1").arg(scripts().join(script));
    python
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// A virtual environment, made once and kept in the target directory until the requirements change.
fn environment() -> PathBuf {
    let requirements = scripts().join("requirements.txt");
    let wanted = std::fs::read(&requirements).unwrap();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    if std::fs::read(kept.join("requirements.txt")).is_ok_and(|present| present == wanted) {
        return kept;
    }
    // It gets its name when it is complete, so that a run that was broken off leaves nothing that looks like it.
    let made = directory();
    complete(Command::new("python3").args(["-m", "venv"]).arg(&made));
    let mut install = Command::new(made.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    complete(install.arg(&requirements));
    std::fs::write(made.join("requirements.txt"), wanted).unwrap();
    // There may be one for other requirements.
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::rename(&made, &kept).unwrap();
    kept
}

/// Runs a command that must succeed; what it printed.
fn complete(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [printed, errors] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{printed}\n{errors}", output.status);
    printed
}

/// The embedded default, with retries that do not keep a test waiting.
fn start_quick() -> Tollgate {
    start(&[("API_RETRY_INITIAL_DELAY", "5")])
}

fn curl(tollgate: &Tollgate, path: &str, arguments: &[&str]) -> String {
    let url = format!("http://{}{path}", tollgate.address);
    let mut curl = Command::new("curl");
    curl.env_clear().args(["--silent", "--show-error", "--max-time", "30"]).args(arguments).arg(url);
    complete(&mut curl)
}

const CHAT: &str = r#"{"model":"demo","messages":[{"role":"user","content":"hello there"}]}"#;

#[test]
fn curl_gets_an_answer() {
    let tollgate = start_quick();
    let json = ["--fail-with-body", "--header", "content-type: application/json", "--data", CHAT];
    let answer: serde_json::Value =
        serde_json::from_str(&curl(&tollgate, "/v1/chat/completions", &json)).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "You said: hello there");
    assert_eq!(curl(&tollgate, "/bytes/1000000", &["--fail"]).len(), 1_000_000);
}

#[test]
fn curl_sees_a_stream_as_it_comes() {
    let tollgate = start_quick();
    let streaming = CHAT.replace("\"model\"", "\"stream\":true,\"model\"");
    let arguments = [
        "--no-buffer",
        "--fail-with-body",
        "--header",
        "content-type: application/json",
        "--data",
        &streaming,
    ];
    let events = curl(&tollgate, "/v1/chat/completions", &arguments);
    assert!(events.lines().filter(|line| line.starts_with("data: {")).count() > 2, "{events}");
    assert_eq!(events.trim_end().lines().last(), Some("data: [DONE]"));
}

#[test]
fn curl_is_told_every_problem() {
    let tollgate = start_quick();
    let broken = r#"{"messages":[],"temperature":9}"#;
    let arguments =
        ["--write-out", "%{http_code}", "--header", "content-type: application/json", "--data", broken];
    let answer = curl(&tollgate, "/v1/chat/completions", &arguments);
    for part in ["model is required", "messages must not be empty", "temperature must be at most 2"] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert!(answer.ends_with("400"));
}

#[test]
fn the_openai_library_gets_answers_and_the_errors_that_it_knows() {
    let tollgate = start_quick();
    let steps = complete(python("openai_client.py").arg(format!("http://{}", tollgate.address)));
    assert!(steps.ends_with("the_circuit_opens\n"), "{steps}");
}

#[test]
fn the_anthropic_library_gets_answers_and_the_errors_that_it_knows() {
    let tollgate = start_quick();
    let steps = complete(python("anthropic_client.py").arg(format!("http://{}", tollgate.address)));
    assert!(steps.ends_with("the_circuit_opens\n"), "{steps}");
}

#[test]
fn wrk_finds_no_error_under_load() {
    let tollgate = start(&[]);
    let url = format!("http://{}/", tollgate.address);
    let report = complete(Command::new("wrk").args(["-t1", "-c64", "-d3s", "--timeout", "30s", &url]));
    let failed: Vec<_> =
        tollgate.output().into_iter().filter(|line| line.contains("\"level\":\"error\"")).collect();
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}{failed:#?}");
    let line = report.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests: u32 = line.expect("a count").0.parse().unwrap();
    assert!(requests > 100, "{report}");
    assert!(
        tollgate.metric("tollgate_requests_total{provider=\"openai\",status=\"200\"}") >= f64::from(requests)
    );
}
