//! A snapshot's root tree: the source's directory, and the manifest beside it.

use super::directory::store_tree;
use super::manifest::{self, Manifest};
use super::sink::{Gathered, nest};
use super::stats::Stats;
use super::storer::Storer;
use crate::blob::BlobType;
use crate::id::Id;
use crate::tree::{FileTime, Node, NodeType};
use crate::{Error, ErrorKind, Result};

/// Stores the root tree of what a source delivered.
pub(crate) fn store_root(
    gathered: Gathered,
    manifest: &Manifest,
    storer: &mut Storer,
    stats: &Stats,
) -> Result<Id> {
    let mut nodes = vec![
        source_directory(&manifest.source, gathered, storer, stats)?,
        manifest_directory(manifest, storer, stats)?,
    ];
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    store_tree(&nodes, storer, stats)
}

/// The source's directory: what it delivered as its root, or its files nested below a plain directory.
fn source_directory(
    source: &str,
    mut gathered: Gathered,
    storer: &mut Storer,
    stats: &Stats,
) -> Result<Node> {
    if let Some(root) = gathered.nodes.remove("") {
        if !gathered.nodes.is_empty() {
            return Err(Error::new(
                ErrorKind::Failed,
                "delivered both a tree as its root and other files",
            )
            .on(format!("source {source}")));
        }
        if root.node_type != NodeType::Dir {
            return Err(Error::new(ErrorKind::Failed, "its root is no directory").on(source));
        }
        return Ok(Node {
            name: source.into(),
            ..root
        });
    }
    let nodes = nest(gathered.nodes, &mut |nodes| {
        store_tree(nodes, storer, stats)
    })?;
    let mut directory = own_directory(source);
    directory.subtree = Some(store_tree(&nodes, storer, stats)?);
    Ok(directory)
}

fn manifest_directory(manifest: &Manifest, storer: &mut Storer, stats: &Stats) -> Result<Node> {
    let mut json = serde_json::to_vec_pretty(manifest).map_err(|error| {
        Error::new(
            ErrorKind::Failed,
            format!("the manifest cannot be written: {error}"),
        )
    })?;
    json.push(b'\n');
    let mut file = Node::new(manifest::FILE, NodeType::File);
    file.set_permissions(0o600);
    (file.mtime, file.atime, file.ctime) = (FileTime::now(), FileTime::now(), FileTime::now());
    file.size = json.len() as u64;
    // A manifest that names millions of files is cut like any other content.
    let pieces = json.chunks(crate::chunker::MAX_SIZE);
    file.content = Some(
        pieces
            .map(|piece| storer.store(BlobType::Data, piece, stats))
            .collect::<Result<_>>()?,
    );
    let mut directory = own_directory(manifest::DIRECTORY);
    directory.subtree = Some(store_tree(&[file], storer, stats)?);
    Ok(directory)
}

fn own_directory(name: &str) -> Node {
    let mut directory = Node::new(name, NodeType::Dir);
    directory.set_permissions(0o700);
    let now = FileTime::now();
    (directory.mtime, directory.atime, directory.ctime) = (now, now, now);
    directory
}
