//! Comparing: two backups, or a directory of each, in; every difference in path order out. A directory that is the same tree in both is
//! never read.

use std::collections::HashSet;

use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::contents::{Contents, Found, joined};
use crate::id::Id;
use crate::progress::Progress;
use crate::tree::{Node, NodeType};
use crate::{Error, Result};

/// One of two backups that are compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// What the backup holds.
    pub contents: &'a Contents,
    /// Where the comparison begins. None where this backup has nothing there.
    pub root: Option<&'a Node>,
}

/// A difference.
pub struct Change {
    /// What differs.
    pub kind: ChangeKind,
    /// Where, and as it is in the later backup; for what was removed, in the earlier one.
    pub found: Found,
}

/// In what two entries differ. The first of these that applies counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the later backup has it.
    Added,
    /// Only the earlier backup has it.
    Removed,
    /// A file has become a directory, or the like.
    Type,
    /// The bytes of a file, where a link points, the number of a device.
    Content,
    /// What else a restore brings back: permissions, owner, modification time, extended attributes.
    Metadata,
}

impl ChangeKind {
    /// restic's sign for it.
    pub fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Type => 'T',
            Self::Content => 'M',
            Self::Metadata => 'U',
        }
    }
}

/// How much differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffSummary {
    /// Files, and whatever else is no directory, that only the later backup has.
    pub files_added: u64,
    /// Those that only the earlier one has.
    pub files_removed: u64,
    /// Those with another type or content.
    pub files_changed: u64,
    /// Entries of which only metadata differ, directories too.
    pub metadata_changed: u64,
    /// Directories that only the later backup has.
    pub dirs_added: u64,
    /// Directories that only the earlier one has.
    pub dirs_removed: u64,
    /// Bytes of new files, and of the pieces of changed ones that the earlier version had not.
    pub bytes_added: u64,
    /// Bytes of removed files, and of the pieces of changed ones that the later version has not.
    pub bytes_removed: u64,
}

/// Tells `emit` every difference between `before` and `after`, parents before children. `path` is where both begin, relative to the source.
pub fn diff(
    path: &str,
    before: Side<'_>,
    after: Side<'_>,
    progress: &Progress,
    emit: &mut dyn FnMut(&Change) -> Result<()>,
) -> Result<DiffSummary> {
    let mut summary = DiffSummary::default();
    let mut open = vec![Pair {
        path: path.as_bytes().to_vec(),
        before: before.root.cloned(),
        after: after.root.cloned(),
    }];
    while let Some(pair) = open.pop() {
        progress.check_cancelled()?;
        if !is_same_tree(&pair) {
            let first = children(before.contents.reader(), &pair.path, pair.before.as_ref())?;
            let second = children(after.contents.reader(), &pair.path, pair.after.as_ref())?;
            open.extend(merged(&pair.path, first, second).into_iter().rev());
        }
        let Some(kind) = compare(pair.before.as_ref(), pair.after.as_ref()) else {
            continue;
        };
        summary.count(kind, &pair);
        let (added, removed) = changed_bytes(before.contents, after.contents, kind, &pair)?;
        summary.bytes_added += added;
        summary.bytes_removed += removed;
        if let Some(node) = pair.after.or(pair.before) {
            let found = Found {
                path: pair.path,
                node,
            };
            emit(&Change { kind, found })?;
        }
    }
    Ok(summary)
}

/// One path in both backups.
struct Pair {
    path: Vec<u8>,
    before: Option<Node>,
    after: Option<Node>,
}

fn is_same_tree(pair: &Pair) -> bool {
    let subtree = |node: &Option<Node>| node.as_ref().and_then(|node| node.subtree);
    subtree(&pair.before).is_some() && subtree(&pair.before) == subtree(&pair.after)
}

fn children(reader: &BlobReader, path: &[u8], node: Option<&Node>) -> Result<Vec<Node>> {
    match node.and_then(|node| node.subtree) {
        None => Ok(Vec::new()),
        Some(subtree) => match reader.tree(&subtree) {
            Ok(tree) => Ok(tree.nodes),
            Err(error) => Err(error.on(format!("/{}", String::from_utf8_lossy(path)))),
        },
    }
}

