//! Carrying out a plan. The order is what makes it safe to be killed: new packs, new index, old index gone, old packs gone. Packs that no index
//! names go before all that: it may need their room.

use super::inventory::Inventory;
use super::plan::Plan;
use super::repack::repack;
use crate::blob::PackedBlob;
use crate::file::FileType;
use crate::id::Id;
use crate::index::{BLOBS_PER_FILE, IndexPack, IndexWriter};
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::{Result, parallel};

/// So many objects are removed before the lock is looked at again.
const BETWEEN_LOOKS: usize = 64;

/// Carries out `plan` under `lock`, and returns how many bytes of new packs were written.
pub(super) fn execute(
    inventory: &Inventory,
    plan: &Plan,
    lock: &Lock,
    progress: &Progress,
) -> Result<u64> {
    let packs = inventory.packs();
    let of = |numbers: &[usize]| -> Vec<Id> {
        let chosen = numbers.iter().filter_map(|number| packs.get(*number));
        chosen.map(|pack| pack.id).collect()
    };
    let repository = inventory.reader().repository();
    progress.step("removing packs of runs that did not finish");
    remove(repository, FileType::Pack, &plan.orphans, lock, progress)?;
    progress.step("copying what is used");
    let figures = &plan.figures;
    progress.begin_part();
    progress.expect(Some(figures.repack.bytes), Some(figures.repack.packs));
    let repacked = repack(inventory, &plan.repack, lock, progress)?;
    let written_bytes = repacked.bytes;
    if plan.changes_index() || needs_tidying(inventory) {
        progress.step("writing the new index");
        let mut writer = IndexWriter::new(repository, lock);
        for pack in repacked.packs {
            writer.add(pack)?;
        }
        for number in &plan.keep {
            progress.check_cancelled()?;
            let blobs: Vec<PackedBlob> = inventory.blobs(*number).map(|(blob, _)| blob).collect();
            if let Some(pack) = packs.get(*number) {
                writer.add(IndexPack::new(pack.id, &blobs))?;
            }
        }
        let new = writer.finish()?;
        let mut old = inventory.reader().index().files().to_vec();
        old.extend(repacked.index_files);
        old.retain(|id| !new.contains(id));
        progress.step("removing the old index");
        remove(repository, FileType::Index, &old, lock, progress)?;
    }
    let unneeded = [of(&plan.repack), of(&plan.remove)].concat();
    progress.step("removing packs");
    remove(repository, FileType::Pack, &unneeded, lock, progress)?;
    Ok(written_bytes)
}

/// Whether the index is worth writing anew although it would say the same: a prune was killed between two index objects, or every backup has
/// left a small one.
fn needs_tidying(inventory: &Inventory) -> bool {
    let index = inventory.reader().index();
    index.repetitions() > 0 || index.files().len() > 8 + 2 * index.len() / BLOBS_PER_FILE
}

/// Removes objects, several at a time, as long as nobody has taken the lock away.
pub(super) fn remove(
    repository: &Repository,
    file_type: FileType,
    ids: &[Id],
    lock: &Lock,
    progress: &Progress,
) -> Result<()> {
    let threads = repository.destination().parallelism();
    for some in ids.chunks(BETWEEN_LOOKS) {
        progress.check_cancelled()?;
        lock.ensure_held()?;
        parallel::for_each(threads, some, |id| repository.delete(file_type, id))?;
    }
    Ok(())
}
