//! Guests, hosts and a folder to play in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;
use strongroom_host::{Host, HostOptions, Limits, Plugin, grant};
use strongroom_repository::{Destination, Error, Progress, Result, Source};
use tempfile::TempDir;

pub(crate) static SOURCE: LazyLock<Vec<u8>> = LazyLock::new(|| guest("rogue-source"));
pub(crate) static OUTGOING: LazyLock<Vec<u8>> = LazyLock::new(|| guest("outgoing-source"));
pub(crate) static DESTINATION: LazyLock<Vec<u8>> = LazyLock::new(|| guest("rogue-destination"));

/// Compiles each guest once for all tests.
static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("folder"));

fn guest(name: &str) -> Vec<u8> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    };
    let path = target.join("guests").join(name).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|_| {
        panic!(
            "{} is missing: run cargo xtask plugins --guests",
            path.display()
        )
    })
}

/// Limits that a test can wait for, and a well-behaved guest on a busy machine keeps.
pub(crate) fn limits() -> Limits {
    Limits {
        memory_bytes: 64 << 20,
        cpu_budget: Duration::from_secs(60),
        describe_deadline: Duration::from_secs(60),
        call_deadline: Duration::from_secs(60),
        cancel_grace: Duration::from_secs(60),
    }
}

pub(crate) fn host(limits: Limits) -> Host {
    Host::new(HostOptions {
        cache: CACHE.path().to_owned(),
        limits,
    })
    .expect("host")
}

/// A source of the rogue plugin that may do what it requires.
pub(crate) fn rogue(limits: Limits, config: &str, progress: Arc<Progress>) -> Box<dyn Source> {
    let plugin = host(limits).load("rogue", &SOURCE).expect("rogue-source");
    granted(&plugin, config, progress).expect("granted")
}

/// The same of a plugin that is loaded.
pub(crate) fn granted(
    plugin: &Plugin,
    config: &str,
    progress: Arc<Progress>,
) -> Result<Box<dyn Source>> {
    let required = plugin.requirements(config)?;
    let grants = grant("sources.odd", &required, None, true)?;
    plugin.source("odd", config, grants, progress)
}

/// A source of the outgoing plugin that may do what its configuration names.
pub(crate) fn outgoing(limits: Limits, config: &Value, progress: Arc<Progress>) -> Box<dyn Source> {
    let plugin = host(limits).load("outgoing", &OUTGOING).expect("outgoing");
    granted(&plugin, &config.to_string(), progress).expect("granted")
}

/// What `check` of it answers, or why it does not.
pub(crate) fn go(config: Value) -> Result<String> {
    let answer = outgoing(limits(), &config, Arc::default()).check()?;
    Ok(answer.into_iter().map(|(_, value)| value).collect())
}

/// Runs `check` of a rogue source.
pub(crate) fn check(limits: Limits, config: &str) -> Result<Vec<(String, String)>> {
    rogue(limits, config, Arc::default()).check()
}

/// A destination of the rogue plugin in `folder`.
pub(crate) fn destination(
    limits: Limits,
    folder: &Path,
    instances: usize,
    progress: Arc<Progress>,
) -> Arc<dyn Destination> {
    let plugin = host(limits)
        .load("rogue", &DESTINATION)
        .expect("rogue-destination");
    let config = format!(r#"{{"path": "{}"}}"#, folder.display());
    let required = plugin.requirements(&config).expect("requirements");
    let grants = grant("destinations.nas", &required, None, true).expect("granted");
    plugin
        .destination("nas", &config, grants, instances, progress)
        .expect("destination")
}

/// `(what a person reads, hint)`, without the line and column of a panic.
pub(crate) fn words(error: &Error) -> (String, Option<&str>) {
    let message = error.to_string();
    let message = match message.split_once(".rs:") {
        Some((before, _)) => format!("{before}.rs:…)"),
        None => message,
    };
    (message, error.hint_text())
}

/// The error, or a panic that shows what came instead.
pub(crate) fn refused<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("should have failed"),
        Err(error) => error,
    }
}

/// The component with `from` overwritten by `to` wherever it stands.
pub(crate) fn patched(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patched = component.to_vec();
    let mut found = 0;
    for start in 0..=component.len() - from.len() {
        if component[start..].starts_with(from.as_bytes()) {
            patched[start..start + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert_ne!(found, 0, "'{from}' does not stand in the component");
    patched
}
