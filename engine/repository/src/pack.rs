//! Packs: encrypted blobs one after another, their encrypted list, and its length.
//!
//! ```text
//! blob … blob ‖ sealed(entry …) ‖ length of the sealed list (u32, little endian)
//! entry: type 0 data, 1 tree           ‖ length (u32) ‖ id
//!        type 2 data, 3 tree, compressed ‖ length (u32) ‖ plain length (u32) ‖ id
//! ```

use crate::blob::{BlobType, PackedBlob};
use crate::buffer::Buffer;
use crate::crypto::{MasterKey, OVERHEAD};
use crate::id::Id;
use crate::sha256::Hasher;
use crate::{Error, Result};

/// A pack is sent once it has grown to this.
pub const TARGET_SIZE: usize = 15 * 1024 * 1024;
/// A blob that would make it larger than this begins another pack.
const LARGEST_SIZE: usize = TARGET_SIZE + 1024 * 1024;
/// What a buffer for a pack of data has room for: its blobs, and the list of as many as there usually are.
pub const CAPACITY: usize = LARGEST_SIZE + 512 * 1024;
/// Bytes at a pack's end that hold the length of its list.
pub const TRAILER: usize = 4;
/// No list is longer; restic refuses it.
pub const MAX_HEADER: usize = 16 * 1024 * 1024;
const ENTRY: usize = 1 + 4 + 32;
const COMPRESSED_ENTRY: usize = ENTRY + 4;

/// restic keeps lists of packs far below the limit that it enforces on reading; so do we.
const MAX_BLOBS: usize = MAX_HEADER / COMPRESSED_ENTRY / 4;

/// A pack in the making.
pub struct PackBuilder {
    buffer: Buffer,
    blobs: Vec<PackedBlob>,
    hasher: Hasher,
    /// Bytes that the hasher has seen.
    hashed: usize,
}

/// A finished pack.
pub struct FinishedPack {
    /// SHA-256 of all its bytes.
    pub id: Id,
    /// All its bytes.
    pub bytes: Buffer,
    /// What it holds.
    pub blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// Begins a pack in `buffer`, whose content is dropped and whose memory is used.
    pub fn new(mut buffer: Buffer) -> Self {
        buffer.clear();
        Self {
            buffer,
            blobs: Vec::new(),
            hasher: Hasher::default(),
            hashed: 0,
        }
    }

    /// Whether it holds no blob.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Whether it should be sent.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= TARGET_SIZE || self.blobs.len() >= MAX_BLOBS
    }

    /// Whether a blob of `length` encrypted bytes still fits. An empty pack takes any.
    pub(crate) fn takes(&self, length: usize) -> bool {
        self.is_empty() || self.buffer.len() + length <= LARGEST_SIZE
    }

    /// Encrypts `content`, the plain or compressed bytes of a blob, and appends it. Returns the encrypted bytes.
    pub fn add(
        &mut self,
        key: &MasterKey,
        blob_type: BlobType,
        id: Id,
        content: &[u8],
        uncompressed_length: Option<u32>,
    ) -> Result<&[u8]> {
        let offset = self.buffer.len();
        key.seal_into(content, &mut self.buffer);
        let sealed = self.buffer.get(offset..).unwrap_or_default();
        let too_long = |_| Error::new(crate::ErrorKind::Unsupported, "a pack grew beyond 4 GiB");
        self.blobs.push(PackedBlob {
            id,
            blob_type,
            offset: u32::try_from(offset).map_err(too_long)?,
            length: u32::try_from(sealed.len()).map_err(too_long)?,
            uncompressed_length,
        });
        Ok(sealed)
    }

    /// Appends a blob that comes from another pack. Its encrypted bytes `sealed` stay as they are.
    pub fn add_sealed(&mut self, blob: &PackedBlob, sealed: &[u8]) -> Result<()> {
        let offset = u32::try_from(self.buffer.len())
            .map_err(|_| Error::new(crate::ErrorKind::Unsupported, "a pack grew beyond 4 GiB"))?;
        self.buffer.extend_from_slice(sealed);
        self.blobs.push(PackedBlob { offset, ..*blob });
        Ok(())
    }

    /// Appends the blobs of `other`. They stay encrypted as they are.
    pub fn absorb(&mut self, other: Self) -> Result<()> {
        let shift = u32::try_from(self.buffer.len())
            .map_err(|_| Error::new(crate::ErrorKind::Unsupported, "a pack grew beyond 4 GiB"))?;
        self.buffer.extend_from_slice(&other.buffer);
        self.blobs.extend(other.blobs.iter().map(|blob| PackedBlob {
            offset: blob.offset + shift,
            ..*blob
        }));
        Ok(())
    }

    /// Whether the blobs of `other` still fit.
    pub fn has_room_for(&self, other: &Self) -> bool {
        self.buffer.len() + other.buffer.len() <= TARGET_SIZE
            && self.blobs.len() + other.blobs.len() <= MAX_BLOBS
    }

    /// The hasher of the pack's id, and the bytes that it lacks, to be hashed beside others. Whoever takes them must hash them.
    pub(crate) fn unhashed(&mut self) -> (&mut Hasher, &[u8]) {
        let bytes = self.buffer.get(self.hashed..).unwrap_or_default();
        self.hashed = self.buffer.len();
        (&mut self.hasher, bytes)
    }

    /// Ends the pack with its list.
    pub fn finish(mut self, key: &MasterKey) -> Result<FinishedPack> {
        let start = self.buffer.len();
        let mut header = Vec::with_capacity(header_size(&self.blobs));
        for blob in &self.blobs {
            write_entry(&mut header, blob);
        }
        key.seal_into(&header, &mut self.buffer);
        let length = (self.buffer.len() - start) as u32;
        self.buffer.extend_from_slice(&length.to_le_bytes());
        let (hasher, bytes) = self.unhashed();
        hasher.update(bytes);
        Ok(FinishedPack {
            id: self.hasher.finish(),
            bytes: self.buffer,
            blobs: self.blobs,
        })
    }
}