/// Both lists are sorted by name, as trees are.
fn merged(path: &[u8], before: Vec<Node>, after: Vec<Node>) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(before.len().max(after.len()));
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) => one.name.cmp(&other.name),
        };
        let first = before.next_if(|_| order.is_le());
        let second = after.next_if(|_| order.is_ge());
        let name = first.as_ref().or(second.as_ref());
        let name = name.map(|node| node.name.clone()).unwrap_or_default();
        pairs.push(Pair {
            path: joined(path, &name),
            before: first,
            after: second,
        });
    }
}

fn compare(before: Option<&Node>, after: Option<&Node>) -> Option<ChangeKind> {
    match (before, after) {
        (None, None) => None,
        (None, Some(_)) => Some(ChangeKind::Added),
        (Some(_), None) => Some(ChangeKind::Removed),
        (Some(before), Some(after)) if before.node_type != after.node_type => {
            Some(ChangeKind::Type)
        }
        (Some(before), Some(after)) if !have_same_content(before, after) => {
            Some(ChangeKind::Content)
        }
        (Some(before), Some(after)) if !have_same_metadata(before, after) => {
            Some(ChangeKind::Metadata)
        }
        _ => None,
    }
}

fn have_same_content(one: &Node, other: &Node) -> bool {
    one.content == other.content && one.linktarget == other.linktarget && one.device == other.device
}

/// Inode numbers, counts of links, times of access and of the inode's change belong to the disk, not to the file.
fn have_same_metadata(one: &Node, other: &Node) -> bool {
    one.mode == other.mode
        && (one.uid, one.gid) == (other.uid, other.gid)
        && one.user == other.user
        && one.group == other.group
        && one.mtime == other.mtime
        && one.extended_attributes == other.extended_attributes
        && one.generic_attributes == other.generic_attributes
}

/// Bytes that are in the later version only, and in the earlier one only.
fn changed_bytes(
    before: &Contents,
    after: &Contents,
    kind: ChangeKind,
    pair: &Pair,
) -> Result<(u64, u64)> {
    if kind == ChangeKind::Metadata {
        return Ok((0, 0));
    }
    let (first, second) = (pair.before.as_ref(), pair.after.as_ref());
    let here = |error: Error| error.on(String::from_utf8_lossy(&pair.path));
    let added = bytes_without(after.reader(), second, first).map_err(here)?;
    let removed = bytes_without(before.reader(), first, second).map_err(here)?;
    Ok((added, removed))
}

/// Bytes of the pieces of `node` that the `other` has not.
fn bytes_without(reader: &BlobReader, node: Option<&Node>, other: Option<&Node>) -> Result<u64> {
    fn pieces(node: Option<&Node>) -> impl Iterator<Item = &Id> {
        node.and_then(|node| node.content.as_ref())
            .into_iter()
            .flatten()
    }
    let Some(node) = node.filter(|node| node.node_type == NodeType::File) else {
        return Ok(0);
    };
    let others: HashSet<&Id> = pieces(other).collect();
    if others.is_empty() {
        return Ok(node.size);
    }
    pieces(Some(node))
        .filter(|id| !others.contains(id))
        .map(|id| {
            let blob = reader.locate(BlobType::Data, id)?.blob;
            Ok(u64::from(blob.plain_length()))
        })
        .sum()
}

impl DiffSummary {
    /// Adds the figures of another comparison.
    pub fn add(&mut self, other: &Self) {
        self.files_added += other.files_added;
        self.files_removed += other.files_removed;
        self.files_changed += other.files_changed;
        self.metadata_changed += other.metadata_changed;
        self.dirs_added += other.dirs_added;
        self.dirs_removed += other.dirs_removed;
        self.bytes_added += other.bytes_added;
        self.bytes_removed += other.bytes_removed;
    }

    fn count(&mut self, kind: ChangeKind, pair: &Pair) {
        let is_directory = [&pair.before, &pair.after]
            .into_iter()
            .flatten()
            .all(|node| node.node_type == NodeType::Dir);
        let counter = match (kind, is_directory) {
            (ChangeKind::Added, false) => &mut self.files_added,
            (ChangeKind::Added, true) => &mut self.dirs_added,
            (ChangeKind::Removed, false) => &mut self.files_removed,
            (ChangeKind::Removed, true) => &mut self.dirs_removed,
            (ChangeKind::Type | ChangeKind::Content, _) => &mut self.files_changed,
            (ChangeKind::Metadata, _) => &mut self.metadata_changed,
        };
        *counter += 1;
    }
}
