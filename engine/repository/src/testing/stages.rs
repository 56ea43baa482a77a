//! For measurements: what a backup and a restore do with blobs, each step by itself.
//!
//! In: plain content, and packs. Out: nothing that anybody would keep, and errors where a step finds one.

use zstd::bulk::Compressor;

use crate::blob::BlobType;
use crate::buffer::Buffer;
use crate::crypto::MasterKey;
use crate::decode::Decoding;
use crate::encode::{Encoder, compressor};
use crate::pack::{FinishedPack, PackBuilder};
use crate::{Id, Result, sha256};

/// What one thread of the engine works with.
pub struct Stages {
    encoder: Encoder,
}

impl Stages {
    /// With zstd contexts of its own.
    pub fn new() -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new()?,
        })
    }

    /// Compresses a blob, decompresses it again and compares.
    pub fn compress(&mut self, content: &[u8]) -> Result<()> {
        self.encoder.compress(content).map(drop)
    }

    /// A pack of `contents`.
    pub fn pack(&mut self, key: &MasterKey, contents: &[&[u8]]) -> Result<FinishedPack> {
        let mut pack = PackBuilder::new(Buffer::default());
        for content in contents {
            let id = Id::of(content);
            let compressed = self.encoder.compress(content)?;
            compressed.add_to(&mut pack, key, BlobType::Data, id)?;
        }
        pack.finish(key)
    }

    /// Decrypts, decompresses and hashes all that `pack` holds.
    pub fn decode(&self, key: &MasterKey, pack: &FinishedPack) -> Result<()> {
        let mut decoding = Decoding::new()?;
        for blob in &pack.blobs {
            decoding.add(key, blob, (&pack.bytes, 0), (), |(), plain| plain.map(drop))?;
        }
        decoding.finish(|(), plain| plain.map(drop))
    }
}

/// The ids of `messages`, which are hashed side by side.
pub fn ids_of(messages: &[&[u8]]) -> Vec<Id> {
    sha256::ids_of(messages.iter().copied())
}

/// zstd with the engine's parameters, and nothing around it.
pub fn zstd() -> Result<Compressor<'static>> {
    compressor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_notices_damage() {
        let key = MasterKey::generate();
        let mut stages = Stages::new().expect("stages");
        let content = b"content ".repeat(100);
        stages.compress(&content).expect("compressed");
        let mut pack = stages.pack(&key, &[&content, b"x"]).expect("packed");
        stages.decode(&key, &pack).expect("decoded");
        pack.blobs.swap(0, 1);
        stages.decode(&key, &pack).expect("in any order");
        if let Some(blob) = pack.blobs.first_mut() {
            blob.id = Id::of(b"other");
        }
        stages.decode(&key, &pack).expect_err("is another blob");
        assert_eq!(ids_of(&[b"x", b"y"]), [Id::of(b"x"), Id::of(b"y")]);
    }
}
