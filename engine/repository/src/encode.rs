//! Blobs on their way into packs: compressed, encrypted, and seen to come out again as they went in.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::blob::BlobType;
use crate::crypto::{MasterKey, OVERHEAD};
use crate::decode::{decompress, decompressor};
use crate::id::Id;
use crate::pack::PackBuilder;
use crate::repository::Repository;
use crate::{Error, ErrorKind, Result};

/// Between zstd's levels 1 and 2: its fast strategy with a hash table of 128 KiB, which stays in the second-level cache, and matches from six
/// bytes on. A database dump takes 4 % more room than at level 3, texts 2 %, and both little more than half of its time.
const LEVEL: i32 = 1;
const PARAMETERS: [CParameter; 2] = [CParameter::HashLog(15), CParameter::MinMatch(6)];

/// Compresses and encrypts the blobs of one thread.
pub(crate) struct Encoder {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
    compressed: Vec<u8>,
    decompressed: Vec<u8>,
}

impl Encoder {
    /// An encoder with zstd contexts of its own.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            compressor: compressor()?,
            decompressor: decompressor()?,
            compressed: Vec::new(),
            decompressed: Vec::new(),
        })
    }

    /// `content` for [`Compressed::add_to`], compressed where `repository` allows it.
    pub(crate) fn prepare<'e>(
        &'e mut self,
        repository: &Repository,
        content: &'e [u8],
    ) -> Result<Compressed<'e>> {
        match repository.compresses() {
            true => self.compress(content),
            false => Ok(Compressed::uncompressed(content)),
        }
    }

    /// Compresses `content` for [`Compressed::add_to`], and proves that it can be decompressed again.
    pub(crate) fn compress<'e>(&'e mut self, content: &'e [u8]) -> Result<Compressed<'e>> {
        self.compressed.clear();
        self.compressed
            .reserve(zstd::zstd_safe::compress_bound(content.len()));
        let length = self
            .compressor
            .compress_to_buffer(content, &mut self.compressed)
            .map_err(|error| Error::io("cannot compress", error))?;
        if length >= content.len() {
            return Ok(Compressed::uncompressed(content));
        }
        let plain_length = u32::try_from(content.len())
            .map_err(|_| Error::new(ErrorKind::Unsupported, "a blob of more than 4 GiB"))?;
        decompress(
            &mut self.decompressor,
            &self.compressed,
            plain_length,
            &mut self.decompressed,
        )
        .and_then(|()| ensure(self.decompressed == content, "it was compressed wrongly"))
        .map_err(faulty_machine)?;
        Ok(Compressed {
            bytes: &self.compressed,
            plain_length: Some(plain_length),
        })
    }
}

/// A blob that is ready to be encrypted for one or more packs.
#[derive(Clone, Copy)]
pub(crate) struct Compressed<'e> {
    bytes: &'e [u8],
    plain_length: Option<u32>,
}

impl<'e> Compressed<'e> {
    /// `content` as it is, for a repository that knows no compression.
    pub(crate) fn uncompressed(content: &'e [u8]) -> Self {
        Self {
            bytes: content,
            plain_length: None,
        }
    }

    /// Bytes that it takes in a pack.
    pub(crate) fn sealed_length(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }

    /// Appends the blob to `pack`, then opens it there and compares. Returns the encrypted length.
    ///
    /// Before the pack leaves, [`ensure_proven`] must have seen that the plain content still hashes to `id`: then what leaves this machine
    /// gives `id` again.
    pub(crate) fn add_to(
        &self,
        pack: &mut PackBuilder,
        key: &MasterKey,
        blob_type: BlobType,
        id: Id,
    ) -> Result<u64> {
        let sealed = pack.add(key, blob_type, id, self.bytes, self.plain_length)?;
        key.expect_opens_to(sealed, self.bytes)
            .map_err(|error| faulty_machine(error.on(format!("the blob {}", id.short()))))?;
        Ok(sealed.len() as u64)
    }
}

/// Fails where content, hashed once more after it was compressed, encrypted and compared, is not what its id says.
pub(crate) fn ensure_proven(hashed_again: Id, id: Id) -> Result<()> {
    ensure(
        hashed_again == id,
        "its content changed while it was encrypted",
    )
    .map_err(|error| faulty_machine(error.on(format!("the blob {}", id.short()))))
}

fn ensure(good: bool, otherwise: &str) -> Result<()> {
    if good {
        Ok(())
    } else {
        Err(Error::corrupted(otherwise))
    }
}

pub(crate) fn faulty_machine(error: Error) -> Error {
    error.hint("memory or CPU of this machine may be faulty: run a memory test")
}

pub(crate) fn compressor() -> Result<Compressor<'static>> {
    let cannot_start = |error| Error::io("cannot start zstd", error);
    let mut compressor = Compressor::new(LEVEL).map_err(cannot_start)?;
    for parameter in PARAMETERS {
        compressor.set_parameter(parameter).map_err(cannot_start)?;
    }
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::decode::Decoder;

    fn round_trip(content: &[u8]) -> (usize, Vec<u8>) {
        let key = MasterKey::generate();
        let mut pack = PackBuilder::new(Buffer::default());
        let id = Id::of(content);
        let mut encoder = Encoder::new().expect("encoder");
        let compressed = encoder.compress(content).expect("compressed");
        compressed
            .add_to(&mut pack, &key, BlobType::Data, id)
            .expect("added");
        let pack = pack.finish(&key).expect("finished");
        let blob = pack.blobs[0];
        let mut decoder = Decoder::new().expect("decoder");
        let plain = decoder
            .decode_from(&key, &blob, &pack.bytes, 0)
            .expect("decoded")
            .to_vec();
        (blob.length as usize, plain)
    }

    #[test]
    fn compressible_content_gets_shorter_and_comes_back() {
        let content = b"a backup is only as good as its restore. ".repeat(1000);
        let (length, plain) = round_trip(&content);
        assert!(length < 1000, "{length} bytes");
        assert_eq!(plain, content);
    }

    #[test]
    fn incompressible_content_is_stored_as_it_is() {
        let content: Vec<u8> = (0_u32..64)
            .flat_map(|n| *Id::of(&n.to_le_bytes()).as_bytes())
            .collect();
        let (length, plain) = round_trip(&content);
        assert_eq!((length, plain), (content.len() + OVERHEAD, content));
    }
}
