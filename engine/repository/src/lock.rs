//! restic's locks. Readers and writers share the repository; who deletes from it wants to be alone. A lock is an object that is refreshed
//! while its holder lives, so that both programs respect each other.

mod entry;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

use crate::file::FileType;
use crate::id::Id;
use crate::identity::Identity;
use crate::repository::Repository;
use crate::time::Time;
use crate::{Error, ErrorKind, Result, parallel};

pub use entry::{LockEntry, STALE_AFTER_SECONDS, Situation, blocking};

/// A held lock. Refreshed by a thread of its own, and removed when dropped.
pub struct Lock {
    shared: Arc<Shared>,
    refresher: Option<JoinHandle<()>>,
}

/// When things happen. Tests have shorter ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Between writing our lock and looking for others once more. Of two that start at once, at least one sees the other.
    settle: Duration,
    /// How often the refreshing thread looks at the clock. Short, because a machine that slept wakes up with an old lock.
    tick: Duration,
    /// The age at which the lock is written anew.
    refresh_after_seconds: i64,
    /// The age at which we stop relying on it, well before others do.
    expires_after_seconds: i64,
}

const TIMING: Timing = Timing {
    settle: Duration::from_millis(200),
    tick: Duration::from_secs(10),
    refresh_after_seconds: 5 * 60,
    expires_after_seconds: 20 * 60,
};

struct Shared {
    repository: Arc<Repository>,
    timing: Timing,
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    /// Changes with each refreshing.
    id: Id,
    entry: LockEntry,
    /// Once lost, it stays lost: somebody may have deleted what we rely on.
    lost: Option<&'static str>,
    is_released: bool,
}

impl Lock {
    /// For reading and adding. Fails with [`ErrorKind::Locked`] while somebody wants to be alone.
    pub fn shared(repository: &Arc<Repository>) -> Result<Self> {
        Self::acquire(repository, false, TIMING)
    }

    /// For deleting. Fails with [`ErrorKind::Locked`] while anybody is at work.
    pub fn exclusive(repository: &Arc<Repository>) -> Result<Self> {
        Self::acquire(repository, true, TIMING)
    }

    pub(crate) fn acquire(
        repository: &Arc<Repository>,
        exclusive: bool,
        timing: Timing,
    ) -> Result<Self> {
        survive_probing()?;
        refuse_if_blocked(repository, exclusive, None)?;
        let entry = LockEntry::here(Time::now(), exclusive);
        let id = repository.save_json(FileType::Lock, &entry)?;
        let shared = Arc::new(Shared {
            repository: repository.clone(),
            timing,
            state: Mutex::new(State {
                id,
                entry,
                lost: None,
                is_released: false,
            }),
            released: Condvar::new(),
        });
        // From here on, dropping it removes the object.
        let mut lock = Self {
            shared,
            refresher: None,
        };
        sleep(timing.settle);
        refuse_if_blocked(repository, exclusive, Some(&id))?;
        let shared = lock.shared.clone();
        let refresher = std::thread::Builder::new()
            .name("lock".into())
            .spawn(move || shared.keep_fresh())
            .map_err(|error| Error::io("cannot start the thread that refreshes a lock", error))?;
        lock.refresher = Some(refresher);
        Ok(lock)
    }

    /// Fails with [`ErrorKind::Failed`] where the lock has vanished, or could not be refreshed for 20 minutes: others may have deleted what
    /// we rely on. To be asked before anything is written that makes a backup count.
    pub fn ensure_held(&self) -> Result<()> {
        self.shared.ensure_held(&mut self.shared.state())
    }

    /// The id of the lock's object. It changes when the lock is refreshed.
    pub fn id(&self) -> Id {
        self.shared.state().id
    }

