//! The WASI signatures that plugin authors build against are those that the engine is built with.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[test]
fn the_signatures_in_wit_deps_are_those_of_the_engine() {
    let engine = package("wasmtime-wasi").join("src/p2/wit/deps");
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/deps");
    let mut compared = 0;
    for entry in ours.read_dir().expect("wit/deps").flatten() {
        let theirs = engine.join(entry.file_name());
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        assert_eq!(
            signatures(&read(&entry.path())),
            signatures(&read(&theirs)),
            "{} has drifted from {}",
            entry.path().display(),
            theirs.display()
        );
        compared += 1;
    }
    assert_ne!(compared, 0);
}

/// The lines without comments and blank ones.
fn signatures(wit: &str) -> Vec<&str> {
    wit.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .collect()
}

/// The folder of a package that this crate is built with.
fn package(name: &str) -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        // What other platforms need was never downloaded.
        .args(["--filter-platform", &platform()])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo metadata");
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages
        .iter()
        .find(|package| package["name"] == name)
        .unwrap_or_else(|| panic!("{name} is no dependency"));
    let manifest = package["manifest_path"].as_str().expect("path");
    Path::new(manifest).parent().expect("folder").to_owned()
}

/// What this is built for, such as `x86_64-unknown-linux-gnu`.
fn platform() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("-vV").output().expect("rustc -vV");
    let version = String::from_utf8(version.stdout).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("host").to_owned()
}
