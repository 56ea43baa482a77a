//! Which blobs are needed: the trees of all snapshots in, one bit for each blob of the index out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::progress::Progress;
use crate::snapshot::Snapshot;
use crate::tree::Tree;
use crate::{Error, Result};

/// A set of the numbers that the index gives to blobs.
pub(super) struct Used(Vec<AtomicU64>);

impl Used {
    fn new(count: usize) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// True where it was not in the set before.
    fn insert(&self, number: u32) -> bool {
        let bit = 1 << (number % 64);
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word.fetch_or(bit, Relaxed) & bit == 0)
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word.load(Relaxed) & (1 << (number % 64)) != 0)
    }
}

/// Follows every tree of `snapshots`, each once. Fails at the first tree that cannot be read and at the first blob that is in no pack: what
/// else would be needed is not known then.
pub(super) fn find(
    reader: &BlobReader,
    snapshots: &[(Id, Snapshot)],
    progress: &Progress,
) -> Result<Used> {
    progress.step("finding what backups need");
    let walk = Walk {
        reader,
        snapshots,
        progress,
        used: Used::new(reader.index().len()),
        state: Mutex::default(),
        changed: Condvar::new(),
    };
    for (number, (_, snapshot)) in snapshots.iter().enumerate() {
        let found = walk.enter(number, &snapshot.tree)?;
        walk.state().open.extend(found);
    }
    let threads = reader.repository().destination().parallelism().max(1);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Those that there are do the work; in the worst case, this one.
            if Builder::new().spawn_scoped(scope, || walk.run()).is_err() {
                break;
            }
        }
        walk.run();
    });
    let state = walk.state.into_inner();
    match state.unwrap_or_else(PoisonError::into_inner).failure {
        Some(error) => Err(error),
        None => Ok(walk.used),
    }
}

/// A tree, and the number of the first snapshot that led to it.
type Open = (usize, Id);

struct Walk<'a> {
    reader: &'a BlobReader,
    snapshots: &'a [(Id, Snapshot)],
    progress: &'a Progress,
    used: Used,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    /// Threads that may still find more.
    busy: usize,
    failure: Option<Error>,
}

impl Walk<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some((snapshot, tree)) = self.next() {
            let found = self.follow(snapshot, &tree);
            let mut state = self.state();
            state.busy -= 1;
            match found {
                Ok(found) => state.open.extend(found),
                Err(error) => {
                    state.failure.get_or_insert(error);
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits while there is nothing to do but others may find something.
    fn next(&self) -> Option<Open> {
        let mut state = self.state();
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(open) = state.open.pop() {
                state.busy += 1;
                return Some(open);
            }
            if state.busy == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Marks what a tree names, and returns the trees below it that nobody has seen.
    fn follow(&self, snapshot: usize, tree: &Id) -> Result<Vec<Open>> {
        self.progress.check_cancelled()?;
        let tree: Tree = self
            .reader
            .tree(tree)
            .map_err(|error| self.stopped(snapshot, error))?;
        let mut found = Vec::new();
        for node in &tree.nodes {
            for blob in node.content.iter().flatten() {
                self.mark(snapshot, BlobType::Data, blob)?;
            }
            if let Some(subtree) = &node.subtree {
                found.extend(self.enter(snapshot, subtree)?);
            }
        }
        Ok(found)
    }

    /// The tree, where nobody has seen it.
    fn enter(&self, snapshot: usize, tree: &Id) -> Result<Option<Open>> {
        let is_new = self.mark(snapshot, BlobType::Tree, tree)?;
        Ok(is_new.then_some((snapshot, *tree)))
    }

    fn mark(&self, snapshot: usize, blob_type: BlobType, id: &Id) -> Result<bool> {
        match self.reader.index().number(blob_type, id) {
            Some(number) => Ok(self.used.insert(number)),
            None => {
                let missing = self.reader.locate(blob_type, id).err();
                Err(missing.map_or_else(Error::cancelled, |error| self.stopped(snapshot, error)))
            }
        }
    }

    /// An error that damage causes, with the snapshot where it was met.
    fn stopped(&self, snapshot: usize, error: Error) -> Error {
        if !error.is_damage() {
            return error;
        }
        let name = self.reader.repository().name();
        let id = self.snapshots.get(snapshot).map(|(id, _)| id.short());
        error
            .on(format!("snapshot {}", id.unwrap_or_default()))
            .hint(format!(
                "nothing was removed; `strongroom check {name}` names all that is damaged, `strongroom repair snapshots {name}` saves what is left"
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let used = Used::new(130);
        for number in [0, 63, 64, 129] {
            assert!(!used.contains(number));
            assert!(used.insert(number), "{number} is new");
            assert!(
                !used.insert(number) && used.contains(number),
                "{number} is known"
            );
        }
        assert!(!used.contains(1) && !used.insert(1000));
    }
}
