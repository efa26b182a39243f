//! The `tollgate` program: parses its arguments and calls a command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::main()
}
