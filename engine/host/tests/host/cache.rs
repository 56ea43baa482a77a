//! Compiled code is used again for the same component and engine, and never otherwise.

use std::path::{Path, PathBuf};

use strongroom_host::{Host, HostOptions};

use crate::common::{DESTINATION, limits, patched};

fn host(cache: &Path) -> Host {
    Host::new(HostOptions {
        cache: cache.join("cache/plugins"),
        limits: limits(),
    })
    .expect("host")
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let entries = cache.join("cache/plugins").read_dir().expect("cache");
    entries.flatten().map(|entry| entry.path()).collect()
}

/// How many compilations a new host needs to load `component`.
fn compilations(cache: &Path, component: &[u8]) -> usize {
    let host = host(cache);
    host.load("odd", component).expect("loaded");
    host.compilations()
}

#[test]
fn a_component_is_compiled_once() {
    let cache = tempfile::tempdir().expect("folder");
    assert_eq!(compilations(cache.path(), &DESTINATION), 1);
    assert_eq!(compilations(cache.path(), &DESTINATION), 0);
}

#[test]
fn a_changed_component_is_compiled_afresh_and_both_are_kept() {
    let cache = tempfile::tempdir().expect("folder");
    let changed = patched(&DESTINATION, "keeps things badly", "keeps things BADLY");
    assert_eq!(compilations(cache.path(), &DESTINATION), 1);
    assert_eq!(compilations(cache.path(), &changed), 1);
    assert_eq!(files(cache.path()).len(), 2);
    assert_eq!(compilations(cache.path(), &DESTINATION), 0);
    assert_eq!(compilations(cache.path(), &changed), 0);
    let plugin = host(cache.path()).load("odd", &changed).expect("loaded");
    assert_eq!(plugin.info().summary, "keeps things BADLY");
}

#[test]
fn a_damaged_file_is_compiled_afresh_and_replaced() {
    let cache = tempfile::tempdir().expect("folder");
    assert_eq!(compilations(cache.path(), &DESTINATION), 1);
    let [file] = &files(cache.path())[..] else {
        panic!("one file")
    };
    let mut code = std::fs::read(file).expect("code");
    let middle = code.len() / 2;
    code[middle] ^= 0x10;
    std::fs::write(file, code).expect("damage");
    assert_eq!(compilations(cache.path(), &DESTINATION), 1);
    assert_eq!(compilations(cache.path(), &DESTINATION), 0);
}
