//! The programs that are measured, and how each is asked for the same things.
//!
//! In: what is installed. Out: a command for each phase of a round. Every tool encrypts, compresses with zstd as [`ZSTD`] says, keeps its cache in
//! the round's own folder, and otherwise runs with its defaults.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::packages::{self, Restic};
use crate::process;
use crate::workspace::{Workspace, make_folder};

const PASSWORD: &str = "benchmark";

/// How hard each tool tries to compress. What comes of it is the size of the repository, which the tables of backups show.
pub(crate) const ZSTD: &str = "strongroom: its fast strategy between levels 1 and 2; restic: its default; rustic, borg: level 3";

/// What a tool is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// A backup of the folder, or of standard input, under this name where a tool wants one.
    Backup(&'static str),
    /// The backup of that name, which is the latest, into an empty folder, or to standard output.
    Restore(&'static str),
}

/// What is backed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Input {
    Folder,
    Stream,
}

/// A program that backs up.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Such as `restic 0.19.1`.
    pub(crate) name: String,
    /// Whether it is the one that the others are peers of.
    pub(crate) is_ours: bool,
    kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Strongroom,
    /// The same engine without plugins.
    Native,
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
    pub(crate) fn fresh(data: &Path, work: &Path) -> Result<Self> {
        let place = Self {
            data: data.to_path_buf(),
            work: work.to_path_buf(),
        };
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

    /// Where the output of the tool's latest phase is; the next one overwrites it.
    pub(crate) fn log(&self) -> PathBuf {
        self.work.join("log")
    }

    /// Where the restore goes.
    pub(crate) fn restored(&self) -> PathBuf {
        self.work.join("restored")
    }
}

/// The peers that are there and that are `wanted`, by the first word of their name.
pub(crate) fn installed(workspace: &Workspace, wanted: impl Fn(&str) -> bool) -> Vec<Tool> {
    let mut tools = Vec::new();
    if wanted("restic") {
        let (mut restics, _) = packages::restics(workspace);
        restics.reverse();
        for Restic { version, path } in restics {
            tools.push(Tool {
                name: format!("restic {version}"),
                is_ours: false,
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
                is_ours: false,
                kind,
                program,
            });
        }
    }
    tools
}

impl Tool {
    /// Ours.
    pub(crate) fn strongroom(program: PathBuf) -> Self {
        Self {
            name: "strongroom".into(),
            is_ours: true,
            kind: Kind::Strongroom,
            program,
        }
    }

    /// The same engine without plugins, which `program` is.
    pub(crate) fn native(program: PathBuf, name: &str, is_ours: bool) -> Self {
        Self {
            name: name.into(),
            is_ours,
            kind: Kind::Native,
            program,
        }
    }

    /// Makes an empty repository in `place`.
    pub(crate) fn init(&self, place: &Place) -> Result<()> {
        let mut command = self.command(place);
        match self.kind {
            Kind::Strongroom => {
                configure(place)?;
                command.arg("init")
            }
            Kind::Native => command.arg("init").arg(place.repository()),
            Kind::Restic => command.args(["init", "--quiet"]),
            Kind::Borg => command.args(["init", "--encryption", "repokey-blake2"]),
            Kind::Rustic => command.args(["init", "--set-compression", "3"]),
        };
        process::output(&mut command)?;
        Ok(())
    }

    /// Has ours compile its plugins for this machine, which is else a part of the first command that needs them.
    pub(crate) fn compile_plugins(&self, place: &Place) -> Result<()> {
        if self.kind == Kind::Strongroom {
            process::output(self.command(place).args(["plugin", "list"]))?;
        }
        Ok(())
    }

    /// Prepares to work with a repository that lies in `place` already.
    pub(crate) fn adopt(&self, place: &Place) -> Result<()> {
        match self.kind {
            Kind::Strongroom => configure(place),
            _ => Ok(()),
        }
    }

    /// Whether it reads repositories of restic's format.
    pub(crate) fn is_of_restics_format(&self) -> bool {
        self.kind != Kind::Borg
    }

    /// What does `phase`.
    pub(crate) fn phase(&self, phase: Phase, input: Input, place: &Place) -> Command {
        let mut command = self.command(place);
        let (repository, target) = (place.repository(), place.restored());
        // The same tree in every repository: what is below the data's root, not the path to it.
        command.current_dir(&place.data);
        match (self.kind, phase, input) {
            (Kind::Strongroom, Phase::Restore(_), _) => {
                command.args(["restore", "latest", "--target"]).arg(target)
            }
            (Kind::Strongroom, Phase::Backup(_), _) => command.arg("backup"),
            (Kind::Native, Phase::Restore(_), Input::Folder) => {
                command.arg("restore").arg(repository).arg(target)
            }
            (Kind::Native, Phase::Restore(_), Input::Stream) => command.arg("read").arg(repository),
            (Kind::Native, Phase::Backup(_), Input::Folder) => {
                command.arg("backup").arg(repository).arg(&place.data)
            }
            (Kind::Native, Phase::Backup(_), Input::Stream) => command.arg("write").arg(repository),
            (Kind::Restic, Phase::Restore(_), Input::Folder) => command
                .args(["restore", "latest", "--quiet", "--target"])
                .arg(target),
            (Kind::Restic, Phase::Restore(_), Input::Stream) => {
                command.args(["dump", "--quiet", "latest", "/stdin"])
            }
            (Kind::Restic, Phase::Backup(_), Input::Folder) => {
                command.args(["backup", "--quiet", "."])
            }
            (Kind::Restic, Phase::Backup(_), Input::Stream) => {
                command.args(["backup", "--quiet", "--stdin"])
            }
            (Kind::Rustic, Phase::Restore(_), Input::Folder) => {
                command.args(["restore", "latest"]).arg(target)
            }
            (Kind::Rustic, Phase::Restore(_), Input::Stream) => {
                command.args(["dump", "latest:stdin"])
            }
            (Kind::Rustic, Phase::Backup(_), Input::Folder) => {
                command.args(["backup", "--as-path", "/", "."])
            }
            // Unless it is forced, it takes a second stream for the first one, and does not read it.
            (Kind::Rustic, Phase::Backup(_), Input::Stream) => {
                command.args(["backup", "--force", "-"])
            }
            (Kind::Borg, Phase::Restore(name), Input::Folder) => command
                .arg("extract")
                .arg(format!("::{name}"))
                .current_dir(target),
            (Kind::Borg, Phase::Restore(name), Input::Stream) => command
                .args(["extract", "--stdout"])
                .arg(format!("::{name}")),
            (Kind::Borg, Phase::Backup(name), _) => command
                .args(["create", "--compression", "zstd,3"])
                .arg(format!("::{name}"))
                .arg(match input {
                    Input::Folder => ".",
                    Input::Stream => "-",
                }),
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
            Kind::Native => &mut command,
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
