//! What one snapshot holds: its manifest, its directories and files.

use std::sync::Arc;

use crate::backup::manifest::{self, Manifest};
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::restore::{Selection, normal};
use crate::snapshot::Snapshot;
use crate::tree::{Node, NodeType, Tree};
use crate::{Error, ErrorKind, Result};

/// A snapshot opened for reading.
pub struct Contents {
    reader: Arc<BlobReader>,
    id: Id,
    manifest: Option<Manifest>,
    root: Node,
}

/// A node and where it is, `/`-separated and relative to where the walk began. Any bytes.
pub struct Found {
    /// Empty for the node that the walk began at.
    pub path: Vec<u8>,
    /// The node.
    pub node: Node,
}

impl Contents {
    /// Reads the root tree and, in a snapshot of ours, the manifest. A snapshot that stock restic made has none: its root is what restic
    /// backed up.
    pub fn open(reader: Arc<BlobReader>, id: Id, snapshot: &Snapshot) -> Result<Self> {
        let tree = reader.tree(&snapshot.tree)?;
        let manifest = read_manifest(&reader, &tree)?;
        let mut whole = Node::new("", NodeType::Dir);
        whole.set_permissions(0o755);
        whole.subtree = Some(snapshot.tree);
        let root = match &manifest {
            None => whole,
            Some(manifest) => tree
                .find(manifest.source.as_bytes())
                .cloned()
                .ok_or_else(|| {
                    Error::corrupted(format!("has no directory '{}'", manifest.source))
                        .on(format!("snapshot {}", id.short()))
                })?,
        };
        Ok(Self {
            reader,
            id,
            manifest,
            root,
        })
    }

    /// The snapshot's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Reads its blobs.
    pub fn reader(&self) -> &Arc<BlobReader> {
        &self.reader
    }

    /// What the backup is, unless stock restic made it.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The source's own directory.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The node at a path relative to the source; `""` is the root.
    pub fn find(&self, path: impl AsRef<[u8]>) -> Result<Node> {
        let path = normal(path.as_ref());
        let missing = || {
            let path = String::from_utf8_lossy(&path);
            Error::new(ErrorKind::NotFound, format!("no '{path}' in this backup"))
                .hint("paths are relative to the source, without a leading '/'")
        };
        let mut node = self.root.clone();
        for name in path.split(|byte| *byte == b'/').filter(|it| !it.is_empty()) {
            let tree = self.reader.tree(&node.subtree.ok_or_else(missing)?)?;
            node = tree.find(name).cloned().ok_or_else(missing)?;
        }
        Ok(node)
    }

    /// What the directory at `path` holds, or the file there.
    pub fn list(&self, path: impl AsRef<[u8]>) -> Result<Vec<Found>> {
        let path = normal(path.as_ref());
        let node = self.find(&path)?;
        let Some(subtree) = node.subtree else {
            return Ok(vec![Found { path, node }]);
        };
        let nodes = self.reader.tree(&subtree)?.nodes;
        let found = nodes.into_iter().map(|node| Found {
            path: joined(&path, &node.name),
            node,
        });
        Ok(found.collect())
    }

    /// Everything from `node` on, parents before children, in path order.
    pub fn walk(&self, node: Node) -> Walk {
        self.walk_selected(node, &Selection::default())
    }

    /// As [`walk`](Self::walk), of what is selected and of the directories on the way there. A file is its own only entry.
    pub fn walk_selected(&self, node: Node, selection: &Selection) -> Walk {
        self.walk_with(node, selection, None)
    }

    /// As [`walk_selected`](Self::walk_selected), and goes on after a directory that is damaged: see [`Walk::damaged`].
    pub fn walk_despite_damage(&self, node: Node, selection: &Selection) -> Walk {
        self.walk_with(node, selection, Some(Vec::new()))
    }

    fn walk_with(&self, node: Node, selection: &Selection, damaged: Option<Vec<Damaged>>) -> Walk {
        let path = match node.node_type {
            NodeType::Dir => Vec::new(),
            _ => node.name.clone(),
        };
        Walk {
            reader: Arc::clone(&self.reader),
            selection: selection.clone(),
            open: vec![Found { path, node }],
            damaged,
        }
    }
}

/// A directory, and why nothing below it can be read.
pub struct Damaged {
    /// As [`Found::path`].
    pub path: Vec<u8>,
    /// What is wrong.
    pub error: Error,
}

impl Damaged {
    /// The error with the directory's name.
    pub fn to_error(&self) -> Error {
        self.error.clone().on(String::from_utf8_lossy(&self.path))
    }
}

/// Iterates over a tree, depth first.
pub struct Walk {
    reader: Arc<BlobReader>,
    selection: Selection,
    open: Vec<Found>,
    /// `None` where damage ends it.
    damaged: Option<Vec<Damaged>>,
}

impl Walk {
    /// The directories below the first one that were damaged so far. They came as if they were empty.
    pub fn damaged(&mut self) -> Vec<Damaged> {
        self.damaged
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

impl Iterator for Walk {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.open.pop()?;
        if let Some(subtree) = found.node.subtree {
            match self.reader.tree(&subtree) {
                Err(error) => match &mut self.damaged {
                    Some(damaged) if error.is_damage() && !found.path.is_empty() => {
                        let path = found.path.clone();
                        damaged.push(Damaged { path, error });
                    }
                    _ => return Some(Err(error)),
                },
                Ok(tree) => {
                    let below = tree.nodes.into_iter().rev().map(|node| {
                        let path = joined(&found.path, &node.name);
                        Found { path, node }
                    });
                    let selection = &self.selection;
                    self.open
                        .extend(below.filter(|found| match found.node.node_type {
                            NodeType::Dir => selection.enters(&found.path),
                            _ => selection.includes(&found.path),
                        }));
                }
            }
        }
        Some(Ok(found))
    }
}

/// `path/name`, or the name alone at the root.
pub(crate) fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = path.to_vec();
    if !joined.is_empty() {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}

fn read_manifest(reader: &BlobReader, root: &Tree) -> Result<Option<Manifest>> {
    let Some(directory) = root
        .find(manifest::DIRECTORY.as_bytes())
        .and_then(|node| node.subtree)
    else {
        return Ok(None);
    };
    let tree = reader.tree(&directory)?;
    let Some(file) = tree.find(manifest::FILE.as_bytes()) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    for id in file.content.iter().flatten() {
        bytes.extend_from_slice(&reader.read(BlobType::Data, id)?);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Error::corrupted(format!("manifest.json cannot be read: {error}")).caused_by(error)
    })
}
