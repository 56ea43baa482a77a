//! A directory whose entries arrive in any order; when the last one is there, it becomes a tree blob and an entry of its own parent.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use super::stats::Stats;
use super::storer::Storer;
use crate::blob::BlobType;
use crate::id::Id;
use crate::tree::{Node, Tree, TreeEncoder};
use crate::{Error, ErrorKind, Result};

/// Where a finished node belongs.
pub(crate) enum Home {
    /// Into a directory, which expects it.
    Directory(Arc<Directory>),
    /// To whoever waits for it.
    Waiting(Sender<Option<Node>>),
}

impl Home {
    /// Delivers a node, or says with `None` that there will be none. Ends every directory that this completes, up to the root.
    ///
    /// A loop, not recursion: a path may be thousands of levels deep.
    pub(crate) fn fill(self, node: Option<Node>, storer: &mut Storer) -> Result<()> {
        let (mut home, mut node) = (self, node);
        loop {
            match home {
                Self::Waiting(sender) => {
                    // Nobody waits any more only where the run has failed already.
                    let _ = sender.send(node);
                    return Ok(());
                }
                Self::Directory(directory) => {
                    let Some(complete) = directory.deliver(node) else {
                        return Ok(());
                    };
                    node = Some(complete.into_node(&directory, storer)?);
                    home = complete_home(&directory)?;
                }
            }
        }
    }
}

/// A directory in the making.
pub(crate) struct Directory {
    state: Mutex<State>,
    previous: Option<Previous>,
    stats: Arc<Stats>,
}

/// The parent backup's tree at the same path.
pub(crate) struct Previous {
    pub(crate) id: Id,
    /// What is in it, where it can be read.
    pub(crate) tree: Option<Arc<Tree>>,
}

struct State {
    own: Option<Node>,
    home: Option<Home>,
    nodes: Vec<Node>,
    /// Entries that were announced, and one for the walker until it has announced all.
    pending: usize,
}

/// All that a directory holds.
struct Complete {
    own: Node,
    nodes: Vec<Node>,
}

impl Directory {
    /// A directory whose own metadata is `own`. It is complete after [`close`](Self::close) and a delivery for every
    /// [`expect`](Self::expect).
    pub(crate) fn new(
        own: Node,
        home: Home,
        previous: Option<Previous>,
        capacity: usize,
        stats: &Arc<Stats>,
    ) -> Arc<Self> {
        let state = State {
            own: Some(own),
            home: Some(home),
            nodes: Vec::with_capacity(capacity),
            pending: 1,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            previous,
            stats: Arc::clone(stats),
        })
    }

    /// Announces an entry.
    pub(crate) fn expect(self: &Arc<Self>) -> Home {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pending += 1;
        Home::Directory(Arc::clone(self))
    }

    /// Adds an entry that is known already.
    pub(crate) fn add(&self, node: Node) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .nodes
            .push(node);
    }

    /// All entries were announced.
    pub(crate) fn close(self: Arc<Self>, storer: &mut Storer) -> Result<()> {
        Home::Directory(self).fill(None, storer)
    }

    fn deliver(&self, node: Option<Node>) -> Option<Complete> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.nodes.extend(node);
        state.pending -= 1;
        if state.pending > 0 {
            return None;
        }
        let own = state.own.take()?;
        Some(Complete {
            own,
            nodes: std::mem::take(&mut state.nodes),
        })
    }
}

impl Drop for Directory {
    /// A loop, not recursion, where a failed run drops a path of thousands of levels.
    fn drop(&mut self) {
        let mut home = take_home(self);
        while let Some(Home::Directory(directory)) = home {
            home = Arc::into_inner(directory).and_then(|mut last| take_home(&mut last));
        }
    }
}

fn take_home(directory: &mut Directory) -> Option<Home> {
    directory
        .state
        .get_mut()
        .unwrap_or_else(PoisonError::into_inner)
        .home
        .take()
}

fn complete_home(directory: &Directory) -> Result<Home> {
    let mut state = directory
        .state
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    state
        .home
        .take()
        .ok_or_else(|| Error::new(ErrorKind::Failed, "a directory ended twice"))
}

impl Complete {
    fn into_node(mut self, directory: &Directory, storer: &mut Storer) -> Result<Node> {
        self.nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let previous = directory.previous.as_ref();
        let id = match previous {
            Some(previous) if previous.is_same(&self.nodes) && storer.has_tree(&previous.id) => {
                previous.id
            }
            _ => store_tree(&self.nodes, storer, &directory.stats)?,
        };
        let counter = match previous {
            None => &directory.stats.dirs_new,
            Some(previous) if previous.id == id => &directory.stats.dirs_unmodified,
            Some(_) => &directory.stats.dirs_changed,
        };
        counter.fetch_add(1, Relaxed);
        self.own.subtree = Some(id);
        Ok(self.own)
    }
}

impl Previous {
    /// Comparing takes a fraction of the time of encoding and hashing.
    fn is_same(&self, nodes: &[Node]) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.nodes == nodes)
    }
}

/// Stores a tree of `nodes`, which are sorted by name.
pub(crate) fn store_tree(nodes: &[Node], storer: &mut Storer, stats: &Stats) -> Result<Id> {
    let mut encoder = TreeEncoder::new(storer.take_scratch());
    for node in nodes {
        encoder.push(node)?;
    }
    let encoded = encoder.finish();
    let id = storer.store(BlobType::Tree, &encoded, stats)?;
    storer.return_scratch(encoded);
    Ok(id)
}
