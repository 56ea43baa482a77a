//! Where things lie: the checkout, cargo's target folder and what the steps keep in it; and how a step speaks.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// The checkout that this program was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    target_is_set: bool,
}

impl Workspace {
    /// Finds the checkout, and its target folder as `CARGO_TARGET_DIR` says.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .map(Path::to_path_buf)
            .ok_or_else(|| Error::new("xtask lies in no workspace"))?;
        let set = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
        let target = match &set {
            // Cargo takes a relative folder from where it was started, and so do we.
            Some(folder) => std::path::absolute(folder)
                .map_err(|error| Error::io("cannot find", Path::new(folder), &error))?,
            None => root.join("target"),
        };
        Ok(Self {
            root,
            target,
            target_is_set: set.is_some(),
        })
    }

    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `name` under cargo's target folder.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// Like [`Workspace::target`], and makes the folder.
    pub(crate) fn target_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target(name);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// The cargo that runs us, in the checkout's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        if self.target_is_set {
            cargo.env("CARGO_TARGET_DIR", &self.target);
        }
        cargo
    }

    /// Waits until no other `cargo xtask` does the step called `name`. The lock ends with the returned file.
    pub(crate) fn lock(&self, name: &str) -> Result<File> {
        let path = self.target_folder("xtask")?.join(format!("{name}.lock"));
        let file = File::create(&path).map_err(|e| Error::io("cannot create", &path, &e))?;
        if file.try_lock().is_err() {
            say(&format!(
                "waiting for another `cargo xtask` to finish the step `{name}`"
            ));
            file.lock()
                .map_err(|e| Error::io("cannot lock", &path, &e))?;
        }
        Ok(file)
    }
}

/// Makes `folder` and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Error::io("cannot create", folder, &error))
}

/// Tells what is being done, one line on standard error.
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}
