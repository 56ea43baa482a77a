//! Who works in the repository: our own writers, pruners and repairers, through the code that everybody runs, and restic as its protocol has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::world::{Chance, Station};
use crate::backup::Target;
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::buffer::Pool;
use crate::destination::Body;
use crate::encode::Encoder;
use crate::file::FileType;
use crate::forget::forget;
use crate::id::Id;
use crate::index::{Index, IndexFile, IndexPack};
use crate::lock::{Lock, LockEntry};
use crate::machine::Machine;
use crate::pack::PackBuilder;
use crate::progress::Progress;
use crate::prune::{MaxUnused, PruneOptions, prune};
use crate::repair::{IndexRepairOptions, repair_index, repair_snapshots};
use crate::repository::Repository;
use crate::snapshot::Snapshot;
use crate::tree::{Node, NodeType, TreeEncoder};
use crate::{Error, ErrorKind, Result};

/// What a party does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    /// Snapshots one by one, as a copy writes them.
    Copier,
    Pruner,
    IndexRepairer,
    SnapshotRepairer,
    ResticWriter,
    ResticPruner,
}

/// What became of it, where it was not killed.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Snapshots that it says are there.
    pub(super) written: Vec<Id>,
    /// Snapshots that it says it removed, or began to.
    pub(super) forgotten: Vec<Id>,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Copier => "copier",
            Self::Pruner => "pruner",
            Self::IndexRepairer => "index repairer",
            Self::SnapshotRepairer => "snapshot repairer",
            Self::ResticWriter => "restic backup",
            Self::ResticPruner => "restic prune",
        }
    }

    /// restic promises nothing to a machine that slept for half an hour.
    pub(super) fn stalls_at_most(self) -> Duration {
        match self {
            Self::ResticWriter | Self::ResticPruner => Duration::from_mins(10),
            _ => Duration::from_hours(1),
        }
    }

    pub(super) fn is_restic(self) -> bool {
        matches!(self, Self::ResticWriter | Self::ResticPruner)
    }

    /// Does what it does, with what `chance` says. What it did counts also where it failed.
    pub(super) fn act(
        self,
        station: &Arc<Station>,
        repository: &Arc<Repository>,
        mut chance: Chance,
        done: &mut Done,
    ) -> Result<()> {
        let progress = Arc::new(Progress::default());
        let blobs = |chance: &mut Chance| -> Vec<u64> {
            (0..1 + chance.below(3))
                .map(|_| chance.below(CONTENTS))
                .collect()
        };
        match self {
            Self::Writer => {
                let written = back_up(repository, &[blobs(&mut chance)], &progress)?;
                done.written.extend(written);
            }
            Self::Copier => {
                let several = [blobs(&mut chance), blobs(&mut chance)];
                copy(repository, &several, &progress, done)?;
            }
            Self::Pruner => {
                if chance.once_in(2) {
                    let lock = Lock::exclusive(repository)?;
                    let snapshots = repository.snapshots()?.good;
                    let chosen: Vec<Id> = match snapshots.is_empty() {
                        true => Vec::new(),
                        false => vec![chance.pick(&snapshots).0],
                    };
                    done.forgotten.extend(&chosen);
                    forget(repository, &lock, &chosen, &progress)?;
                    lock.release()?;
                }
                let options = PruneOptions {
                    max_unused: *chance.pick(&[MaxUnused::Bytes(0), MaxUnused::Unlimited]),
                    grace: Duration::ZERO,
                    ..PruneOptions::default()
                };
                prune(repository, &options, &progress)?;
            }
            Self::IndexRepairer => {
                let options = IndexRepairOptions {
                    all: chance.once_in(2),
                    ..IndexRepairOptions::default()
                };
                repair_index(repository, options, &progress)?;
            }
            Self::SnapshotRepairer => {
                repair_snapshots(repository, false, &progress)?;
            }
            Self::ResticWriter => {
                let restic = Restic::lock(station, repository, false)?;
                let written = restic.back_up(&blobs(&mut chance));
                done.written.extend(restic.release(written)?);
            }
            Self::ResticPruner => {
                let restic = Restic::lock(station, repository, true)?;
                let pruned = restic.prune();
                restic.release(pruned)?;
            }
        }
        Ok(())
    }
}

/// So many contents there are in the world.
pub(super) const CONTENTS: u64 = 6;

fn content(number: u64) -> Vec<u8> {
    let mut chance = Chance(number);
    (0..40).flat_map(|_| chance.next().to_le_bytes()).collect()
}

