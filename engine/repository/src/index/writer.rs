//! Descriptions of packs in, index objects out: each as large as one should be.

use super::{IndexFile, IndexPack};
use crate::Result;
use crate::file::FileType;
use crate::id::Id;
use crate::repository::Repository;

/// An index object is written as soon as it would describe so many blobs; restic writes them about as large.
pub(crate) const BLOBS_PER_FILE: usize = 50_000;

/// Writes index objects. What was not yet written when it is dropped is in none.
pub(crate) struct IndexWriter<'a> {
    repository: &'a Repository,
    waiting: Vec<IndexPack>,
    waiting_blobs: usize,
    written: Vec<Id>,
}

impl<'a> IndexWriter<'a> {
    pub(crate) fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            waiting: Vec::new(),
            waiting_blobs: 0,
            written: Vec::new(),
        }
    }

    /// Describes a pack, which must be durable.
    pub(crate) fn add(&mut self, pack: IndexPack) -> Result<()> {
        self.waiting_blobs += pack.blobs.len();
        self.waiting.push(pack);
        if self.waiting_blobs >= BLOBS_PER_FILE {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what is left, and returns the ids of all objects.
    pub(crate) fn finish(mut self) -> Result<Vec<Id>> {
        if !self.waiting.is_empty() {
            self.write()?;
        }
        Ok(self.written)
    }

    fn write(&mut self) -> Result<()> {
        let file = IndexFile {
            supersedes: Vec::new(),
            packs: std::mem::take(&mut self.waiting),
        };
        self.waiting_blobs = 0;
        let id = self.repository.save_json(FileType::Index, &file)?;
        self.written.push(id);
        Ok(())
    }
}
