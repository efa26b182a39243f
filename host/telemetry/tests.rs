//! Tests of the whole: what workers count on their threads, as a scrape shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use super::*;
use crate::phase::Phase;

#[test]
fn a_small_scenario_reads_exactly_so() {
    let telemetry = Telemetry::new("lynkr").expect("a namespace");
    let worker = telemetry.worker();
    let openai = worker.provider("openai");
    openai.request(200, Duration::from_millis(250));
    openai.request(503, Duration::from_millis(1));
    openai.error(ErrorType::FilterFault);
    openai.attempt(AttemptOutcome::Response);
    openai.retry(RetryResult::RefusedBudget);
    openai.connection(ConnectionEvent::Opened);
    let breaker = worker.filter("breaker");
    breaker.call(Phase::BeforeAttempt);
    breaker.rejection(Phase::BeforeAttempt);
    breaker.fault(Phase::BeforeAttempt, FaultKind::Trap);
    let labels = vec![("why".to_owned(), "a \"b\"\\\nc".to_owned())];
    telemetry
        .guest_counter("breaker", "trips", "Two\nlines", labels)
        .expect("a counter")
        .fetch_add(7, Relaxed);
    telemetry.guest_gauge("breaker", "level", "", vec![]).expect("a gauge").store(0.5f64.to_bits(), Relaxed);
    let (_active, _connection) = (worker.active(), worker.connection());

    let text = telemetry.render().expect("text");
    let varies =
        |line: &str| line.contains("process_") || line.contains("config_last_reload_success_timestamp");
    let own: String = text.split_inclusive('\n').filter(|line| !varies(line)).collect();
    assert_eq!(own, include_str!("scenario.prom").replace("VERSION", env!("CARGO_PKG_VERSION")));
}

#[test]
fn before_anything_happened_the_figures_without_labels_are_there() {
    let telemetry = Telemetry::new("tollgate").expect("a namespace");
    let samples = Exposition::scrape(&telemetry).samples;
    assert_eq!(samples["tollgate_active_requests"], 0.0);
    assert_eq!(samples["tollgate_downstream_connections"], 0.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(samples[&format!("tollgate_build_info{{version=\"{version}\"}}")], 1.0);
}

#[test]
fn a_provider_shows_zeros_before_its_first_request() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let _counters = telemetry.worker().provider("p");
    let samples = Exposition::scrape(&telemetry).samples;
    assert_eq!(samples["t_errors_total{provider=\"p\",type=\"client_gone\"}"], 0.0);
    assert_eq!(samples["t_retries_total{provider=\"p\",result=\"granted\"}"], 0.0);
    assert_eq!(samples["t_request_duration_seconds_count{provider=\"p\"}"], 0.0);
}

#[test]
fn many_threads_count_and_no_count_is_lost() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 20_000;
    let telemetry = Telemetry::new("t").expect("a namespace");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let telemetry = &telemetry;
            scope.spawn(move || {
                let worker = telemetry.worker();
                let (shared, own) = (worker.provider("shared"), worker.provider(&format!("own{thread}")));
                let filter = worker.filter("f");
                for round in 0..ROUNDS {
                    let _active = worker.active();
                    shared.request(200 + (round % 2) as u16, Duration::from_millis(100));
                    own.error(ErrorType::TimedOut);
                    filter.call(Phase::OnRequest);
                }
            });
        }
        for _ in 0..50 {
            assert!(telemetry.active() <= THREADS);
            Exposition::scrape(&telemetry);
        }
    });
    let samples = Exposition::scrape(&telemetry).samples;
    let total = (THREADS * ROUNDS) as f64;
    for status in [200, 201] {
        let name = format!("t_requests_total{{provider=\"shared\",status=\"{status}\"}}");
        assert_eq!(samples[&name], total / 2.0);
    }
    assert_eq!(samples["t_request_duration_seconds_count{provider=\"shared\"}"], total);
    assert_eq!(samples["t_request_duration_seconds_bucket{provider=\"shared\",le=\"0.05\"}"], 0.0);
    assert_eq!(samples["t_request_duration_seconds_bucket{provider=\"shared\",le=\"0.1\"}"], total);
    let sum = samples["t_request_duration_seconds_sum{provider=\"shared\"}"];
    assert!((sum - total / 10.0).abs() < 1e-3, "{sum}");
    for thread in 0..THREADS {
        let name = format!("t_errors_total{{provider=\"own{thread}\",type=\"timed_out\"}}");
        assert_eq!(samples[&name], ROUNDS as f64);
    }
    assert_eq!(samples["t_filter_calls_total{filter=\"f\",phase=\"on-request\"}"], total);
    assert_eq!(telemetry.active(), 0);
}