fn tree_of(blobs: &[u64]) -> Result<Vec<u8>> {
    let mut blobs = blobs.to_vec();
    blobs.sort_unstable();
    blobs.dedup();
    let mut tree = TreeEncoder::new(Vec::new());
    for blob in blobs {
        let mut node = Node::new(format!("file-{blob}"), NodeType::File);
        let content = content(blob);
        node.size = content.len() as u64;
        node.content = Some(vec![Id::of(&content)]);
        tree.push(&node)?;
    }
    Ok(tree.finish())
}

fn snapshot_of(repository: &Repository, tree: Id) -> Snapshot {
    let json = serde_json::json!({"time": repository.machine().now(), "tree": tree});
    serde_json::from_value(json).expect("is a snapshot")
}

/// Sends what is missing of a tree, each blob in a pack of its own, and says what the tree is.
fn send(target: &Target, blobs: &[u64]) -> Result<Id> {
    let key = target.repository().key();
    let mut encoder = Encoder::new()?;
    for blob in blobs {
        let content = content(*blob);
        let id = Id::of(&content);
        if target.claim(BlobType::Data, &id) {
            let mut pack = PackBuilder::new(target.pack_buffer());
            let prepared = encoder.prepare(target.repository(), &content)?;
            prepared.add_to(&mut pack, key, BlobType::Data, id)?;
            target.send(pack)?;
        }
    }
    let tree = tree_of(blobs)?;
    let id = Id::of(&tree);
    if target.claim(BlobType::Tree, &id) {
        let prepared = encoder.prepare(target.repository(), &tree)?;
        target.with_tree_pack(|pack| prepared.add_to(pack, key, BlobType::Tree, id))?;
    }
    Ok(id)
}

/// Backs up several sources in one run.
pub(super) fn back_up(
    repository: &Arc<Repository>,
    sources: &[Vec<u64>],
    progress: &Arc<Progress>,
) -> Result<Vec<Id>> {
    let target = Target::without_threads(Arc::clone(repository), progress)?;
    let mut snapshots = Vec::new();
    for blobs in sources {
        let tree = send(&target, blobs)?;
        snapshots.push(snapshot_of(repository, tree));
    }
    target.finish_blobs()?;
    target.write_snapshots(&snapshots)
}

fn copy(
    repository: &Arc<Repository>,
    several: &[Vec<u64>],
    progress: &Arc<Progress>,
    done: &mut Done,
) -> Result<()> {
    let target = Target::without_threads(Arc::clone(repository), progress)?;
    let mut trees = Vec::new();
    for blobs in several {
        trees.push(send(&target, blobs)?);
        target.checkpoint()?;
    }
    target.finish_blobs()?;
    for tree in trees {
        let written = target.write_snapshots(&[snapshot_of(repository, tree)])?;
        done.written.extend(written);
    }
    Ok(())
}

/// All that a snapshot needs can be read.
pub(super) fn restores(repository: &Arc<Repository>, index: &Arc<Index>, tree: &Id) -> Result<()> {
    let reader = BlobReader::new(Arc::clone(repository), Arc::clone(index));
    for node in reader.tree(tree)?.nodes {
        reader.check_content(&node)?;
        for blob in node.content.iter().flatten() {
            reader.read(BlobType::Data, blob)?;
        }
    }
    Ok(())
}

/// restic at work, under its lock.
struct Restic<'a> {
    station: &'a Station,
    repository: &'a Arc<Repository>,
    exclusive: bool,
    lock: std::cell::Cell<(Id, Duration)>,
}

impl<'a> Restic<'a> {
    /// It stores its lock, and looks before, and again after a moment. It does not pass over stale locks.
    fn lock(
        station: &'a Station,
        repository: &'a Arc<Repository>,
        exclusive: bool,
    ) -> Result<Self> {
        Self::look(repository, exclusive, None)?;
        let id = repository.save_json(FileType::Lock, &LockEntry::on(station, exclusive))?;
        let restic = Self {
            station,
            repository,
            exclusive,
            lock: (id, station.uptime()).into(),
        };
        for _ in 0..2 {
            if let Err(error) = Self::look(repository, exclusive, Some(id)) {
                return restic.release(Err(error));
            }
            station.sleep(Duration::from_millis(200));
        }
        Ok(restic)
    }

