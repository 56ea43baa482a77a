//! restic's locks. Readers and writers share the repository; who deletes from it wants to be alone. A lock is an object that is refreshed
//! while its holder lives, so that both programs respect each other.
//!
//! # Why two that exclude each other do not both begin
//!
//! Each stores its lock, and looks for others once that has returned. Of two, one has stored last; when its look begins, the other's lock stands.
//! A listing names what stands all the time that it takes. So it can miss the other lock in three ways only:
//!
//! - It was *released*. Then its holder has done with all that it did, and whatever is read from now on (the index, the packs) says so. Nothing
//!   that the work relies on is read before the look.
//! - It was *refreshed*: the listing has passed the place of the new object when that comes, and comes to the place of the old one when that is
//!   gone. Our holders leave the old object beside the new one for longer than a listing may take ([`others`]'s `LISTED_WITHIN`): a
//!   listing that is shorter either begins after the new one stands or ends before the old one goes. A longer one is not believed. A name that is
//!   gone when it is read is no release but a reason to list again. restic removes the old object at once, every five minutes; who wants to be
//!   alone believes two listings in a row only.
//! - It was *passed over*. A lock counts for nothing when its process has ended, which can be known in the same boot of the same machine and the
//!   same space of process numbers only, or when it was not refreshed for 30 minutes by the destination's own clock, compared with our own
//!   lock. But then it is *removed* before anybody goes on, and its holder, if there is one, looks for it before and after each step that
//!   counts: it takes back what it has just stored, and ends.
//!
//! That holds for restic too: it stores, waits and lists. So no wait is needed between storing and looking where a listing names at once what was
//! stored. Where it does not (our own lock is missing in it), the look waits.
//!
//! What no lock can do is to stop a call that is on its way. Who sleeps for half an hour in the middle of one, while another one takes him for
//! dead, finds out when the call returns: an object that was stored is taken back, index objects that were removed are stored again. Only a pack
//! that he was removing at that moment is gone, and a snapshot stays that was stored by a process that was killed before it looked.

mod entry;
mod others;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::file::FileType;
use crate::id::Id;
use crate::machine::Ticking;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::source::Timestamp;
use crate::{Error, ErrorKind, Result};

use others::{LISTED_WITHIN, look, refuse_at_once};

pub use entry::{Holder, LockEntry, STALE_AFTER_SECONDS};
pub use others::{Judged, unlock};

/// A held lock. Refreshed by a thread of its own, and removed when dropped. From the first one on, SIGHUP does not end this process.
pub struct Lock {
    shared: Arc<Shared>,
    refresher: Option<JoinHandle<()>>,
}

/// When things happen. Tests have shorter ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long a look waits where our own lock is not listed yet.
    lag: Duration,
    /// How often the refreshing thread looks at the clock. Short, because a machine that slept wakes up with an old lock.
    tick: Duration,
    /// The age at which the lock is written anew.
    refresh_after: Duration,
    /// How long the old object stays beside the new one.
    linger: Duration,
    /// The age at which we stop relying on a lock that cannot be refreshed, well before others do.
    expires_after: Duration,
    /// A look at our own lock counts for so long, where only time has passed since.
    looked_within: Duration,
}

const TIMING: Timing = Timing {
    lag: Duration::from_millis(200),
    tick: Duration::from_secs(10),
    refresh_after: Duration::from_mins(5),
    linger: Duration::from_secs(60),
    expires_after: Duration::from_mins(20),
    looked_within: Duration::from_secs(1),
};

const _: () =
    assert!(TIMING.linger.as_secs() > LISTED_WITHIN.as_secs() + 2 * TIMING.tick.as_secs());

struct Shared {
    repository: Arc<Repository>,
    timing: Timing,
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    /// Changes with each refreshing.
    id: Id,
    exclusive: bool,
    /// When it was stored, and looked for the last time.
    stored: Duration,
    looked: Duration,
    /// What it was before it was refreshed, and when it was.
    old: Option<(Id, Duration)>,
    /// Once lost, it stays lost, whoever found it out: somebody may have deleted what we rely on.
    lost: Option<Error>,
    is_released: bool,
}

