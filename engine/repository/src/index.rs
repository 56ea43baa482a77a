//! The index: which pack holds which blob. Packs and their blobs in, look-ups out.
//!
//! In memory a blob takes 48 bytes, and 6 to 11 in the hash table.

mod file;
mod load;
mod places;
mod scan;
mod writer;

use std::collections::hash_map;
use std::collections::{HashMap, HashSet};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::blob::{BlobType, PackedBlob};
use crate::id::Id;
use crate::{Error, ErrorKind, Result};

pub use file::{IndexBlob, IndexFile, IndexPack};
pub(crate) use places::Place;
pub(crate) use writer::{BLOBS_PER_FILE, IndexWriter};

/// Where a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack that holds it.
    pub pack: Id,
    /// Its place there.
    pub blob: PackedBlob,
    /// Where the last known blob of that pack ends.
    pub blobs_end: u64,
}

/// 48 bytes. `pack` holds the pack's number, and the blob's type in its lowest bit.
#[derive(Clone, Copy)]
struct Slot {
    id: Id,
    pack: u32,
    offset: u32,
    length: u32,
    /// 0 where the blob is not compressed.
    uncompressed_length: u32,
}

/// A pack that index objects describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// Its id.
    pub id: Id,
    /// Where its last blob ends.
    pub blobs_end: u64,
}

/// Blobs on their way into an index: those of one or more packs, which are numbered from 0 here.
#[derive(Default)]
struct Batch {
    packs: Vec<Pack>,
    slots: Vec<Slot>,
}

/// The pack's number and the blob's type share 32 bits.
const MAX_PACKS: usize = u32::MAX as usize / 2;

/// Slots are kept in blocks, so that growing never copies what is there nor doubles the memory.
const BLOCK: usize = 1 << 14;

/// All blobs of a repository.
#[derive(Default)]
pub struct Index {
    packs: Vec<Pack>,
    pack_numbers: HashMap<Id, u32>,
    blocks: Vec<Vec<Slot>>,
    table: HashTable<u32>,
    /// Further copies of blobs, with the number of the blob that each is one of.
    copies: Vec<(u32, Slot)>,
    /// How often a pack was described that was known already.
    repetitions: usize,
    files: Vec<Id>,
}

impl Index {
    /// Adds the blobs of a pack. A blob that another pack holds too is found in the first one. A pack that is described more than once
    /// holds what any of the descriptions says.
    pub fn add_pack(
        &mut self,
        pack: Id,
        blobs: impl IntoIterator<Item = PackedBlob>,
    ) -> Result<()> {
        let mut batch = Batch::default();
        batch.begin_pack(pack);
        for blob in blobs {
            batch.push(&blob);
        }
        self.add(&batch)
    }

    /// Adds the packs of a batch.
    fn add(&mut self, batch: &Batch) -> Result<()> {
        let numbers: Vec<u32> = batch
            .packs
            .iter()
            .map(|pack| self.add_description(pack))
            .collect::<Result<_>>()?;
        batch.slots.iter().try_for_each(|slot| {
            let number = numbers.get((slot.pack >> 1) as usize).copied();
            self.add_slot(Slot {
                pack: number.unwrap_or_default() << 1 | slot.pack & 1,
                ..*slot
            })
        })
    }

    /// The pack's number.
    fn add_description(&mut self, pack: &Pack) -> Result<u32> {
        match self.pack_numbers.entry(pack.id) {
            hash_map::Entry::Occupied(known) => {
                let number = *known.get();
                self.repetitions += 1;
                if let Some(known) = self.packs.get_mut(number as usize) {
                    known.blobs_end = known.blobs_end.max(pack.blobs_end);
                }
                Ok(number)
            }
            hash_map::Entry::Vacant(_) if self.packs.len() >= MAX_PACKS => Err(Error::new(
                ErrorKind::Unsupported,
                "more than 2 billion packs",
            )),
            hash_map::Entry::Vacant(new) => {
                let number = *new.insert(self.packs.len() as u32);
                self.packs.push(*pack);
                Ok(number)
            }
        }
    }

