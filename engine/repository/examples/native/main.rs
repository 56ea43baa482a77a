//! The engine without plugins, for measurements: `cargo xtask bench` starts it, a person need not.
//!
//! In: a command and folders. Out: figures on standard output, one `name value` a line.
#![expect(
    clippy::print_stdout,
    reason = "figures go to standard output, where `cargo xtask bench` reads them"
)]

mod index;
mod limits;
mod random;
mod session;
mod stages;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use strongroom_repository::testing::DirectoryDestination;
use strongroom_repository::{
    Destination, Error, ErrorKind, InitOptions, RecoveryKey, Repository, Result,
};

/// The same for every tool.
const PASSWORD: &str = "benchmark";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["init", repository] => init(repository).map(drop),
        ["backup", repository, folder] => session::backup(open(repository)?, folder),
        ["restore", repository, target] => session::restore(open(repository)?, target),
        ["write", repository] => session::write(open(repository)?),
        ["read", repository] => session::read(open(repository)?),
        ["stages", folder] => stages::measure(Path::new(folder)),
        ["index-make", repository, blobs] => index::make(&*init(repository)?, number(blobs)?),
        ["index", repository, blobs] => index::measure(&*open(repository)?, number(blobs)?),
        _ => Err(Error::new(
            ErrorKind::InvalidConfig,
            "this program is started by `cargo xtask bench`",
        )),
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse()
        .map_err(|_| Error::new(ErrorKind::InvalidConfig, format!("'{text}' is no number")))
}

fn destination(folder: &str) -> Arc<dyn Destination> {
    Arc::new(DirectoryDestination::new("native", folder).durable())
}

fn init(folder: &str) -> Result<Arc<Repository>> {
    let recovery_key = RecoveryKey::generate();
    let options = InitOptions {
        password: PASSWORD,
        recovery_key: Some(&recovery_key),
        polynomial: None,
    };
    Repository::init(destination(folder), options).map(Arc::new)
}

fn open(folder: &str) -> Result<Arc<Repository>> {
    Repository::open(destination(folder), PASSWORD).map(Arc::new)
}
