//! Who backs a database up, and how each is asked.
//!
//! In: command lines of the stock programs, a source's table of our configuration. Out: commands for each backup. All connect by TCP, and all
//! that is kept lies in a folder of the tool's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::workspace::make_folder;

/// Of servers and of repositories.
pub(super) const PASSWORD: &str = "benchmark";

/// A way to back up a database.
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) is_ours: bool,
    pub(super) kind: Kind,
    /// What the stock programs are told by their environment.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// Where the bytes go.
pub(super) enum Kind {
    /// What this command line prints, compressed into a file.
    Zstd(String),
    /// What this command line prints, into a repository of restic.
    Restic(String, PathBuf),
    /// Ours.
    Strongroom(Strongroom),
}

/// Ours, with one source.
pub(super) struct Strongroom {
    pub(super) program: PathBuf,
    /// The lines of the table `[sources.shop]`.
    pub(super) source: String,
    /// Whether each backup is asked to be a full one.
    pub(super) is_full: bool,
    /// A script that fails if what was backed up last is not what the server has; in it, `strongroom` is ours, and `$FOLDER` may be used.
    pub(super) verify: Option<String>,
}

impl Tool {
    /// Makes what it keeps its backups in. Plugins are compiled, which happens once on each machine.
    pub(super) fn prepare(&self, folder: &Path) -> Result<()> {
        make_folder(&self.kept(folder))?;
        match &self.kind {
            Kind::Zstd(_) => Ok(()),
            Kind::Restic(_, restic) => {
                let mut init = self.bash(folder, &format!("{} init --quiet", quoted(restic)));
                process::output(&mut init).map(drop)
            }
            Kind::Strongroom(ours) => {
                ours.configure(folder, &self.kept(folder))?;
                for arguments in [&["init"][..], &["plugin", "list"]] {
                    process::output(ours.command(folder).args(arguments))?;
                }
                Ok(())
            }
        }
    }

    /// Where its backups lie.
    pub(super) fn kept(&self, folder: &Path) -> PathBuf {
        folder.join("kept")
    }

    /// Backs up; `name` is one that no earlier backup had.
    pub(super) fn backup(&self, folder: &Path, name: &str) -> Command {
        match &self.kind {
            Kind::Zstd(pipe) => {
                let file = self.kept(folder).join(format!("{name}.zst"));
                let zstd = format!("zstd --quiet -3 -T2 -o {}", quoted(&file));
                self.bash(folder, &format!("{pipe} | {zstd}"))
            }
            Kind::Restic(pipe, restic) => {
                let restic = quoted(restic);
                self.bash(folder, &format!("{pipe} | {restic} backup --quiet --stdin"))
            }
            Kind::Strongroom(ours) => {
                let mut command = ours.command(folder);
                command.args(["--verbose", "backup"]);
                if ours.is_full {
                    command.arg("--full");
                }
                command
            }
        }
    }

    /// Fails where the last backup does not give back what the server has.
    pub(super) fn verify(&self, folder: &Path) -> Result<()> {
        let Kind::Strongroom(ours) = &self.kind else {
            return Ok(());
        };
        let Some(script) = &ours.verify else {
            return Ok(());
        };
        let function = format!(
            "strongroom() {{ {} --quiet --config {} \"$@\"; }}\nFOLDER={}\n{script}",
            quoted(&ours.program),
            quoted(&configuration(folder)),
            quoted(folder)
        );
        process::output(&mut self.bash(folder, &function))
            .map(drop)
            .map_err(|error| error.context(format!("{} gives back something else", self.name)))
    }

    /// A command line in which every program has to succeed.
    fn bash(&self, folder: &Path, line: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(format!("set -euo pipefail\n{line}"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("RESTIC_REPOSITORY", self.kept(folder))
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", folder.join("cache"));
        command
    }
}

impl Strongroom {
    fn configure(&self, folder: &Path, kept: &Path) -> Result<()> {
        let password = folder.join("password");
        let text = format!(
            "[engine]\nstate = {state:?}\n\n[sources.shop]\n{source}\n\
             [destinations.kept]\nplugin = \"filesystem\"\nconfig = {{ path = {kept:?} }}\n\
             password = {{ file = {password:?} }}\n\n\
             [jobs.benchmark]\nsources = [\"shop\"]\ndestinations = [\"kept\"]\n",
            state = folder.join("cache"),
            source = self.source,
        );
        let write = |path: &Path, text: &str| {
            fs::write(path, text).map_err(|e| Error::io("cannot write", path, &e))
        };
        write(&password, PASSWORD)?;
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600))
            .map_err(|e| Error::io("cannot protect", &password, &e))?;
        write(&configuration(folder), &text)
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(configuration(folder));
        command
    }
}

fn configuration(folder: &Path) -> PathBuf {
    folder.join("strongroom.toml")
}

/// For the shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The most memory that a plugin has come to need, as `--verbose` tells it; none where nobody does.
pub(super) fn plugin_memory(log: &str) -> Option<u64> {
    log.lines()
        .filter_map(|line| line.split_once("memory of the plugin bytes="))
        .filter_map(|(_, bytes)| bytes.trim().parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_fails_with_any_of_its_programs() {
        let tool = Tool {
            name: "cat".into(),
            is_ours: false,
            kind: Kind::Zstd(String::new()),
            environment: Vec::new(),
        };
        let run = |line: &str| process::output(&mut tool.bash(Path::new("/tmp"), line));
        assert!(run("false | cat").is_err());
        assert!(run("echo | cat").is_ok());
    }

    #[test]
    fn the_largest_memory_of_a_plugin_is_found() {
        let log = "shop: looking\nshop: memory of the plugin bytes=100\nshop: memory of the plugin bytes=300\n";
        assert_eq!(plugin_memory(log), Some(300));
        assert_eq!(plugin_memory("nothing"), None);
    }
}
