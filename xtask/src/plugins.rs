//! Components: the bundled plugins, and the small guests that tests of the host run.
//!
//! In: the cargo workspaces `plugins/` and `engine/host/guests/`. Out: `plugins/<name>.wasm` and `guests/<name>.wasm` under the target folder,
//! `<name>` being the crate's folder. A file whose bytes did not change is left alone, so that the engine, which embeds the plugins, is not built
//! again for nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::process;
use crate::toolchain::{self, TARGET};
use crate::workspace::{Workspace, say};

/// The folder in `plugins/` that is no component: what plugin authors depend on.
const SDK: &str = "sdk";

/// Builds the bundled plugins; out comes the folder that holds their components.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    build_components(workspace, &workspace.root().join("plugins"), "plugins")
}

/// Builds the guests that tests run; out comes the folder that holds their components.
pub(crate) fn build_guests(workspace: &Workspace) -> Result<PathBuf> {
    let guests = workspace.root().join("engine/host/guests");
    build_components(workspace, &guests, "guests")
}

/// Where cargo builds components, for the host as well where their tests run there.
pub(crate) fn build_folder(workspace: &Workspace) -> PathBuf {
    workspace.target("plugins-build")
}

/// The names of the packages in the plugins' workspace, the one for their authors among them.
pub(crate) fn packages(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let mut packages = BTreeSet::new();
    for folder in files(&workspace.root().join("plugins"))? {
        let manifest = folder.join("Cargo.toml");
        if manifest.exists() {
            let text = fs::read_to_string(&manifest)
                .map_err(|e| Error::io("cannot read", &manifest, &e))?;
            packages.extend(name_in("[package]", &text).map(str::to_owned));
        }
    }
    Ok(packages)
}

fn build_components(workspace: &Workspace, source: &Path, name: &str) -> Result<PathBuf> {
    toolchain::ensure(workspace)?;
    let _lock = workspace.lock(name)?;
    say(&format!("building the {name} for {TARGET}"));
    let mut cargo = workspace.cargo();
    cargo
        .current_dir(source)
        .args([
            "build",
            "--workspace",
            "--release",
            "--quiet",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(build_folder(workspace));
    process::run(&mut cargo)?;

    let built = build_folder(workspace).join(TARGET).join("release");
    let folder = workspace.target_folder(name)?;
    let mut kept = BTreeSet::new();
    for component in components(source)? {
        let from = built.join(format!("{}.wasm", component.library));
        let to = folder.join(format!("{}.wasm", component.folder));
        copy_if_changed(&from, &to)?;
        kept.insert(to);
    }
    // The engine embeds whatever lies here; what has no source any more must not.
    for file in files(&folder)? {
        if file
            .extension()
            .is_some_and(|extension| extension == "wasm")
            && !kept.contains(&file)
        {
            fs::remove_file(&file).map_err(|error| Error::io("cannot remove", &file, &error))?;
        }
    }
    Ok(folder)
}

/// A crate that comes out as a component.
struct Component {
    /// The folder's name, which the component is called by.
    folder: String,
    /// What cargo calls the file, without `.wasm`.
    library: String,
}

fn components(workspace: &Path) -> Result<Vec<Component>> {
    let mut components = Vec::new();
    for path in files(workspace)? {
        let manifest = path.join("Cargo.toml");
        let folder = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if folder == SDK || !manifest.exists() {
            continue;
        }
        let text =
            fs::read_to_string(&manifest).map_err(|e| Error::io("cannot read", &manifest, &e))?;
        let library = library_name(&text)
            .ok_or_else(|| Error::new(format!("{} names no package", manifest.display())))?;
        components.push(Component { folder, library });
    }
    Ok(components)
}

/// What a crate's library is called: the `name` of `[lib]`, else that of `[package]`, with cargo's underscores.
fn library_name(manifest: &str) -> Option<String> {
    let name = name_in("[lib]", manifest).or_else(|| name_in("[package]", manifest));
    Some(name?.replace('-', "_"))
}

/// The `name` in a section of a `Cargo.toml`.
fn name_in<'a>(section: &str, manifest: &'a str) -> Option<&'a str> {
    let mut current = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            current = line;
        }
        let name = line
            .split_once('=')
            .filter(|(key, _)| current == section && key.trim() == "name")
            .and_then(|(_, value)| value.trim().split('"').nth(1));
        if name.is_some() {
            return name;
        }
    }
    None
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).map_err(|error| {
        Error::io("the build made no component: cannot read", from, &error)
            .hint("a plugin is a library with crate-type = [\"cdylib\"]")
    })?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    // Renamed into place: a build of the engine beside us never embeds half a component.
    let temporary = to.with_extension("wasm.new");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, to))
        .map_err(|error| Error::io("cannot write", to, &error))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, &error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, name: Option<&str>) {
        assert_eq!(library_name(manifest).as_deref(), name);
    }

    #[test]
    fn a_library_is_called_after_its_package_unless_it_has_a_name() {
        check(
            "[package]\nname = \"strongroom-volume\"\n",
            Some("strongroom_volume"),
        );
        check("[package]\nname = \"a\"\n[lib]\nname = \"b\"\n", Some("b"));
        check(
            "[package]\nname = \"a\"\n[[bin]]\nname = \"b\"\n",
            Some("a"),
        );
        check(
            "[lib]\ncrate-type = [\"cdylib\"]\n[package]\nname=\"a\"",
            Some("a"),
        );
        check("[workspace]\n", None);
    }
}
