//! PostgreSQL for the tests, which start servers of their own.
//!
//! In: what is installed. Out: Debian's `postgresql` is, and no server runs because of it: the package would make a cluster and start it.

use std::fs;
use std::path::{Path, PathBuf};

use super::install as install_packages;
use crate::error::{Error, Result};

/// Where Debian keeps the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Read by the package when it is installed (`postgresql-common`, `createcluster.conf`).
const SETTINGS: &str = "/etc/postgresql-common/createcluster.d/strongroom.conf";

/// Installs the server where there is none.
pub(super) fn install() -> Result<()> {
    if is_installed() {
        return Ok(());
    }
    // Not as root, or no Debian: installing fails, and says what is needed.
    let settings = Settings::write();
    let installed = install_packages(&["postgresql"]);
    drop(settings);
    installed
}

fn is_installed() -> bool {
    folder().is_some()
}

/// The programs of the newest version.
pub(super) fn folder() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .max()
}

/// The setting that keeps the package from making a cluster, gone with the value.
struct Settings(PathBuf);

impl Settings {
    fn write() -> Result<Self> {
        let path = Path::new(SETTINGS);
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(path, "create_main_cluster = false\n"))
            .map_err(|error| Error::io("cannot write", path, &error))?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        // Left behind, it would keep clusters from being made that somebody wants.
        let _ = fs::remove_file(&self.0);
    }
}
