//! Changes that nobody asks to be applied: the files are watched.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::support::script::entry;
use crate::support::tollgate::{command, directory};

/// Tollgate that watches its files, with one filter of version 1 in a file of its own.
fn start_watching(origin: &Origin, component: &Path) -> Tollgate {
    std::fs::copy(versioned("f", "1").build(), component).unwrap();
    Tollgate::start_with(&with(origin, component, ""), &[], |_| {})
}

fn with(origin: &Origin, component: &Path, more: &str) -> String {
    manifest(origin, &chain(&[entry("f", component, &format!("limits: {{time: 5s}}\n{more}"))]))
}

fn serves(tollgate: &Tollgate, version: &str) -> bool {
    tollgate.get("/").field("x-down-f") == Some(version)
}

fn reloads(tollgate: &Tollgate, result: &str) -> f64 {
    tollgate.metric(&format!("tollgate_config_reloads_total{{result=\"{result}\"}}"))
}

/// Puts a file in the place of another, as editors do.
fn replace(path: &Path, content: &[u8]) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[test]
fn files_that_are_replaced_or_written_in_place_are_noticed() {
    let origin = mirror();
    let own = directory();
    let component = own.join("f.wasm");
    let tollgate = start_watching(&origin, &component);
    let build = |version: &str| std::fs::read(versioned("f", version).build()).unwrap();
    assert!(serves(&tollgate, "1"));
    replace(&component, &build("2"));
    eventually("the replaced filter serves", || serves(&tollgate, "2"));
    std::fs::write(&component, build("3")).unwrap();
    eventually("the overwritten filter serves", || serves(&tollgate, "3"));
    // Another file, in a directory that is watched from then on.
    let elsewhere = directory();
    let other = elsewhere.join("f.wasm");
    std::fs::write(&other, build("4")).unwrap();
    tollgate.replace_manifest(&with(&origin, &other, ""));
    eventually("the replaced manifest serves", || serves(&tollgate, "4"));
    replace(&other, &build("5"));
    eventually("the filter of the new manifest is watched", || serves(&tollgate, "5"));
    // A whole directory in the place of another.
    let next = directory();
    std::fs::write(next.join("f.wasm"), build("6")).unwrap();
    std::fs::rename(&elsewhere, own.join("old")).unwrap();
    std::fs::rename(&next, &elsewhere).unwrap();
    eventually("the filter in the new directory serves", || serves(&tollgate, "6"));
    replace(&other, &build("7"));
    eventually("the new directory is watched", || serves(&tollgate, "7"));
    [own, elsewhere].iter().for_each(|directory| std::fs::remove_dir_all(directory).unwrap());
}

#[test]
fn half_a_file_is_refused_and_the_whole_one_serves() {
    let origin = mirror();
    let own = directory();
    let component = own.join("f.wasm");
    let tollgate = start_watching(&origin, &component);
    let whole = std::fs::read(versioned("f", "2").build()).unwrap();
    let half = &whole[..whole.len() / 2];
    std::fs::write(&component, half).unwrap();
    eventually("half a file is refused", || reloads(&tollgate, "refused") == 1.0);
    assert_eq!(tollgate.metric("tollgate_config_last_reload_successful"), 0.0);
    assert!(serves(&tollgate, "1"));
    std::fs::write(&component, &whole).unwrap();
    eventually("the whole file serves", || serves(&tollgate, "2"));
    eventually("the figure says so", || tollgate.metric("tollgate_config_last_reload_successful") == 1.0);
    std::fs::remove_file(tollgate.manifest()).unwrap();
    eventually("a manifest that is gone is noticed", || {
        tollgate.metric("tollgate_config_last_reload_successful") == 0.0
    });
    assert!(serves(&tollgate, "2"));
    tollgate.replace_manifest(&with(&origin, &component, "on-error: open"));
    eventually("and one that is back", || tollgate.metric("tollgate_config_last_reload_successful") == 1.0);
    std::fs::remove_dir_all(own).unwrap();
}

/// A directory as Kubernetes mounts a `ConfigMap`: the files are links through a link that is replaced.
#[test]
fn a_swap_of_symbolic_links_is_noticed() {
    let origin = mirror();
    let mount = directory();
    let publish = |number: u32, version: &str| {
        let data = mount.join(format!("..data_{number}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::copy(versioned("f", version).build(), data.join("f.wasm")).unwrap();
        let text = manifest(&origin, &chain(&[entry("f", Path::new("f.wasm"), "limits: {time: 5s}")]));
        std::fs::write(data.join("manifest.yaml"), text.replace("LISTENER", "address: 127.0.0.1:0")).unwrap();
        symlink(data.file_name().unwrap(), mount.join("..data_tmp")).unwrap();
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        if number > 1 {
            std::fs::remove_dir_all(mount.join(format!("..data_{}", number - 1))).unwrap();
        }
    };
    publish(1, "1");
    for file in ["manifest.yaml", "f.wasm"] {
        symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let mut command = command();
    command.arg("run").arg("--manifest").arg(mount.join("manifest.yaml"));
    let tollgate = Tollgate::watch(command, directory());
    assert!(serves(&tollgate, "1"));
    for (number, version) in [(2, "2"), (3, "3"), (4, "1")] {
        publish(number, version);
        eventually("what is published serves", || serves(&tollgate, version));
    }
    assert_eq!(reloads(&tollgate, "refused"), 0.0);
    std::fs::remove_dir_all(mount).unwrap();
}

#[test]
fn without_a_watch_a_change_waits_for_somebody_to_ask() {
    let origin = mirror();
    let own = directory();
    let component = own.join("f.wasm");
    std::fs::copy(versioned("f", "1").build(), &component).unwrap();
    let text = with(&origin, &component, "");
    let (unwatched, watched) = (start(&text), Tollgate::start(&text));
    replace(&component, &std::fs::read(versioned("f", "2").build()).unwrap());
    eventually("the one that watches notices", || serves(&watched, "2"));
    assert!(serves(&unwatched, "1"));
    assert_eq!(reload(&unwatched).json()["result"], "applied");
    assert!(serves(&unwatched, "2"));
    std::fs::remove_dir_all(own).unwrap();
}
