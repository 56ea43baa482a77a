//! Whole objects that are named by their content: saved, loaded and verified, listed. No keys and no compression here.

use bytes::Bytes;

use crate::destination::{Body, Destination, PutOptions};
use crate::file::FileType;
use crate::id::Id;
use crate::snapshot::NOT_UNDERSTOOD;
use crate::source::Timestamp;
use crate::{Error, ErrorKind, Result};

/// An object that a listing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its id.
    pub id: Id,
    /// Its size in bytes.
    pub size: u64,
    /// When it was stored, in nanoseconds since the Unix epoch by the destination's own clock, where that tells.
    pub modified: Option<Timestamp>,
}

/// What [`list`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, in the order of their ids.
    pub objects: Vec<Listed>,
    /// Keys that are no object's: a file that was left half-written, or is somebody else's.
    pub strangers: Vec<String>,
}

/// Stores `content` under its hash.
pub(crate) fn save(
    destination: &dyn Destination,
    file_type: FileType,
    content: impl Into<Bytes>,
) -> Result<Id> {
    let body = Body::of(content);
    put(destination, file_type, &body)?;
    Ok(body.sha256())
}

/// Stores an object under its name.
pub(crate) fn put(destination: &dyn Destination, file_type: FileType, object: &Body) -> Result<()> {
    let options = PutOptions {
        create_only: true,
        content: file_type.content(),
    };
    destination
        .put(&file_type.key(&object.sha256()), object, options)
        .map_err(|error| error.or_on(format_args!("destination {}", destination.name())))
}

/// Reads an object that is named by its content, and verifies it. What does not match is read a second time, as a line may have failed
/// rather than the store.
pub(crate) fn load(destination: &dyn Destination, file_type: FileType, id: &Id) -> Result<Bytes> {
    let name = destination.name();
    for _ in 0..2 {
        let content = destination
            .get(&file_type.key(id), 0, None)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => missing(name, file_type, id),
                _ => error.or_on(format_args!("destination {name}")),
            })?;
        if Id::of(&content) == *id {
            return Ok(content);
        }
    }
    Err(damaged(
        name,
        file_type,
        id,
        "its content does not match its name",
    ))
}

/// Every object of a kind.
pub(crate) fn list(destination: &dyn Destination, file_type: FileType) -> Result<Listing> {
    let found = destination
        .list(file_type.prefix())
        .map_err(|error| error.or_on(format_args!("destination {}", destination.name())))?;
    let mut listing = Listing::default();
    for object in found {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        match name.parse::<Id>() {
            Ok(id) if file_type.key(&id) == object.key => listing.objects.push(Listed {
                id,
                size: object.size,
                modified: object.modified,
            }),
            _ => listing.strangers.push(object.key),
        }
    }
    listing.objects.sort_unstable();
    listing.strangers.sort_unstable();
    Ok(listing)
}

/// The object is gone.
pub(crate) fn missing(name: &str, file_type: FileType, id: &Id) -> Error {
    let error = Error::new(
        ErrorKind::NotFound,
        format!("{file_type} {} is missing", id.short()),
    );
    error.on(name).hint(remedy(name, file_type))
}

/// The object is not what it was.
pub(crate) fn damaged(name: &str, file_type: FileType, id: &Id, how: &str) -> Error {
    Error::corrupted(format!("{file_type} {} is damaged: {how}", id.short()))
        .on(name)
        .hint(remedy(name, file_type))
}

/// The object is what it was, but makes no sense.
pub(crate) fn not_understood(
    name: &str,
    file_type: FileType,
    id: &Id,
    error: &serde_json::Error,
) -> Error {
    Error::corrupted(format!(
        "{file_type} {} cannot be understood: {error}",
        id.short()
    ))
    .on(name)
    .hint(match file_type {
        FileType::Snapshot => NOT_UNDERSTOOD.to_owned(),
        _ => remedy(name, file_type),
    })
}

/// For the object of a repository at the destination `name`.
fn remedy(name: &str, file_type: FileType) -> String {
    let remedy = match file_type {
        FileType::Config => "get the file 'config' back from a copy of the repository",
        FileType::Key => "the repository still opens with the password of another key",
        FileType::Pack => {
            "get it back from a copy of the repository, or move it away and run `strongroom repair index`: the next backup stores again what the source still has"
        }
        FileType::Index => {
            "`strongroom repair index` makes the index anew from the packs (so does `restic repair index`)"
        }
        FileType::Snapshot => {
            "the other backups do not need it; `strongroom repair snapshots` drops it"
        }
        FileType::Lock => {
            return format!(
                "`strongroom unlock {name} --all` removes it: only for when you know that nobody is at work there"
            );
        }
    };
    remedy.to_owned()
}
