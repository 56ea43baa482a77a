//! Blobs on their way in and out of packs: compress and encrypt, decrypt and decompress, and see that they are what they claim to be.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::blob::{BlobType, PackedBlob};
use crate::crypto::MasterKey;
use crate::id::Id;
use crate::pack::PackBuilder;
use crate::sha256::ids_of;
use crate::{Error, ErrorKind, Result};

/// Between zstd's levels 1 and 2: its fast strategy with a hash table of 128 KiB, which stays in the second-level cache, and matches from six
/// bytes on. A database dump takes 4 % more room than at level 3, texts 2 %, and both little more than half of its time.
const LEVEL: i32 = 1;
const PARAMETERS: [CParameter; 2] = [CParameter::HashLog(15), CParameter::MinMatch(6)];
/// No blob is larger when decompressed, whatever a damaged or hostile index says. The tree of a directory of four million entries is about
/// so large.
const MAX_BLOB: u32 = 2 * 1024 * 1024 * 1024 - 1;

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
            return Ok(Compressed {
                bytes: content,
                plain_length: None,
            });
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
pub(crate) struct Compressed<'e> {
    bytes: &'e [u8],
    plain_length: Option<u32>,
}

impl Compressed<'_> {
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

fn decompressor() -> Result<Decompressor<'static>> {
    Decompressor::new().map_err(|error| Error::io("cannot start zstd", error))
}

/// Plain bytes whose memory a decoder keeps for the next batch.
const KEPT: usize = 24 * 1024 * 1024;

/// Decrypts, decompresses and verifies the blobs of one thread.
pub(crate) struct Decoder {
    decompressor: Decompressor<'static>,
    opened: Vec<u8>,
    /// The contents of the latest batch.
    plain: Vec<Vec<u8>>,
}

impl Decoder {
    /// A decoder with a zstd context of its own.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            decompressor: decompressor()?,
            opened: Vec::new(),
            plain: Vec::new(),
        })
    }

    /// The plain content of a blob, whose pack is in `pack_bytes` from offset `start` on. Never returns bytes that do not hash to its id.
    pub(crate) fn decode_from(
        &mut self,
        key: &MasterKey,
        blob: &PackedBlob,
        pack_bytes: &[u8],
        start: u64,
    ) -> Result<&[u8]> {
        self.decode_all_from(key, std::slice::from_ref(blob), pack_bytes, start)
            .pop()
            .unwrap_or_else(|| Err(wrong_content()))
    }

    /// As [`decode_from`](Self::decode_from), for several blobs, which are hashed side by side. In their order; all of their plain content
    /// is in memory at once.
    pub(crate) fn decode_all_from(
        &mut self,
        key: &MasterKey,
        blobs: &[PackedBlob],
        pack_bytes: &[u8],
        start: u64,
    ) -> Vec<Result<&[u8]>> {
        self.forget_large_buffers();
        let missing = blobs.len().saturating_sub(self.plain.len());
        self.plain.extend((0..missing).map(|_| Vec::new()));
        let opened: Vec<Result<&[u8]>> = blobs
            .iter()
            .zip(&mut self.plain)
            .map(|(blob, plain)| {
                let sealed = sealed_bytes(blob, pack_bytes, start)?;
                match blob.uncompressed_length {
                    None => key.open_into(sealed, plain)?,
                    Some(length) => {
                        key.open_into(sealed, &mut self.opened)?;
                        decompress(&mut self.decompressor, &self.opened, length, plain)?;
                    }
                }
                Ok(plain.as_slice())
            })
            .collect();
        verify_all(blobs, opened)
    }

    /// Each buffer grows to the largest blob that it ever held; all of them together shall not.
    fn forget_large_buffers(&mut self) {
        let mut kept: usize = self.plain.iter().map(Vec::capacity).sum();
        while kept > KEPT
            && let Some(largest) = self.plain.iter_mut().max_by_key(|plain| plain.capacity())
        {
            kept -= largest.capacity();
            *largest = Vec::new();
        }
    }
}

fn sealed_bytes<'a>(blob: &PackedBlob, pack_bytes: &'a [u8], start: u64) -> Result<&'a [u8]> {
    u64::from(blob.offset)
        .checked_sub(start)
        .and_then(|from| pack_bytes.get(from as usize..)?.get(..blob.length as usize))
        .ok_or_else(|| Error::corrupted("the pack ends before it"))
}

