//! The locks that lie in a repository: listed, judged, and removed when their holders are gone.

use rustix::process::{Pid, test_kill_process};

use super::entry::{self, Holder, LockEntry, Situation};
use crate::file::FileType;
use crate::id::Id;
use crate::identity::Identity;
use crate::repository::Repository;
use crate::time::Time;
use crate::{Error, ErrorKind, Result, parallel};

/// What lies in `locks/`.
#[derive(Debug, Default)]
pub struct Locks {
    /// The locks that can be read.
    pub good: Vec<(Id, LockEntry)>,
    /// What is wrong with the others.
    pub problems: Vec<(Id, Error)>,
}

/// All locks. One that vanishes while we look was released.
pub fn list(repository: &Repository) -> Result<Locks> {
    let ids = repository.list(FileType::Lock)?;
    let threads = repository.destination().parallelism();
    let loaded = parallel::map(threads, &ids, |(id, _)| {
        let loaded = repository.load_json::<LockEntry>(FileType::Lock, id);
        Ok(match loaded {
            Err(error) if error.is_temporary() => return Err(error),
            loaded => (*id, loaded),
        })
    })?;
    let mut locks = Locks::default();
    for (id, lock) in loaded {
        match lock {
            Ok(lock) => locks.good.push((id, lock)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => locks.problems.push((id, error)),
        }
    }
    Ok(locks)
}

/// What became of one lock.
#[derive(Debug)]
pub struct Judged {
    /// Its id.
    pub id: Id,
    /// What it says, or why that cannot be read.
    pub lock: Result<LockEntry>,
    /// What is known of its holder.
    pub holder: Holder,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// Removes the locks whose holders are gone, or `all`.
///
/// Between looking at a lock and removing it, its holder may refresh it: then it is another object, which stays.
pub fn unlock(repository: &Repository, all: bool) -> Result<Vec<Judged>> {
    let Locks { good, problems } = list(repository)?;
    let good = good.into_iter().map(|(id, lock)| {
        let holder = in_situation(|situation| lock.holder(situation));
        (id, Ok(lock), holder)
    });
    let problems = problems
        .into_iter()
        .map(|(id, error)| (id, Err(error), Holder::Unknown));
    good.chain(problems)
        .map(|(id, lock, holder)| {
            let is_removed = all || holder.is_gone();
            if is_removed {
                repository.delete(FileType::Lock, &id)?;
            }
            Ok(Judged {
                id,
                lock,
                holder,
                is_removed,
            })
        })
        .collect()
}

/// Removes what processes of this host left behind that were killed: restic would stop at it. One that is merely old is left to
/// [`unlock`], because its holder may sleep on another machine. It does not matter if that fails.
fn remove_dead(repository: &Repository, locks: &[(Id, LockEntry)]) {
    for (id, lock) in locks {
        // A container may have this host's name and processes of its own. A backup that loses its lock that way ends without a snapshot;
        // who holds the repository alone must not lose it.
        if !lock.exclusive && in_situation(|situation| lock.is_dead(situation)) {
            let _ = repository.delete(FileType::Lock, id);
        }
    }
}

/// A lock that cannot be read says nothing of its holder. It keeps out who would delete, but no backup: it may lie there forever.
pub(super) fn refuse_if_blocked(
    repository: &Repository,
    exclusive: bool,
    own: Option<&Id>,
) -> Result<()> {
    let locks = list(repository)?;
    remove_dead(repository, &locks.good);
    let blocking =
        in_situation(|situation| entry::blocking(&locks.good, own, exclusive, situation).cloned());
    if let Some(lock) = blocking {
        return Err(Error::new(
            ErrorKind::Locked,
            format!("repository {} is locked {lock}", repository.name()),
        )
        .hint(format!(
            "wait for it to end; `strongroom unlock {}` removes the lock of a program that is gone",
            repository.name()
        )));
    }
    match locks.problems.into_iter().next() {
        Some((_, problem)) if exclusive => Err(problem),
        _ => Ok(()),
    }
}

fn in_situation<T>(decide: impl FnOnce(&Situation<'_>) -> T) -> T {
    let identity = Identity::current();
    decide(&Situation {
        now: Time::now(),
        hostname: &identity.hostname,
        is_alive: &is_alive,
    })
}

/// Whether a process of this host lives. One that we may not signal does.
fn is_alive(pid: i64) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