    fn add_slot(&mut self, new: Slot) -> Result<()> {
        let blocks = &self.blocks;
        let is_same = |number: &u32| slot(blocks, *number).is_some_and(|slot| slot.is_same(&new));
        let rehash = |number: &u32| slot(blocks, *number).map_or(0, |slot| hash(&slot.id));
        let entry = match self.table.entry(hash(&new.id), is_same, rehash) {
            Entry::Vacant(entry) => entry,
            Entry::Occupied(known) => {
                let number = *known.get();
                self.add_copy(number, new);
                return Ok(());
            }
        };
        let number = match self.blocks.last() {
            Some(block) => (self.blocks.len() - 1) * BLOCK + block.len(),
            None => 0,
        };
        let number = u32::try_from(number)
            .map_err(|_| Error::new(ErrorKind::Unsupported, "more than 4 billion blobs"))?;
        entry.insert(number);
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(new),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(new);
                self.blocks.push(block);
            }
        }
        Ok(())
    }

    /// Makes room for so many blobs, so that the table need not grow while they come.
    fn expect(&mut self, blobs: usize) {
        let blocks = &self.blocks;
        self.table
            .reserve(blobs.saturating_sub(self.table.len()), |number| {
                slot(blocks, *number).map_or(0, |slot| hash(&slot.id))
            });
    }

    fn find(&self, blob_type: BlobType, id: &Id) -> Option<&Slot> {
        slot(&self.blocks, self.number(blob_type, id)?)
    }

    /// A blob's number: below [`len`](Self::len), and the same as long as the index lives.
    pub fn number(&self, blob_type: BlobType, id: &Id) -> Option<u32> {
        self.table
            .find(hash(id), |number| {
                slot(&self.blocks, *number)
                    .is_some_and(|slot| slot.id == *id && slot.blob_type() == blob_type)
            })
            .copied()
    }

    /// Whether the repository holds the blob.
    pub fn contains(&self, blob_type: BlobType, id: &Id) -> bool {
        self.find(blob_type, id).is_some()
    }

    /// Where the blob is.
    pub fn get(&self, blob_type: BlobType, id: &Id) -> Option<Location> {
        self.find(blob_type, id)
            .and_then(|slot| self.location(slot))
    }

    fn location(&self, slot: &Slot) -> Option<Location> {
        self.location_in(slot.pack >> 1, slot.blob())
    }

    /// A blob in the pack of this number.
    fn location_in(&self, pack: u32, blob: PackedBlob) -> Option<Location> {
        let pack = *self.packs.get(pack as usize)?;
        Some(Location {
            pack: pack.id,
            blob,
            blobs_end: pack.blobs_end,
        })
    }

    /// The same without some packs: a blob that lies in another one too is found there.
    pub(crate) fn without(&self, packs: &HashSet<Id>) -> Result<Self> {
        let mut left = Self {
            files: self.files.clone(),
            ..Self::default()
        };
        left.expect(self.len());
        for location in self.places() {
            if !packs.contains(&location.pack) {
                left.add_pack(location.pack, [location.blob])?;
            }
        }
        left.repetitions = self.repetitions;
        Ok(left)
    }

    /// All blobs, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Location> {
        self.blocks
            .iter()
            .flatten()
            .filter_map(|slot| self.location(slot))
    }

    /// The packs that index objects describe.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// The index objects that were read.
    pub fn files(&self) -> &[Id] {
        &self.files
    }

    /// How many blobs there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no blob.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl Batch {
    /// What is pushed from now on lies in `pack`.
    fn begin_pack(&mut self, pack: Id) {
        self.packs.push(Pack {
            id: pack,
            blobs_end: 0,
        });
    }

    /// Adds a blob of the pack that was begun last.
    fn push(&mut self, blob: &PackedBlob) {
        // No object is so large that this wraps.
        let number = self.packs.len().saturating_sub(1) as u32;
        if let Some(pack) = self.packs.last_mut() {
            pack.blobs_end = pack.blobs_end.max(blob.end());
        }
        self.slots.push(Slot {
            id: blob.id,
            pack: number << 1 | u32::from(blob.blob_type == BlobType::Tree),
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed_length.unwrap_or(0),
        });
    }

    /// The packs of `file` instead of what is there.
    fn replace(&mut self, file: IndexFile) {
        self.clear();
        for pack in file.packs {
            self.begin_pack(pack.id);
            for blob in pack.blobs {
                self.push(&blob.into());
            }
        }
    }

    fn clear(&mut self) {
        self.packs.clear();
        self.slots.clear();
    }
}

