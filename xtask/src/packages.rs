//! The real programs that tests and benchmarks need.
//!
//! In: what is installed. Out: their paths. Debian's packages are installed where we are root; otherwise the error names the packages. The newest
//! restic comes from Debian's sid without being installed, and is optional: a machine that cannot have it is told so.

mod mysql;
mod postgres;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::Mirror;
use crate::error::{Error, Result};
use crate::process;
use crate::workspace::{Workspace, say};

/// A program, and Debian's package that brings it.
type Need = (&'static str, &'static str);

/// What tests start, beside what every Debian has because it is essential there (such as `cp`, `diff`, `tar` and `setpriv`, which are named
/// all the same where other systems may lack them).
const FOR_TESTS: [Need; 10] = [
    ("restic", "restic"),
    ("setfattr", "attr"),
    ("setfacl", "acl"),
    ("git", "git"),
    ("strace", "strace"),
    ("mount", "mount"),
    ("kill", "procps"),
    ("setpriv", "util-linux"),
    ("diff", "diffutils"),
    ("tar", "tar"),
];

/// What benchmarks compare with, beside rustic, which Debian does not have.
const FOR_BENCHMARKS: [Need; 2] = [("restic", "restic"), ("borg", "borgbackup")];

/// The version of rustic that benchmarks compare with.
const RUSTIC: &str = "0.11.4";

/// A restic that is installed or unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Restic {
    /// Such as `0.14.0`.
    pub(crate) version: String,
    pub(crate) path: PathBuf,
}

/// What tests run with.
#[derive(Debug)]
pub(crate) struct Programs {
    /// At least one, oldest first.
    pub(crate) restic: Vec<Restic>,
    /// The folder of a MySQL, which Debian's own release does not have.
    pub(crate) mysql: Option<PathBuf>,
    /// The folder of a MariaDB of a newer series.
    pub(crate) newer_mariadb: Option<PathBuf>,
    /// What could not be had, by name and with the reason.
    pub(crate) missing: Vec<String>,
}

/// Finds or installs what tests need.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<Programs> {
    install_missing(&FOR_TESTS)?;
    mysql::install()?;
    postgres::install()?;
    let (restic, no_restic) = restics(workspace);
    let mut missing: Vec<String> = no_restic.into_iter().collect();
    let mut unpacked = |server: mysql::Foreign| {
        let folder = server.unpacked(workspace);
        let missed = |error: &Error| {
            let error = error.to_string().replace('\n', "; ");
            missing.push(format!("{}: {error}", server.name));
        };
        folder.inspect_err(missed).ok()
    };
    Ok(Programs {
        restic,
        mysql: unpacked(mysql::MYSQL),
        newer_mariadb: unpacked(mysql::NEWER_MARIADB),
        missing,
    })
}

/// Finds or installs a PostgreSQL server.
pub(crate) fn install_postgres() -> Result<()> {
    postgres::install()
}

/// The folder with the programs of the newest PostgreSQL server.
pub(crate) fn postgres_folder() -> Option<PathBuf> {
    postgres::folder()
}

/// Finds or installs a MariaDB server.
pub(crate) fn install_mariadb() -> Result<()> {
    mysql::install()
}

/// Installs the packages of those programs that are not in `PATH`, as root; otherwise the error names them.
pub(crate) fn install_missing(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|(program, _)| process::find(program, &[]).is_none())
        .map(|(_, package)| *package)
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => install(&missing),
    }
}

/// Installs packages, as root; otherwise the error names them.
fn install(missing: &[&str]) -> Result<()> {
    let names = missing.join(" ");
    let needed = Error::new(format!(
        "these programs are needed and not installed: {names}"
    ));
    if process::find("apt-get", &[]).is_none() {
        return Err(needed.hint("install them with your system's package manager"));
    }
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Err(needed.hint(format!("install them as root: apt-get install {names}")));
    }
    say(&format!("installing with apt-get: {names}"));
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive");
        process::output(&mut apt)
    };
    if install().is_err() {
        // The lists may be missing, or name versions that the mirror no longer has.
        process::output(Command::new("apt-get").args(["update", "-qq"]))?;
        install()?;
    }
    Ok(())
}

