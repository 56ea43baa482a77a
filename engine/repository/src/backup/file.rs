//! A file whose chunks are on their way through the pipeline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::directory::Home;
use super::stats::Stats;
use super::storer::Storer;
use crate::Result;
use crate::id::Id;
use crate::tree::Node;

/// Collects the ids of a file's chunks, in whatever order workers finish them.
pub(crate) struct FileInProgress {
    content: Mutex<Vec<Id>>,
    /// Chunks on their way, and one for the reader until it has ended the file.
    pending: AtomicUsize,
    ended: Mutex<Option<(Node, Home)>>,
    pub(crate) stats: Arc<Stats>,
}

impl FileInProgress {
    pub(crate) fn new(stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            content: Mutex::default(),
            pending: AtomicUsize::new(1),
            ended: Mutex::default(),
            stats,
        })
    }

    /// Announces a chunk; returns its number.
    pub(crate) fn expect_chunk(&self) -> usize {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.push(Id::from_bytes([0; 32]));
        content.len() - 1
    }

    /// A chunk is stored.
    pub(crate) fn chunk_stored(&self, number: usize, id: Id, storer: &mut Storer) -> Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = content.get_mut(number) {
            *slot = id;
        }
        drop(content);
        self.release(storer)
    }

    /// No more chunks will come: `node` goes to `home` as soon as all are stored. A file that is dropped without this is discarded.
    pub(crate) fn end(&self, node: Node, home: Home, storer: &mut Storer) -> Result<()> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, home));
        self.release(storer)
    }

    fn release(&self, storer: &mut Storer) -> Result<()> {
        if self.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let ended = self
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((mut node, home)) = ended else {
            return Ok(());
        };
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        node.content = Some(std::mem::take(&mut *content));
        drop(content);
        home.fill(Some(node), storer)
    }
}
