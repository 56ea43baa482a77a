//! A place that keeps objects, and their bytes on the way there and back.

use std::io::{self, Read};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use wasip2::filesystem::types::Descriptor;

use crate::bindings::destination::exports::strongroom::plugin::destination;
use crate::bindings::plugin::strongroom::plugin::object;
use crate::stream::Input;
use crate::{Capability, Info, Result};

/// Whether an object is read rarely or at every run, for storage classes.
pub use destination::Content;
/// What a destination says of one object.
pub use destination::Metadata;
/// A part of a listing, and how to ask for the next one.
pub use destination::Page;
/// How to store an object.
pub use destination::PutOptions;

/// A place that keeps objects by key. Hand the type to [`export_destination!`](crate::export_destination).
///
/// Keys are `/`-separated and relative. The engine opens as many values as it has requests at once, each in an instance of its own, and
/// calls each from one thread, one call at a time, with a deadline. All that reaches it is encrypted already.
///
/// An implementer owes:
/// - `put` is atomic and durable when it returns: a reader sees the whole object or none, and it survives a power cut.
/// - What was put can be read, listed and found with `stat` at once, by every instance.
/// - `get` gives exactly the bytes asked for; fewer is an error.
/// - `delete` of what is absent succeeds.
/// - `list` is complete, in any order.
pub trait Destination: Sized + 'static {
    /// What the plugin says of itself.
    const INFO: Info;

    /// The `config` table. Give it `#[serde(deny_unknown_fields)]`, so that a mistyped key is an error.
    type Config: DeserializeOwned + JsonSchema;

    /// What this configuration needs, and no more. Called with no capability granted: it must not look at anything outside.
    fn requirements(config: &Self::Config) -> Result<Vec<Capability>>;

    /// Called before the methods below, with the capabilities granted.
    fn open(config: Self::Config) -> Result<Self>;

    /// Stores an object.
    fn put(&mut self, key: &str, body: &Body, options: PutOptions) -> Result<()>;

    /// Puts `length` bytes from `offset`, or all that follows, into the answer.
    fn get(&mut self, key: &str, offset: u64, length: Option<u64>, into: &Answer) -> Result<()>;

    /// The object's metadata, or `None` where there is no such object.
    fn stat(&mut self, key: &str) -> Result<Option<Metadata>>;

    /// A part of the objects whose key starts with `prefix`: the first one, or what follows `token`, which came with the part before.
    /// The next part may be asked of another value, so the token must say all.
    fn list(&mut self, prefix: &str, token: Option<&str>) -> Result<Page>;

    /// Removes an object. Absent is success.
    fn delete(&mut self, key: &str) -> Result<()>;
}

/// An object on its way, still in the engine. It can be read as often as it takes.
pub struct Body<'a>(&'a object::Body);

impl<'a> Body<'a> {
    pub(crate) fn new(raw: &'a object::Body) -> Self {
        Self(raw)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// SHA-256 of the whole object.
    pub fn sha256(&self) -> Vec<u8> {
        self.0.sha256()
    }

    /// `length` bytes from `offset`, fewer only at the end. One copy into the plugin's memory: pieces of about 1 MiB are best.
    pub fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        self.0.read(offset, length)
    }

    /// The object as a stream from `offset`, for [`splice`](crate::stream::splice): the bytes then never enter the plugin.
    pub fn stream(&self, offset: u64) -> Input {
        Input::new(self.0.open(offset))
    }

    /// The object as a [`Read`].
    pub fn reader(&self) -> BodyReader<'_> {
        BodyReader {
            body: self.0,
            offset: 0,
        }
    }
}

/// What a destination is asked for: bytes go in from the first one on, and more than was asked for makes the call fail.
pub struct Answer<'a>(&'a object::Answer);

impl<'a> Answer<'a> {
    pub(crate) fn new(raw: &'a object::Answer) -> Self {
        Self(raw)
    }

    /// Appends bytes. One copy out of the plugin's memory: pieces of about 1 MiB are best.
    pub fn write(&self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Appends `length` bytes of an open file from `offset`, fewer only where it ends, or where no more is wanted, and returns how many. The
    /// engine reads them itself: they never enter the plugin.
    pub fn copy(&self, from: &Descriptor, offset: u64, length: u64) -> Result<u64> {
        Ok(self.0.copy(from, offset, length)?)
    }
}

/// Reads a [`Body`] from its start.
pub struct BodyReader<'a> {
    body: &'a object::Body,
    offset: u64,
}

impl Read for BodyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.body.read(self.offset, buffer.len() as u64);
        let part = buffer
            .get_mut(..bytes.len())
            .ok_or_else(|| io::Error::other("the engine sent more than was asked for"))?;
        part.copy_from_slice(&bytes);
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }
}
