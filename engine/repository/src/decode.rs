//! Blobs on their way out of packs: decrypted, decompressed, and seen to be what they claim to be.

use zstd::bulk::Decompressor;

use crate::blob::PackedBlob;
use crate::crypto::MasterKey;
use crate::id::Id;
use crate::sha256::{self, Hasher};
use crate::{Error, Result};

/// No blob is larger when decompressed, whatever a damaged or hostile index says. The tree of a directory of four million entries is about
/// so large.
const MAX_BLOB: u32 = 2 * 1024 * 1024 * 1024 - 1;

/// Decrypts, decompresses and verifies one blob after another.
pub(crate) struct Decoder {
    opener: Opener,
    plain: Vec<u8>,
}

impl Decoder {
    /// A decoder with a zstd context of its own.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            opener: Opener::new()?,
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
        self.opener
            .open(key, blob, pack_bytes, start, &mut self.plain)?;
        verified(&self.plain, Id::of(&self.plain), blob.id)
    }
}

/// Plain bytes that wait to be hashed, unless a single blob is larger; and as many in buffers that wait to be used again.
const MOST_WAITING: usize = 16 * 1024 * 1024;

/// Decrypts, decompresses and verifies many blobs, as many side by side as are hashed fastest. `T` is what the caller knows each blob by.
pub(crate) struct Decoding<T> {
    opener: Opener,
    waiting: Vec<Waiting<T>>,
    spares: Vec<Vec<u8>>,
}

/// A blob whose content is being hashed.
struct Waiting<T> {
    id: Id,
    plain: Vec<u8>,
    hasher: Hasher,
    /// Bytes that went into the hasher.
    hashed: usize,
    tag: T,
}

impl<T> Decoding<T> {
    /// With a zstd context of its own.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            opener: Opener::new()?,
            waiting: Vec::new(),
            spares: Vec::new(),
        })
    }

    /// Takes one more blob, whose pack is in `pack_bytes` from offset `start` on. Hands those to `take` that are done meanwhile, in any order:
    /// contents that hash to their ids, and errors of the others.
    pub(crate) fn add(
        &mut self,
        key: &MasterKey,
        blob: &PackedBlob,
        (pack_bytes, start): (&[u8], u64),
        tag: T,
        mut take: impl FnMut(T, Result<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut plain = self.spare(blob.plain_length() as usize);
        let opened = self.opener.open(key, blob, pack_bytes, start, &mut plain);
        if let Err(error) = opened {
            self.keep(plain);
            return take(tag, Err(error));
        }
        self.waiting.push(Waiting {
            id: blob.id,
            plain,
            hasher: Hasher::default(),
            hashed: 0,
            tag,
        });
        while self.waiting.len() >= sha256::width() || self.waiting_bytes() > MOST_WAITING {
            self.advance(&mut take)?;
        }
        Ok(())
    }

    /// Hands over what is left.
    pub(crate) fn finish(
        mut self,
        mut take: impl FnMut(T, Result<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        while !self.waiting.is_empty() {
            self.advance(&mut take)?;
        }
        Ok(())
    }

    /// Hashes all that wait, until the shortest is done.
    fn advance(&mut self, take: &mut impl FnMut(T, Result<&[u8]>) -> Result<()>) -> Result<()> {
        let shortest = self.waiting.iter().map(Waiting::left).min().unwrap_or(0);
        let step = shortest.next_multiple_of(sha256::BLOCK);
        sha256::update_all(self.waiting.iter_mut().map(|waiting| waiting.next(step)));
        let done: Vec<_> = self
            .waiting
            .extract_if(.., |waiting| waiting.left() == 0)
            .collect();
        for blob in done {
            let content = verified(&blob.plain, blob.hasher.finish(), blob.id);
            take(blob.tag, content)?;
            self.keep(blob.plain);
        }
        Ok(())
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.plain.len()).sum()
    }

    /// An empty buffer, if there is one with the smallest that has room for `length` bytes.
    fn spare(&mut self, length: usize) -> Vec<u8> {
        let fitting = (0..self.spares.len())
            .filter(|number| self.spares[*number].capacity() >= length)
            .min_by_key(|number| self.spares[*number].capacity());
        let spare = fitting.map(|number| self.spares.swap_remove(number));
        spare.or_else(|| self.spares.pop()).unwrap_or_default()
    }

    /// Keeps the memory of `plain`, where that is not too much: each buffer grows to the largest blob that it ever held.
    fn keep(&mut self, plain: Vec<u8>) {
        let kept: usize = self.spares.iter().map(Vec::capacity).sum();
        if kept + plain.capacity() <= MOST_WAITING {
            self.spares.push(plain);
        }
    }
}

