//! The bundled plugins, as `cargo xtask plugins` has built them, for tests that run them for real.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use strongroom_host::{Host, HostOptions, Limits, Plugin, grant};
use strongroom_repository::{Destination, Progress, Result, Source};

/// The plugin that lies in `plugins/NAME`, compiled once for all tests of a binary.
pub(crate) fn plugin(name: &str) -> Plugin {
    static HOST: OnceLock<Host> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let cache = target_folder().join("tests-compiled-plugins");
        let limits = Limits::default();
        Host::new(HostOptions { cache, limits }).expect("a host")
    });
    let path = target_folder().join(format!("plugins/{name}.wasm"));
    let component = fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask plugins`", path.display()));
    host.load(name, &component).expect("the plugin loads")
}

/// Opens a source with all that its configuration asks for.
pub(crate) fn source(
    name: &str,
    config: &str,
    progress: &Arc<Progress>,
) -> Result<Box<dyn Source>> {
    let plugin = plugin(name);
    let grants = grant("sources.test", &plugin.requirements(config)?, None, true)?;
    plugin.source("test", config, grants, progress.clone())
}

/// Opens a destination of 8 instances with all that its configuration asks for.
pub(crate) fn destination(name: &str, config: &str) -> Result<Arc<dyn Destination>> {
    let plugin = plugin(name);
    let grants = grant(
        "destinations.test",
        &plugin.requirements(config)?,
        None,
        true,
    )?;
    plugin.destination("test", config, grants, 8, Arc::default())
}

/// A destination, and the temporary folder that it needs.
pub(crate) struct InFolder {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) destination: Arc<dyn Destination>,
}

impl Deref for InFolder {
    type Target = dyn Destination;

    fn deref(&self) -> &Self::Target {
        &*self.destination
    }
}

/// Notes that a test could not do its work here, for the count at the end of `cargo xtask test`.
pub(crate) fn skip(test: &str, reason: &str) {
    use std::io::Write;
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("STRONGROOM_TEST_SKIPPED") {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("the list of skipped tests");
        writeln!(file, "{test}: {reason}").expect("a line for a skipped test");
    }
}

/// Cargo's target folder: the test lies in its `debug/deps`.
fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    test.ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .expect("a target folder")
}
