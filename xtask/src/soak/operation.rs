//! What may happen to a repository, and how each came out.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::ground::{Ground, REPOSITORIES};
use crate::error::{Error, Result};
use crate::process;
use crate::random::Random;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Backup,
    KilledBackup,
    Forget,
    Prune,
    KilledPrune,
    Copy,
    CopyBack,
    KilledCopy,
    Unlock,
    ResticBackup,
    ResticForget,
    ResticPrune,
}

/// How an operation came out. A failure ends the soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Done,
    Killed,
    /// Before the kill came.
    Ended,
}

/// Every operation, how often it comes, and its name.
const ALL: [(Operation, u64, &str); 12] = [
    (Operation::Backup, 6, "backup"),
    (Operation::KilledBackup, 6, "backup, killed"),
    (Operation::Forget, 2, "forget"),
    (Operation::Prune, 2, "prune"),
    (Operation::KilledPrune, 3, "prune, killed"),
    (Operation::Copy, 2, "copy"),
    (Operation::CopyBack, 1, "copy back"),
    (Operation::KilledCopy, 2, "copy, killed"),
    (Operation::Unlock, 1, "unlock"),
    (Operation::ResticBackup, 3, "restic backup"),
    (Operation::ResticForget, 1, "restic forget"),
    (Operation::ResticPrune, 2, "restic prune"),
];

/// The operations that this engine can do, and the commands that it lacks.
pub(super) fn available(ground: &Ground) -> (Vec<Operation>, Vec<&'static str>) {
    let mut missing = Vec::new();
    let operations = ALL
        .into_iter()
        .map(|(operation, ..)| operation)
        .filter(|operation| {
            let Some(command) = operation.command() else {
                return true;
            };
            let is_there = process::output(ground.strongroom().args([command, "--help"])).is_ok();
            if !is_there && !missing.contains(&command) {
                missing.push(command);
            }
            is_there
        })
        .collect();
    (operations, missing)
}

/// One of `operations`, frequent ones more often.
pub(super) fn pick(operations: &[Operation], random: &mut Random) -> Operation {
    let weights = ALL.iter().filter(|(one, ..)| operations.contains(one));
    let total = weights.clone().map(|(_, weight, _)| weight).sum::<u64>();
    let mut ticket = random.below(total.max(1));
    for (operation, weight, _) in weights {
        if ticket < *weight {
            return *operation;
        }
        ticket -= weight;
    }
    Operation::Backup
}

impl Operation {
    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        let found = ALL.iter().find(|(operation, ..)| *operation == self);
        found.map_or("", |(.., name)| name)
    }

    /// Whether snapshots may go.
    pub(super) fn forgets(self) -> bool {
        matches!(self, Self::Forget | Self::ResticForget)
    }

    /// The command of ours that it is.
    fn command(self) -> Option<&'static str> {
        match self {
            Self::Backup | Self::KilledBackup => Some("backup"),
            Self::Forget => Some("forget"),
            Self::Prune | Self::KilledPrune => Some("prune"),
            Self::Copy | Self::CopyBack | Self::KilledCopy => Some("copy"),
            Self::Unlock => Some("unlock"),
            Self::ResticBackup | Self::ResticForget | Self::ResticPrune => None,
        }
    }

    /// Does it.
    pub(super) fn run(self, ground: &Ground, random: &mut Random, number: u64) -> Result<Outcome> {
        let mut ours = ground.strongroom();
        ours.args(self.command());
        match self {
            Self::Backup => {
                let note = ground.change(random)?;
                done(ours.args(["--note", &note]))
            }
            Self::KilledBackup => {
                let note = ground.change(random)?;
                killed(ours.args(["--note", &note]), moment(random))
            }
            Self::Forget | Self::Unlock => done(&mut ours),
            Self::Prune => done(ours.arg("first")),
            Self::KilledPrune => killed(ours.arg("first"), moment(random)),
            Self::Copy => done(ours.args(REPOSITORIES)),
            Self::CopyBack => done(ours.args(["second", "first"])),
            Self::KilledCopy => killed(ours.args(REPOSITORIES), moment(random)),
            Self::ResticBackup => {
                let tag = ground.change(random)?;
                self.restic(ground, "first", random, &["backup", ".", "--tag", &tag])
            }
            Self::ResticForget => {
                // The second repository has no other way to become smaller.
                let repository = REPOSITORIES[(number % 2) as usize];
                let arguments = ["forget", "--keep-last", "5"];
                self.restic(ground, repository, random, &arguments)
            }
            Self::ResticPrune => {
                let repository = REPOSITORIES[(number % 2) as usize];
                self.restic(ground, repository, random, &["prune"])
            }
        }
    }

    /// Has restic do it, once it knows that whoever was killed is dead, as its messages would tell a person to.
    fn restic(
        self,
        ground: &Ground,
        repository: &str,
        random: &mut Random,
        arguments: &[&str],
    ) -> Result<Outcome> {
        process::output(ground.restic(repository, random).arg("unlock"))?;
        done(ground.restic(repository, random).args(arguments))
    }
}

