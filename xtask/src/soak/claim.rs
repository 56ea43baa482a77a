//! What a program says that it did, by ending with 0, and whether that is so: a claim and the repositories in, nothing or what is wrong out.

use std::collections::BTreeSet;

use super::ground::{Ground, REPOSITORIES};
use super::listing::{Listed, id_in};
use crate::error::{Error, Result};
use crate::process;

/// What the job's retention in the soak's configuration keeps.
pub(super) const KEPT_BY_RETENTION: usize = 4;

/// What was done, if the program is to be believed.
#[derive(Debug)]
pub(super) enum Claim {
    /// The first repository holds a backup with this mark.
    BackedUp(String),
    /// Of the snapshots in the first repository these are left, and no others.
    Forgot(BTreeSet<String>),
    /// A prune of this repository would find nothing more to do.
    Pruned(&'static str),
    /// Every state in the one is in the other as well.
    Copied {
        from: &'static str,
        to: &'static str,
    },
    /// The index of this repository describes all packs that are there.
    Repaired(&'static str),
    /// No lock is left.
    Unlocked,
    /// Nothing that could be looked at.
    Nothing,
}

impl Claim {
    /// Fails where it is not true. `said` is what the program printed, if it could.
    pub(super) fn prove(&self, ground: &Ground, said: &str) -> Result<()> {
        let complaint = match self {
            Self::BackedUp(mark) => not_backed_up(ground, mark, said)?,
            Self::Forgot(keep) => {
                let there = ground.listed(REPOSITORIES[0])?;
                let there: BTreeSet<String> = there.into_iter().map(|it| it.id).collect();
                (there != *keep).then(|| format!("{there:?} are left of which {keep:?} should be"))
            }
            Self::Pruned(repository) => {
                let mut again = ground.strongroom();
                let plan = process::output(again.args([
                    "prune",
                    "--dry-run",
                    "--json",
                    "--grace",
                    "0",
                    repository,
                ]))?;
                let is_done = plan.contains("\"freed_bytes\": 0,");
                (!is_done).then(|| format!("there is still something to do: {plan}"))
            }
            Self::Copied { from, to } => {
                let states = |repository| -> Result<BTreeSet<u64>> {
                    let listed = ground.listed(repository)?;
                    Ok(listed.into_iter().map(|it| it.state).collect())
                };
                let (has, got) = (states(from)?, states(to)?);
                let mut missing = has.difference(&got);
                missing
                    .next()
                    .map(|state| format!("state {state} is missing in {to}"))
            }
            Self::Repaired(repository) => {
                let mut again = ground.strongroom();
                let found =
                    process::output(again.args(["repair", "index", "--json", "-n", repository]))?;
                let mut snapshots = ground.strongroom();
                process::output(snapshots.args(["repair", "snapshots", repository]))?;
                let is_done = found.contains("\"changed\": false");
                (!is_done).then(|| format!("there is still something to do: {found}"))
            }
            Self::Unlocked => {
                let mut locks = BTreeSet::new();
                for repository in REPOSITORIES {
                    locks.extend(ground.objects(repository, "locks")?);
                }
                locks
                    .first()
                    .map(|lock| format!("{} is still there", lock.display()))
            }
            Self::Nothing => None,
        };
        match complaint {
            None => Ok(()),
            Some(complaint) => Err(Error::new(format!(
                "it said that it was done, but {complaint}"
            ))),
        }
    }

    /// Fails where more was destroyed than would have been in the end.
    pub(super) fn prove_of_killed(&self, ground: &Ground) -> Result<()> {
        let Self::Forgot(keep) = self else {
            return Ok(());
        };
        let there = ground.listed(REPOSITORIES[0])?;
        let there: BTreeSet<String> = there.into_iter().map(|it| it.id).collect();
        match keep.difference(&there).next() {
            None => Ok(()),
            Some(lost) => Err(Error::new(format!(
                "snapshot {lost} is gone, which is to be kept"
            ))),
        }
    }
}

/// What is wrong with a backup that should be there; both programs are asked.
fn not_backed_up(ground: &Ground, mark: &str, said: &str) -> Result<Option<String>> {
    let listed = ground.listed(REPOSITORIES[0])?;
    let state = mark.rsplit('-').next().and_then(|state| state.parse().ok());
    let Some(made) = listed.iter().find(|it| Some(it.state) == state) else {
        return Ok(Some(format!("restic lists no snapshot of {mark}")));
    };
    let list = process::output(ground.strongroom().args(["list", "--json"]))?;
    if !list.contains(&format!("\"{}\"", made.backup)) {
        return Ok(Some(format!("`list` does not show backup {}", made.backup)));
    }
    // Ours prints JSON, restic does not.
    if said.starts_with('{') && id_in(said).as_deref() != Some(made.backup.as_str()) {
        return Ok(Some(format!(
            "backup {} is what it made, where it said: {said}",
            made.backup
        )));
    }
    Ok(None)
}

/// What a forget leaves: the newest of the job's backups, and all that are not of the job.
pub(super) fn keep_of_forget(listed: &[Listed]) -> BTreeSet<String> {
    let is_of_job = |it: &&Listed| it.backup != it.id;
    let of_job = listed.iter().rev().filter(is_of_job);
    let others = listed.iter().filter(|it| !is_of_job(it));
    of_job
        .take(KEPT_BY_RETENTION)
        .chain(others)
        .map(|it| it.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forget_keeps_the_newest_of_the_job_and_what_others_made() {
        let ours = |number: u64| Listed {
            id: format!("id-{number}"),
            backup: format!("run-{number}"),
            state: number,
        };
        let restics = Listed {
            backup: "id-1".into(),
            ..ours(1)
        };
        let listed: Vec<Listed> = [ours(0), restics]
            .into_iter()
            .chain((2..7).map(ours))
            .collect();
        let keep = keep_of_forget(&listed);
        let expected = [1, 3, 4, 5, 6].map(|number| format!("id-{number}"));
        assert_eq!(keep, expected.into());
    }
}
