//! `tollgate check`: whether a manifest could serve.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Done, Wasm, engine, print};
use crate::assembly::{Assembler, Refusal, Trial};
use crate::health::Board;
use crate::pressure::Pressure;
use crate::source::read_manifest;
use crate::telemetry::Telemetry;
use crate::wasm::Host;

/// The exit code is 0 if the manifest could serve, else 1.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The manifest
    file: PathBuf,
}

impl Check {
    pub(super) fn run(self, wasm: &Wasm) -> Done {
        // A filter that panics while it is configured says why in the log.
        crate::logs::to_stderr();
        let manifest = read_manifest(&self.file)?;
        let host = host(&manifest.telemetry.namespace)?;
        let assembled = Assembler::new(engine(wasm)?, host).assemble(manifest, None, Trial::Start);
        let assembly = assembled.map_err(|all| list(&all, &self.file))?;
        let (filters, routes) = (assembly.entries.len(), assembly.manifest.routes.len());
        print(&format!("{}: good, with {filters} filters and {routes} routes\n", self.file.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What filters find around them.
pub(super) fn host(namespace: &str) -> Result<Host, String> {
    let telemetry = Telemetry::new(namespace).map_err(|error| error.to_string())?;
    let pressure = Pressure::new(telemetry.clone(), Path::new("/"));
    Ok(Host { telemetry, pressure, health: std::sync::Arc::new(Board::default()) })
}

/// All refusals, a line each.
pub(super) fn list(refusals: &[Refusal], manifest: &Path) -> String {
    let lines: Vec<_> = refusals.iter().map(|refusal| format!("{}: {refusal}", manifest.display())).collect();
    lines.join("\n")
}