/// The contents that hash to the ids of their blobs, and errors for the others.
fn verify_all<'c>(blobs: &[PackedBlob], contents: Vec<Result<&'c [u8]>>) -> Vec<Result<&'c [u8]>> {
    let mut ids = ids_of(contents.iter().flatten().copied()).into_iter();
    blobs
        .iter()
        .zip(contents)
        .map(|(blob, content)| {
            let content = content?;
            if ids.next() == Some(blob.id) {
                Ok(content)
            } else {
                Err(wrong_content())
            }
        })
        .collect()
}

fn wrong_content() -> Error {
    Error::corrupted("its content does not match its id")
}

fn decompress(
    decompressor: &mut Decompressor<'_>,
    compressed: &[u8],
    length: u32,
    plain: &mut Vec<u8>,
) -> Result<()> {
    if length > MAX_BLOB {
        return Err(Error::corrupted(format!(
            "claims to be {length} bytes long"
        )));
    }
    plain.clear();
    plain.reserve(length as usize);
    let written = decompressor
        .decompress_to_buffer(compressed, plain)
        .map_err(|error| Error::corrupted(format!("cannot be decompressed: {error}")))?;
    if written != length as usize {
        return Err(Error::corrupted(format!(
            "is {written} bytes long where {length} were expected"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;

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
        assert_eq!(
            (length, plain),
            (content.len() + crate::crypto::OVERHEAD, content)
        );
    }

    #[test]
    fn damage_in_a_batch_is_told_of_the_blobs_that_have_it() {
        let key = MasterKey::generate();
        let contents: Vec<Vec<u8>> = (1..9_u8).map(|n| vec![n; 5000 * usize::from(n)]).collect();
        let mut pack = PackBuilder::new(Buffer::default());
        let mut encoder = Encoder::new().expect("encoder");
        for content in &contents {
            let compressed = encoder.compress(content).expect("compressed");
            compressed
                .add_to(&mut pack, &key, BlobType::Data, Id::of(content))
                .expect("added");
        }
        let mut pack = pack.finish(&key).expect("finished");
        let mut bytes = pack.bytes.to_vec();
        bytes[pack.blobs[2].offset as usize + 20] ^= 1;
        pack.blobs[5].id = Id::of(b"other");
        pack.blobs[7].offset = u32::MAX;
        let mut decoder = Decoder::new().expect("decoder");
        // Once more, with buffers that hold what they held before.
        for _ in 0..2 {
            let decoded = decoder.decode_all_from(&key, &pack.blobs, &bytes, 0);
            for (number, (content, plain)) in contents.iter().zip(decoded).enumerate() {
                match (number, plain) {
                    (2 | 5 | 7, plain) => drop(plain.expect_err("an error")),
                    (_, plain) => assert_eq!(plain.expect("decoded"), content),
                }
            }
        }
    }

    #[test]
    fn a_decoder_keeps_a_bounded_amount_of_memory() {
        let mut decoder = Decoder::new().expect("decoder");
        decoder.plain = (0..16).map(|_| Vec::with_capacity(KEPT / 8)).collect();
        decoder.plain.push(Vec::with_capacity(2 * KEPT));
        decoder.forget_large_buffers();
        let kept: usize = decoder.plain.iter().map(Vec::capacity).sum();
        assert_eq!(kept, KEPT);
    }

    #[test]
    fn a_wrong_length_or_id_is_an_error() {
        let key = MasterKey::generate();
        let content = b"content ".repeat(100);
        let mut pack = PackBuilder::new(Buffer::default());
        let mut encoder = Encoder::new().expect("encoder");
        let compressed = encoder.compress(&content).expect("compressed");
        let id = Id::of(&content);
        compressed
            .add_to(&mut pack, &key, BlobType::Data, id)
            .expect("added");
        let pack = pack.finish(&key).expect("finished");
        let blob = pack.blobs[0];
        let mut decoder = Decoder::new().expect("decoder");
        let mut check = |blob: PackedBlob, expected: &str| {
            let error = decoder
                .decode_from(&key, &blob, &pack.bytes, 0)
                .expect_err("an error");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(
            PackedBlob {
                uncompressed_length: Some(801),
                ..blob
            },
            "is 800 bytes long where 801",
        );
        check(
            PackedBlob {
                uncompressed_length: Some(799),
                ..blob
            },
            // Which of two checks sees it depends on how large the buffer happens to be.
            "",
        );
        check(
            PackedBlob {
                uncompressed_length: Some(u32::MAX),
                ..blob
            },
            "claims to be",
        );
        check(
            PackedBlob {
                id: Id::of(b"x"),
                ..blob
            },
            "does not match its id",
        );
        check(
            PackedBlob {
                offset: u32::MAX,
                ..blob
            },
            "the pack ends before it",
        );
    }
}
