//! What to send: the missing snapshots, both indexes and the source's trees in; packs with the blobs that are wanted of each out.
//!
//! Every tree is followed, also one that the target holds: a copy that was interrupted leaves trees without all that they name.

use std::collections::{HashMap, HashSet};

use crate::blob::{BlobType, PackedBlob};
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::index::{Index, Location};
use crate::pack;
use crate::progress::Progress;
use crate::snapshot::Snapshot;
use crate::tree::NodeType;
use crate::{Error, Result};

use super::Volume;

/// No larger pack is sent whole, because all of it is held in memory.
const MAX_WHOLE_PACK: u64 = 32 * 1024 * 1024;

/// What is to be done.
#[derive(Default)]
pub(super) struct Plan {
    /// In the order in which they are to be written.
    pub(super) snapshots: Vec<(Id, Snapshot)>,
    /// In the order in which the snapshots need them.
    pub(super) packs: Vec<PackPlan>,
}

/// One pack of the source, and what is wanted of it.
pub(super) struct PackPlan {
    pub(super) pack: Id,
    /// In the order in which they lie there.
    pub(super) blobs: Vec<PackedBlob>,
    pub(super) blobs_end: u64,
    /// It becomes a pack of the target as it is.
    pub(super) is_whole: bool,
}

/// Snapshots that cannot be copied, and why.
pub(super) type Failed = Vec<(Id, Snapshot, Error)>;

/// Blobs that turned out to be damaged.
pub(super) type Lost = HashMap<(BlobType, Id), Error>;

impl Plan {
    /// Follows the trees of `missing`. A snapshot that is damaged is left out, with everything that only it needs.
    /// Only where packs `may_be_whole` are they sent as they are.
    pub(super) fn make(
        reader: &BlobReader,
        held: &Index,
        missing: Vec<(Id, Snapshot)>,
        may_be_whole: bool,
        progress: &Progress,
    ) -> Result<(Self, Failed)> {
        let mut plan = Self::default();
        let mut failed = Vec::new();
        let mut seen = HashSet::new();
        let mut wanted = HashSet::new();
        let mut packs: HashMap<Id, usize> = HashMap::new();
        for (id, snapshot) in missing {
            let mut new = Vec::new();
            let mut new_ids = HashSet::new();
            let followed = follow(reader, &snapshot, &seen, progress, |blob_type, blob| {
                let location = reader.locate(blob_type, blob)?;
                let key = (blob_type, *blob);
                if !held.contains(blob_type, blob) && !wanted.contains(&key) && new_ids.insert(key)
                {
                    new.push(location);
                }
                Ok(())
            });
            match followed {
                Ok(trees) => {
                    seen.extend(trees);
                    wanted.extend(new_ids);
                    plan.want(new, &mut packs);
                    plan.snapshots.push((id, snapshot));
                }
                Err(error) if error.is_damage() => failed.push((id, snapshot, error)),
                Err(error) => return Err(error),
            }
        }
        for pack in &mut plan.packs {
            pack.blobs.sort_unstable_by_key(|blob| blob.offset);
            pack.is_whole = may_be_whole && pack.is_all_wanted();
        }
        Ok((plan, failed))
    }

    fn want(&mut self, blobs: Vec<Location>, packs: &mut HashMap<Id, usize>) {
        for location in blobs {
            let next = self.packs.len();
            let at = *packs.entry(location.pack).or_insert(next);
            if at == next {
                self.packs.push(PackPlan {
                    pack: location.pack,
                    blobs: Vec::new(),
                    blobs_end: location.blobs_end,
                    is_whole: false,
                });
            }
            if let Some(pack) = self.packs.get_mut(at) {
                pack.blobs.push(location.blob);
            }
        }
    }

    /// The snapshots that need none of the `lost` blobs, and the others with the first that they need.
    pub(super) fn without(
        self,
        reader: &BlobReader,
        lost: &Lost,
        progress: &Progress,
    ) -> Result<(Vec<(Id, Snapshot)>, Failed)> {
        if lost.is_empty() {
            return Ok((self.snapshots, Vec::new()));
        }
        progress.step("looking for what is damaged");
        let (mut whole, mut failed) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (id, snapshot) in self.snapshots {
            let followed = follow(
                reader,
                &snapshot,
                &seen,
                progress,
                |blob_type, blob| match lost.get(&(blob_type, *blob)) {
                    Some(error) => Err(error.clone()),
                    None => Ok(()),
                },
            );
            match followed {
                Ok(trees) => {
                    seen.extend(trees);
                    whole.push((id, snapshot));
                }
                Err(error) if error.is_damage() => failed.push((id, snapshot, error)),
                Err(error) => return Err(error),
            }
        }
        Ok((whole, failed))
    }

    pub(super) fn volume(&self) -> Volume {
        let blobs = || self.packs.iter().flat_map(|pack| &pack.blobs);
        let whole = self.packs.iter().filter(|pack| pack.is_whole);
        Volume {
            blobs: blobs().count() as u64,
            bytes: blobs().map(|blob| u64::from(blob.length)).sum(),
            packs: self.packs.len() as u64,
            whole_packs: whole.count() as u64,
        }
    }
}

impl PackPlan {
    /// Its blobs fill it without a gap exactly where none is left out.
    fn is_all_wanted(&self) -> bool {
        let wanted: u64 = self.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        wanted == self.blobs_end && self.size() <= MAX_WHOLE_PACK
    }

    /// Bytes of the pack, if it holds nothing but these blobs.
    pub(super) fn size(&self) -> u64 {
        self.blobs_end + pack::header_size(&self.blobs) as u64
    }

    pub(super) fn location(&self, blob: &PackedBlob) -> Location {
        Location {
            pack: self.pack,
            blob: *blob,
            blobs_end: self.blobs_end,
        }
    }
}

/// Visits every blob of `snapshot`, but for what is below trees that were `seen`. Out come the trees. An error of `visit` ends it and gets the
/// place.
fn follow(
    reader: &BlobReader,
    snapshot: &Snapshot,
    seen: &HashSet<Id>,
    progress: &Progress,
    mut visit: impl FnMut(BlobType, &Id) -> Result<()>,
) -> Result<HashSet<Id>> {
    let mut trees = HashSet::new();
    let mut open = vec![(snapshot.tree, String::new())];
    let named = |error: Error, path: &str| error.on(snapshot.path_in_source(path));
    while let Some((id, path)) = open.pop() {
        progress.check_cancelled()?;
        if seen.contains(&id) || !trees.insert(id) {
            continue;
        }
        let here = |error: Error| match path.is_empty() {
            true => error.on("/"),
            false => named(error, &path),
        };
        visit(BlobType::Tree, &id).map_err(here)?;
        for node in reader.tree(&id).map_err(here)?.nodes {
            let path = format!("{path}/{}", String::from_utf8_lossy(&node.name));
            for blob in node.content.iter().flatten() {
                visit(BlobType::Data, blob).map_err(|error| named(error, &path))?;
            }
            match (node.node_type, node.subtree) {
                (NodeType::Dir, Some(subtree)) => open.push((subtree, path)),
                (NodeType::Dir, None) => {
                    return Err(named(Error::corrupted("directory without a tree"), &path));
                }
                _ => {}
            }
        }
    }
    Ok(trees)
}
