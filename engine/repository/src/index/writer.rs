//! Descriptions of packs in, index objects out: each as large as one should be.

use super::{IndexFile, IndexPack};
use crate::Result;
use crate::file::FileType;
use crate::id::Id;
use crate::lock::Lock;
use crate::repository::Repository;

/// An index object is written as soon as it would describe so many blobs; restic writes them about as large.
pub(crate) const BLOBS_PER_FILE: usize = 50_000;

/// Writes index objects under a lock that keeps others out, with the reserve where there is no other room: whoever took the repository meanwhile may have removed what they would name. What was not yet written
/// when it is dropped is in none.
pub(crate) struct IndexWriter<'a> {
    repository: &'a Repository,
    lock: &'a Lock,
    waiting: Vec<IndexPack>,
    waiting_blobs: usize,
    written: Vec<Id>,
}

impl<'a> IndexWriter<'a> {
    pub(crate) fn new(repository: &'a Repository, lock: &'a Lock) -> Self {
        Self {
            repository,
            lock,
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
        self.lock.ensure_held()?;
        let file = IndexFile {
            supersedes: Vec::new(),
            packs: std::mem::take(&mut self.waiting),
        };
        self.waiting_blobs = 0;
        let object = self.repository.seal_object(&file)?;
        let id = object.sha256();
        let put = || self.repository.put_object(FileType::Index, &object);
        let put = self.repository.with_reserve(put);
        if let Err(error) = put.and_then(|()| self.lock.ensure_held()) {
            // It may name what is gone by now.
            let _ = self.repository.delete(FileType::Index, &id);
            return Err(error);
        }
        self.written.push(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::IndexBlob;
    use super::*;
    use crate::blob::BlobType;
    use crate::init::InitOptions;
    use crate::testing::MemoryDestination;

    #[test]
    fn no_object_is_written_under_a_lock_that_is_gone() {
        let destination = Arc::new(MemoryDestination::new("nas"));
        let options = InitOptions {
            password: "correct horse",
            ..InitOptions::default()
        };
        let repository = Repository::init(destination.clone(), options).expect("is made");
        let repository = Arc::new(repository);
        let id = Id::of(b"");
        let blob = IndexBlob {
            id,
            blob_type: BlobType::Data,
            offset: 0,
            length: 32,
            uncompressed_length: None,
        };
        let pack = IndexPack {
            id,
            blobs: vec![blob; BLOBS_PER_FILE],
        };
        let lock = Lock::exclusive(&repository).expect("is free");
        let mut writer = IndexWriter::new(&repository, &lock);
        writer.add(pack.clone()).expect("is written");
        let written = || repository.list(FileType::Index).expect("listed").len();
        assert_eq!(written(), 1);
        destination.set_object(&FileType::Lock.key(&lock.id()), None);
        // In the middle, not only at the end.
        writer.add(pack).expect_err("the lock is lost");
        assert_eq!(written(), 1);
    }
}
