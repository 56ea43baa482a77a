//! What a pack says of itself: its sealed list, without reading the rest of it.

use crate::blob::PackedBlob;
use crate::file::FileType;
use crate::id::Id;
use crate::pack::{self, TRAILER};
use crate::repository::Repository;
use crate::{Error, Result};

/// Long enough for the list of most packs of data.
const FIRST_READ: u64 = 4 * 1024;

/// Reads the list of a pack of `size` bytes.
pub(super) fn read(repository: &Repository, id: &Id, size: u64) -> Result<Vec<PackedBlob>> {
    let key = FileType::Pack.key(id);
    let tail = |length: u64| {
        let length = length.min(size);
        repository
            .destination()
            .get(&key, size - length, Some(length))
            .map_err(|error| error.or_on(format_args!("destination {}", repository.name())))
    };
    let mut end = tail(FIRST_READ)?;
    let length = pack::header_length(&end, size)?;
    if length + TRAILER > end.len() {
        end = tail((length + TRAILER) as u64)?;
    }
    let list_end = end.len().saturating_sub(TRAILER);
    let list = end.get(list_end.saturating_sub(length)..list_end);
    let list = list.ok_or_else(|| Error::corrupted("its header cannot be read"))?;
    pack::parse_header(repository.key(), list, size)
}
