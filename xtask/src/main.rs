//! `cargo xtask`: set-up, components, demo, tests, benchmarks. Everything that is not `cargo build`.
#![expect(clippy::print_stdout, reason = "results go to standard output")]

mod debian;
mod error;
mod process;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use error::{Error, Result};
use workspace::Workspace;

const USAGE: &str = "\
cargo xtask toolchain                 make the target wasm32-wasip2 ready
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let (command, _rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    let workspace = Workspace::find()?;
    match command {
        "toolchain" => toolchain::ensure(&workspace)?,
        "help" | "--help" | "-h" => print!("{USAGE}"),
        other => {
            return Err(
                Error::new(format!("no command `{other}`")).hint("cargo xtask help lists them")
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
