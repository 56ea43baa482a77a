//! Packages from suites of Debian that this machine is not subscribed to, through a private apt configuration.
//!
//! In: a suite and a package's name. Out: the package's files, unpacked into a folder of ours. The machine's own sources, lists and installed
//! packages stay as they are, and no privilege is needed. What apt downloads is vouched for by the signatures of Debian's archive, and the mirror is
//! the one that the machine uses anyway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::workspace::make_folder;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The mirror of Debian that this machine's own apt sources name.
#[derive(Debug)]
pub(crate) struct Mirror {
    uri: String,
    folder: PathBuf,
}

/// One suite at the mirror, with its lists downloaded.
#[derive(Debug)]
pub(crate) struct Suite {
    folder: PathBuf,
}

impl Mirror {
    /// Reads the mirror from apt's own configuration; `folder` is where private lists and downloads are kept. Fails where there is no apt
    /// or no Debian.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        if process::find("apt-get", &[]).is_none() || process::find("dpkg", &[]).is_none() {
            return Err(Error::new("this machine has no apt-get and dpkg"));
        }
        if !Path::new(KEYRING).exists() {
            return Err(Error::new(format!(
                "there is no keyring of Debian's archive at {KEYRING}"
            ))
            .hint("install the package debian-archive-keyring"));
        }
        // apt lists its sources only when it has their indexes. A container image is often shipped without: then they are fetched to our folder.
        let uris = targets(&mut Command::new("apt-get"))?;
        let uri = match main_archive(&uris) {
            Some(uri) => uri,
            None => {
                let lists = folder.join("own-lists");
                make_folder(&lists.join("partial"))?;
                let state = format!("Dir::State::Lists={}", lists.display());
                let private = || {
                    let mut apt = Command::new("apt-get");
                    apt.args(["-o", &state, "-o", "APT::Sandbox::User="]);
                    apt
                };
                process::output(private().args(["update", "-qq"]))?;
                let uris = targets(&mut private())?;
                main_archive(&uris).ok_or_else(|| Error::new("apt has no source of packages"))?
            }
        };
        Ok(Self {
            uri,
            folder: folder.to_path_buf(),
        })
    }

    /// Downloads the lists of `suite`, such as `sid`. Fails where the mirror does not have it.
    pub(crate) fn suite(&self, suite: &str) -> Result<Suite> {
        let folder = self.folder.join(suite);
        for part in ["lists/partial", "cache/archives/partial", "download"] {
            make_folder(&folder.join(part))?;
        }
        let sources = format!("deb [signed-by={KEYRING}] {} {suite} main\n", self.uri);
        write(&folder.join("sources.list"), &sources)?;
        write(&folder.join("status"), "")?;
        let suite = Suite { folder };
        // Without Error-Mode apt calls a list that it could not fetch a warning.
        process::output(suite.apt("apt-get").args([
            "update",
            "-qq",
            "-o",
            "APT::Update::Error-Mode=any",
        ]))?;
        Ok(suite)
    }
}

impl Suite {
    /// The versions of `package` in this suite, newest first; none where it has no such package.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let table = process::output(self.apt("apt-cache").args(["madison", package]))?;
        let version = |line: &str| Some(line.split('|').nth(1)?.trim().to_owned());
        Ok(table.lines().filter_map(version).collect())
    }

    /// Downloads `package` in `version` and unpacks its files into `into`; nothing of it is run or installed.
    pub(crate) fn unpack(&self, package: &str, version: &str, into: &Path) -> Result<()> {
        let download = self.folder.join("download").join(package);
        // What an earlier version left would be unpacked in place of this one.
        if download.exists() {
            fs::remove_dir_all(&download).map_err(|e| Error::io("cannot remove", &download, &e))?;
        }
        make_folder(&download)?;
        make_folder(into)?;
        let wanted = format!("{package}={version}");
        process::output(
            self.apt("apt-get")
                .args(["download", "-qq", &wanted])
                .current_dir(&download),
        )?;
        let archive = fs::read_dir(&download)
            .map_err(|e| Error::io("cannot read", &download, &e))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| Error::new(format!("apt downloaded no archive of {wanted}")))?;
        process::output(Command::new("dpkg").arg("-x").arg(&archive).arg(into))?;
        Ok(())
    }

    /// Downloads packages with all that they need, down to the C library, and unpacks their files into `into`.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        make_folder(into)?;
        process::output(self.apt("apt-get").arg("clean"))?;
        let mut download = self.apt("apt-get");
        download
            .args(["install", "-y", "-qq", "--download-only"])
            .arg("--no-install-recommends")
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive");
        process::output(&mut download)?;
        let archives = self.folder.join("cache/archives");
        let files = fs::read_dir(&archives).map_err(|e| Error::io("cannot read", &archives, &e))?;
        for archive in files.filter_map(|entry| Some(entry.ok()?.path())) {
            if archive
                .extension()
                .is_some_and(|extension| extension == "deb")
            {
                process::output(Command::new("dpkg").arg("-x").arg(&archive).arg(into))?;
            }
        }
        process::output(self.apt("apt-get").arg("clean"))?;
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
        let mut set = |key: &str, value: String| {
            apt.arg("-o").arg(format!("{key}={value}"));
        };
        let path = |name: &str| self.folder.join(name).display().to_string();
        set("Dir::Etc::SourceList", path("sources.list"));
        set("Dir::Etc::SourceParts", "/dev/null".into());
        set("Dir::Etc::Preferences", "/dev/null".into());
        set("Dir::Etc::PreferencesParts", "/dev/null".into());
        set("Dir::State::Lists", path("lists"));
        set("Dir::State::Status", path("status"));
        set("Dir::Cache", path("cache"));
        // The unprivileged user that apt hands downloads to cannot write to our folder.
        set("APT::Sandbox::User", String::new());
        apt
    }
}

fn targets(apt: &mut Command) -> Result<Vec<String>> {
    let list = process::output(apt.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// The first source that is not one of the archives beside the main one, which have suites of their own.
fn main_archive(uris: &[String]) -> Option<String> {
    uris.iter()
        .find(|uri| uri.trim_end_matches('/').ends_with("/debian"))
        .or(uris.first())
        .cloned()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::io("cannot write", path, &error))
}
