//! The pieces that a repository stores: chunks of files, and trees.

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobType {
    /// A chunk of a file.
    Data,
    /// A directory.
    Tree,
}

impl BlobType {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tree => "tree",
        }
    }
}

/// A blob's place in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedBlob {
    /// SHA-256 of the plain content.
    pub id: Id,
    /// Data or tree.
    pub blob_type: BlobType,
    /// Where its encrypted bytes begin in the pack.
    pub offset: u32,
    /// Encrypted bytes, IV and MAC included.
    pub length: u32,
    /// Plain bytes where it was compressed.
    pub uncompressed_length: Option<u32>,
}

impl PackedBlob {
    /// Bytes of the plain content.
    pub fn plain_length(&self) -> u32 {
        self.uncompressed_length
            .unwrap_or_else(|| self.length.saturating_sub(crate::crypto::OVERHEAD as u32))
    }

    /// Where its encrypted bytes end in the pack.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }
}
