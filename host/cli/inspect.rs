//! `tollgate inspect`: what a filter is, without running it.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Done, Wasm, engine, print};
use crate::assembly::find_filter;
use crate::wasm::Program;

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// A file, or `builtin:NAME`
    filter: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self, wasm: &Wasm) -> Done {
        let bytes = find_filter(&self.filter)?;
        let program = engine(wasm)?.load(&bytes).map_err(|error| format!("{}: {error}", self.filter))?;
        print(&if self.json { self.as_json(&program) } else { self.as_text(&program) })?;
        Ok(ExitCode::SUCCESS)
    }

    fn as_text(&self, program: &Program) -> String {
        let mut phases: Vec<_> = program.phases.iter().map(|phase| phase.as_str()).collect();
        if program.has_lifecycle {
            phases.insert(0, "configure");
        }
        format!(
            "filter    {}\nsize      {} bytes\ndigest    sha256:{}\ncontract  {}\ndoor      {}\nphases    {}\nimports   {}\n",
            self.filter,
            program.size,
            program.digest,
            program.contract(),
            program.door().as_str(),
            phases.join("\n          "),
            program.imports.join("\n          "),
        )
    }

    fn as_json(&self, program: &Program) -> String {
        let phases: Vec<_> = program.phases.iter().map(|phase| phase.as_str()).collect();
        let shown = json!({
            "filter": self.filter,
            "size": program.size,
            "digest": format!("sha256:{}", program.digest),
            "contract": program.contract(),
            "door": program.door().as_str(),
            "configurable": program.has_lifecycle,
            "phases": phases,
            "imports": program.imports,
        });
        format!("{shown:#}\n")
    }
}