    /// Removes the lock and says whether that worked. Dropping does the same in silence.
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let was_released = std::mem::replace(&mut self.shared.state().is_released, true);
        self.shared.released.notify_all();
        if let Some(refresher) = self.refresher.take() {
            // It cannot have panicked, and there is nothing to do if it had.
            let _ = refresher.join();
        }
        if was_released {
            return Ok(());
        }
        self.shared.repository.delete(FileType::Lock, &self.id())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock that stays behind is stale as soon as this process has ended, or after 30 minutes.
        let _ = self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_fresh(&self) {
        let mut state = self.state();
        while !state.is_released && state.lost.is_none() {
            if state.entry.age_seconds(Time::now()) >= self.timing.refresh_after_seconds {
                // What fails is tried again at the next tick, until the lock expires.
                let _ = self.refresh(&mut state);
            }
            state = self
                .released
                .wait_timeout(state, self.timing.tick)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Writes a new object and then deletes the old one, so that there is one at any time.
    fn refresh(&self, state: &mut State) -> Result<()> {
        self.ensure_held(state)?;
        let entry = LockEntry {
            time: Time::now(),
            ..state.entry.clone()
        };
        let id = self.repository.save_json(FileType::Lock, &entry)?;
        let old = std::mem::replace(&mut state.id, id);
        state.entry = entry;
        self.repository.delete(FileType::Lock, &old)
    }

    fn ensure_held(&self, state: &mut State) -> Result<()> {
        if state.lost.is_none() {
            if state.entry.age_seconds(Time::now()) >= self.timing.expires_after_seconds {
                state.lost = Some("could not be refreshed for 20 minutes");
            } else {
                let key = FileType::Lock.key(&state.id);
                let found = self.repository.destination().stat(&key);
                if found
                    .map_err(|error| error.on(self.repository.name()))?
                    .is_none()
                {
                    state.lost = Some("was removed by somebody else");
                }
            }
        }
        match state.lost {
            None => Ok(()),
            Some(how) => Err(Error::new(
                ErrorKind::Failed,
                format!("the lock of repository {} {how}", self.repository.name()),
            )
            .hint("nothing was made to count; run it again")),
        }
    }
}

/// All locks that can be read. One that vanishes while we look was released.
pub fn list(repository: &Repository) -> Result<(Vec<(Id, LockEntry)>, Vec<Error>)> {
    let ids = repository.list(FileType::Lock)?;
    let threads = repository.destination().parallelism();
    let loaded = parallel::map(threads, &ids, |(id, _)| {
        let loaded = repository.load_json::<LockEntry>(FileType::Lock, id);
        Ok(match loaded {
            Err(error) if error.is_temporary() => return Err(error),
            loaded => (*id, loaded),
        })
    })?;
    let (mut locks, mut problems) = (Vec::new(), Vec::new());
    for (id, lock) in loaded {
        match lock {
            Ok(lock) => locks.push((id, lock)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => problems.push(error),
        }
    }
    Ok((locks, problems))
}

/// Removes the locks whose holders are gone, and returns what they said.
pub fn remove_stale(repository: &Repository) -> Result<Vec<LockEntry>> {
    let (locks, _) = list(repository)?;
    let mut removed = Vec::new();
    for (id, lock) in locks {
        if in_situation(|situation| lock.is_stale(situation)) {
            repository.delete(FileType::Lock, &id)?;
            removed.push(lock);
        }
    }
    Ok(removed)
}

/// A lock that cannot be read says nothing of its holder. It keeps out who would delete, but no backup: it may lie there forever.
fn refuse_if_blocked(repository: &Repository, exclusive: bool, own: Option<&Id>) -> Result<()> {
    let (locks, problems) = list(repository)?;
    let blocking =
        in_situation(|situation| entry::blocking(&locks, own, exclusive, situation).cloned());
    if let Some(lock) = blocking {
        return Err(Error::new(
            ErrorKind::Locked,
            format!("repository {} is locked {lock}", repository.name()),
        )
        .hint(
            "wait for it to end; the lock of a program that is gone counts for 30 minutes at most",
        ));
    }
    match problems.into_iter().next() {
        Some(problem) if exclusive => Err(problem),
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

/// restic finds out whether the holder of a lock lives by sending it SIGHUP, which would end us. A handler that does nothing, rather than
/// ignoring the signal, because programs that we start would inherit that.
fn survive_probing() -> Result<()> {
    static HANDLER: Mutex<bool> = Mutex::new(false);
    let mut is_installed = HANDLER.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_installed {
        let nothing = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, nothing)
            .map_err(|error| Error::io("cannot handle SIGHUP", error))?;
        *is_installed = true;
    }
    Ok(())
}

/// Whether a process of this host lives. One that we may not signal does.
fn is_alive(pid: i64) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