    fn look(repository: &Repository, exclusive: bool, own: Option<Id>) -> Result<()> {
        for (id, _) in repository.list(FileType::Lock)? {
            if Some(id) == own {
                continue;
            }
            match repository.load_json::<LockEntry>(FileType::Lock, &id) {
                Ok(lock) if exclusive || lock.exclusive => {
                    return Err(Error::new(ErrorKind::Locked, "restic: locked"));
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Between two steps: every five minutes a new lock comes and the old one goes. A lock that was not refreshed in time ends it.
    fn tick(&self) -> Result<()> {
        let (id, since) = self.lock.get();
        let age = self.station.uptime().saturating_sub(since);
        if age > Duration::from_mins(22) {
            return Err(Error::new(
                ErrorKind::Failed,
                "restic: the lock was not refreshed",
            ));
        }
        if age > Duration::from_mins(5) {
            let entry = LockEntry::on(self.station, self.exclusive);
            if self.repository.stat(FileType::Lock, &id)?.is_none() {
                return Err(Error::new(ErrorKind::Failed, "restic: the lock is gone"));
            }
            let new = self.repository.save_json(FileType::Lock, &entry)?;
            self.lock.set((new, self.station.uptime()));
            self.repository.delete(FileType::Lock, &id)?;
        }
        Ok(())
    }

    fn release<T>(self, result: Result<T>) -> Result<T> {
        let _ = self.repository.delete(FileType::Lock, &self.lock.get().0);
        result
    }

    fn back_up(&self, blobs: &[u64]) -> Result<Vec<Id>> {
        let repository = self.repository;
        let index = Index::load(repository, &Progress::default())?;
        self.tick()?;
        let tree = tree_of(blobs)?;
        let mut wanted: Vec<(BlobType, Vec<u8>)> = blobs
            .iter()
            .map(|blob| (BlobType::Data, content(*blob)))
            .collect();
        wanted.push((BlobType::Tree, tree.clone()));
        let mut encoder = Encoder::new()?;
        let pool = Pool::new(1, 64 * 1024);
        let (mut packs, mut sent) = (Vec::new(), HashSet::new());
        for (blob_type, content) in wanted {
            let id = Id::of(&content);
            if index.contains(blob_type, &id) || !sent.insert(id) {
                continue;
            }
            let mut pack = PackBuilder::new(pool.take());
            let prepared = encoder.prepare(repository, &content)?;
            prepared.add_to(&mut pack, repository.key(), blob_type, id)?;
            packs.push(repository.save_pack(pack)?.0);
            self.tick()?;
        }
        self.write_index(packs)?;
        self.tick()?;
        let snapshot = repository.seal_object(&snapshot_of(repository, Id::of(&tree)))?;
        Ok(vec![self.station.put(FileType::Snapshot, &snapshot)?])
    }

    fn write_index(&self, packs: Vec<IndexPack>) -> Result<Option<Id>> {
        if packs.is_empty() {
            return Ok(None);
        }
        let file = IndexFile {
            supersedes: Vec::new(),
            packs,
        };
        let object: Body = self.repository.seal_object(&file)?;
        self.station.put(FileType::Index, &object).map(Some)
    }

    /// Packs that hold nothing used go: a new index first, then the old one, then they.
    fn prune(&self) -> Result<()> {
        let repository = self.repository;
        let index = Arc::new(Index::load(repository, &Progress::default())?);
        let reader = BlobReader::new(Arc::clone(repository), Arc::clone(&index));
        let mut used = HashSet::new();
        for (_, snapshot) in repository.snapshots()?.good {
            used.insert(snapshot.tree);
            for node in reader.tree(&snapshot.tree)?.nodes {
                used.extend(node.content.into_iter().flatten());
            }
            self.tick()?;
        }
        let mut kept = HashSet::new();
        let mut packs = Vec::new();
        for pack in index.packs() {
            let held = index.places().filter(|it| it.pack == pack.id);
            let blobs: Vec<_> = held.map(|it| it.blob).collect();
            if blobs.iter().any(|blob| used.contains(&blob.id)) {
                packs.push(IndexPack::new(pack.id, &blobs));
                kept.insert(pack.id);
            }
        }
        let listed = repository.list(FileType::Pack)?;
        let new = self.write_index(packs)?;
        for old in index.files() {
            if Some(*old) != new {
                self.tick()?;
                repository.delete(FileType::Index, old)?;
            }
        }
        for (pack, _) in listed {
            if !kept.contains(&pack) {
                self.tick()?;
                repository.delete(FileType::Pack, &pack)?;
            }
        }
        Ok(())
    }
}
