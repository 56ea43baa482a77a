//! Snapshots that can be restored as a whole: sound ones stay byte for byte, one that lacks something is replaced by one without that, and one
//! that cannot be read goes. Everything lost is named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::tree::{Change, Changes, Repaired, TreeRepair};
use super::{finding, header};
use crate::blob::{BlobType, PackedBlob};
use crate::blobs::BlobReader;
use crate::file::FileType;
use crate::id::Id;
use crate::index::Index;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::{INCOMPLETE, Snapshot, Snapshots};
use crate::{Error, ErrorKind, Result, parallel};

/// Marks a snapshot that is not as it was written.
const REPAIRED: &str = "repaired";

/// What becomes of a snapshot that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It cannot be read, or its root cannot, and goes.
    Dropped(String),
    /// It, or a directory in it, can be read and makes no sense to this program, which leaves it alone: it may be of a newer one.
    NotUnderstood(String),
    /// It goes, and the snapshot `new` without what is lost comes in its place; `None` in a dry run.
    Replaced {
        /// The snapshot that is there now.
        new: Option<Id>,
        /// What it lacks.
        changes: Vec<Change>,
    },
}

/// A snapshot that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRepair {
    /// Which.
    pub id: Id,
    /// What it says, where that can be read.
    pub snapshot: Option<Snapshot>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What was found, and changed unless it was a dry run.
#[derive(Debug, Clone, Default)]
pub struct SnapshotsRepair {
    /// How many snapshots are sound, and were not touched.
    pub sound: usize,
    /// The others.
    pub repairs: Vec<SnapshotRepair>,
}

/// Repairs all snapshots, alone in the repository.
pub fn repair_snapshots(
    repository: &Arc<Repository>,
    dry_run: bool,
    progress: &Progress,
) -> Result<SnapshotsRepair> {
    let lock = match dry_run {
        true => Lock::for_reading(repository, progress)?,
        false => Some(Lock::exclusive(repository)?),
    };
    let snapshots = repository.snapshots()?;
    let index = Arc::new(Index::load(repository, progress)?);
    progress.step("listing packs");
    let packs: HashMap<Id, u64> = repository.list(FileType::Pack)?.into_iter().collect();
    ensure_packs_are_there(repository, &index, &packs)?;
    let reader = BlobReader::new(Arc::clone(repository), index);
    progress.step("following snapshots");
    let writing = lock.as_ref().filter(|_| !dry_run);
    let mut trees = TreeRepair::new(&reader, progress, writing)?;
    let mut done = SnapshotsRepair::default();
    for (id, error) in &snapshots.problems {
        let fate = fate_of_unreadable(repository, id, error)?;
        done.repairs.push(SnapshotRepair {
            id: *id,
            snapshot: None,
            fate,
        });
    }
    let mut replaced: HashMap<Id, Snapshot> = HashMap::new();
    for (id, snapshot) in &snapshots.good {
        let mut changes = Changes::default();
        let fate = match trees.repair(&snapshot.tree, &mut changes)? {
            Repaired::Sound => {
                done.sound += 1;
                continue;
            }
            Repaired::Unreadable(why) => Fate::Dropped(format!("its root is lost: {why}")),
            Repaired::NotUnderstood(why) => Fate::NotUnderstood(why),
            Repaired::Replaced(tree) => {
                replaced.insert(*id, without_lost(id, snapshot, tree, &changes));
                Fate::Replaced {
                    new: None,
                    changes: in_source(snapshot, changes.named),
                }
            }
        };
        done.repairs.push(SnapshotRepair {
            id: *id,
            snapshot: Some(snapshot.clone()),
            fate,
        });
    }
    ensure_lost(&reader, &packs, trees.lost(), progress)?;
    if let Some(lock) = writing.filter(|_| !done.repairs.is_empty()) {
        progress.step("replacing snapshots");
        // What the new snapshots need is durable before the first of them is.
        trees.finish()?;
        for repair in &mut done.repairs {
            progress.check_cancelled()?;
            lock.ensure_held()?;
            let new = replaced.get(&repair.id);
            carry_out(repository, &snapshots, repair, new, lock)?;
        }
    }
    if let Some(lock) = lock {
        lock.release()?;
    }
    Ok(done)
}

/// The index must not promise what is not there: files would be taken for sound that are lost.
fn ensure_packs_are_there(
    repository: &Repository,
    index: &Index,
    packs: &HashMap<Id, u64>,
) -> Result<()> {
    for pack in index.packs() {
        let how = match packs.get(&pack.id) {
            None => "is missing",
            Some(size) if *size <= pack.blobs_end => "is too short",
            Some(_) => continue,
        };
        let what = format!("pack {} {how}, and the index names it", pack.id.short());
        return Err(index_comes_first(repository, what));
    }
    Ok(())
}

