//! The parent backup: which one it is, and its trees, for recognising what has not changed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::manifest::Stream;
use super::past::{Earlier, Noted};
use super::pipeline::Shared;
use super::session::SourceInfo;
use super::target::Target;
use crate::ErrorKind;
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::contents::Contents;
use crate::id::Id;
use crate::metadata::Metadata;
use crate::progress::Progress;
use crate::snapshot::Snapshot;
use crate::source::Parent;
use crate::time::Time;
use crate::tree::{FileTime, Node, NodeType, Tree};

/// Changes that come so soon before a backup begins may carry the same time as one that comes after a file was read: file systems keep
/// times in ticks (of at most 10 ms on Linux). Such a file is read again the next time.
const TICK_NANOSECONDS: i64 = 20_000_000;

/// The backup that an incremental one continues.
pub(crate) struct Continued {
    pub(crate) parent: Parent,
    /// The source's directory there.
    pub(crate) root: Node,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) trees: ParentTrees,
    /// What it says of what there was.
    pub(crate) noted: Noted,
    /// Bytes and files, where its snapshot tells.
    pub(crate) figures: Option<(u64, u64)>,
}

impl Continued {
    /// The newest backup of this source by this host and plugin whose time has come, as the first target has it that goes on. One that cannot be read costs time,
    /// never the backup: everything is read then.
    pub(crate) fn find(
        shared: &Arc<Shared>,
        info: &SourceInfo,
        earlier: &Earlier<'_>,
    ) -> Option<Self> {
        let target = earlier.first()?;
        let ours = || earlier.at_first().iter().rev();
        // One that was made while the clock was ahead would stay the newest for as long as it was, and be less and less like what is there.
        let now = Time::now();
        let newest = ours().find(|(_, snapshot)| !snapshot.time.is_to_come(now));
        let (id, snapshot) = newest.or_else(|| ours().next()).cloned()?;
        let reader = BlobReader::new(Arc::clone(target.repository()), Arc::clone(target.index()));
        match Contents::open(Arc::new(reader), id, &snapshot) {
            Ok(contents) => Self::of(&contents, &snapshot, info, shared),
            Err(error) => {
                let message = format!("the parent backup {} cannot be used: {error}", id.short());
                shared.progress.warn(message);
                None
            }
        }
    }

    fn of(
        contents: &Contents,
        snapshot: &Snapshot,
        info: &SourceInfo,
        shared: &Arc<Shared>,
    ) -> Option<Self> {
        let manifest = contents.manifest()?;
        if manifest.plugin != info.plugin || manifest.method != info.method {
            return None;
        }
        let attributes = manifest.attributes.iter();
        let created = snapshot.time.nanoseconds();
        let trees = ParentTrees {
            reader: Arc::clone(contents.reader()),
            shared: Arc::clone(shared),
            is_out_of_reach: AtomicBool::new(false),
            settled_before: FileTime::from_nanoseconds(created.saturating_sub(TICK_NANOSECONDS)),
            incomplete: manifest
                .unreadable
                .iter()
                .map(|problem| problem.path.clone())
                .collect(),
        };
        let figures = snapshot
            .summary
            .as_ref()
            .map(|summary| (summary.total_bytes_processed, summary.total_files_processed));
        Some(Self {
            parent: Parent {
                id: contents.id().to_string(),
                created,
                attributes: attributes.map(|(k, v)| (k.clone(), v.clone())).collect(),
            },
            root: contents.root().clone(),
            streams: manifest.streams.clone(),
            trees,
            noted: Noted::of(manifest),
            figures,
        })
    }

    /// Tells `progress` that the work will be about that of the last time.
    pub(crate) fn expect_as_much(&self, progress: &Progress) {
        if let Some((bytes, files)) = self.figures {
            progress.expect(Some(bytes), Some(files));
        }
    }
}

/// Looks up nodes of the parent. Whatever it cannot read counts as changed: a damaged parent costs time, never a backup.
pub(crate) struct ParentTrees {
    reader: Arc<BlobReader>,
    shared: Arc<Shared>,
    /// Nothing more is asked of it: each directory would have to wait until a destination that is gone was asked often enough.
    is_out_of_reach: AtomicBool,
    settled_before: FileTime,
    /// Paths that the parent could not read as a whole.
    incomplete: HashSet<String>,
}

impl ParentTrees {
    /// Whether owner, mode, links, attributes and content are certainly as they were: same inode, same times, and those from before the
    /// parent began. Whoever changes a file and hides it from both times and the inode number has to ask for a full backup.
    pub(crate) fn is_unchanged(
        &self,
        now: &Metadata,
        before: &Node,
        path: impl FnOnce() -> String,
    ) -> bool {
        now.node_type() == before.node_type
            && now.inode == before.inode
            && now.ctime == before.ctime
            && now.mtime == before.mtime
            && (before.node_type != NodeType::File || now.size == before.size)
            && now.ctime < self.settled_before
            && (self.incomplete.is_empty() || !self.incomplete.contains(&path()))
    }

    /// The tree of a directory of the parent.
    pub(crate) fn tree(&self, id: Option<Id>) -> Option<Tree> {
        let id = id.filter(|_| !self.is_out_of_reach.load(Relaxed))?;
        let error = match self.reader.tree(&id) {
            Ok(tree) => return Some(tree),
            Err(error) => error,
        };
        if !error.is_damage()
            && error.kind() != ErrorKind::Cancelled
            && !self.is_out_of_reach.swap(true, Relaxed)
        {
            let message =
                format!("the parent backup is read no further, and everything else anew: {error}");
            self.shared.progress.warn(message);
        }
        None
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

    /// The targets that go on.
    fn targets(&self) -> impl Iterator<Item = &Target> {
        let targets = self.shared.targets.iter();
        targets.filter(|target| !target.has_failed())
    }

    /// Whether every target that goes on still holds all blobs of a file.
    pub(crate) fn content_is_everywhere(&self, node: &Node) -> bool {
        let Some(content) = &node.content else {
            return false;
        };
        self.targets().all(|target| {
            content
                .iter()
                .all(|id| target.index().contains(BlobType::Data, id))
        })
    }

    /// Whether every target that goes on holds all that is below a node; counts it into `visit`.
    pub(crate) fn is_everywhere(&self, node: &Node, visit: &mut dyn FnMut(&Node)) -> bool {
        let mut open = vec![node.clone()];
        while let Some(node) = open.pop() {
            visit(&node);
            match node.node_type {
                NodeType::File if !self.content_is_everywhere(&node) => return false,
                NodeType::Dir => {
                    let Some(id) = node.subtree else { return false };
                    if !self
                        .targets()
                        .all(|target| target.holds(BlobType::Tree, &id))
                    {
                        return false;
                    }
                    match self.tree(Some(id)) {
                        Some(tree) => open.extend(tree.nodes),
                        None => return false,
                    }
                }
                _ => {}
            }
        }
        true
    }
}
