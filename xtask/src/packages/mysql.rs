//! MariaDB and MySQL for the tests, which start servers of their own.
//!
//! In: what is installed. Out: Debian's `mariadb-server` and `mariadb-client` are, and no server runs because of it; MySQL, which only Debian's sid
//! has, and a newer MariaDB lie unpacked in folders of ours, with a script for each program that finds its libraries. Those two are optional.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install as install_packages;
use crate::debian::Mirror;
use crate::error::{Error, Result};
use crate::process;
use crate::workspace::{Workspace, make_folder, say};

/// What a package asks before it starts a server, and what tells it not to (`invoke-rc.d`).
const POLICY: &str = "/usr/sbin/policy-rc.d";
const START_NOTHING: &str = "#!/bin/sh\nexit 101\n";

const MARIADB_PROGRAMS: [&str; 5] = [
    "mariadbd",
    "mariadb-install-db",
    "mariadb",
    "mariadb-dump",
    "mariadb-binlog",
];

/// A server of another suite, to be unpacked.
pub(super) struct Foreign {
    /// For people.
    pub(super) name: &'static str,
    suite: &'static str,
    /// What its folder is called.
    folder: &'static str,
    packages: [&'static str; 2],
    /// In the folders where the packages have them, the server first.
    programs: [&'static str; 4],
}

pub(super) const MYSQL: Foreign = Foreign {
    name: "MySQL",
    suite: "sid",
    folder: "mysql",
    packages: ["mysql-server-core", "mysql-client-core"],
    programs: [
        "usr/sbin/mysqld",
        "usr/bin/mysql",
        "usr/bin/mysqldump",
        "usr/bin/mysqlbinlog",
    ],
};

pub(super) const NEWER_MARIADB: Foreign = Foreign {
    name: "MariaDB 11",
    suite: "trixie",
    folder: "mariadb-11",
    packages: ["mariadb-server-core", "mariadb-client"],
    programs: [
        "usr/sbin/mariadbd",
        "usr/bin/mariadb",
        "usr/bin/mariadb-dump",
        "usr/bin/mariadb-binlog",
    ],
};

/// Installs MariaDB where it is missing.
pub(super) fn install() -> Result<()> {
    let folders = [PathBuf::from("/usr/sbin")];
    let is_there = |program: &str| process::find(program, &folders).is_some();
    if MARIADB_PROGRAMS.iter().all(|program| is_there(program)) {
        return Ok(());
    }
    let policy = Policy::write();
    let installed = install_packages(&["mariadb-server", "mariadb-client"]);
    drop(policy);
    installed
}

impl Foreign {
    /// Its folder, with its programs in `bin`. Unpacked once, and kept.
    pub(super) fn unpacked(&self, workspace: &Workspace) -> Result<PathBuf> {
        let folder = workspace.target_folder("peers")?.join(self.folder);
        if self.runs(&folder) {
            return Ok(folder);
        }
        let _lock = workspace.lock(self.folder)?;
        say(&format!(
            "unpacking {} from Debian {}",
            self.name, self.suite
        ));
        let _ = fs::remove_dir_all(&folder);
        let root = folder.join("root");
        let mirror = Mirror::find(&workspace.target_folder("toolchain/apt")?)?;
        let suite = mirror.suite(self.suite)?;
        suite.unpack_with_dependencies(&self.packages, &root)?;
        write_scripts(&folder, &root, &self.programs)?;
        if !self.runs(&folder) {
            // Tried again next time, rather than taken for one that works.
            let _ = fs::remove_dir_all(&folder);
            return Err(Error::new(format!(
                "{} of Debian {} does not run on this machine",
                self.name, self.suite
            )));
        }
        Ok(folder)
    }

    fn runs(&self, folder: &Path) -> bool {
        let [server, ..] = self.programs;
        let server = Path::new(server).file_name().unwrap_or_default();
        let program = folder.join("bin").join(server);
        process::output(Command::new(program).arg("--version")).is_ok()
    }
}

/// The packages' programs want the libraries of their own suite, the loader among them.
fn write_scripts(folder: &Path, root: &Path, programs: &[&str]) -> Result<()> {
    let loader = ["usr/lib64", "usr/lib"]
        .iter()
        .find_map(|place| entry(&root.join(place), |name| name.starts_with("ld-linux")))
        .ok_or_else(|| Error::new("the unpacked packages have no loader"))?;
    let libraries = entry(&root.join("usr/lib"), |name| name.ends_with("-linux-gnu"))
        .ok_or_else(|| Error::new("the unpacked packages have no libraries"))?;
    let bin = folder.join("bin");
    make_folder(&bin)?;
    for program in programs {
        let real = root.join(program);
        let script = bin.join(real.file_name().unwrap_or_default());
        let text = format!(
            "#!/bin/sh\nexec '{}' --library-path '{}:{}' '{}' \"$@\"\n",
            loader.display(),
            libraries.display(),
            root.join("usr/lib/mysql/private").display(),
            real.display()
        );
        fs::write(&script, text)
            .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
            .map_err(|error| Error::io("cannot write", &script, &error))?;
    }
    Ok(())
}

fn entry(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(&is_wanted)
        })
}

/// The policy that keeps packages from starting servers, gone with the value. One that is there already stays.
struct Policy;

impl Policy {
    fn write() -> Option<Self> {
        use std::io::Write;
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY)
            .ok()?;
        file.write_all(START_NOTHING.as_bytes()).ok()?;
        Some(Self)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // Left behind, it would keep servers from starting that somebody wants.
        let _ = fs::remove_file(POLICY);
    }
}
