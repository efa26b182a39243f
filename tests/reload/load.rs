//! Reloads by the hundred, under load: no request fails, none sees two versions at once, and memory stays flat.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::support::script::entry;

/// The version that all parts of a response have: what two filters wrote on the way up and on the way down, and what a
/// route's upstream is.
fn version(response: &Message) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    let text = response.text();
    let up = ["x-up-f: ", "x-up-g: "].map(|name| text.lines().find_map(|line| line.strip_prefix(name)));
    let down = ["x-down-f", "x-down-g", "x-origin"].map(|name| response.field(name));
    let all: Vec<_> = up.into_iter().chain(down).map(|version| version.expect("a version")).collect();
    assert!(all.iter().all(|version| *version == all[0]), "two versions in one exchange: {all:?}");
    all[0].to_owned()
}

/// An origin that says which version it is of, beside what it got.
fn origin_of(version: &'static str) -> Origin {
    Origin::answering(move |request| {
        let content: String =
            request.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let length = content.len();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-origin: {version}\r\n\r\n{content}")
            .into_bytes()
    })
}

#[test]
fn two_hundred_swaps_and_fifty_refusals_under_load_fail_no_request() {
    const CLIENTS: usize = 4;
    let origins = [origin_of("1"), origin_of("2")];
    let good: Vec<_> = ["1", "2"]
        .iter()
        .zip(&origins)
        .map(|(version, origin)| {
            let filters = ["f", "g"].map(|name| versioned(name, version).entry(""));
            manifest(origin, &chain(&filters))
        })
        .collect();
    let trapping = versioned("f", "3").instead("on-response", "unreachable").entry("");
    let broken = [
        good[0][..good[0].len() / 3].to_owned(),
        good[1].replace("upstream: main", "upstream: mian"),
        manifest(&origins[0], &chain(&[trapping])),
        manifest(&origins[0], &chain(&["  - {name: f, component: \"/nowhere.wasm\"}\n".to_owned()])),
    ];
    let tollgate = start(&good[0]);
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (tollgate, over, done) = (&tollgate, &over, &done);
            scope.spawn(move || {
                // Two keep their connection throughout, two take another one now and then.
                let mut client = tollgate.client();
                for round in 1.. {
                    version(&client.get("/"));
                    done.fetch_add(1, Ordering::Relaxed);
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    if number % 2 == 1 && round % 50 == 0 {
                        client = tollgate.client();
                    }
                }
            });
        }
        for round in 1..=200 {
            change(&tollgate, &good[round % 2]);
            assert_eq!(
                version(&tollgate.get("/")),
                ["1", "2"][round % 2],
                "it serves once the report is there"
            );
            if round % 4 == 0 {
                tollgate.replace_manifest(&broken[round / 4 % broken.len()]);
                refused(&tollgate);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(done.load(Ordering::Relaxed) > 1000, "there was load");
    let reloads =
        |result: &str| tollgate.metric(&format!("tollgate_config_reloads_total{{result=\"{result}\"}}"));
    assert_eq!((reloads("applied"), reloads("refused")), (200.0, 50.0));
    let metrics = tollgate.get("/metrics").text();
    let failures = metrics.lines().filter(|line| {
        (line.starts_with("tollgate_errors_total") || line.starts_with("tollgate_filter_faults_total"))
            && !line.ends_with(" 0")
    });
    assert_eq!(failures.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_thousand_reloads_leave_memory_as_it_is() {
    let origin = mirror();
    let components = ["1", "2"].map(|version| versioned("f", version).build());
    let good = components.map(|path| manifest(&origin, &chain(&[entry("f", &path, "limits: {time: 5s}")])));
    let tollgate = start(&good[0]);
    let mut client = tollgate.client();
    let mut swap = |count: usize| {
        for round in 1..=count {
            change(&tollgate, &good[round % 2]);
            assert_eq!(client.get("/").status(), 200);
        }
    };
    // Until allocators and pools have what they need.
    swap(200);
    let before = tollgate.memory("VmRSS");
    swap(1000);
    let grown = tollgate.memory("VmRSS").saturating_sub(before);
    // 10 KiB a reload would be 10 MiB; a single program is 100 KiB and more.
    assert!(grown < 8 << 20, "{grown} bytes more after a thousand reloads");
    let threads = std::fs::read_dir(format!("/proc/{}/task", tollgate.pid)).unwrap().count();
    let files = std::fs::read_dir(format!("/proc/{}/fd", tollgate.pid)).unwrap().count();
    assert!(threads < 20 && files < 60, "{threads} threads, {files} descriptors");
}