/// Every version of restic that this machine has, oldest first, and why the newest could not be had.
pub(crate) fn restics(workspace: &Workspace) -> (Vec<Restic>, Option<String>) {
    let newest = newest_restic(workspace);
    let missing = newest.as_ref().err().map(|error| {
        format!(
            "the newest restic: {}",
            error.to_string().replace('\n', "; ")
        )
    });
    let installed = process::find("restic", &[]);
    let mut restics: Vec<Restic> = newest
        .into_iter()
        .chain(installed)
        .filter_map(|path| {
            Some(Restic {
                version: restic_version(&path)?,
                path,
            })
        })
        .collect();
    restics.sort_by_key(|restic| numbers(&restic.version));
    restics.dedup_by(|a, b| a.version == b.version);
    (restics, missing)
}

/// A peer in benchmarks: in the folder where they are installed by us, in `PATH`, or where cargo installs.
pub(crate) fn find_peer(workspace: &Workspace, program: &str) -> Option<PathBuf> {
    let installed = workspace.target("peers/bin");
    let cargo = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo/bin"));
    let folders: Vec<PathBuf> = [Some(installed), cargo].into_iter().flatten().collect();
    process::find(program, &folders)
}

/// Installs the peers of benchmarks that are not there: borg from Debian, rustic from crates.io.
pub(crate) fn install_peers(workspace: &Workspace) -> Result<()> {
    install_missing(&FOR_BENCHMARKS)?;
    if find_peer(workspace, "rustic").is_some() {
        return Ok(());
    }
    say(&format!("building rustic {RUSTIC} (about eight minutes)"));
    let mut cargo = workspace.cargo();
    cargo
        .args([
            "install",
            "--locked",
            "--quiet",
            "--version",
            RUSTIC,
            "rustic-rs",
            "--root",
        ])
        .arg(workspace.target_folder("peers")?);
    process::run(&mut cargo)
}

/// A restic that is there already: the installed one, else the one that was unpacked for tests.
pub(crate) fn installed_restic(workspace: &Workspace) -> Option<PathBuf> {
    process::find("restic", &[]).or_else(|| {
        let unpacked = workspace.target("peers/restic/usr/bin/restic");
        unpacked.exists().then_some(unpacked)
    })
}

/// The restic of Debian's sid, which is linked statically and runs anywhere; unpacked once, and kept.
fn newest_restic(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target_folder("peers")?.join("restic");
    let program = folder.join("usr/bin/restic");
    if restic_version(&program).is_some() {
        return Ok(program);
    }
    let _lock = workspace.lock("restic")?;
    say("unpacking the newest restic from Debian sid");
    let sid = Mirror::find(&workspace.target_folder("toolchain/apt")?)?.suite("sid")?;
    let versions = sid.versions("restic")?;
    let version = versions
        .first()
        .ok_or_else(|| Error::new("Debian sid has no restic"))?;
    sid.unpack("restic", version, &folder)?;
    if restic_version(&program).is_none() {
        // Tried again next time, rather than taken for one that works.
        let _ = fs::remove_dir_all(&folder);
        return Err(Error::new(format!(
            "restic {version} of Debian sid does not run on this machine"
        )));
    }
    Ok(program)
}

/// From `restic 0.14.0 compiled with …`; none where it does not run.
fn restic_version(program: &Path) -> Option<String> {
    let line = process::output(Command::new(program).arg("version")).ok()?;
    Some(line.split_whitespace().nth(1)?.to_owned())
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_not_by_letter() {
        let mut versions = vec!["0.19.1", "0.9.6", "0.14.0", "0.19.1-dev2"];
        versions.sort_by_key(|version| numbers(version));
        assert_eq!(versions, ["0.9.6", "0.14.0", "0.19.1", "0.19.1-dev2"]);
    }
}