impl Slot {
    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && (self.pack ^ other.pack) & 1 == 0
    }

    fn blob(&self) -> PackedBlob {
        PackedBlob {
            id: self.id,
            blob_type: self.blob_type(),
            offset: self.offset,
            length: self.length,
            uncompressed_length: (self.uncompressed_length != 0)
                .then_some(self.uncompressed_length),
        }
    }

    fn blob_type(&self) -> BlobType {
        if self.pack & 1 == 1 {
            BlobType::Tree
        } else {
            BlobType::Data
        }
    }
}

fn slot(blocks: &[Vec<Slot>], number: u32) -> Option<&Slot> {
    blocks
        .get(number as usize / BLOCK)?
        .get(number as usize % BLOCK)
}

/// Ids are hashes already.
fn hash(id: &Id) -> u64 {
    id.as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(content: &[u8], blob_type: BlobType, uncompressed_length: Option<u32>) -> PackedBlob {
        PackedBlob {
            id: Id::of(content),
            blob_type,
            offset: 7,
            length: 50,
            uncompressed_length,
        }
    }

    #[test]
    fn a_blob_is_found_by_type_and_id() {
        let data = blob(b"same", BlobType::Data, None);
        let tree = blob(b"same", BlobType::Tree, Some(9));
        let mut index = Index::default();
        index.add_pack(Id::of(b"pack 1"), [data]).expect("added");
        assert_eq!(index.get(BlobType::Tree, &data.id), None);
        index.add_pack(Id::of(b"pack 2"), [tree]).expect("added");
        let location = |pack: &[u8], blob| {
            Some(Location {
                pack: Id::of(pack),
                blob,
                blobs_end: 57,
            })
        };
        assert_eq!(
            index.get(BlobType::Data, &data.id),
            location(b"pack 1", data)
        );
        assert_eq!(
            index.get(BlobType::Tree, &data.id),
            location(b"pack 2", tree)
        );
        assert_eq!(index.len(), 2);
    }

    #[test]
    fn a_blob_in_two_packs_is_counted_once() {
        let data = blob(b"same", BlobType::Data, None);
        let mut index = Index::default();
        index.add_pack(Id::of(b"pack 1"), [data]).expect("added");
        index.add_pack(Id::of(b"pack 2"), [data]).expect("added");
        assert_eq!(
            (index.len(), index.packs().len(), index.iter().count()),
            (1, 2, 1)
        );
    }

    #[test]
    fn many_blobs_are_all_found() {
        let mut index = Index::default();
        let blobs: Vec<_> = (0..BLOCK as u32 * 2 + 3)
            .map(|number| blob(&number.to_le_bytes(), BlobType::Data, Some(number)))
            .collect();
        index
            .add_pack(Id::of(b"pack"), blobs.iter().copied())
            .expect("added");
        for blob in &blobs {
            let found = index.get(BlobType::Data, &blob.id).expect("found");
            assert_eq!(found.blob.id, blob.id);
        }
        assert_eq!(size_of::<Slot>(), 48);
    }
}