impl Lock {
    /// For reading and adding. Fails with [`ErrorKind::Locked`] while somebody wants to be alone.
    ///
    /// What the holder relies on is to be read after this.
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
        let mut lock = Self::take(repository, exclusive, timing)?;
        let ticking: Arc<dyn Ticking> = lock.shared.clone();
        if repository.machine().calls(Arc::downgrade(&ticking)) {
            return Ok(lock);
        }
        let shared = lock.shared.clone();
        let refresher = std::thread::Builder::new()
            .name("lock".into())
            .spawn(move || shared.keep_fresh())
            .map_err(Error::no_thread)?;
        lock.refresher = Some(refresher);
        Ok(lock)
    }

    /// A lock that nobody refreshes.
    fn take(repository: &Arc<Repository>, exclusive: bool, timing: Timing) -> Result<Self> {
        survive_probing()?;
        refuse_at_once(repository, exclusive)?;
        let machine = repository.machine();
        let stored = machine.uptime();
        let id = save(repository, &LockEntry::on(machine, exclusive))?;
        // From here on, dropping it removes the object.
        let lock = Self {
            shared: Arc::new(Shared {
                repository: repository.clone(),
                timing,
                state: Mutex::new(State {
                    id,
                    exclusive,
                    stored,
                    looked: stored,
                    old: None,
                    lost: None,
                    is_released: false,
                }),
                released: Condvar::new(),
            }),
            refresher: None,
        };
        look(repository, exclusive, &[id], timing.lag)?;
        Ok(lock)
    }

    /// Fails with [`ErrorKind::Failed`] where the lock has vanished, or could not be refreshed for 20 minutes: others may have deleted what
    /// we rely on. To be asked before anything is written that makes a backup count, and after it: what was written is to be taken back then.
    pub fn ensure_held(&self) -> Result<()> {
        self.shared.ensure_held(&mut self.shared.state())
    }

    /// As [`ensure_held`](Self::ensure_held), where that was asked a second ago at the longest it is not asked again: between steps of which each is
    /// short.
    pub(crate) fn ensure_held_lately(&self) -> Result<()> {
        let mut state = self.shared.state();
        if let Some(error) = &state.lost {
            return Err(error.clone());
        }
        let since = self.shared.uptime().saturating_sub(state.looked);
        match since <= self.shared.timing.looked_within {
            true => Ok(()),
            false => self.shared.ensure_held(&mut state),
        }
    }

    /// When the lock was stored, by the destination's clock, where that tells: what time it is there.
    pub(crate) fn stored_at(&self) -> Result<Option<Timestamp>> {
        let id = self.id();
        let found = self.shared.repository.stat(FileType::Lock, &id)?;
        Ok(found.and_then(|found| found.modified))
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
        let (id, old, exclusive) = {
            let state = self.shared.state();
            (state.id, state.old, state.exclusive)
        };
        let old_deleted = old.map_or(Ok(()), |(old, _)| repository.delete(FileType::Lock, &old));
        let deleted = repository.delete(FileType::Lock, &id).and(old_deleted);
        if deleted.is_ok() && exclusive {
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

impl Ticking for Shared {
    fn tick(&self) {
        if let Ok(mut state) = self.state.try_lock()
            && !state.is_released
            && state.lost.is_none()
        {
            self.tend(&mut state);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uptime(&self) -> Duration {
        self.repository.machine().uptime()
    }

    fn keep_fresh(&self) {
        let mut state = self.state();
        while !state.is_released && state.lost.is_none() {
            self.tend(&mut state);
            state = self
                .released
                .wait_timeout(state, self.timing.tick)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// What is due at a tick. What fails is tried again at the next one, until the lock expires.
    fn tend(&self, state: &mut State) {
        let now = self.uptime();
        if let Some((old, since)) = state.old
            && now.saturating_sub(since) > self.timing.linger
            && self.repository.delete(FileType::Lock, &old).is_ok()
        {
            state.old = None;
        }
        if state.old.is_none() && now.saturating_sub(state.stored) >= self.timing.refresh_after {
            let _ = self.refresh(state);
        }
    }

    /// Stores a new object. The old one stays for a while, so that a listing that is under way names one of them.
    fn refresh(&self, state: &mut State) -> Result<()> {
        self.look_for(state)?;
        if let Some((older, _)) = state.old.take() {
            self.repository.delete(FileType::Lock, &older)?;
        }
        let began = self.uptime();
        let entry = LockEntry::on(self.repository.machine(), state.exclusive);
        let id = save(&self.repository, &entry)?;
        // Somebody who took us for dead may have looked before the new one stood. He has removed the old one then.
        if self.repository.stat(FileType::Lock, &state.id)?.is_none() {
            self.repository.delete(FileType::Lock, &id)?;
            return Err(self.lose(state, "was removed by somebody else"));
        }
        let old = std::mem::replace(&mut state.id, id);
        state.stored = began;
        state.old = Some((old, self.uptime()));
        Ok(())
    }

    fn ensure_held(&self, state: &mut State) -> Result<()> {
        if let Some(error) = &state.lost {
            return Err(error.clone());
        }
        self.look_for(state)?;
        let age = self.uptime().saturating_sub(state.stored);
        if age < self.timing.expires_after {
            return Ok(());
        }
        // This machine slept, and nobody has taken the lock for a dead one's meanwhile.
        self.refresh(state).map_err(|error| {
            let how = "could not be refreshed for 20 minutes";
            self.lose(state, how).caused_by(error)
        })
    }

    /// Whether it still lies there: who passes it over removes it first.
    fn look_for(&self, state: &mut State) -> Result<()> {
        if let Some(error) = &state.lost {
            return Err(error.clone());
        }
        let began = self.uptime();
        if self.repository.stat(FileType::Lock, &state.id)?.is_none() {
            return Err(self.lose(state, "was removed by somebody else"));
        }
        state.looked = began;
        Ok(())
    }

    fn lose(&self, state: &mut State, how: &str) -> Error {
        let message = format!("the lock of repository {} {how}", self.repository.name());
        let error = Error::new(ErrorKind::Failed, message).hint(match state.exclusive {
            true => "what was done so far is whole; run it again",
            false => "nothing was made to count; run it again",
        });
        state.lost = Some(error.clone());
        error
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