fn write_entry(buffer: &mut Vec<u8>, blob: &PackedBlob) {
    let base = match blob.blob_type {
        BlobType::Data => 0,
        BlobType::Tree => 1,
    };
    buffer.push(
        base + if blob.uncompressed_length.is_some() {
            2
        } else {
            0
        },
    );
    buffer.extend_from_slice(&blob.length.to_le_bytes());
    if let Some(length) = blob.uncompressed_length {
        buffer.extend_from_slice(&length.to_le_bytes());
    }
    buffer.extend_from_slice(blob.id.as_bytes());
}

/// What a pack takes beside its blobs and their entries.
pub const EMPTY_SIZE: usize = OVERHEAD + TRAILER;

/// Bytes of a blob's entry in the list.
pub fn entry_size(blob: &PackedBlob) -> usize {
    if blob.uncompressed_length.is_some() {
        COMPRESSED_ENTRY
    } else {
        ENTRY
    }
}

/// How many bytes a pack's sealed list takes, its length at the end included.
pub fn header_size(blobs: &[PackedBlob]) -> usize {
    blobs.iter().map(entry_size).sum::<usize>() + EMPTY_SIZE
}

/// The length of the sealed list, from the last bytes of a pack of `pack_size` bytes.
pub fn header_length(tail: &[u8], pack_size: u64) -> Result<usize> {
    let trailer: [u8; TRAILER] = tail
        .last_chunk()
        .copied()
        .ok_or_else(|| Error::corrupted(format!("is too short: {pack_size} bytes")))?;
    let length = u32::from_le_bytes(trailer) as usize;
    let possible = OVERHEAD + ENTRY..=MAX_HEADER;
    if !possible.contains(&length) || (length + TRAILER) as u64 > pack_size {
        return Err(Error::corrupted(format!(
            "its header cannot be {length} bytes long in a pack of {pack_size} bytes"
        )));
    }
    Ok(length)
}

/// Reads the sealed list `header` of a pack of `pack_size` bytes, and sees that the blobs fill the pack without gaps.
pub fn parse_header(key: &MasterKey, header: &[u8], pack_size: u64) -> Result<Vec<PackedBlob>> {
    let plain = key
        .open(header)
        .map_err(|_| Error::corrupted("its header cannot be decrypted"))?;
    let mut entries = plain.as_slice();
    let mut blobs = Vec::new();
    let mut offset = 0_u64;
    while !entries.is_empty() {
        let blob = parse_entry(&mut entries, offset)?;
        offset = blob.end();
        blobs.push(blob);
    }
    let expected = offset + (header.len() + TRAILER) as u64;
    if expected != pack_size {
        return Err(Error::corrupted(format!(
            "its header describes {expected} bytes, but it has {pack_size}"
        )));
    }
    Ok(blobs)
}

