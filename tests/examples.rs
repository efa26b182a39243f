//! The examples, as their READMEs have a reader try them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Origin, Tollgate, tollgate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Builds an example's filter; the path of its module. It is built where the shipped filters were, with their profile:
/// what they have in common is there already.
pub(crate) fn build(package: &str, module: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("filters");
    let built = Command::new(env!("CARGO"))
        .current_dir(ROOT)
        .args([
            "build",
            "--quiet",
            "--profile",
            "filter",
            "--target",
            "wasm32-unknown-unknown",
            "-p",
            package,
        ])
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .unwrap();
    assert!(built.success());
    target.join("wasm32-unknown-unknown/filter").join(module)
}

#[test]
fn the_api_key_example_lets_in_who_knows_the_key() {
    let filter = build("example-api-key", "api_key.wasm");
    let origin = Origin::working();
    let mut command = tollgate::command();
    command.args(["run", "--manifest"]).arg(Path::new(ROOT).join("examples/api-key/manifest.yaml"));
    command
        .env("LISTEN", "127.0.0.1:0")
        .env("UPSTREAM", origin.url())
        .env("FILTER", filter)
        .env("API_KEY", "k");
    let tollgate = Tollgate::watch(command, tollgate::directory());

    let stranger = tollgate.get("/");
    assert_eq!((stranger.status(), stranger.json()["code"].as_str()), (401, Some("unknown_key")));
    assert_eq!(origin.requests(), 0);
    let friend = tollgate.client().send("GET / HTTP/1.1\r\nhost: t\r\nx-api-key: k\r\n\r\n").receive();
    assert_eq!((friend.status(), friend.text().as_str()), (200, "it works"));
}
