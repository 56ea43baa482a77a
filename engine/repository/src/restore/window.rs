//! Files whose content is fetched together: nodes in, and out the pieces of packs that they need, in the order in which they are read.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::blob::PackedBlob;
use crate::blobs::{BlobReader, MAX_GAP, READ_SIZE};
use crate::id::Id;
use crate::tree::Node;
use crate::{BlobType, Error, Result};

/// Files whose content is fetched together.
#[derive(Default)]
pub(super) struct Window {
    pub(super) files: Vec<PendingFile>,
    pub(super) pieces: Vec<Piece>,
    /// In the order of the first file that needs each.
    packs: Vec<Id>,
    numbers: HashMap<Id, u32>,
}

/// A file that waits for its content.
pub(super) struct PendingFile {
    pub(super) path: Vec<u8>,
    pub(super) node: Node,
    pub(super) state: Mutex<FileState>,
}

impl PendingFile {
    /// Whether all of it comes at once.
    pub(super) fn is_one_piece(&self) -> bool {
        self.node.content.as_ref().is_some_and(|it| it.len() == 1)
    }
}

#[derive(Default)]
pub(super) struct FileState {
    /// Pieces that are not written yet.
    pub(super) remaining: usize,
    /// Where it is until it is whole, once it is made.
    pub(super) beside: Option<Vec<u8>>,
    pub(super) open: Option<Arc<File>>,
    pub(super) lost: Option<Lost>,
}

/// Why a file is left out.
pub(super) enum Lost {
    /// The repository's copy is damaged.
    Damaged(String),
    /// The target does not take it.
    Refused(Error),
}

/// A blob's place in a pack and in a file.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pack: u32,
    pub(super) blob: PackedBlob,
    pub(super) file: usize,
    pub(super) position: u64,
}

impl Window {
    /// How many pieces are waiting.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Adds a file with content.
    pub(super) fn add(&mut self, reader: &BlobReader, path: Vec<u8>, node: Node) -> Result<()> {
        let mut position = 0;
        for id in node.content.iter().flatten() {
            let location = reader
                .locate(BlobType::Data, id)
                .map_err(|error| error.on(String::from_utf8_lossy(&path)))?;
            let packs = &mut self.packs;
            let pack = *self.numbers.entry(location.pack).or_insert_with(|| {
                packs.push(location.pack);
                packs.len() as u32 - 1
            });
            self.pieces.push(Piece {
                pack,
                blob: location.blob,
                file: self.files.len(),
                position,
            });
            position += u64::from(location.blob.plain_length());
        }
        let state = FileState {
            remaining: node.content.as_ref().map_or(0, Vec::len),
            ..FileState::default()
        };
        self.files.push(PendingFile {
            path,
            node,
            state: Mutex::new(state),
        });
        Ok(())
    }

    /// Puts the pieces in the order in which they are read.
    pub(super) fn sort(&mut self) {
        self.pieces
            .sort_unstable_by_key(|piece| (piece.pack, piece.blob.offset, piece.file));
    }

    /// The pack and the range of it that `pieces` lie in; `None` if there are none.
    pub(super) fn range(&self, pieces: &[Piece]) -> Option<(&Id, Range<u64>)> {
        let first = pieces.first()?;
        let pack = self.packs.get(first.pack as usize)?;
        let end = pieces.iter().map(|piece| piece.blob.end()).max()?;
        Some((pack, u64::from(first.blob.offset)..end))
    }
}

/// Sorted pieces that lie close together in a pack, and are read at once.
pub(super) fn reads(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut reads = Vec::new();
    let mut rest = pieces;
    while let Some(first) = rest.first() {
        let start = u64::from(first.blob.offset);
        let mut end = first.blob.end();
        let count = rest
            .iter()
            .take_while(|piece| {
                let near = piece.pack == first.pack
                    && u64::from(piece.blob.offset) <= end + MAX_GAP
                    && (piece.blob.end() - start <= READ_SIZE
                        || piece.blob.offset == first.blob.offset);
                end = if near { end.max(piece.blob.end()) } else { end };
                near
            })
            .count();
        let (read, after) = rest.split_at(count.max(1));
        reads.push(read);
        rest = after;
    }
    reads
}

/// Pieces are sorted, so those of one blob stand together.
pub(super) fn same_blob(a: &Piece, b: &Piece) -> bool {
    a.pack == b.pack && a.blob == b.blob
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1 << 20;

    fn piece(pack: u32, offset: u32, length: u32) -> Piece {
        Piece {
            pack,
            blob: PackedBlob {
                id: Id::of(b""),
                blob_type: BlobType::Data,
                offset,
                length,
                uncompressed_length: None,
            },
            file: 0,
            position: 0,
        }
    }

    fn lengths(groups: &[&[Piece]]) -> Vec<usize> {
        groups.iter().map(|group| group.len()).collect()
    }

    #[test]
    fn pieces_that_lie_together_are_read_at_once() {
        let pieces = [
            piece(0, 0, MIB),
            piece(0, MIB, MIB),
            piece(0, MIB, MIB),
            piece(0, 3 * MIB, MIB),
            piece(0, 4 * MIB, 4 * MIB),
            piece(0, 8 * MIB, 8 * MIB),
            piece(0, 8 * MIB, 8 * MIB),
            piece(1, 0, 100),
        ];
        assert_eq!(lengths(&reads(&pieces)), [3, 1, 1, 2, 1]);
    }
}
