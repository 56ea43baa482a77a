//! Embeds the bundled plugins: the components that `cargo xtask plugins` left in the target folder. In: `plugins/*.wasm` there. Out:
//! `bundled.rs`, a list of names and bytes. Without components the list is empty, and the engine says at run time how to build them.

use std::fs;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let folder = target_folder().join("plugins");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    println!("cargo::rerun-if-changed={}", folder.display());
    let components = components(&folder);
    if components.is_empty() {
        println!(
            "cargo::warning=no plugins in {}: run `cargo xtask plugins` and build again",
            folder.display()
        );
    }
    let entries: Vec<String> = components
        .iter()
        .map(|(name, path)| {
            format!("    Bundled {{ name: {name:?}, component: include_bytes!({path:?}) }},\n")
        })
        .collect();
    let out = std::env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    fs::write(
        out.join("bundled.rs"),
        format!("&[\n{}]\n", entries.concat()),
    )
}

/// Where cargo puts what it builds: as `cargo xtask` finds it.
fn target_folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = root.join(folder);
    folder.canonicalize().unwrap_or(folder)
}

/// Name and path of each component, by name.
fn components(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_component = path
                .extension()
                .is_some_and(|extension| extension == "wasm");
            let name = path.file_stem()?.to_str()?.to_owned();
            is_component.then_some((name, path))
        })
        .collect();
    found.sort();
    found
}
