//! `cargo xtask`: set-up, components, demo, tests, benchmarks. Everything that is not `cargo build`.
#![expect(clippy::print_stdout, reason = "results go to standard output")]

mod bench;
mod compare;
mod debian;
mod demo;
mod engine;
mod error;
mod packages;
mod plugins;
mod process;
mod random;
mod soak;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use error::{Error, Result};
use workspace::Workspace;

const USAGE: &str = "\
cargo xtask toolchain            makes the target wasm32-wasip2 ready (every other command does that, too)
cargo xtask plugins [--guests]   builds the plugins, and with --guests what tests of the host run
cargo xtask test [ARGUMENT…]     runs every test; arguments are passed on to cargo test
cargo xtask demo [--keep]        shows a backup and a restore of sample files; --keep leaves them there
cargo xtask bench NAME [OPTION…]  measures strongroom beside its peers; NAME is one of these, or all:
  volume                         a folder of about 3 GB: photos, texts, dumps
  many                           300,000 small files
  large                          a folder of about 12 GB, strongroom alone: whether its memory stays bounded
  dump                           a stream of 2 GB into one file, twice, 1 % of it changed
  postgres                       a PostgreSQL server of 2 GB: dumps and physical backups beside pg_dump, pg_basebackup, zstd, restic
  mysql                          a MariaDB server of 2 GB: dumps and the log beside mariadb-dump, zstd, restic
  index                          a repository of 5 million blobs: time, memory, look-ups
  sandbox                        the engine with and without plugins
  stages                         what each stage of a backup costs by itself
  --scale F                      another size, such as 0.1
  --rounds N                     how often everything is measured (3)
  --dir DIR                      where data and repositories are put (target/bench, and memory where there is room)
  --tools A,B                    of strongroom, restic, rustic, borg; all that are there if not given
  --json FILE                    writes the figures there, too; not with all and postgres
  --record                       shows them in docs/performance.md
  --install-peers                installs rustic (from crates.io) and borg (Debian) first
cargo xtask soak [OPTION…]       random operations, ours and restic's, with kills in between, on two repositories; then all is verified
  --operations N                 how many (1000)
  --minutes N                    how long, however many these are; it says where they are fewer
  --seed N                       the same operations again
  --keep                         leaves everything there
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
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    let workspace = Workspace::find()?;
    match command {
        "toolchain" => toolchain::ensure(&workspace)?,
        "plugins" => {
            if let Some(other) = rest.iter().find(|argument| *argument != "--guests") {
                return Err(Error::new(format!(
                    "cargo xtask plugins takes no `{other}`"
                )));
            }
            plugins::build(&workspace)?;
            if !rest.is_empty() {
                plugins::build_guests(&workspace)?;
            }
        }
        "test" => return test::run(&workspace, rest),
        "demo" => demo::run(&workspace, rest)?,
        "bench" => bench::run(&workspace, rest)?,
        "soak" => soak::run(&workspace, rest)?,
        "help" | "--help" | "-h" => print!("{USAGE}"),
        other => {
            return Err(
                Error::new(format!("no command `{other}`")).hint("cargo xtask help lists them")
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