/// Nothing of what is `lost` may lie in a pack that no index object names. Where one of these is gone, the backups are sound all the same.
fn ensure_lost(
    reader: &BlobReader,
    packs: &HashMap<Id, u64>,
    lost: &HashSet<(BlobType, Id)>,
    progress: &Progress,
) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    progress.step("asking packs that no index names");
    let repository = reader.repository();
    let indexed: HashSet<Id> = reader.index().packs().iter().map(|pack| pack.id).collect();
    let mut asked: Vec<(&Id, &u64)> = packs
        .iter()
        .filter(|(id, _)| !indexed.contains(id))
        .collect();
    asked.sort_unstable();
    let threads = repository.destination().parallelism();
    parallel::for_each(threads, &asked, |(id, size)| {
        progress.check_cancelled()?;
        let blobs = match header::read(repository, id, **size) {
            // A repair of the index could not make use of it either.
            Err(error) if error.is_damage() => return Ok(()),
            blobs => blobs?,
        };
        let is_lost = |blob: &PackedBlob| lost.contains(&(blob.blob_type, blob.id));
        if !blobs.iter().any(is_lost) {
            return Ok(());
        }
        let what = format!(
            "pack {} holds what snapshots lack, and no index names it",
            id.short()
        );
        Err(index_comes_first(repository, what))
    })
}

fn index_comes_first(repository: &Repository, what: String) -> Error {
    let name = repository.name();
    Error::corrupted(what)
        .on(format!("repository {name}"))
        .hint(format!("run `strongroom repair index {name}` first"))
}

/// Only what is damaged goes. What could not be looked at again may be sound.
fn fate_of_unreadable(repository: &Repository, id: &Id, error: &Error) -> Result<Fate> {
    if error.kind() != ErrorKind::Corrupted {
        return Err(error.clone());
    }
    let why = finding("", error).message;
    match repository.load_plain(FileType::Snapshot, id) {
        Ok(_) => Ok(Fate::NotUnderstood(why)),
        Err(error) if error.is_damage() => Ok(Fate::Dropped(why)),
        Err(error) => Err(error),
    }
}

/// The changes with paths as people give them.
fn in_source(snapshot: &Snapshot, changes: Vec<Change>) -> Vec<Change> {
    let relative = |change: Change| Change {
        path: snapshot.path_in_source(&change.path).to_owned(),
        ..change
    };
    changes.into_iter().map(relative).collect()
}

/// The snapshot that takes the place of `id`.
fn without_lost(id: &Id, snapshot: &Snapshot, tree: Id, changes: &Changes) -> Snapshot {
    let mut new = snapshot.clone();
    new.tree = tree;
    new.original = Some(snapshot.original.unwrap_or(*id));
    for tag in [INCOMPLETE, REPAIRED] {
        if !new.tags.iter().any(|known| known == tag) {
            new.tags.push(tag.into());
        }
    }
    new.summary = new.summary.filter(|_| changes.directories == 0);
    if let Some(summary) = &mut new.summary {
        let (files, bytes) = (
            &mut summary.total_files_processed,
            &mut summary.total_bytes_processed,
        );
        *files = files.saturating_sub(changes.files);
        *bytes = bytes.saturating_sub(changes.bytes);
    }
    new
}

/// Nothing of it stays where somebody took the lock away meanwhile: what it needs may be gone.
fn save(repository: &Repository, snapshot: &Snapshot, lock: &Lock) -> Result<Id> {
    let object = repository.seal_object(snapshot)?;
    let id = object.sha256();
    let put = repository.put_object(FileType::Snapshot, &object);
    if let Err(error) = put.and_then(|()| lock.ensure_held()) {
        let _ = repository.delete(FileType::Snapshot, &id);
        return Err(error);
    }
    Ok(id)
}

/// The new one counts before the old one goes.
fn carry_out(
    repository: &Repository,
    snapshots: &Snapshots,
    repair: &mut SnapshotRepair,
    replacement: Option<&Snapshot>,
    lock: &Lock,
) -> Result<()> {
    match &mut repair.fate {
        Fate::NotUnderstood(_) => return Ok(()),
        Fate::Dropped(_) => {}
        Fate::Replaced { new, .. } => {
            let Some(replacement) = replacement else {
                return Ok(());
            };
            // A repair that was killed may have written it already.
            let there = snapshots.good.iter().find(|(_, it)| it == replacement);
            *new = Some(match there {
                Some((id, _)) => *id,
                None => save(repository, replacement, lock)?,
            });
        }
    }
    repository.delete(FileType::Snapshot, &repair.id)
}
