//! What each pack holds and how much of that is needed: index, needed blobs and a listing of packs in, a [`PackUse`] for each pack out.
//!
//! A blob that lies in several packs is needed in one of them only.

use std::collections::HashMap;

use super::keepers::keepers;
use super::used::Used;
use crate::Result;
use crate::blob::{BlobType, PackedBlob};
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::index::Index;
use crate::object::Listed;
use crate::pack;
use crate::progress::Progress;

/// Blobs, and the encrypted bytes that they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub blobs: u64,
    /// Their encrypted bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts a blob.
    pub(super) fn add(&mut self, blob: &PackedBlob) {
        self.blobs += 1;
        self.bytes += u64::from(blob.length);
    }
}

/// What kind of blobs a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackKind {
    /// Chunks of files.
    Data,
    /// Directories.
    Tree,
    /// Both, as old programs wrote them.
    Mixed,
}

/// One pack that the index describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackUse {
    /// Its id.
    pub id: Id,
    /// Bytes at the destination; `None` where it is not there.
    pub size: Option<u64>,
    /// What it must be long at least to hold what the index says.
    pub described: u64,
    /// What it holds.
    pub kind: PackKind,
    /// What a snapshot needs of it.
    pub used: Tally,
    /// What none does, copies included of which another pack's is kept.
    pub unused: Tally,
}

/// All packs, and which of their blobs are needed.
pub(super) struct Inventory {
    reader: BlobReader,
    packs: Vec<PackUse>,
    /// Numbers of places in the index, by pack and then by offset, and whether the blob is needed there.
    places: Vec<(u32, bool)>,
    /// Where each pack's places begin in `places`.
    starts: Vec<usize>,
    orphans: Vec<Listed>,
}

impl Inventory {
    /// `listed` are the packs at the destination.
    pub(super) fn take(
        reader: BlobReader,
        used: &Used,
        listed: &[Listed],
        progress: &Progress,
    ) -> Result<Self> {
        let index = reader.index();
        let mut sizes: HashMap<Id, &Listed> = listed.iter().map(|pack| (pack.id, pack)).collect();
        let present: Vec<Option<u64>> = index
            .packs()
            .iter()
            .map(|pack| sizes.remove(&pack.id).map(|pack| pack.size))
            .collect();
        let (order, starts) = by_pack(index, index.place_count()?);
        let keepers = keepers(&reader, used, &order, &present, progress)?;
        let places: Vec<(u32, bool)> = order
            .into_iter()
            .map(|at| {
                let needed = index.place(at).is_some_and(|place| {
                    let keeper = keepers.get(&place.number);
                    used.contains(place.number) && keeper.is_none_or(|keeper| *keeper == at)
                });
                (at, needed)
            })
            .collect();
        let mut orphans: Vec<Listed> = sizes.into_values().copied().collect();
        orphans.sort_unstable();
        let mut inventory = Self {
            packs: Vec::with_capacity(present.len()),
            reader,
            places,
            starts,
            orphans,
        };
        for (number, size) in present.into_iter().enumerate() {
            let pack = inventory.count(number, size);
            inventory.packs.extend(pack);
        }
        Ok(inventory)
    }

    fn count(&self, number: usize, size: Option<u64>) -> Option<PackUse> {
        let id = self.reader.index().packs().get(number)?.id;
        let (mut used, mut unused) = (Tally::default(), Tally::default());
        let (mut data, mut trees) = (false, false);
        let mut described = pack::EMPTY_SIZE as u64;
        for (blob, needed) in self.blobs(number) {
            if needed { &mut used } else { &mut unused }.add(&blob);
            match blob.blob_type {
                BlobType::Data => data = true,
                BlobType::Tree => trees = true,
            }
            described += u64::from(blob.length) + pack::entry_size(&blob) as u64;
        }
        let kind = match (data, trees) {
            (true, true) => PackKind::Mixed,
            (_, false) => PackKind::Data,
            (false, true) => PackKind::Tree,
        };
        Some(PackUse {
            id,
            size,
            described,
            kind,
            used,
            unused,
        })
    }

    /// The packs in the index, in its order.
    pub(super) fn packs(&self) -> &[PackUse] {
        &self.packs
    }

    /// Packs that no index object describes.
    pub(super) fn orphans(&self) -> &[Listed] {
        &self.orphans
    }

    /// Reads blobs.
    pub(super) fn reader(&self) -> &BlobReader {
        &self.reader
    }

    /// The blobs of a pack by offset, and whether each is needed there.
    pub(super) fn blobs(&self, number: usize) -> impl Iterator<Item = (PackedBlob, bool)> {
        let start = self.starts.get(number).copied().unwrap_or_default();
        let end = self.starts.get(number + 1).copied();
        let places = self.places.get(start..end.unwrap_or(self.places.len()));
        places
            .unwrap_or_default()
            .iter()
            .filter_map(|(at, needed)| {
                let place = self.reader.index().place(*at)?;
                Some((place.blob, *needed))
            })
    }
}

/// All places by pack and offset, each once, and where each pack's begin.
fn by_pack(index: &Index, place_count: u32) -> (Vec<u32>, Vec<usize>) {
    let key = |at: &u32| {
        index
            .place(*at)
            .map(|place| (place.pack, place.blob.offset, place.number))
    };
    let mut order: Vec<u32> = (0..place_count).collect();
    order.sort_unstable_by_key(|at| (key(at), *at));
    order.dedup_by_key(|at| key(at));
    let mut starts = Vec::with_capacity(index.packs().len());
    for (position, at) in order.iter().enumerate() {
        let Some(place) = index.place(*at) else {
            continue;
        };
        // A pack without blobs begins where the next one does.
        while starts.len() <= place.pack as usize {
            starts.push(position);
        }
    }
    starts.resize(index.packs().len(), order.len());
    (order, starts)
}