fn parse_entry(entries: &mut &[u8], offset: u64) -> Result<PackedBlob> {
    let short = || Error::corrupted("its header ends in the middle of an entry");
    let mut take = |count: usize| -> Result<&[u8]> {
        let (taken, rest) = entries.split_at_checked(count).ok_or_else(short)?;
        *entries = rest;
        Ok(taken)
    };
    let number = |bytes: &[u8]| {
        bytes
            .first_chunk()
            .map(|b| u32::from_le_bytes(*b))
            .ok_or_else(short)
    };
    let (blob_type, compressed) = match take(1)? {
        [0] => (BlobType::Data, false),
        [1] => (BlobType::Tree, false),
        [2] => (BlobType::Data, true),
        [3] => (BlobType::Tree, true),
        other => {
            return Err(Error::corrupted(format!(
                "its header has a blob of type {other:?}"
            )));
        }
    };
    let length = number(take(4)?)?;
    let uncompressed_length = if compressed {
        Some(number(take(4)?)?)
    } else {
        None
    };
    let id = take(32)?
        .first_chunk()
        .copied()
        .map(Id::from_bytes)
        .ok_or_else(short)?;
    let offset = u32::try_from(offset)
        .map_err(|_| Error::corrupted("its header describes more than 4 GiB"))?;
    Ok(PackedBlob {
        id,
        blob_type,
        offset,
        length,
        uncompressed_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(key: &MasterKey) -> FinishedPack {
        let mut builder = PackBuilder::new(Buffer::default());
        for (content, uncompressed) in [(&b"one"[..], None), (b"two two", Some(700)), (b"", None)] {
            let id = Id::of(content);
            builder
                .add(key, BlobType::Data, id, content, uncompressed)
                .expect("added");
        }
        builder
            .add(key, BlobType::Tree, Id::of(b"{}"), b"{}", Some(2))
            .expect("added");
        builder.finish(key).expect("finished")
    }

    #[test]
    fn a_blob_that_a_buffer_has_no_room_for_begins_another_pack() {
        let key = MasterKey::generate();
        let mut pack = PackBuilder::new(Buffer::default());
        assert!(pack.takes(LARGEST_SIZE + 1), "an empty one takes any");
        let content = vec![0; TARGET_SIZE - OVERHEAD - 1];
        pack.add(&key, BlobType::Data, Id::of(&content), &content, None)
            .expect("added");
        assert!(!pack.is_full());
        let room = LARGEST_SIZE - TARGET_SIZE + 1;
        assert!(pack.takes(room));
        assert!(!pack.takes(room + 1));
    }

    fn read(key: &MasterKey, bytes: &[u8]) -> Result<Vec<PackedBlob>> {
        let size = bytes.len() as u64;
        let length = header_length(bytes, size)?;
        parse_header(
            key,
            &bytes[bytes.len() - TRAILER - length..bytes.len() - TRAILER],
            size,
        )
    }

    #[test]
    fn a_pack_lists_what_was_added() {
        let key = MasterKey::generate();
        let pack = sample(&key);
        assert_eq!(pack.id, Id::of(&pack.bytes));
        assert_eq!(read(&key, &pack.bytes).expect("readable"), pack.blobs);
        let first = pack.blobs[1];
        let sealed = &pack.bytes[first.offset as usize..first.end() as usize];
        assert_eq!(key.open(sealed).expect("opens"), b"two two");
        let blobs: usize = pack.blobs.iter().map(|blob| blob.length as usize).sum();
        assert_eq!(pack.bytes.len(), blobs + header_size(&pack.blobs));
    }

    #[test]
    fn an_absorbed_pack_reads_like_one() {
        let key = MasterKey::generate();
        let mut first = PackBuilder::new(Buffer::default());
        first
            .add(&key, BlobType::Data, Id::of(b"a"), b"a", None)
            .expect("added");
        let mut second = PackBuilder::new(Buffer::default());
        second
            .add(&key, BlobType::Data, Id::of(b"bc"), b"bc", None)
            .expect("added");
        let (hasher, bytes) = first.unhashed();
        hasher.update(bytes);
        first.absorb(second).expect("absorbed");
        let pack = first.finish(&key).expect("finished");
        assert_eq!(pack.id, Id::of(&pack.bytes));
        let blobs = read(&key, &pack.bytes).expect("readable");
        let last = blobs[1];
        let sealed = &pack.bytes[last.offset as usize..last.end() as usize];
        assert_eq!(
            (last.id, key.open(sealed).expect("opens")),
            (Id::of(b"bc"), b"bc".to_vec())
        );
    }

    #[test]
    fn every_damage_to_a_header_is_an_error() {
        let key = MasterKey::generate();
        let pack = sample(&key);
        let header = header_size(&pack.blobs);
        for position in pack.bytes.len() - header..pack.bytes.len() {
            let mut damaged = pack.bytes.to_vec();
            damaged[position] ^= 1;
            assert!(read(&key, &damaged).is_err(), "byte {position} flipped");
        }
        for length in 0..pack.bytes.len() {
            assert!(
                read(&key, &pack.bytes[..length]).is_err(),
                "cut to {length} bytes"
            );
        }
    }
}
