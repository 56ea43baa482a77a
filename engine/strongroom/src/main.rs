//! The `strongroom` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom::app::main()
}