#[test]
fn a_reload_goes_on_with_the_same_series() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let worker = telemetry.worker();
    let old = (worker.provider("p"), worker.filter("f"));
    old.0.request(200, Duration::ZERO);
    old.1.call(Phase::OnRequest);
    let new = (worker.provider("p"), worker.filter("f"));
    new.0.request(200, Duration::ZERO);
    new.1.call(Phase::OnRequest);
    // An exchange that began before the reload ends after it.
    old.0.request(200, Duration::ZERO);
    drop((old, new, worker));
    let exposition = Exposition::scrape(&telemetry);
    assert_eq!(exposition.samples["t_requests_total{provider=\"p\",status=\"200\"}"], 3.0);
    assert_eq!(exposition.samples["t_filter_calls_total{filter=\"f\",phase=\"on-request\"}"], 2.0);
}

#[test]
fn a_refused_reload_shows_until_another_succeeds() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let figures = || {
        let samples = Exposition::scrape(&telemetry).samples;
        let count = |result| samples[&format!("t_config_reloads_total{{result=\"{result}\"}}")];
        let last = samples["t_config_last_reload_successful"];
        (last, ["applied", "unchanged", "refused"].map(count))
    };
    let success = || Exposition::scrape(&telemetry).samples["t_config_last_reload_success_timestamp_seconds"];
    let started = success();
    assert_eq!(figures(), (1.0, [0.0; 3]));
    telemetry.reload(ReloadResult::Refused);
    assert_eq!(figures(), (0.0, [0.0, 0.0, 1.0]));
    assert_eq!(success(), started);
    telemetry.reload(ReloadResult::Unchanged);
    assert_eq!(figures(), (1.0, [0.0, 1.0, 1.0]));
    assert!(success() >= started && started > 1.6e9);
}

#[test]
fn guards_count_while_they_live() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let (one, two) = (telemetry.worker(), telemetry.worker());
    let guards = (one.active(), two.active(), two.active(), two.connection());
    assert_eq!((telemetry.active(), telemetry.connections()), (3, 1));
    assert_eq!(Exposition::scrape(&telemetry).samples["t_active_requests"], 3.0);
    drop((one, two));
    assert_eq!(telemetry.active(), 3, "a guard outlives its worker's handle");
    drop(guards);
    assert_eq!((telemetry.active(), telemetry.connections()), (0, 0));
}

#[test]
fn no_filter_can_take_a_name_that_the_host_exposes() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let worker = telemetry.worker();
    worker.provider("p").request(200, Duration::ZERO);
    worker.filter("f").call(Phase::OnRequest);
    for name in Exposition::scrape(&telemetry).names {
        let Some(name) = name.strip_prefix("t_") else {
            assert!(process::NAMES.contains(&name.as_str()), "{name}");
            continue;
        };
        let error = telemetry.guest_gauge("f", name, "", vec![]).expect_err(name);
        assert_eq!(error, GuestMetricError::HostName(format!("t_{name}")));
        if let Some(name) = name.strip_suffix("_total") {
            telemetry.guest_counter("f", name, "", vec![]).expect_err(name);
        }
    }
    let process = Telemetry::new("process").expect("a namespace");
    process.guest_gauge("f", "open_fds", "", vec![]).expect_err("a standard name");
}

