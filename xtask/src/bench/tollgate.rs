//! Tollgate's chains under test: how long, of which filters, and the command that runs them.

use super::process;
use super::setup::{self, PROXY_CORE, Setup};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A chain of filters.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    filters: Filters,
    /// Not through the direct door.
    components: bool,
    /// An instance for each request.
    fresh: bool,
}

#[derive(Clone, Copy, Debug)]
enum Filters {
    /// So many of the benchmark's own.
    PassThrough(usize),
    /// The five of the embedded default.
    Shipped,
}

impl Chain {
    /// So many of the benchmark's own filters, each with an instance that lives as long as its worker.
    pub(crate) fn pass_through(count: usize) -> Self {
        Self { filters: Filters::PassThrough(count), components: false, fresh: false }
    }

    /// The five that ship, as the embedded default configures them.
    pub(crate) fn shipped() -> Self {
        Self { filters: Filters::Shipped, components: false, fresh: false }
    }

    /// The same chain, called through the component layer only.
    pub(crate) fn through_components(self) -> Self {
        Self { components: true, ..self }
    }

    /// The same chain, with a fresh instance of each filter for each request.
    pub(crate) fn fresh_instances(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// The command that serves this chain on `port` with so many workers: one on the proxy's processor, more on the
    /// first processors of the machine.
    pub(crate) fn command(
        &self,
        setup: &Setup,
        program: &Path,
        name: &str,
        port: u16,
        upstream: SocketAddr,
        workers: usize,
    ) -> Result<Command, String> {
        let upstream = format!("http://{upstream}");
        let cores = if workers == 1 { PROXY_CORE.to_string() } else { format!("0-{}", workers - 1) };
        let mut command = process::pinned_to(&cores, program);
        command.arg("run").args([
            "--workers",
            &workers.to_string(),
            "--listen",
            &format!("127.0.0.1:{port}"),
        ]);
        command.args(["--upstream", &upstream]).env("REQUEST_LOGGING_ENABLED", "false");
        command.env("TOLLGATE_CACHE", setup.folder.join("cache"));
        if self.components {
            command.env("TOLLGATE_DOOR", "component");
        }
        if let Filters::PassThrough(count) = self.filters {
            let path = setup.folder.join(format!("{name}.yaml"));
            let manifest = self.manifest(count, &setup.pass_through);
            setup::write(&path, format!("{manifest:#}\n").as_bytes())?;
            command.arg("--manifest").arg(path);
        }
        Ok(command)
    }

    /// A manifest, in JSON, which is YAML, too. `run`'s arguments give the addresses.
    fn manifest(&self, count: usize, filter: &Path) -> Value {
        let isolation = if self.fresh { "request" } else { "worker" };
        let filters: Vec<_> = (0..count)
            .map(|number| {
                json!({
                    "name": format!("pass-{number}"),
                    "component": filter,
                    "config": {"sets": format!("x-passed-{number}")},
                    "isolation": isolation,
                })
            })
            .collect();
        json!({
            "version": 1,
            "listeners": [{
                "address": "127.0.0.1:0",
                "limits": {"connections": 65536},
                "timeouts": {"idle": "1h"},
            }],
            "upstreams": {"main": {
                "endpoints": ["http://127.0.0.1:9000"],
                "pool": {"max-idle": 16384, "idle": "1h"},
            }},
            "filters": filters,
            "routes": [{"match": {"path-prefix": "/"}, "upstream": "main"}],
            "telemetry": {"log": {"level": "warn", "requests": false}},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_of_a_chain_sets_a_field_of_its_own() {
        let manifest = Chain::pass_through(2).fresh_instances().manifest(2, Path::new("/x.wasm"));
        assert_eq!(manifest.pointer("/filters/1/config/sets"), Some(&json!("x-passed-1")));
        assert_eq!(manifest.pointer("/filters/0/isolation"), Some(&json!("request")));
    }
}
