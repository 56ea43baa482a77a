//! All places of all blobs, copies included: what a prune has to know beside where a blob is found.

use super::{Index, Location, Slot, slot};
use crate::blob::{BlobType, PackedBlob};
use crate::id::Id;
use crate::{Error, ErrorKind, Result};

/// One of the places where a blob is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The blob's number.
    pub(crate) number: u32,
    /// The number of the pack, in the order of [`Index::packs`].
    pub(crate) pack: u32,
    /// The blob there.
    pub(crate) blob: PackedBlob,
}

impl Index {
    /// How many places there are for [`place`](Self::place): each blob's own, and then those of further copies. A copy that several index
    /// objects describe counts several times.
    pub(crate) fn place_count(&self) -> Result<u32> {
        u32::try_from(self.len() + self.copies.len())
            .map_err(|_| Error::new(ErrorKind::Unsupported, "more than 4 billion blobs"))
    }

    /// The place of the blob `number`, or from [`len`](Self::len) on of a further copy of a blob.
    pub(crate) fn place(&self, number: u32) -> Option<Place> {
        let (blob, slot) = match (number as usize).checked_sub(self.len()) {
            None => (number, slot(&self.blocks, number)?),
            Some(copy) => self.copies.get(copy).map(|(blob, slot)| (*blob, slot))?,
        };
        Some(Place {
            number: blob,
            pack: slot.pack >> 1,
            blob: slot.blob(),
        })
    }

    /// The same with the pack's id.
    pub(crate) fn location_of(&self, place: &Place) -> Option<Location> {
        self.location_in(place.pack, place.blob)
    }

    /// Every place of every blob, in no particular order.
    pub(crate) fn places(&self) -> impl Iterator<Item = Location> {
        let copies = self.copies.iter();
        self.iter()
            .chain(copies.filter_map(|(_, slot)| self.location(slot)))
    }

    /// Where a blob is beside its place in `pack`.
    pub(crate) fn elsewhere(&self, blob_type: BlobType, id: &Id, pack: &Id) -> Vec<Location> {
        let Some(number) = self.number(blob_type, id) else {
            return Vec::new();
        };
        let copies = self.copies.iter().filter(|(of, _)| *of == number);
        let places = slot(&self.blocks, number)
            .into_iter()
            .chain(copies.map(|(_, slot)| slot));
        let mut others: Vec<Location> = places.filter_map(|slot| self.location(slot)).collect();
        others.retain(|other| other.pack != *pack);
        others
    }

    /// How often a pack was described that was known already: what a prune leaves behind that was killed, and nothing else.
    pub(crate) fn repetitions(&self) -> usize {
        self.repetitions
    }

    /// Remembers another place of a blob, unless it is the one that is known.
    pub(super) fn add_copy(&mut self, number: u32, copy: Slot) {
        let is_known = slot(&self.blocks, number)
            .is_some_and(|slot| (slot.pack, slot.offset) == (copy.pack, copy.offset));
        if !is_known {
            self.copies.push((number, copy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: PackedBlob = PackedBlob {
        id: Id::from_bytes([7; 32]),
        blob_type: BlobType::Data,
        offset: 7,
        length: 50,
        uncompressed_length: None,
    };

    #[test]
    fn every_copy_of_a_blob_has_a_place() {
        let mut index = Index::default();
        index.add_pack(Id::of(b"pack 1"), [BLOB]).expect("added");
        index.add_pack(Id::of(b"pack 2"), [BLOB]).expect("added");
        assert_eq!(index.place_count().expect("few"), 2);
        let places = (0..2).filter_map(|number| index.place(number));
        let found: Vec<_> = places.map(|place| (place.number, place.pack)).collect();
        assert_eq!(found, [(0, 0), (0, 1)]);
        assert_eq!(index.repetitions(), 0);
        let elsewhere = |pack: &[u8]| {
            let found = index.elsewhere(BlobType::Data, &BLOB.id, &Id::of(pack));
            let packs: Vec<Id> = found.iter().map(|it| it.pack).collect();
            packs
        };
        assert_eq!(elsewhere(b"pack 1"), [Id::of(b"pack 2")]);
        assert_eq!(elsewhere(b"pack 2"), [Id::of(b"pack 1")]);
        assert_eq!(index.elsewhere(BlobType::Tree, &BLOB.id, &BLOB.id), []);
    }

    #[test]
    fn a_pack_that_is_described_twice_is_there_once() {
        let mut index = Index::default();
        for _ in 0..2 {
            index.add_pack(Id::of(b"pack"), [BLOB]).expect("added");
        }
        let later = PackedBlob {
            offset: 57,
            id: Id::of(b"later"),
            ..BLOB
        };
        index.add_pack(Id::of(b"pack"), [later]).expect("added");
        assert_eq!(index.packs().len(), 1);
        assert_eq!(index.packs()[0].blobs_end, 107);
        assert_eq!(index.place_count().expect("few"), 2);
        assert_eq!(index.repetitions(), 2);
    }
}
