//! Carrying out a plan. The order is what makes it safe to be killed: new packs, new index, old index gone, old packs gone. Packs that no index
//! names go before all that: it may need their room.

use super::inventory::Inventory;
use super::plan::Plan;
use super::repack::repack;
use crate::blob::PackedBlob;
use crate::file::FileType;
use crate::id::Id;
use crate::index::{BLOBS_PER_FILE, IndexFile, IndexPack, IndexWriter};
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::{Result, parallel};

/// So many objects are removed before the lock is looked at again.
const BETWEEN_LOOKS: usize = 64;

/// So many packs are described at once, where the old index has to be stored again.
const PACKS_AT_ONCE: usize = 256;

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
        let removed = remove(repository, FileType::Index, &old, lock, progress);
        if let Err(error) = removed.and_then(|()| lock.ensure_held()) {
            // Somebody may have passed our lock over, and rely on what the old index said.
            describe(inventory, &[&*plan.repack, &plan.remove].concat());
            return Err(error);
        }
    }
    let unneeded = [of(&plan.repack), of(&plan.remove)].concat();
    progress.step("removing packs");
    remove(repository, FileType::Pack, &unneeded, lock, progress)?;
    Ok(written_bytes)
}

/// Stores again what the old index said of packs that the new one does not name. They are all there still. It may fail, as what failed before did.
fn describe(inventory: &Inventory, numbers: &[usize]) {
    let describe = |number: &usize| {
        let pack = inventory.packs().get(*number)?;
        let blobs: Vec<PackedBlob> = inventory.blobs(*number).map(|(blob, _)| blob).collect();
        Some(IndexPack::new(pack.id, &blobs))
    };
    for some in numbers.chunks(PACKS_AT_ONCE) {
        let file = IndexFile {
            supersedes: Vec::new(),
            packs: some.iter().filter_map(describe).collect(),
        };
        let _ = inventory
            .reader()
            .repository()
            .save_json(FileType::Index, &file);
    }
}

/// Whether the index is worth writing anew although it would say the same: a prune was killed between two index objects, or every backup has
/// left a small one.
fn needs_tidying(inventory: &Inventory) -> bool {
    let index = inventory.reader().index();
    index.repetitions() > 0 || index.files().len() > 8 + 2 * index.len() / BLOBS_PER_FILE
}

/// Removes objects, several at a time, as long as nobody has taken the lock away.
pub(crate) fn remove(
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
        parallel::for_each(threads, some, |id| {
            // This machine may have slept since the last one.
            lock.ensure_held_lately()?;
            repository.delete(file_type, id)
        })?;
    }
    Ok(())
}
