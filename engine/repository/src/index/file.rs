//! Index objects, as they are stored.

use serde::{Deserialize, Serialize};

use crate::blob::{BlobType, PackedBlob};
use crate::id::Id;

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
#[derive(Debug, Clone, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

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
