//! Index objects, as they are stored.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::absent::null_is_default;
use crate::blob::{BlobType, PackedBlob};
use crate::id::Id;

/// An index object, as it is stored.
#[derive(Debug, Default, Serialize)]
pub struct IndexFile {
    /// Older index objects that this one replaces. Not written any more, but read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<Id>,
    /// The packs it describes.
    pub packs: Vec<IndexPack>,
}

impl<'de> Deserialize<'de> for IndexFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FileVisitor)
    }
}

/// What restic has written since 2015. rustic writes a list of packs that it will delete beside, which hold nothing that is used.
#[derive(Deserialize)]
struct Described {
    #[serde(default, deserialize_with = "null_is_default")]
    supersedes: Vec<Id>,
    #[serde(default, deserialize_with = "null_is_default")]
    packs: Vec<IndexPack>,
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = IndexFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IndexFile, A::Error> {
        let Described { supersedes, packs } =
            Described::deserialize(MapAccessDeserializer::new(map))?;
        Ok(IndexFile { supersedes, packs })
    }

    /// The first format of all: nothing but the packs.
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<IndexFile, A::Error> {
        Ok(IndexFile {
            supersedes: Vec::new(),
            packs: Vec::deserialize(SeqAccessDeserializer::new(list))?,
        })
    }
}

/// One pack in an index object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IndexPack {
    /// The pack's id.
    pub id: Id,
    /// All its blobs.
    #[serde(default, deserialize_with = "null_is_default")]
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

    #[test]
    fn whatever_form_an_index_has_it_says_the_same() {
        let id = Id::of(b"x");
        let blob = format!(r#"{{"id":"{id}","type":"tree","offset":3,"length":38"#);
        let check = |json: String| {
            let file: IndexFile = serde_json::from_str(&json).expect(&json);
            let packs = serde_json::to_string(&file.packs).expect("is written");
            assert_eq!(packs, format!(r#"[{{"id":"{id}","blobs":[{blob}}}]}}]"#));
        };
        let pack = format!(r#"{{"id":"{id}","blobs":[{blob}}}]}}"#);
        check(format!(r#"{{"packs":[{pack}]}}"#));
        check(format!(r#"[{pack}]"#));
        check(format!(r#"{{"supersedes":["{id}"],"packs":[{pack}]}}"#));
        check(format!(
            r#"{{"supersedes":null,"packs":[{pack}],"future":{{}}}}"#
        ));
        // rustic's.
        check(format!(
            r#"{{"packs":[{{"id":"{id}","blobs":[{blob},"uncompressed_length":null}}],"time":"2026-07-01T12:00:00+02:00","size":78}}],"packs_to_delete":[{pack}]}}"#
        ));
        for empty in [r#"{"packs":null}"#, r#"{}"#, "[]"] {
            let file: IndexFile = serde_json::from_str(empty).expect(empty);
            assert_eq!(file.packs.len(), 0);
        }
    }
}
