//! Listings made ahead: which directories are waiting, which are being listed, which are ready, and how much of that there may be.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::listing::{Scratch, list};
use super::{Directory, DirectoryListing, Ground};

/// How many listings may be ready or in the making, and above how many entries in ready ones no more is begun: about 15 MB.
const MOST_LISTINGS: usize = 1024;
const MOST_ENTRIES: usize = 65_536;

pub(super) struct Prefetch {
    ground: Ground,
    state: Mutex<State>,
    /// Told of new directories and of space for listings.
    work: Condvar,
    /// Told of every listing that became ready.
    ready: Condvar,
    /// For whoever lists a directory without being a helper.
    scratches: Mutex<Vec<Scratch>>,
}

#[derive(Default)]
struct State {
    waiting: BinaryHeap<Waiting>,
    slots: HashMap<usize, Slot>,
    listings: usize,
    entries: usize,
    closed: bool,
}

/// By the key of a directory, which stays the same because somebody holds the directory: the heap, a helper, or the slot itself.
enum Slot {
    Waiting,
    Listing,
    Ready(
        #[expect(
            dead_code,
            reason = "as long as it lives, no other directory has its key"
        )]
        Directory,
        DirectoryListing,
    ),
}

/// The next in the walk's order is the greatest.
struct Waiting(Directory);

impl Prefetch {
    /// Listings are made ahead only if there will be threads that [`help`](Self::help).
    pub(super) fn new(ground: Ground, helped: bool) -> Self {
        Self {
            ground,
            state: Mutex::new(State {
                closed: !helped,
                ..State::default()
            }),
            work: Condvar::new(),
            ready: Condvar::new(),
            scratches: Mutex::default(),
        }
    }

    pub(super) fn ground(&self) -> &Ground {
        &self.ground
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the listing that is ready, waits for the one in the making, or makes it.
    pub(super) fn list(&self, directory: &Directory) -> DirectoryListing {
        if let Some(listing) = self.take(directory) {
            self.work.notify_one();
            return listing;
        }
        let mut scratches = self
            .scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut scratch = scratches.pop().unwrap_or_else(Scratch::new);
        drop(scratches);
        let listing = list(&self.ground, directory, &mut scratch);
        let mut scratches = self
            .scratches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        scratches.push(scratch);
        drop(scratches);
        if self.state().offer(&listing) {
            self.work.notify_all();
        }
        listing
    }

    fn take(&self, directory: &Directory) -> Option<DirectoryListing> {
        let mut state = self.state();
        loop {
            match state.slots.remove(&directory.key())? {
                // Its place in the heap stays behind, and means nothing without the slot.
                Slot::Waiting => return None,
                Slot::Ready(_, listing) => {
                    state.listings -= 1;
                    state.entries -= listing.entries.len();
                    return Some(listing);
                }
                Slot::Listing => {
                    state.slots.insert(directory.key(), Slot::Listing);
                    state = self
                        .ready
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    pub(super) fn skip(&self, directory: &Directory) {
        let mut skipped = vec![directory.clone()];
        while let Some(directory) = skipped.pop() {
            if let Some(listing) = self.take(&directory) {
                let directories = listing.entries.into_iter();
                skipped.extend(directories.filter_map(|found| found.directory));
            }
        }
        self.work.notify_all();
    }

    /// The life of a helper thread.
    pub(super) fn help(&self) {
        let mut scratch = Scratch::new();
        while let Some(directory) = self.next() {
            // Should listing panic, whoever waits for it must not wait for ever.
            let unfinished = Unfinished(self, &directory);
            let listing = list(&self.ground, &directory, &mut scratch);
            std::mem::forget(unfinished);
            let mut state = self.state();
            let offered = state.offer(&listing);
            state.entries += listing.entries.len();
            let key = directory.key();
            state.slots.insert(key, Slot::Ready(directory, listing));
            drop(state);
            self.ready.notify_all();
            if offered {
                self.work.notify_all();
            }
        }
    }

    /// Waits for a directory to list; `None` when the walk is over.
    fn next(&self) -> Option<Directory> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if state.listings < MOST_LISTINGS
                && state.entries < MOST_ENTRIES
                && let Some(Waiting(directory)) = state.waiting.pop()
            {
                match state.slots.get_mut(&directory.key()) {
                    Some(slot @ Slot::Waiting) => {
                        *slot = Slot::Listing;
                        state.listings += 1;
                        return Some(directory);
                    }
                    _ => continue,
                }
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
    }
}

impl State {
    /// Puts the sub-directories of a listing into the queue. Says whether there were any.
    fn offer(&mut self, listing: &DirectoryListing) -> bool {
        if self.closed {
            return false;
        }
        let before = self.waiting.len();
        for found in &listing.entries {
            if let Some(directory) = &found.directory {
                self.slots.insert(directory.key(), Slot::Waiting);
                self.waiting.push(Waiting(directory.clone()));
            }
        }
        self.waiting.len() > before
    }
}

/// Gives a directory back to whoever asks for it when its helper ended without a listing.
struct Unfinished<'a>(&'a Prefetch, &'a Directory);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.slots.remove(&self.1.key());
        state.listings -= 1;
        drop(state);
        self.0.ready.notify_all();
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.turn(&self.0)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Waiting {}
