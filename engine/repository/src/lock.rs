//! restic's locks. Readers and writers share the repository; who deletes from it wants to be alone. A lock is an object that is refreshed
//! while its holder lives, so that both programs respect each other.

mod entry;
mod others;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::file::FileType;
use crate::id::Id;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::time::Time;
use crate::{Error, ErrorKind, Result};

use others::refuse_if_blocked;

pub use entry::{Holder, LockEntry, STALE_AFTER_SECONDS, Situation, blocking};
pub use others::{Judged, Locks, list, unlock};

/// A held lock. Refreshed by a thread of its own, and removed when dropped. From the first one on, SIGHUP does not end this process.
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
    /// When it was written, until others were looked for once more.
    unsettled: Option<Instant>,
    /// Once lost, it stays lost, whoever found it out: somebody may have deleted what we rely on.
    lost: Option<Error>,
    is_released: bool,
}

impl Lock {
    /// For reading and adding. Fails with [`ErrorKind::Locked`] while somebody wants to be alone.
    ///
    /// Reading may begin at once. Whether somebody came at the same moment is looked at before the first pack is sent, or when
    /// [`ensure_held`](Self::ensure_held) is first asked.
    pub fn shared(repository: &Arc<Repository>) -> Result<Self> {
        Self::acquire(repository, false, TIMING)
    }

    /// For reading alone: a backup on a medium that cannot be written must still be restorable. `None`, after a warning, where no lock can
    /// be written. Fails with [`ErrorKind::Locked`] as [`shared`](Self::shared) does.
    pub fn for_reading(repository: &Arc<Repository>, progress: &Progress) -> Result<Option<Self>> {
        match Self::shared(repository) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if matches!(error.kind(), ErrorKind::Locked | ErrorKind::Cancelled) => {
                Err(error)
            }
            Err(error) => {
                progress.warn(format!(
                    "reading {} without a lock, because none can be written: {error}",
                    repository.name()
                ));
                Ok(None)
            }
        }
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
        let id = save(repository, &entry)?;
        let shared = Arc::new(Shared {
            repository: repository.clone(),
            timing,
            state: Mutex::new(State {
                id,
                entry,
                unsettled: Some(Instant::now()),
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
        if exclusive {
            lock.shared.settle(&mut lock.shared.state())?;
        }
        let shared = lock.shared.clone();
        let refresher = std::thread::Builder::new()
            .name("lock".into())
            .spawn(move || shared.keep_fresh())
            .map_err(Error::no_thread)?;
        lock.refresher = Some(refresher);
        Ok(lock)
    }

    /// Fails with [`ErrorKind::Locked`] where somebody took the repository for himself while our lock was on its way to it. To be asked
    /// before the first pack is written: he may still be at work, and would take it for one that nobody needs. Looks once.
    pub(crate) fn settle(&self) -> Result<()> {
        self.shared.settle(&mut self.shared.state())
    }

    /// Fails with [`ErrorKind::Failed`] where the lock has vanished, or could not be refreshed for 20 minutes: others may have deleted what
    /// we rely on. Fails with [`ErrorKind::Locked`] where somebody took the repository for himself at the same moment. To be asked before
    /// anything is written that makes a backup count.
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
        let repository = &self.shared.repository;
        let deleted = repository.delete(FileType::Lock, &self.id());
        if deleted.is_ok() && self.shared.state().entry.exclusive {
            // What was given up for this lock, or beneath it, has room again as a rule.
            repository.keep_reserve();
        }
        deleted
    }
}

/// Writes a lock. Who wants to be alone wants to delete: for that, a full destination has a reserve.
fn save(repository: &Repository, entry: &LockEntry) -> Result<Id> {
    let save = || repository.save_json(FileType::Lock, entry);
    match entry.exclusive {
        true => repository
            .with_reserve(save)
            .map_err(|error| repository.without_room(error)),
        false => save(),
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
        let id = save(&self.repository, &entry)?;
        let old = std::mem::replace(&mut state.id, id);
        state.entry = entry;
        self.repository.delete(FileType::Lock, &old)
    }

    /// Looks for others once more, not too soon after our lock was written. Of two that start at once, at least one sees the other.
    fn settle(&self, state: &mut State) -> Result<()> {
        if let Some(error) = &state.lost {
            return Err(error.clone());
        }
        let Some(written) = state.unsettled else {
            return Ok(());
        };
        sleep(self.timing.settle.saturating_sub(written.elapsed()));
        let looked = refuse_if_blocked(&self.repository, state.entry.exclusive, Some(&state.id));
        match &looked {
            Ok(()) => state.unsettled = None,
            // When he has gone, nobody knows any more what he did.
            Err(error) if error.kind() == ErrorKind::Locked => state.lost = Some(error.clone()),
            Err(_) => {}
        }
        looked
    }

    fn ensure_held(&self, state: &mut State) -> Result<()> {
        self.settle(state)?;
        let how = if state.entry.age_seconds(Time::now()) >= self.timing.expires_after_seconds {
            "could not be refreshed for 20 minutes"
        } else {
            let key = FileType::Lock.key(&state.id);
            let found = self.repository.destination().stat(&key);
            if found
                .map_err(|error| {
                    error.or_on(format_args!("destination {}", self.repository.name()))
                })?
                .is_some()
            {
                return Ok(());
            }
            "was removed by somebody else"
        };
        let message = format!("the lock of repository {} {how}", self.repository.name());
        let error = Error::new(ErrorKind::Failed, message).hint(match state.entry.exclusive {
            true => "what was done so far is whole; run it again",
            false => "nothing was made to count; run it again",
        });
        state.lost = Some(error.clone());
        Err(error)
    }
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

#[cfg(test)]
mod tests;
