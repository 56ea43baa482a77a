//! A reserve for the day on which the destination is full: a small object that is given up when room is needed to make room.
//!
//! Forgetting and pruning write before they delete: a lock, and an index without what goes. On a disk without a free byte they could do
//! neither, and nothing would ever help it. So backups keep an object there that says nothing, and whoever holds the repository alone deletes
//! it when there is no room left for what he must write. A backup never touches it: it would use it up, and the disk would be as full as before.

use bytes::Bytes;

use crate::crypto::random;
use crate::destination::{Body, Content, PutOptions};
use crate::file::FileType;
use crate::init::{README, README_KEY};
use crate::repository::Repository;
use crate::{Error, ErrorKind, Result};

/// Where it lies: beside `config`, where restic looks for nothing else.
pub const RESERVE_KEY: &str = "reserve";

/// Room for a lock, and for the index of a small repository.
const USUAL: u64 = 1 << 20;
/// What a tiny disk gets: a lock and an index object of a few thousand blobs.
const LEAST: u64 = 1 << 16;
/// A prune without room writes one index object at a time; none that a program has made is larger.
const MOST: u64 = 16 << 20;

impl Repository {
    /// Makes the reserve, where the destination is one that fills up and there is room. Nothing depends on it today, so nothing is said of a
    /// failure.
    pub fn keep_reserve(&self) {
        if self.destination().fills_up() {
            let _ = self.try_keep_reserve();
        }
    }

    fn try_keep_reserve(&self) -> Result<()> {
        let readme = self.destination().stat(README_KEY)?;
        if readme.is_some_and(|object| object.size == 0) {
            self.put_plain(README_KEY, README)?;
        }
        let indexes = self.list(FileType::Index)?;
        let largest = indexes.iter().map(|(_, size)| *size).max().unwrap_or(0);
        let wanted = (largest + LEAST).clamp(USUAL, MOST);
        let held = self.destination().stat(RESERVE_KEY)?;
        match held.map(|object| object.size) {
            Some(size) if size >= wanted => Ok(()),
            Some(_) => self.put_reserve(wanted),
            None => match self.put_reserve(wanted) {
                Err(error) if error.kind() == ErrorKind::OutOfSpace => self.put_reserve(LEAST),
                result => result,
            },
        }
    }

    /// Random, as some file systems would keep zeros in no room at all.
    fn put_reserve(&self, size: u64) -> Result<()> {
        let mut content = vec![0; size as usize];
        random(&mut content);
        self.put_plain(RESERVE_KEY, content)
    }

    fn put_plain(&self, key: &str, content: impl Into<Bytes>) -> Result<()> {
        let options = PutOptions {
            create_only: false,
            content: Content::Metadata,
        };
        self.destination().put(key, &Body::of(content), options)
    }

    /// Calls `store`, and again with the reserve given up where the destination is full. For who holds the repository alone, and stores what
    /// it takes to delete.
    pub(crate) fn with_reserve<T>(&self, store: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            match store() {
                Err(error) if error.kind() == ErrorKind::OutOfSpace => {
                    if !self.give_up_reserve()? {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Whether there is more room now. A repository without a reserve, as an older program made it, still has our own text for people,
    /// which [`keep_reserve`](Self::keep_reserve) puts back: an empty object in its place says so.
    fn give_up_reserve(&self) -> Result<bool> {
        let destination = self.destination();
        if destination.stat(RESERVE_KEY)?.is_some() {
            destination.delete(RESERVE_KEY)?;
            return Ok(true);
        }
        let is_ours = destination.stat(README_KEY)?.is_some()
            && destination.get(README_KEY, 0, None)? == README;
        if is_ours {
            destination.delete(README_KEY)?;
            // Takes no room but a name's; without it the text is missing, and nothing else.
            let _ = self.put_plain(README_KEY, Bytes::new());
        }
        Ok(is_ours)
    }

    /// What to do where not even that helped.
    pub(crate) fn without_room(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::OutOfSpace => error.hint(format!(
                "{name} has no room for what it takes to give some back: free a megabyte there by other means (remove or move some other file, or make the disk larger), then run it again",
                name = self.name()
            )),
            _ => error,
        }
    }
}
