//! The programs that are measured, and how each is asked for the same four things.
//!
//! In: what is installed. Out: a command for each phase of a round. Every tool encrypts, compresses with zstd at level 3 or what it calls that,
//! keeps its cache in the round's own folder, and otherwise runs with its defaults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::packages::{self, Restic};
use crate::process;
use crate::workspace::{Workspace, make_folder};

const PASSWORD: &str = "benchmark";

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// Into a fresh repository.
    First,
    /// Once more, nothing having changed.
    Unchanged,
    /// After 2 % of the files changed.
    Changed,
    /// The latest backup into an empty folder.
    Restore,
}

/// Every phase, in order.
pub(crate) const PHASES: [Phase; 4] = [
    Phase::First,
    Phase::Unchanged,
    Phase::Changed,
    Phase::Restore,
];

/// A program that backs up.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Such as `restic 0.19.1`.
    pub(crate) name: String,
    kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Strongroom,
    Restic,
    Borg,
    Rustic,
}

/// Where one tool works in one round; fresh each time.
#[derive(Debug)]
pub(crate) struct Place {
    /// What is backed up.
    pub(crate) data: PathBuf,
    work: PathBuf,
}

impl Place {
    /// An empty place to work in; what was there goes.
    pub(crate) fn fresh(data: PathBuf, work: PathBuf) -> Result<Self> {
        let place = Self { data, work };
        place.clear()?;
        for folder in ["repository", "cache", "home", "restored"] {
            make_folder(&place.work.join(folder))?;
        }
        Ok(place)
    }

    /// Removes everything.
    pub(crate) fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove", &self.work, &error))
            }
            _ => Ok(()),
        }
    }

    /// Where a tool's repository lies.
    pub(crate) fn repository(&self) -> PathBuf {
        self.work.join("repository")
    }

    /// Where a tool's output of `phase` is kept until the round ends.
    pub(crate) fn log(&self) -> PathBuf {
        self.work.join("log")
    }

    /// Where the restore goes.
    pub(crate) fn restored(&self) -> PathBuf {
        self.work.join("restored")
    }
}

/// The tools that are there and that `chosen` names (by the first word of their name; all if it is empty), ours first.
pub(crate) fn tools(
    workspace: &Workspace,
    strongroom: Option<PathBuf>,
    chosen: &[String],
) -> Vec<Tool> {
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|tool| tool == name);
    let mut tools = Vec::new();
    if let Some(program) = strongroom {
        tools.push(Tool {
            name: "strongroom".into(),
            kind: Kind::Strongroom,
            program,
        });
    }
    if wanted("restic") {
        let (mut restics, _) = packages::restics(workspace);
        restics.reverse();
        for Restic { version, path } in restics {
            tools.push(Tool {
                name: format!("restic {version}"),
                kind: Kind::Restic,
                program: path,
            });
        }
    }
    for (name, kind) in [("rustic", Kind::Rustic), ("borg", Kind::Borg)] {
        let found = packages::find_peer(workspace, name).filter(|_| wanted(name));
        let version = found.and_then(|program| {
            let version = process::output(Command::new(&program).arg("--version")).ok()?;
            Some((program, version.trim().replace("rustic-rs", "rustic")))
        });
        if let Some((program, name)) = version {
            tools.push(Tool {
                name,
                kind,
                program,
            });
        }
    }
    tools
}

impl Tool {
    /// Whether it is the one that the others are peers of.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind == Kind::Strongroom
    }

    /// Makes an empty repository in `place`.
    pub(crate) fn init(&self, place: &Place) -> Result<()> {
        let mut command = self.command(place);
        match self.kind {
            Kind::Strongroom => {
                configure(place)?;
                command.arg("init")
            }
            Kind::Restic => command.args(["init", "--quiet"]),
            Kind::Borg => command.args(["init", "--encryption", "repokey-blake2"]),
            Kind::Rustic => command.args(["init", "--set-compression", "3"]),
        };
        process::output(&mut command)?;
        Ok(())
    }

    /// What does `phase`.
    pub(crate) fn phase(&self, phase: Phase, place: &Place) -> Command {
        let mut command = self.command(place);
        let target = place.restored();
        // The same tree in every repository: what is below the data's root, not the path to it.
        command.current_dir(&place.data);
        match (self.kind, phase) {
            (Kind::Strongroom, Phase::Restore) => {
                command.args(["restore", "latest", "--target"]).arg(target)
            }
            (Kind::Strongroom, _) => command.arg("backup"),
            (Kind::Restic, Phase::Restore) => command
                .args(["restore", "latest", "--quiet", "--target"])
                .arg(target),
            (Kind::Restic, _) => command.args(["backup", "--quiet", "."]),
            (Kind::Rustic, Phase::Restore) => command.args(["restore", "latest"]).arg(target),
            (Kind::Rustic, _) => command.args(["backup", "--as-path", "/", "."]),
            (Kind::Borg, Phase::Restore) => {
                command.args(["extract", "::changed"]).current_dir(target)
            }
            (Kind::Borg, phase) => command
                .args(["create", "--compression", "zstd,3"])
                .arg(match phase {
                    Phase::First => "::first",
                    Phase::Unchanged => "::unchanged",
                    _ => "::changed",
                })
                .arg("."),
        };
        command
    }

    fn command(&self, place: &Place) -> Command {
        let (repository, cache, home) = (
            place.repository(),
            place.work.join("cache"),
            place.work.join("home"),
        );
        let mut command = Command::new(&self.program);
        // Neither a person's configuration nor a person's caches.
        command
            .env("HOME", &home)
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME");
        match self.kind {
            Kind::Strongroom => command
                .arg("--config")
                .arg(place.work.join("strongroom.toml")),
            Kind::Restic => command
                .env("RESTIC_REPOSITORY", repository)
                .env("RESTIC_PASSWORD", PASSWORD)
                .env("RESTIC_CACHE_DIR", cache),
            Kind::Rustic => command
                .env("RUSTIC_REPOSITORY", repository)
                .env("RUSTIC_PASSWORD", PASSWORD)
                .env("RUSTIC_CACHE_DIR", cache)
                .env("RUSTIC_NO_PROGRESS", "true"),
            Kind::Borg => command
                .env("BORG_REPO", repository)
                .env("BORG_PASSPHRASE", PASSWORD)
                .env("BORG_BASE_DIR", home)
                .env("BORG_CACHE_DIR", cache),
        };
        command
    }
}

/// Writes our configuration for `place`.
fn configure(place: &Place) -> Result<()> {
    let password = place.work.join("password");
    let text = format!(
        "[engine]\nstate = {state:?}\n\n\
         [sources.volume]\nplugin = \"volume\"\nconfig = {{ path = {data:?} }}\n\n\
         [destinations.repository]\nplugin = \"filesystem\"\nconfig = {{ path = {repository:?} }}\n\
         password = {{ file = {password:?} }}\n\n\
         [jobs.benchmark]\nsources = [\"volume\"]\ndestinations = [\"repository\"]\n",
        state = place.work.join("cache"),
        data = place.data,
        repository = place.repository(),
    );
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|e| Error::io("cannot write", path, &e))
    };
    write(&password, PASSWORD)?;
    write(&place.work.join("strongroom.toml"), &text)
}
