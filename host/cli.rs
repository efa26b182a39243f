//! The command line: one file a command. A command says what went wrong on standard error, and its exit code is 0, or 1
//! for what it found, or 2 for what it was told.

mod check;
mod inspect;
mod reload;
mod run;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::manifest;
use crate::wasm::{Door, Engine};

/// An HTTP data plane whose policies are WebAssembly components.
///
/// Traffic goes through an ordered chain of filters, described by a manifest: validate, enforce policy, shed load,
/// break circuits, retry. `tollgate run` alone serves a demo with five filters on 127.0.0.1:8081.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    wasm: Wasm,
}

/// How filters are compiled and called.
#[derive(Debug, Args)]
struct Wasm {
    /// Where compiled filters are kept between runs [default: $XDG_CACHE_HOME/tollgate or ~/.cache/tollgate]
    #[arg(long, global = true, value_name = "DIR", env = "TOLLGATE_CACHE")]
    cache: Option<PathBuf>,
    /// How filters are called: `direct` where that can be, or all through the slower `component` layer, to compare
    #[arg(
        long,
        global = true,
        value_name = "DOOR",
        env = "TOLLGATE_DOOR",
        default_value = "direct",
        hide = true
    )]
    door: Door,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve traffic, as a manifest says or as the embedded default does
    Run(run::Run),
    /// Check a manifest: parse it, and compile, link and configure its filters; every mistake is shown
    Check(check::Check),
    /// Have a running Tollgate read its manifest again, and say what has changed or what is wrong
    Reload(reload::Reload),
    /// Show what a filter is: size, digest, phases, imports, contract version
    Inspect(inspect::Inspect),
    /// Print the JSON Schema of manifests, for editors and tools
    Schema,
    /// Print a completion script for a shell, for example: tollgate completions bash > /etc/bash_completion.d/tollgate
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wasm = arguments.wasm;
    let done = match arguments.command {
        Command::Run(run) => run.run(&wasm),
        Command::Check(check) => check.run(&wasm),
        Command::Reload(reload) => reload.run(),
        Command::Inspect(inspect) => inspect.run(&wasm),
        Command::Schema => print(&format!("{:#}\n", manifest::json_schema())),
        Command::Completions { shell } => completions(shell),
    };
    done.unwrap_or_else(|message| {
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(std::io::stderr(), "{message}");
        ExitCode::FAILURE
    })
}

/// What a command ends with: a code, or a message for people.
type Done = Result<ExitCode, String>;

fn completions(shell: clap_complete::Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tollgate", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Done {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn engine(wasm: &Wasm) -> Result<std::sync::Arc<Engine>, String> {
    // Wasmtime wants an absolute path.
    let cache = wasm.cache.clone().or_else(default_cache);
    let cache = cache.and_then(|directory| std::path::absolute(directory).ok());
    let usable = cache.filter(|directory| std::fs::create_dir_all(directory).is_ok());
    Engine::new(usable.as_deref(), wasm.door)
        .map_err(|error| format!("WebAssembly cannot run here: {error:#}"))
}

fn default_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(base.join("tollgate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
