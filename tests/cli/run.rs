//! `tollgate run`: what arguments change, and what keeps it from running.

use std::net::TcpListener;

use super::{File, end, run, small};
use crate::support::tollgate::{command, directory};
use crate::support::{Origin, Tollgate};

#[test]
fn a_port_in_use_is_told_and_nothing_is_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run(&["run", "--listen", &address]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.contains(&format!("cannot listen on {address}")), "{}", ended.errors);
    assert!(ended.errors.contains("in use"), "{}", ended.errors);
    // With a socket that others could share, too: another Tollgate's.
    let other = Tollgate::in_front_of(&Origin::working(), "", "");
    assert_eq!(run(&["run", "--listen", &other.address.to_string()]).code, Some(1));
}

#[test]
fn an_upstream_that_is_none_is_told() {
    let file = File::new(small("  []\n"));
    for (upstream, told) in [
        ("nonsense", "did you mean `http://nonsense`?"),
        ("ftp://127.0.0.1", "does not begin with `http://`"),
        ("http://127.0.0.1:99999", "99999"),
        ("http://a b", "a b"),
        ("", "--upstream"),
    ] {
        for manifest in [&[][..], &["--manifest", file.path()]] {
            let ended = run(&[&["run", "--upstream", upstream], manifest].concat());
            assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{upstream}");
            assert!(
                ended.errors.starts_with("--upstream: ") && ended.errors.contains(told),
                "{}",
                ended.errors
            );
        }
    }
}

#[test]
fn run_puts_arguments_before_the_manifest() {
    let origin = Origin::working();
    let manifest = "version: 1\nlisteners:\n  - address: 192.0.2.1:1\nupstreams:\n  main:\n    \
                    endpoints: [\"http://192.0.2.1:1\"]\nroutes:\n  - match: {}\n    upstream: main\n";
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &origin.url(), "--workers", "3"];
    let tollgate = Tollgate::start_with(manifest, &arguments, |_| {});
    assert_eq!(tollgate.get("/").text(), "it works");
    assert!(tollgate.has_logged(&["listening on", "\"workers\":3"]));
    assert!(!tollgate.has_logged(&["DEMO"]));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", tollgate.pid)).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert_eq!(names.filter(|name| name.starts_with("worker-")).count(), 3);
}

#[test]
fn a_relative_cache_directory_is_used() {
    let directory = directory();
    let mut inspect = command();
    inspect.current_dir(&directory).args(["inspect", "builtin:retry", "--cache", "compiled"]);
    assert_eq!(end(inspect).code, Some(0));
    assert!(std::fs::read_dir(directory.join("compiled")).unwrap().next().is_some(), "something was kept");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let mut inspect = command();
    inspect.args(["inspect", "builtin:retry", "--cache", "/proc/nowhere"]);
    assert_eq!(end(inspect).code, Some(0));
}
