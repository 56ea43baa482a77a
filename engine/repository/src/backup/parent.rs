//! The parent backup's trees, for recognising what has not changed.

use std::sync::Arc;

use super::pipeline::Shared;
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::metadata::Metadata;
use crate::tree::{Node, NodeType, Tree};

/// Looks up nodes of the parent. Whatever it cannot read counts as changed: a damaged parent costs time, never a backup.
pub(crate) struct ParentTrees {
    reader: Arc<BlobReader>,
    shared: Arc<Shared>,
}

impl ParentTrees {
    pub(crate) fn new(reader: Arc<BlobReader>, shared: &Arc<Shared>) -> Self {
        Self {
            reader,
            shared: Arc::clone(shared),
        }
    }

    /// The tree of a directory of the parent.
    pub(crate) fn tree(&self, id: Option<Id>) -> Option<Tree> {
        self.reader.tree(&id?).ok()
    }

    /// The node at a `/`-separated path below the tree `root`.
    pub(crate) fn find(&self, root: Id, path: &str) -> Option<Node> {
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        let mut tree = self.tree(Some(root))?;
        loop {
            let node = tree.find(names.next()?.as_bytes())?;
            if names.peek().is_none() {
                return Some(node.clone());
            }
            tree = self.tree(node.subtree)?;
        }
    }

    /// Whether every target still holds all blobs of a file.
    pub(crate) fn content_is_everywhere(&self, node: &Node) -> bool {
        let Some(content) = &node.content else {
            return false;
        };
        self.shared.targets.iter().all(|target| {
            content
                .iter()
                .all(|id| target.index().contains(BlobType::Data, id))
        })
    }

    /// Whether every target holds all that is below a node; counts it into `visit`.
    pub(crate) fn is_everywhere(&self, node: &Node, visit: &mut dyn FnMut(&Node)) -> bool {
        let mut open = vec![node.clone()];
        while let Some(node) = open.pop() {
            visit(&node);
            match node.node_type {
                NodeType::File if !self.content_is_everywhere(&node) => return false,
                NodeType::Dir => {
                    let Some(id) = node.subtree else { return false };
                    let held = |target: &super::target::Target| target.holds(BlobType::Tree, &id);
                    if !self.shared.targets.iter().all(held) {
                        return false;
                    }
                    match self.reader.tree(&id) {
                        Ok(tree) => open.extend(tree.nodes),
                        Err(_) => return false,
                    }
                }
                _ => {}
            }
        }
        true
    }
}

/// Whether a file looks the same as when the parent was made. Whoever changes a file and hides it from size, both times and inode number
/// has to ask for a full backup.
pub(crate) fn looks_unchanged(now: &Metadata, before: &Node) -> bool {
    before.node_type == NodeType::File
        && now.size == before.size
        && now.mtime == before.mtime
        && now.ctime == before.ctime
        && now.inode == before.inode
}
