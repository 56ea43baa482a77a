//! The index: which pack holds which blob. Index objects in, look-ups out.
//!
//! In memory a blob takes 48 bytes and a slot of about 5 in the hash table.

use std::sync::Mutex;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use crate::blob::{BlobType, PackedBlob};
use crate::file::FileType;
use crate::id::Id;
use crate::parallel;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::{Error, ErrorKind, Result};

/// An index object, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IndexFile {
    /// Older index objects that this one replaces. Not written any more, but read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<Id>,
    /// The packs it describes.
    pub packs: Vec<IndexPack>,
}

/// One pack in an index object.
#[derive(Debug, Serialize, Deserialize)]
pub struct IndexPack {
    /// The pack's id.
    pub id: Id,
    /// All its blobs.
    pub blobs: Vec<IndexBlob>,
}

/// One blob in an index object.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct IndexBlob {
    /// SHA-256 of the plain content.
    pub id: Id,
    /// Data or tree.
    #[serde(rename = "type")]
    pub blob_type: BlobType,
    /// Where it begins in the pack.
    pub offset: u32,
    /// Encrypted bytes.
    pub length: u32,
    /// Plain bytes where it was compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncompressed_length: Option<u32>,
}

impl IndexPack {
    /// What an index says of a pack that holds `blobs`.
    pub fn new(id: Id, blobs: &[PackedBlob]) -> Self {
        let blobs = blobs
            .iter()
            .map(|blob| IndexBlob {
                id: blob.id,
                blob_type: blob.blob_type,
                offset: blob.offset,
                length: blob.length,
                uncompressed_length: blob.uncompressed_length,
            })
            .collect();
        Self { id, blobs }
    }
}

impl From<IndexBlob> for PackedBlob {
    fn from(blob: IndexBlob) -> Self {
        Self {
            id: blob.id,
            blob_type: blob.blob_type,
            offset: blob.offset,
            length: blob.length,
            // Some writers say 0 for blobs that are not compressed.
            uncompressed_length: blob.uncompressed_length.filter(|length| *length != 0),
        }
    }
}

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

/// Slots are kept in blocks, so that growing never copies what is there nor doubles the memory.
const BLOCK: usize = 1 << 14;

/// All blobs of a repository.
#[derive(Default)]
pub struct Index {
    packs: Vec<Pack>,
    blocks: Vec<Vec<Slot>>,
    table: HashTable<u32>,
    files: Vec<Id>,
}

impl Index {
    /// Loads every index object of `repository`, several at a time.
    pub fn load(repository: &Repository, progress: &Progress) -> Result<Self> {
        progress.step("reading the index");
        let files: Vec<Id> = repository
            .list(FileType::Index)?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let index = Mutex::new(Self {
            files: files.clone(),
            ..Self::default()
        });
        let threads = repository.destination().parallelism();
        parallel::for_each(threads, &files, |id| {
            progress.check_cancelled()?;
            let file: IndexFile = repository.load_json(FileType::Index, id)?;
            let mut index = index.lock().map_err(|_| poisoned())?;
            for pack in file.packs {
                index.add_pack(pack.id, pack.blobs.into_iter().map(PackedBlob::from))?;
            }
            Ok(())
        })?;
        index.into_inner().map_err(|_| poisoned())
    }

    /// Adds the blobs of a pack. A blob that another pack holds too is found in the first one.
    pub fn add_pack(
        &mut self,
        pack: Id,
        blobs: impl IntoIterator<Item = PackedBlob>,
    ) -> Result<()> {
        let number = u32::try_from(self.packs.len())
            .ok()
            .filter(|number| *number < u32::MAX / 2)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "more than 2 billion packs"))?;
        let mut blobs_end = 0;
        for blob in blobs {
            blobs_end = blobs_end.max(blob.end());
            self.add_blob(number, &blob)?;
        }
        self.packs.push(Pack {
            id: pack,
            blobs_end,
        });
        Ok(())
    }

    fn add_blob(&mut self, pack: u32, blob: &PackedBlob) -> Result<()> {
        if self.find(blob.blob_type, &blob.id).is_some() {
            return Ok(());
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let full_blocks = self.blocks.len().saturating_sub(1);
        let Some(block) = self.blocks.last_mut() else {
            return Ok(());
        };
        let number = u32::try_from(full_blocks * BLOCK + block.len())
            .map_err(|_| Error::new(ErrorKind::Unsupported, "more than 4 billion blobs"))?;
        block.push(Slot {
            id: blob.id,
            pack: pack << 1 | u32::from(blob.blob_type == BlobType::Tree),
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed_length.unwrap_or(0),
        });
        let blocks = &self.blocks;
        self.table.insert_unique(hash(&blob.id), number, |number| {
            slot(blocks, *number).map_or(0, |slot| hash(&slot.id))
        });
        Ok(())
    }

    fn find(&self, blob_type: BlobType, id: &Id) -> Option<&Slot> {
        let number = self.table.find(hash(id), |number| {
            slot(&self.blocks, *number)
                .is_some_and(|slot| slot.id == *id && slot.blob_type() == blob_type)
        })?;
        slot(&self.blocks, *number)
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
        let pack = *self.packs.get((slot.pack >> 1) as usize)?;
        let blob = PackedBlob {
            id: slot.id,
            blob_type: slot.blob_type(),
            offset: slot.offset,
            length: slot.length,
            uncompressed_length: (slot.uncompressed_length != 0)
                .then_some(slot.uncompressed_length),
        };
        Some(Location {
            pack: pack.id,
            blob,
            blobs_end: pack.blobs_end,
        })
    }

    /// All blobs, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Location> {
        self.blocks
            .iter()
            .flatten()
            .filter_map(|slot| self.location(slot))
    }

    /// The packs that index objects describe. One that several describe is there several times.
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

impl Slot {
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

fn poisoned() -> Error {
    Error::new(ErrorKind::Failed, "another thread of the run failed")
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

    #[test]
    fn an_index_object_reads_what_restic_writes() {
        let json = format!(
            r#"{{"packs":[{{"id":"{id}","blobs":[
                {{"id":"{id}","type":"data","offset":0,"length":38}},
                {{"id":"{id}","type":"tree","offset":38,"length":112,"uncompressed_length":511}}]}}]}}"#,
            id = Id::of(b"x")
        );
        let file: IndexFile = serde_json::from_str(&json).expect("parses");
        let lengths: Vec<_> = file.packs[0]
            .blobs
            .iter()
            .map(|blob| PackedBlob::from(*blob).plain_length())
            .collect();
        assert_eq!(lengths, [6, 511]);
    }
}
