//! What may happen to a repository: random numbers in, a command that was run, and what it claims to have done, out.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::claim::{Claim, keep_of_forget};
use super::ground::{Ground, REPOSITORIES};
use crate::error::{Error, Result};
use crate::process;
use crate::random::Random;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Backup,
    Forget,
    Prune,
    Copy,
    CopyBack,
    /// After an index object was lost.
    Repair,
    Unlock,
    ResticBackup,
    ResticForget,
    ResticPrune,
}

/// Some work, which may be killed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    work: Work,
    is_killed: bool,
    /// How often it comes.
    weight: u64,
}

/// How an operation came out. A failure ends the soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Done,
    Killed,
    /// Before the kill came.
    Ended,
}

/// Every operation.
pub(super) const ALL: [Operation; 15] = [
    Operation::whole("backup", Work::Backup, 6),
    Operation::killed("backup, killed", Work::Backup, 6),
    Operation::whole("forget", Work::Forget, 2),
    Operation::killed("forget, killed", Work::Forget, 3),
    Operation::whole("prune", Work::Prune, 2),
    Operation::killed("prune, killed", Work::Prune, 3),
    Operation::whole("copy", Work::Copy, 2),
    Operation::whole("copy back", Work::CopyBack, 1),
    Operation::killed("copy, killed", Work::Copy, 3),
    Operation::whole("repair", Work::Repair, 1),
    Operation::killed("repair, killed", Work::Repair, 2),
    Operation::whole("unlock", Work::Unlock, 1),
    Operation::whole("restic backup", Work::ResticBackup, 3),
    Operation::whole("restic forget", Work::ResticForget, 1),
    Operation::whole("restic prune", Work::ResticPrune, 2),
];

/// What there is to look at from the beginning on.
pub(super) const FIRST: [&Operation; 2] = [&ALL[0], &ALL[12]];

/// One of them, frequent ones more often.
pub(super) fn pick(random: &mut Random) -> &'static Operation {
    let total = ALL.iter().map(|operation| operation.weight).sum::<u64>();
    let mut ticket = random.below(total);
    for operation in &ALL {
        if ticket < operation.weight {
            return operation;
        }
        ticket -= operation.weight;
    }
    FIRST[0]
}

/// A command, with what was decided about it.
struct Task {
    program: Program,
    arguments: Vec<String>,
    claim: Claim,
}

#[derive(Clone, Copy)]
enum Program {
    Ours,
    Restic(&'static str),
}

impl Operation {
    const fn whole(name: &'static str, work: Work, weight: u64) -> Self {
        Self {
            name,
            work,
            is_killed: false,
            weight,
        }
    }

    const fn killed(name: &'static str, work: Work, weight: u64) -> Self {
        Self {
            is_killed: true,
            ..Self::whole(name, work, weight)
        }
    }

    /// Whether snapshots may go.
    pub(super) fn forgets(&self) -> bool {
        matches!(self.work, Work::Forget | Work::ResticForget)
    }

