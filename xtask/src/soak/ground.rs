//! Where a soak takes place: the data, a copy of it for each backup, two repositories, a configuration; and whether all is well there.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::claim::KEPT_BY_RETENTION;
use super::data;
use super::listing::{self, Listed};
use crate::compare;
use crate::error::{Error, Result};
use crate::packages::Restic;
use crate::process;
use crate::random::{Random, Words};
use crate::workspace::make_folder;

const PASSWORD: &str = "soak";
const CONFIGURATION: &str = r#"[engine]
state = "FOLDER/cache"

[sources.data]
plugin = "volume"
config = { path = "FOLDER/data" }

[destinations.first]
plugin = "filesystem"
config = { path = "FOLDER/first" }
password = { file = "FOLDER/password" }

[destinations.second]
plugin = "filesystem"
config = { path = "FOLDER/second" }
password = { file = "FOLDER/password" }

[jobs.soak]
sources = ["data"]
destinations = ["first"]
on_demand_retention = { last = KEPT }
"#;

/// The two repositories.
pub(super) const REPOSITORIES: [&str; 2] = ["first", "second"];

/// Everything that a soak works with.
pub(super) struct Ground {
    folder: PathBuf,
    strongroom: PathBuf,
    restics: Vec<Restic>,
    words: Words,
    states: Cell<u64>,
}

impl Ground {
    /// Makes an empty place, in memory where there is such, and two empty repositories.
    pub(super) fn prepare(strongroom: PathBuf, restics: Vec<Restic>) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = match memory.is_dir() {
            true => memory.to_path_buf(),
            false => std::env::temp_dir(),
        };
        let folder = parent.join(format!("strongroom-soak-{}", std::process::id()));
        for name in ["data", "states", "home"] {
            make_folder(&folder.join(name))?;
        }
        let ground = Self {
            folder,
            strongroom,
            restics,
            words: Words::new(),
            states: Cell::new(0),
        };
        let configuration = CONFIGURATION
            .replace("FOLDER", &ground.folder.to_string_lossy())
            .replace("KEPT", &KEPT_BY_RETENTION.to_string());
        ground.write("strongroom.toml", &configuration)?;
        ground.write("password", PASSWORD)?;
        process::output(ground.strongroom().arg("init"))?;
        Ok(ground)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| Error::io("cannot write", &path, &error))
    }

    /// Where everything is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes everything.
    pub(super) fn remove(&self) -> Result<()> {
        remove(&self.folder)
    }

    /// Our program, to be given a command.
    pub(super) fn strongroom(&self) -> Command {
        let mut command = Command::new(&self.strongroom);
        command
            .arg("--config")
            .arg(self.folder.join("strongroom.toml"))
            .env("HOME", self.folder.join("home"));
        command
    }

    /// Any of the restics, in the data's folder, to be given a command.
    pub(super) fn restic(&self, repository: &str, random: &mut Random) -> Command {
        let chosen = random.below(self.restics.len().max(1) as u64) as usize;
        let program = self.restics.get(chosen).map(|restic| &restic.path);
        let mut command = Command::new(program.map_or(Path::new("restic"), PathBuf::as_path));
        command
            .current_dir(self.folder.join("data"))
            .env("RESTIC_REPOSITORY", self.folder.join(repository))
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", self.folder.join("home/restic"))
            .env("HOME", self.folder.join("home"));
        command
    }

    /// Changes the data and keeps a copy of it; out comes what a backup of it is marked with.
    pub(super) fn change(&self, random: &mut Random) -> Result<String> {
        let data = self.folder.join("data");
        data::change(&data, random, &self.words)
            .map_err(|error| Error::io("cannot change", &data, &error))?;
        let state = self.states.get() + 1;
        self.states.set(state);
        let mut copy = Command::new("cp");
        process::output(copy.arg("-aT").arg(&data).arg(self.state(state)))?;
        Ok(format!("state-{state}"))
    }

    fn state(&self, number: u64) -> PathBuf {
        self.folder.join(format!("states/{number}"))
    }

    /// The snapshots of both repositories, by the names of their files.
    pub(super) fn snapshot_files(&self) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        for repository in REPOSITORIES {
            found.extend(self.objects(repository, "snapshots")?);
        }
        Ok(found)
    }

    /// The files in a folder of a repository.
    pub(super) fn objects(&self, repository: &str, kind: &str) -> Result<BTreeSet<PathBuf>> {
        let folder = self.folder.join(repository).join(kind);
        match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(Error::io("cannot read", &folder, &error)),
            Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        }
    }

    /// The snapshots of a repository as restic lists them, oldest first.
    pub(super) fn listed(&self, repository: &str) -> Result<Vec<Listed>> {
        // Always the same restic: which one an operation takes must not depend on how often something was looked at.
        let mut restic = self.restic(repository, &mut Random::new(0));
        listing::snapshots(&process::output(restic.args([
            "--no-lock",
            "snapshots",
            "--json",
        ]))?)
    }

    /// Reads every byte with restic, and restores and compares backups, with both programs: all of them, or so many of each repository. Out comes
    /// how many. Copies of data that no backup holds any more are removed.
    pub(super) fn verify(&self, random: &mut Random, most: Option<usize>) -> Result<usize> {
        let mut states = BTreeSet::new();
        let mut verified = 0;
        for repository in REPOSITORIES {
            process::output(self.restic(repository, random).arg("unlock"))?;
            process::output(
                self.restic(repository, random)
                    .args(["check", "--read-data"]),
            )?;
            let mut kept = self.listed(repository)?;
            states.extend(kept.iter().map(|kept| kept.state));
            while kept.len() > most.unwrap_or(usize::MAX) {
                kept.swap_remove(random.below(kept.len() as u64) as usize);
            }
            for kept in &kept {
                self.restore(repository, kept, random)
                    .map_err(|error| error.context(format!("{repository}, {}", kept.id)))?;
                verified += 1;
            }
        }
        for number in 1..=self.states.get() {
            if !states.contains(&number) {
                remove(&self.state(number))?;
            }
        }
        Ok(verified)
    }

    fn restore(&self, repository: &str, kept: &Listed, random: &mut Random) -> Result<()> {
        let target = self.folder.join("restored");
        let mut ours = self.strongroom();
        ours.args(["restore", &kept.backup, "--from", repository, "--target"]);
        let mut stock = self.restic(repository, random);
        stock.args(["restore", "--quiet", &kept.id, "--target"]);
        for mut command in [ours, stock] {
            remove(&target)?;
            make_folder(&target)?;
            process::output(command.arg(&target))?;
            let expected = self.state(kept.state);
            let restored = compare::root_of(&expected, &target)?;
            compare::trees(&expected, &restored)?;
        }
        remove(&target)
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", folder, &error))
        }
        _ => Ok(()),
    }
}
