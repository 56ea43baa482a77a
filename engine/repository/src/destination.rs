//! A place that keeps objects: the trait between the repository and whatever stores its bytes.

use bytes::Bytes;

use crate::Result;
use crate::id::Id;

/// What kind of bytes an object holds, for destinations with storage classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Read rarely: packs of file content.
    Data,
    /// Read at every run: configuration, keys, index, snapshots, locks, packs of trees.
    Metadata,
}

/// How to store an object.
#[derive(Debug, Clone, Copy)]
pub struct PutOptions {
    /// Fail with [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) rather than replace.
    pub create_only: bool,
    /// For the storage class.
    pub content: Content,
}

/// An object on its way to a destination. Cheap to clone; its bytes can be read again after a failed attempt.
#[derive(Debug, Clone)]
pub struct Body {
    bytes: Bytes,
    sha256: Id,
}

impl Body {
    /// `sha256` must be the hash of `bytes`.
    pub fn new(bytes: Bytes, sha256: Id) -> Self {
        debug_assert_eq!(sha256, Id::of(&bytes));
        Self { bytes, sha256 }
    }

    /// Hashes `bytes` itself.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            sha256: Id::of(&bytes),
            bytes,
        }
    }

    /// The whole object.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the whole object.
    pub fn sha256(&self) -> Id {
        self.sha256
    }
}

/// What a destination says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// The key, `/`-separated, relative to the repository.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Nanoseconds since the Unix epoch, where the destination knows.
    pub modified: Option<i64>,
}

/// A place that keeps objects by key. Calls block; up to [`parallelism`](Destination::parallelism) of them make sense at once.
///
/// An implementer owes:
/// - `put` is atomic and durable when it returns: a reader sees the whole object or none, and it survives a power cut.
/// - What was put can be read, listed and found with `stat` at once.
/// - `get` returns exactly the bytes asked for; fewer is an error.
/// - `delete` of what is absent succeeds.
/// - `list` is complete, in any order.
pub trait Destination: Send + Sync {
    /// The name that the operator gave it, for messages.
    fn name(&self) -> &str;

    /// How many calls make sense at once.
    fn parallelism(&self) -> usize;

    /// Whether it has an end, as a disk has, so that some room is worth keeping for the day on which it is full.
    fn fills_up(&self) -> bool {
        false
    }

    /// Stores an object.
    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()>;

    /// `length` bytes from `offset`, or all that follows.
    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes>;

    /// The object's metadata, or `None` where there is no such object.
    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>>;

    /// Every object whose key starts with `prefix`.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>>;

    /// Removes an object.
    fn delete(&self, key: &str) -> Result<()>;
}
