//! The locks that lie in a repository: listed, judged, and removed when their holders are gone.

use std::time::Duration;

use super::entry::{Holder, LockEntry, STALE_AFTER_SECONDS};
use crate::file::FileType;
use crate::id::Id;
use crate::machine::Machine;
use crate::object::Listed;
use crate::repository::Repository;
use crate::source::Timestamp;
use crate::{Error, ErrorKind, Result, parallel};

/// A look is begun anew so often, while locks vanish under it.
const MOST_ROUNDS: usize = 20;

/// A listing that took longer than this may lack a lock that was refreshed meanwhile: its holder leaves the old object beside the new one for
/// longer than this, and no longer than need be.
pub(super) const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// A lock that lies in the repository.
struct Found {
    id: Id,
    /// What it says, or why that cannot be read.
    lock: Result<LockEntry>,
    /// By the destination's clock.
    stored: Option<Timestamp>,
}

/// What a listing of the locks told.
struct Survey {
    found: Vec<Found>,
    /// Whether our own lock is in the listing.
    lists_own: bool,
    /// When that was stored, by the destination's clock: what time it is there.
    own_stored: Option<Timestamp>,
    /// Whether a lock may be there that it does not name.
    may_lack_some: bool,
}

/// All locks but our `own`.
fn survey(repository: &Repository, own: &[Id]) -> Result<Survey> {
    let began = repository.machine().uptime();
    let listed = repository.listing(FileType::Lock)?.objects;
    let took = repository.machine().uptime().saturating_sub(began);
    let (ours, theirs): (Vec<Listed>, Vec<Listed>) =
        listed.into_iter().partition(|it| own.contains(&it.id));
    let threads = repository.destination().parallelism();
    let loaded = parallel::map(threads, &theirs, |it| {
        let loaded = repository.load_json::<LockEntry>(FileType::Lock, &it.id);
        match loaded {
            Err(error) if error.is_temporary() => Err(error),
            loaded => Ok(loaded),
        }
    })?;
    let mut survey = Survey {
        found: Vec::new(),
        lists_own: !ours.is_empty(),
        own_stored: ours.iter().filter_map(|it| it.modified).max(),
        may_lack_some: took > LISTED_WITHIN,
    };
    for (it, lock) in theirs.into_iter().zip(loaded) {
        match lock {
            // Released, or refreshed: then it is there under another name, which the listing may not have.
            Err(error) if error.kind() == ErrorKind::NotFound => survey.may_lack_some = true,
            lock => survey.found.push(Found {
                id: it.id,
                lock,
                stored: it.modified,
            }),
        }
    }
    Ok(survey)
}

impl Found {
    fn holder(&self, machine: &dyn Machine, now: Option<Timestamp>) -> Holder {
        let lives = self.lock.as_ref().ok();
        let lives = lives.and_then(|lock| machine.lives(&lock.process()));
        let age = now.zip(self.stored);
        let age = age.map(|(now, stored)| now.saturating_sub(stored) / 1_000_000_000);
        Holder::judge(lives, age, self.lock.is_ok())
    }

    /// Whether it keeps out who wants the repository alone, or who shares it. What cannot be read may say anything.
    fn keeps_out(&self, exclusive: bool) -> bool {
        exclusive || self.lock.as_ref().map_or(true, |lock| lock.exclusive)
    }

    fn refusal(&self, repository: &Repository) -> Error {
        let name = repository.name();
        match &self.lock {
            Ok(lock) => Error::new(
                ErrorKind::Locked,
                format!("repository {name} is locked {lock}"),
            )
            .hint(format!(
                "wait for it to end; `strongroom unlock {name}` removes the lock of a program that is gone"
            )),
            Err(error) => Error::new(
                ErrorKind::Locked,
                format!(
                    "repository {name} has a lock that cannot be read ({}): somebody may hold it alone",
                    error.message()
                ),
            )
            .caused_by(error.clone())
            .hint(format!(
                "it counts for nothing once it was not refreshed for 30 minutes; `strongroom unlock {name} --all` removes it: only for when you know that nobody is at work there"
            )),
        }
    }
}