    /// Does it, and proves what it claims to have done.
    pub(super) fn run(&self, ground: &Ground, random: &mut Random) -> Result<Outcome> {
        let task = self.work.task(ground, random)?;
        let mut command = task.command(ground, random)?;
        if !self.is_killed {
            let said = process::output(&mut command)?;
            task.claim.prove(ground, &said)?;
            return Ok(Outcome::Done);
        }
        let outcome = run_and_kill(&mut command, moment(random))?;
        match outcome {
            Outcome::Killed => task.claim.prove_of_killed(ground)?,
            _ => task.claim.prove(ground, "")?,
        }
        if self.work == Work::Repair && outcome == Outcome::Killed {
            // What was damaged stays so otherwise.
            let said = process::output(&mut task.command(ground, random)?)?;
            task.claim.prove(ground, &said)?;
        }
        Ok(outcome)
    }
}

impl Work {
    /// Decides what exactly is done, and makes what it needs.
    fn task(self, ground: &Ground, random: &mut Random) -> Result<Task> {
        let [first, second] = REPOSITORIES;
        let any = REPOSITORIES[random.below(2) as usize];
        let coin = random.below(2) == 0;
        let (program, line, claim) = match self {
            Self::Backup => {
                let mark = ground.change(random)?;
                let line = format!("backup --json --note {mark}");
                (Program::Ours, line, Claim::BackedUp(mark))
            }
            Self::Forget => {
                let line = if coin { "forget --prune" } else { "forget" };
                let keep = keep_of_forget(&ground.listed(first)?);
                (Program::Ours, line.into(), Claim::Forgot(keep))
            }
            Self::Prune => (
                Program::Ours,
                format!("prune {any} --grace 0"),
                Claim::Pruned(any),
            ),
            Self::Copy | Self::CopyBack => {
                let (from, to) = match self {
                    Self::Copy => (first, second),
                    _ => (second, first),
                };
                let line = format!("copy {from} {to}");
                (Program::Ours, line, Claim::Copied { from, to })
            }
            Self::Repair => {
                lose_an_index_object(ground, any, random)?;
                let all = if coin { " --all" } else { "" };
                let line = format!("repair index {any}{all}");
                (Program::Ours, line, Claim::Repaired(any))
            }
            Self::Unlock => (Program::Ours, "unlock".into(), Claim::Unlocked),
            Self::ResticBackup => {
                let mark = ground.change(random)?;
                let line = format!("backup . --tag {mark}");
                (Program::Restic(first), line, Claim::BackedUp(mark))
            }
            Self::ResticForget => {
                // The second repository has no other way to become smaller.
                let line = "forget --keep-last 5".into();
                (Program::Restic(any), line, Claim::Nothing)
            }
            Self::ResticPrune => (Program::Restic(any), "prune".into(), Claim::Nothing),
        };
        Ok(Task {
            program,
            arguments: line.split(' ').map(str::to_owned).collect(),
            claim,
        })
    }
}

impl Task {
    /// Restic is first told that whoever was killed is dead, as its messages would tell a person to.
    fn command(&self, ground: &Ground, random: &mut Random) -> Result<Command> {
        let mut command = match self.program {
            Program::Ours => ground.strongroom(),
            Program::Restic(repository) => {
                process::output(ground.restic(repository, random).arg("unlock"))?;
                ground.restic(repository, random)
            }
        };
        command.args(&self.arguments);
        Ok(command)
    }
}

/// Removes one, if there is any: what was in it can be learnt from the packs.
fn lose_an_index_object(
    ground: &Ground,
    repository: &'static str,
    random: &mut Random,
) -> Result<()> {
    let ticket = random.next();
    let objects = ground.objects(repository, "index")?;
    let number = ticket % (objects.len().max(1) as u64);
    match objects.iter().nth(number as usize) {
        Some(path) => {
            fs::remove_file(path).map_err(|error| Error::io("cannot remove", path, &error))
        }
        None => Ok(()),
    }
}

/// How long a program lives that is killed: often hardly begun, sometimes nearly done.
fn moment(random: &mut Random) -> Duration {
    Duration::from_millis(random.size_between(20.0, 2_500.0))
}

/// Kills the command after a `moment`, unless it has ended before; then it must have succeeded.
fn run_and_kill(command: &mut Command, moment: Duration) -> Result<Outcome> {
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

#[cfg(test)]
mod tests {
    use super::super::tally::Tally;
    use super::*;

    #[test]
    fn every_operation_comes_about_as_often_as_it_should() {
        let mut random = Random::new(1);
        let mut tally = Tally::default();
        let total: u64 = ALL.iter().map(|operation| operation.weight).sum();
        for _ in 0..total * 1_000 {
            tally.count(pick(&mut random).name, Outcome::Done);
        }
        for Operation { name, weight, .. } in &ALL {
            let count = tally.count_of(name, Outcome::Done);
            let expected = weight * 1_000;
            assert!(count.abs_diff(expected) < expected / 5, "{name}: {count}");
        }
    }

    #[test]
    fn what_changes_a_repository_is_killed_too() {
        for work in [
            Work::Backup,
            Work::Forget,
            Work::Prune,
            Work::Copy,
            Work::Repair,
        ] {
            for is_killed in [false, true] {
                let is_it = |it: &&Operation| it.work == work && it.is_killed == is_killed;
                assert_eq!(ALL.iter().filter(is_it).count(), 1, "{work:?}");
            }
        }
        let [ours, theirs] = FIRST.map(|operation| operation.work);
        assert_eq!((ours, theirs), (Work::Backup, Work::ResticBackup));
    }

    #[test]
    fn a_program_that_fails_before_the_kill_is_an_error() {
        let sh = |script: &str, seconds| {
            let mut command = Command::new("sh");
            run_and_kill(command.args(["-c", script]), Duration::from_secs(seconds))
        };
        assert_eq!(sh("exec sleep 600", 0).unwrap(), Outcome::Killed);
        assert_eq!(sh("exit 0", 600).unwrap(), Outcome::Ended);
        let error = sh("exit 3", 600).unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'exit 3'` failed: exit status: 3");
    }
}