#[test]
fn whatever_a_guest_stores_the_exposition_parses() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let nasty = ["", "\"", "\\", "\n", "}", " # HELP x", "\u{0}\u{7f}\r\t", "é🦀", "a\"} 1\nt_forged 1"];
    for (number, value) in nasty.iter().enumerate() {
        let labels = vec![("v".to_owned(), (*value).to_owned())];
        let gauge = telemetry.guest_gauge("f", &format!("g{number}"), value, labels).expect("a gauge");
        gauge.store(
            [f64::NAN, f64::INFINITY, -f64::INFINITY, f64::MIN_POSITIVE][number % 4].to_bits(),
            Relaxed,
        );
    }
    let exposition = Exposition::scrape(&telemetry);
    assert!(!exposition.names.contains("t_forged"));
    assert_eq!(exposition.names.iter().filter(|name| name.starts_with("t_g")).count(), nasty.len());
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_is_measured() {
    let telemetry = Telemetry::new("t").expect("a namespace");
    let samples = Exposition::scrape(&telemetry).samples;
    for name in process::NAMES {
        assert!(samples[name] > 0.0 || name == "process_cpu_seconds_total", "{name}");
    }
    assert!(samples["process_resident_memory_bytes"] <= samples["process_virtual_memory_bytes"]);
    assert!(samples["process_open_fds"] <= samples["process_max_fds"]);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let age = now - samples["process_start_time_seconds"];
    assert!((-2.0..86_400.0).contains(&age), "started {age} s ago");
}

#[test]
fn a_namespace_must_be_able_to_begin_a_name() {
    for bad in ["", "1a", "a-b", "a b", "ä", &"a".repeat(65)] {
        let error = Telemetry::new(bad).expect_err("must be refused").to_string();
        assert!(error.contains("is no metrics namespace"), "{error}");
    }
    assert!(Telemetry::new(&"a".repeat(64)).is_ok());
}

/// The text format 0.0.4, read strictly: a `TYPE` line before the samples of a family, families in one piece
/// and no sample twice, labels and numbers well-formed, buckets cumulative and equal to the count at the end.
struct Exposition {
    /// Of the families, as in their `TYPE` lines.
    names: BTreeSet<String>,
    /// Values by the sample's name and labels, as written.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    #[track_caller]
    fn scrape(telemetry: &Telemetry) -> Self {
        Self::parse(&telemetry.render().expect("text"))
    }

    #[track_caller]
    fn parse(text: &str) -> Self {
        let mut exposition = Self { names: BTreeSet::new(), samples: BTreeMap::new() };
        assert!(text.ends_with('\n'), "the last line must end");
        let mut family = (String::new(), String::new());
        let mut bucket = 0.0;
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                assert!(help.contains(' '), "{line}");
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').expect("name and type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(exposition.names.insert(name.to_owned()), "{name} comes in two pieces");
                family = (name.to_owned(), kind.to_owned());
            } else {
                let (name, rest) = line.split_at(identifier_end(line));
                let part = name.strip_prefix(&family.0).expect("a sample follows its family's type");
                let value = rest.split_at(labels_end(rest)).1;
                let value: f64 = value.strip_prefix(' ').expect("one space").parse().expect("a number");
                let labels = &rest[..labels_end(rest)];
                match (family.1.as_str(), part) {
                    ("histogram", "_bucket") => {
                        assert!(value >= bucket, "buckets are cumulative: {line}");
                        bucket = value;
                    }
                    ("histogram", "_sum") => {}
                    ("histogram", "_count") => {
                        assert_eq!(
                            value,
                            std::mem::take(&mut bucket),
                            "the last bucket is the count: {line}"
                        );
                    }
                    ("counter" | "gauge", "") => {}
                    _ => panic!("{line} does not belong to {family:?}"),
                }
                let sample = format!("{name}{labels}");
                assert!(exposition.samples.insert(sample, value).is_none(), "twice: {line}");
            }
        }
        exposition
    }
}

fn identifier_end(text: &str) -> usize {
    let end =
        text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).expect("more follows");
    assert!(end > 0 && !text.starts_with(|c: char| c.is_ascii_digit()), "no name: {text:?}");
    end
}

/// Where the labels in braces end; 0 if there are none.
fn labels_end(text: &str) -> usize {
    let Some(mut rest) = text.strip_prefix('{') else { return 0 };
    loop {
        rest = rest[identifier_end(rest)..].strip_prefix("=\"").expect("a quoted value");
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next().expect("a closing quote") {
                (_, '\\') => {
                    let escaped = characters.next().expect("an escaped character").1;
                    assert!(['\\', '"', 'n'].contains(&escaped), "no escape: {text:?}");
                }
                (end, '"') => break end + 1,
                _ => {}
            }
        };
        rest = &rest[end..];
        if let Some(after) = rest.strip_prefix('}') {
            return text.len() - after.len();
        }
        rest = rest.strip_prefix(',').expect("a comma between labels");
    }
}