impl<T> Waiting<T> {
    fn left(&self) -> usize {
        self.plain.len() - self.hashed
    }

    /// What is hashed next: `length` bytes, or all that is left.
    fn next(&mut self, length: usize) -> (&mut Hasher, &[u8]) {
        let start = self.hashed;
        self.hashed += self.left().min(length);
        (&mut self.hasher, &self.plain[start..self.hashed])
    }
}

/// Decrypts and decompresses.
struct Opener {
    decompressor: Decompressor<'static>,
    opened: Vec<u8>,
}

impl Opener {
    fn new() -> Result<Self> {
        Ok(Self {
            decompressor: decompressor()?,
            opened: Vec::new(),
        })
    }

    /// Replaces `plain` by the content of `blob`, which may still be that of another one.
    fn open(
        &mut self,
        key: &MasterKey,
        blob: &PackedBlob,
        pack_bytes: &[u8],
        start: u64,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        let sealed = sealed_bytes(blob, pack_bytes, start)?;
        match blob.uncompressed_length {
            None => key.open_into(sealed, plain),
            Some(length) => {
                key.open_into(sealed, &mut self.opened)?;
                decompress(&mut self.decompressor, &self.opened, length, plain)
            }
        }
    }
}

/// The encrypted bytes of `blob`, whose pack is in `pack_bytes` from offset `start` on.
pub(crate) fn sealed_bytes<'a>(
    blob: &PackedBlob,
    pack_bytes: &'a [u8],
    start: u64,
) -> Result<&'a [u8]> {
    u64::from(blob.offset)
        .checked_sub(start)
        .and_then(|from| pack_bytes.get(from as usize..)?.get(..blob.length as usize))
        .ok_or_else(|| Error::corrupted("the pack ends before it"))
}

fn verified(content: &[u8], hash: Id, id: Id) -> Result<&[u8]> {
    if hash == id {
        Ok(content)
    } else {
        Err(Error::corrupted("its content does not match its id"))
    }
}

pub(super) fn decompressor() -> Result<Decompressor<'static>> {
    Decompressor::new().map_err(|error| Error::io("cannot start zstd", error))
}

pub(super) fn decompress(
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
    use crate::blob::BlobType;
    use crate::buffer::Buffer;
    use crate::encode::Encoder;
    use crate::pack::PackBuilder;

    #[test]
    fn damage_is_told_of_the_blobs_that_have_it() {
        let key = MasterKey::generate();
        let contents: Vec<Vec<u8>> = (0..40_u8)
            .map(|n| vec![n; 5000 * usize::from(n % 7)])
            .collect();
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
        pack.blobs[39].offset = u32::MAX;

        let mut decoding = Decoding::new().expect("decoding");
        let mut seen = Vec::new();
        let mut take = |number: usize, content: Result<&[u8]>| {
            match (number, content) {
                (2 | 5 | 39, content) => drop(content.expect_err("an error")),
                (_, content) => assert_eq!(content.expect("decoded"), contents[number]),
            }
            seen.push(number);
            Ok(())
        };
        for (number, blob) in pack.blobs.iter().enumerate() {
            decoding
                .add(&key, blob, (&bytes, 0), number, &mut take)
                .expect("added");
        }
        decoding.finish(&mut take).expect("finished");
        seen.sort_unstable();
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn many_large_blobs_take_a_bounded_amount_of_memory() {
        let key = MasterKey::generate();
        let content = vec![7; 7 * 1024 * 1024];
        let mut pack = PackBuilder::new(Buffer::default());
        let mut encoder = Encoder::new().expect("encoder");
        let compressed = encoder.compress(&content).expect("compressed");
        compressed
            .add_to(&mut pack, &key, BlobType::Data, Id::of(&content))
            .expect("added");
        let pack = pack.finish(&key).expect("finished");
        let mut decoding = Decoding::new().expect("decoding");
        for _ in 0..20 {
            decoding
                .add(&key, &pack.blobs[0], (&pack.bytes, 0), (), |(), _| Ok(()))
                .expect("added");
            let spares: usize = decoding.spares.iter().map(Vec::capacity).sum();
            assert!(
                decoding.waiting_bytes() <= MOST_WAITING,
                "is hashed in time"
            );
            assert!(spares <= MOST_WAITING, "keeps {spares} bytes");
        }
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