/// A look before anything is written, so that who is refused disturbs nobody. Passes nothing over: only the look after our own lock was stored
/// binds.
pub(super) fn refuse_at_once(repository: &Repository, exclusive: bool) -> Result<()> {
    let machine = repository.machine();
    let now = machine.now().nanoseconds();
    let mut survey = survey(repository, &[])?;
    for _ in 1..MOST_ROUNDS {
        if !survey.may_lack_some {
            break;
        }
        survey = self::survey(repository, &[])?;
    }
    let blocking = survey.found.iter().find(|found| {
        let claimed = found.lock.as_ref().ok().map(|lock| lock.time.nanoseconds());
        let since = found.stored.or(claimed);
        let age = since.map(|since| now.saturating_sub(since) / 1_000_000_000);
        let may_be_gone = age.is_some_and(|age| age > STALE_AFTER_SECONDS);
        found.keeps_out(exclusive)
            && match found.holder(machine, None) {
                Holder::Dead | Holder::Silent => false,
                Holder::Alive => true,
                Holder::Elsewhere | Holder::Unknown => !may_be_gone,
            }
    });
    blocking.map_or(Ok(()), |found| Err(found.refusal(repository)))
}

/// Fails with [`ErrorKind::Locked`] where somebody keeps us out. To be called after our `own` lock was stored, with its id.
///
/// A lock in the way whose holder is gone is removed, so that he learns of it if he is not gone after all. Then it is looked again.
pub(super) fn look(
    repository: &Repository,
    exclusive: bool,
    own: &[Id],
    lag: Duration,
) -> Result<()> {
    // Who wants to be alone looks twice: restic removes the old object of a refreshed lock at once, so that one listing may name neither.
    let mut clean_rounds_left = if exclusive { 2 } else { 1 };
    for _ in 0..MOST_ROUNDS {
        let survey = survey(repository, own)?;
        if !survey.lists_own {
            ensure_there(repository, own)?;
            // What was put is there and not listed: listings lag behind. The others have to see ours, too, before they begin.
            repository.machine().sleep(lag);
            continue;
        }
        let mut has_changed = survey.may_lack_some;
        for found in &survey.found {
            let holder = found.holder(repository.machine(), survey.own_stored);
            let keeps_out = found.keeps_out(exclusive);
            if keeps_out && !holder.is_gone() {
                return Err(found.refusal(repository));
            }
            if keeps_out {
                repository.delete(FileType::Lock, &found.id)?;
                has_changed = true;
            } else if holder == Holder::Dead {
                // restic would stop at it. It does not matter if that fails.
                let _ = repository.delete(FileType::Lock, &found.id);
            }
        }
        if has_changed {
            continue;
        }
        clean_rounds_left -= 1;
        if clean_rounds_left == 0 {
            return Ok(());
        }
    }
    Err(Error::new(
        ErrorKind::Locked,
        format!(
            "the locks of repository {} change faster than they can be looked at",
            repository.name()
        ),
    )
    .hint("run it again"))
}

/// Fails where none of our own locks is there any more.
fn ensure_there(repository: &Repository, own: &[Id]) -> Result<()> {
    for id in own {
        if repository.stat(FileType::Lock, id)?.is_some() {
            return Ok(());
        }
    }
    Err(Error::new(
        ErrorKind::Locked,
        format!(
            "the lock of repository {} was removed by somebody else",
            repository.name()
        ),
    )
    .hint("run it again"))
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
    // A lock of ours tells what time it is at the destination. Where there is no room for one, processes tell what they can.
    let own = LockEntry::on(repository.machine(), false);
    let own = repository.save_json(FileType::Lock, &own).ok();
    let judged = judge(repository, own.as_slice(), all);
    if let Some(own) = own {
        repository.delete(FileType::Lock, &own)?;
    }
    judged
}

fn judge(repository: &Repository, own: &[Id], all: bool) -> Result<Vec<Judged>> {
    let survey = survey(repository, own)?;
    let judge = |found: Found| {
        let holder = found.holder(repository.machine(), survey.own_stored);
        let is_removed = all || holder.is_gone();
        if is_removed {
            repository.delete(FileType::Lock, &found.id)?;
        }
        Ok(Judged {
            id: found.id,
            lock: found.lock,
            holder,
            is_removed,
        })
    };
    survey.found.into_iter().map(judge).collect()
}