fn done(command: &mut Command) -> Result<Outcome> {
    process::output(command).map(|_| Outcome::Done)
}

/// How long a program lives that is killed: often hardly begun, sometimes nearly done.
fn moment(random: &mut Random) -> Duration {
    Duration::from_millis(random.size_between(20.0, 2_500.0))
}

/// Kills the command after a `moment`, unless it has ended before; then it must have succeeded.
fn killed(command: &mut Command, moment: Duration) -> Result<Outcome> {
    let line = process::line(command);
    let failed = |error: std::io::Error| Error::new(format!("cannot run `{line}`: {error}"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let started = Instant::now();
    while started.elapsed() < moment {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(Outcome::Ended),
            Some(status) => return Err(Error::new(format!("`{line}` failed: {status}"))),
            None => sleep(Duration::from_millis(5)),
        }
    }
    child.kill().and_then(|()| child.wait()).map_err(failed)?;
    Ok(Outcome::Killed)
}

/// How often each came out how.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Operations that were begun.
    pub(super) operations: u64,
    counts: BTreeMap<(Operation, Outcome), u64>,
}

impl Tally {
    /// An operation begins.
    pub(super) fn begin(&mut self) {
        self.operations += 1;
    }

    /// It came out so.
    pub(super) fn count(&mut self, operation: Operation, outcome: Outcome) {
        *self.counts.entry((operation, outcome)).or_default() += 1;
    }

    /// How often it came out so.
    pub(super) fn of(&self, outcome: Outcome) -> u64 {
        let of = self
            .counts
            .iter()
            .filter(|((_, other), _)| *other == outcome);
        of.map(|(_, count)| count).sum()
    }

    /// A line for each operation.
    pub(super) fn table(&self) -> String {
        let count = |operation, outcome| self.counts.get(&(operation, outcome)).copied();
        let mut table = format!(
            "{:<16}{:>6}{:>8}{:>22}\n",
            "operation", "done", "killed", "done before the kill"
        );
        for (operation, _, name) in ALL {
            let cells = [Outcome::Done, Outcome::Killed, Outcome::Ended]
                .map(|outcome| count(operation, outcome).map_or(String::new(), |n| n.to_string()));
            let [done, killed, ended] = cells;
            let line = format!("{name:<16}{done:>6}{killed:>8}{ended:>22}");
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_comes_about_as_often_as_it_should() {
        let operations = ALL.map(|(operation, ..)| operation);
        let mut random = Random::new(1);
        let mut tally = Tally::default();
        for _ in 0..31_000 {
            tally.count(pick(&operations, &mut random), Outcome::Done);
        }
        for (operation, weight, name) in ALL {
            let count = tally.counts.get(&(operation, Outcome::Done)).copied();
            let expected = weight * 1_000;
            assert!(
                count.unwrap_or(0).abs_diff(expected) < expected / 5,
                "{name}: {count:?}"
            );
        }
        let only = [Operation::Unlock];
        assert_eq!(pick(&only, &mut random), Operation::Unlock);
    }

    #[test]
    fn a_program_that_fails_before_the_kill_is_an_error() {
        let sh = |script: &str, seconds| {
            let mut command = Command::new("sh");
            killed(command.args(["-c", script]), Duration::from_secs(seconds))
        };
        assert_eq!(sh("exec sleep 600", 0).unwrap(), Outcome::Killed);
        assert_eq!(sh("exit 0", 600).unwrap(), Outcome::Ended);
        let error = sh("exit 3", 600).unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'exit 3'` failed: exit status: 3");
    }

    #[test]
    fn columns_line_up() {
        let mut tally = Tally::default();
        tally.count(Operation::Backup, Outcome::Done);
        tally.count(Operation::KilledBackup, Outcome::Killed);
        let table = tally.table();
        let mut lines = table.lines();
        assert_eq!(
            lines.next(),
            Some("operation         done  killed  done before the kill")
        );
        assert_eq!(lines.next(), Some("backup               1"));
        assert_eq!(lines.next(), Some("backup, killed               1"));
    }
}
