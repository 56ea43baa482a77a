//! The backup in the making, as a source sees it.

use std::io::{self, BufWriter, Write};

use crate::bindings::plugin::strongroom::plugin::sink;
use crate::stream::Output;
use crate::{Error, ErrorKind, Result};

/// One file of a backup.
pub use sink::Entry;
/// The backup that an incremental one continues.
pub use sink::Parent;
/// Figures of a file, a tree or a restore.
pub use sink::Summary;
/// A host directory that the engine walks and reads itself.
pub use sink::Tree;

impl Entry {
    /// A file of which only its path is known.
    pub fn at(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

/// How much a [`Writer`] collects before it hands it to the engine.
const BUFFER_BYTES: usize = 64 * 1024;

/// The backup in the making. Paths are relative, `/`-separated, and name what a person would look for.
pub struct Sink<'a>(&'a sink::Sink);

impl<'a> Sink<'a> {
    pub(crate) fn new(raw: &'a sink::Sink) -> Self {
        Self(raw)
    }

    /// The backup to continue; `None` on a full backup.
    pub fn parent(&self) -> Option<Parent> {
        self.0.parent()
    }

    /// Begins a file.
    ///
    /// If the parent holds the path with the same [`fingerprint`](Entry::fingerprint), it is carried over and there is nothing to write.
    pub fn file(&self, entry: &Entry) -> Result<Begun> {
        Ok(match self.0.file(entry)? {
            sink::Begun::Write(writer) => Begun::Write(Writer::new(writer)),
            sink::Begun::Unchanged => Begun::Unchanged,
        })
    }

    /// Begins a file that has to be written: one without a [`fingerprint`](Entry::fingerprint), or of a full backup.
    pub fn write(&self, entry: &Entry) -> Result<Writer> {
        match self.file(entry)? {
            Begun::Write(writer) => Ok(writer),
            Begun::Unchanged => Err(Error::new(
                ErrorKind::Failed,
                format!("{}: the engine says that it is unchanged", entry.path),
            )),
        }
    }

    /// Backs up a host directory as `path` (empty for the source's root), with all its metadata, and returns when all of it was read.
    /// The root must be covered by a `read` or `write` capability.
    pub fn tree(&self, path: &str, tree: &Tree) -> Result<Summary> {
        Ok(self.0.tree(path, tree)?)
    }

    /// Keeps a file or a whole directory as the parent has it.
    pub fn carry(&self, path: &str) -> Result<Summary> {
        Ok(self.0.carry(path)?)
    }

    /// Adds a detail to the manifest.
    pub fn note(&self, key: &str, value: &str) {
        self.0.note(key, value);
    }

    /// Names something that the configuration asks for and that is not in this backup, which is incomplete by that.
    pub fn missing(&self, subject: impl AsRef<str>, reason: impl AsRef<str>) {
        self.0.missing(subject.as_ref(), reason.as_ref());
    }
}

/// What [`Sink::file`] answers.
pub enum Begun {
    /// Write the content here, and [`finish`](Writer::finish).
    Write(Writer),
    /// The parent's file was carried over.
    Unchanged,
}

/// One file being written. Dropping it before [`finish`](Self::finish) fails the run: an end of input is no success.
///
/// Small pieces are collected before they go to the engine.
pub struct Writer(BufWriter<Direct>);

impl Writer {
    fn new(raw: sink::Writer) -> Self {
        Self(BufWriter::with_capacity(BUFFER_BYTES, Direct(raw)))
    }

    /// The engine's own end of the file, for [`splice`](crate::stream::splice): the bytes then never enter the plugin.
    /// Taken once, and to be dropped before [`finish`](Self::finish).
    pub fn body(&mut self) -> Result<Output> {
        self.0.flush()?;
        Ok(Output::new(self.0.get_ref().0.body()?))
    }

    /// CRC-32C (Castagnoli) of what was written so far, which the engine has computed with the processor's own instruction.
    pub fn crc32c(&mut self) -> Result<u32> {
        self.0.flush()?;
        Ok(self.0.get_ref().0.crc32c()?)
    }

    /// Ends the file.
    pub fn finish(self) -> Result<Summary> {
        let direct = self
            .0
            .into_inner()
            .map_err(|error| Error::from(error.into_error()))?;
        Ok(sink::Writer::finish(direct.0)?)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Hands what was collected to the engine. It says nothing about durability; [`finish`](Self::finish) does not either.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Direct(sink::Writer);

impl Write for Direct {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .write(bytes)
            .map_err(|error| io::Error::from(Error::from(error)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
