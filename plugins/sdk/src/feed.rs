//! A backup being restored, as a source sees it.

use std::io::{self, Read};

use crate::bindings::plugin::strongroom::plugin::feed;
use crate::stream::Input;
use crate::{Attributes, Entry, Error, Result, Summary};

/// What to do with a file that exists at the target.
pub use feed::Conflict;
/// How [`Feed::extract`] writes a directory.
pub use feed::Extraction;
/// What came of [`Feed::sample`].
pub use feed::Sampled;

/// How many entries [`Feed::entries`] asks for at once.
const PAGE_ENTRIES: u32 = 256;

/// A backup being restored.
pub struct Feed<'a>(&'a feed::Feed);

impl<'a> Feed<'a> {
    pub(crate) fn new(raw: &'a feed::Feed) -> Self {
        Self(raw)
    }

    /// What the source noted when it made the backup.
    pub fn attributes(&self) -> Attributes {
        self.0.attributes()
    }

    /// The files that are not yet seen, in path order. The engine keeps the place: a second call goes on where the first one ended.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        let mut page = Vec::new().into_iter();
        let mut ended = false;
        std::iter::from_fn(move || {
            if let Some(entry) = page.next() {
                return Some(Ok(entry));
            }
            if ended {
                return None;
            }
            match self.0.next(PAGE_ENTRIES) {
                Ok(entries) => {
                    ended = entries.is_empty();
                    page = entries.into_iter();
                    page.next().map(Ok)
                }
                Err(error) => {
                    ended = true;
                    Some(Err(error.into()))
                }
            }
        })
    }

    /// Opens a file of the backup.
    pub fn open(&self, path: &str) -> Result<Reader> {
        Ok(Reader {
            raw: self.0.open(path)?,
        })
    }

    /// Writes a file or directory of the backup to the host, with all its metadata, at native speed. The target must be covered by a
    /// `write` capability.
    pub fn extract(&self, path: &str, extraction: &Extraction) -> Result<Summary> {
        Ok(self.0.extract(path, extraction)?)
    }

    /// Restores some of the files, picked at random, below `target`, reads them back from there, compares them with the backup and removes
    /// them: `percent` of all files, one at least. The target must be covered by a `write` capability.
    pub fn sample(&self, target: &str, percent: f64) -> Result<Sampled> {
        Ok(self.0.sample(target, percent)?)
    }

    /// Names something that was not restored while the rest was: the restore ends as incomplete.
    pub fn missing(&self, subject: impl AsRef<str>, reason: impl AsRef<str>) {
        self.0.missing(subject.as_ref(), reason.as_ref());
    }
}

/// One file of a backup. What it yields was verified already.
///
/// Every `read` is a call into the engine: read in pieces of 64 KiB or more, or through a [`BufReader`](io::BufReader).
pub struct Reader {
    raw: feed::Reader,
}

impl Reader {
    /// The file as a stream, for [`splice`](crate::stream::splice): the bytes then never enter the plugin. Taken once.
    pub fn body(&mut self) -> Result<Input> {
        Ok(Input::new(self.raw.body()?))
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self
            .raw
            .read(buffer.len() as u64)
            .map_err(|error| io::Error::from(Error::from(error)))?;
        let part = buffer
            .get_mut(..bytes.len())
            .ok_or_else(|| io::Error::other("the engine sent more than was asked for"))?;
        part.copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
