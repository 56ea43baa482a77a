//! Forgetting: snapshots' ids in, their objects gone. The data that only they needed stays until it is pruned.

use crate::Result;
use crate::file::FileType;
use crate::id::Id;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;

/// How many are removed between two looks at the lock and at whether the user has cancelled.
const AT_ONCE: usize = 100;

/// Removes `snapshots` under `lock`, which is exclusive, one after another: none goes before all those in front of it are gone, because
/// what retention would keep of the rest depends on that. Whoever is interrupted here can go on later.
pub fn forget(
    repository: &Repository,
    lock: &Lock,
    snapshots: &[Id],
    progress: &Progress,
) -> Result<()> {
    progress.step("forgetting");
    progress.begin_part();
    progress.expect(None, Some(snapshots.len() as u64));
    for some in snapshots.chunks(AT_ONCE) {
        progress.check_cancelled()?;
        lock.ensure_held()?;
        for id in some {
            // This machine may have slept since the last one.
            lock.ensure_held_lately()?;
            repository.delete(FileType::Snapshot, id)?;
            progress.advance(0, 1);
        }
    }
    Ok(())
}
