//! Where a soak takes place: the data, a copy of it for each backup, two repositories, a configuration; and whether all is well there.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::data;
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
on_demand_retention = { last = 4 }
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

/// A backup that is in a repository.
#[derive(Debug, PartialEq)]
struct Kept {
    /// The snapshot's id.
    id: String,
    /// What our program calls it: its run, where it was ours that made it.
    backup: String,
    /// The number of the state of the data that it holds.
    state: u64,
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
        let configuration = CONFIGURATION.replace("FOLDER", &ground.folder.to_string_lossy());
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
    pub(super) fn snapshot_files(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for repository in REPOSITORIES {
            let folder = self.folder.join(repository).join("snapshots");
            match fs::read_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                entries => {
                    let entries =
                        entries.map_err(|error| Error::io("cannot read", &folder, &error))?;
                    let names = entries.flatten().map(|entry| entry.file_name());
                    found.extend(
                        names.map(|name| format!("{repository}/{}", name.to_string_lossy())),
                    );
                }
            }
        }
        Ok(found)
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
            let listing = process::output(
                self.restic(repository, random)
                    .args(["snapshots", "--json"]),
            )?;
            let mut kept = kept(&listing)?;
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

    fn restore(&self, repository: &str, kept: &Kept, random: &mut Random) -> Result<()> {
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

/// The snapshots in what `restic snapshots --json` prints. Whoever made one marked it with the number of a state.
fn kept(listing: &str) -> Result<Vec<Kept>> {
    let up_to = |text: &str, is_part: fn(char) -> bool| -> String {
        text.chars().take_while(|c| is_part(*c)).collect()
    };
    let parts: Vec<&str> = listing.split("\"short_id\"").collect();
    let snapshots = parts.split_last().map_or(parts.as_slice(), |(_, all)| all);
    snapshots
        .iter()
        .map(|part| {
            let after = |mark: &str| part.rsplit_once(mark).map(|(_, rest)| rest);
            let id = after("\"id\":\"").map(|rest| up_to(rest, |c| c.is_ascii_hexdigit()));
            let state =
                after("state-").and_then(|rest| up_to(rest, |c| c.is_ascii_digit()).parse().ok());
            let (Some(id), Some(state)) = (id, state) else {
                return Err(Error::new(format!("a snapshot that nobody made: {part}")));
            };
            let run = after("\"run:").map(|rest| up_to(rest, |c| c != '"'));
            Ok(Kept {
                backup: run.unwrap_or_else(|| id.clone()),
                id,
                state,
            })
        })
        .collect()
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", folder, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_which_state_each_snapshot_holds() {
        let listing = r#"[{"time":"x","tree":"ab","tags":["job:soak","run:7k3m","note:state-12"],"id":"0a1b","short_id":"0a1b"},
            {"time":"y","tree":"cd","tags":["state-3"],"id":"ffee","short_id":"ffee"}]"#;
        let kept = |id: &str, backup: &str, state| Kept {
            id: id.into(),
            backup: backup.into(),
            state,
        };
        assert_eq!(
            super::kept(listing).unwrap(),
            [kept("0a1b", "7k3m", 12), kept("ffee", "ffee", 3)]
        );
        assert_eq!(super::kept("[]").unwrap(), []);
        assert!(super::kept(&listing.replace("state-3", "other")).is_err());
    }
}
