//! Trees without what is lost: a tree in, the same tree or one in its place out, and by name what it lacks.
//!
//! A file that lacks any of its content goes as a whole: half a file is worse than none, because it looks like one.

use std::collections::HashSet;

use crate::Result;
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::buffer::Buffer;
use crate::codec::{Encoder, ensure_proven};
use crate::id::Id;
use crate::index::IndexWriter;
use crate::lock::Lock;
use crate::pack::PackBuilder;
use crate::progress::Progress;
use crate::tree::{Node, NodeType, Tree};

/// What a repaired backup has otherwise than the damaged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where, as [`Snapshot::path_in_source`](crate::Snapshot::path_in_source) has it.
    pub path: String,
    /// What, and why.
    pub message: String,
}

/// The changes of one snapshot.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// With paths from the root of the snapshot on.
    pub(super) named: Vec<Change>,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Directories of which nobody knows what was in them.
    pub(super) directories: u64,
}

/// What becomes of a tree.
pub(super) enum Repaired {
    /// Nothing is lost.
    Sound,
    /// This one takes its place.
    Replaced(Id),
    /// It cannot be read, and this is why.
    Unreadable(String),
    /// It, or one below it, is as it was written and makes no sense to this program, and this is why.
    NotUnderstood(String),
}

/// Repairs trees. Those that are sound are looked at once.
pub(super) struct TreeRepair<'a> {
    reader: &'a BlobReader,
    progress: &'a Progress,
    sound: HashSet<u32>,
    /// `None` in a dry run.
    writer: Option<TreeWriter<'a>>,
}

impl<'a> TreeRepair<'a> {
    /// Writes under `lock`; only looks without one.
    pub(super) fn new(
        reader: &'a BlobReader,
        progress: &'a Progress,
        lock: Option<&'a Lock>,
    ) -> Result<Self> {
        let writer = lock.map(|lock| TreeWriter::new(reader, lock)).transpose()?;
        Ok(Self {
            reader,
            progress,
            sound: HashSet::new(),
            writer,
        })
    }

    /// Makes all new trees durable.
    pub(super) fn finish(self) -> Result<()> {
        self.writer.map_or(Ok(()), TreeWriter::finish)
    }

    /// Looks at the tree `id`, which lies at `path`, and at all below it.
    pub(super) fn repair(
        &mut self,
        id: &Id,
        path: &str,
        changes: &mut Changes,
    ) -> Result<Repaired> {
        self.progress.check_cancelled()?;
        let number = self.reader.index().number(BlobType::Tree, id);
        if number.is_some_and(|number| self.sound.contains(&number)) {
            return Ok(Repaired::Sound);
        }
        let content = match self.read(id) {
            Ok(content) => content,
            Err(error) if error.is_damage() => {
                return Ok(Repaired::Unreadable(error.message().to_owned()));
            }
            Err(error) => return Err(error),
        };
        let tree = match Tree::decode(&content) {
            Ok(tree) => tree,
            Err(error) => {
                let why = format!("tree {} at {path}/: {}", id.short(), error.message());
                return Ok(Repaired::NotUnderstood(why));
            }
        };
        drop(content);
        let before = changes.named.len();
        let mut nodes = Vec::with_capacity(tree.nodes.len());
        for mut node in tree.nodes {
            let path = format!("{path}/{}", String::from_utf8_lossy(&node.name));
            let stays = match node.node_type {
                NodeType::Dir => match self.repair_directory(&mut node, path, changes)? {
                    Some(why) => return Ok(Repaired::NotUnderstood(why)),
                    None => true,
                },
                NodeType::File => self.repair_file(&mut node, path, changes),
                _ => true,
            };
            if stays {
                nodes.push(node);
            }
        }
        if changes.named.len() == before {
            self.sound.extend(number);
            return Ok(Repaired::Sound);
        }
        self.store(&Tree { nodes }).map(Repaired::Replaced)
    }

    /// Reads a tree, a second time where it is not what it should be: a line may have failed rather than the store.
    fn read(&self, id: &Id) -> Result<Vec<u8>> {
        match self.reader.read_tree(id) {
            Err(error) if error.is_damage() => self.reader.read(BlobType::Tree, id),
            read => read,
        }
    }

    /// A directory stays, be it empty. Returns why it is not understood, where that is so.
    fn repair_directory(
        &mut self,
        node: &mut Node,
        path: String,
        changes: &mut Changes,
    ) -> Result<Option<String>> {
        let repaired = match &node.subtree {
            Some(subtree) => self.repair(subtree, &path, changes)?,
            None => Repaired::Unreadable("it has no tree".into()),
        };
        match repaired {
            Repaired::Sound => {}
            Repaired::Replaced(tree) => node.subtree = Some(tree),
            Repaired::NotUnderstood(why) => return Ok(Some(why)),
            Repaired::Unreadable(why) => {
                changes.directories += 1;
                changes.named.push(Change {
                    path,
                    message: format!("all that was in it is lost: {why}"),
                });
                node.subtree = Some(self.store(&Tree::default())?);
            }
        }
        Ok(None)
    }

    fn repair_file(&self, node: &mut Node, path: String, changes: &mut Changes) -> bool {
        let mut length = 0;
        for id in node.content.iter().flatten() {
            let Some(location) = self.reader.index().get(BlobType::Data, id) else {
                changes.files += 1;
                changes.bytes += node.size;
                changes.named.push(Change {
                    path,
                    message: format!("is lost: data blob {} is missing", id.short()),
                });
                return false;
            };
            length += u64::from(location.blob.plain_length());
        }
        if length != node.size {
            changes.named.push(Change {
                path,
                message: format!(
                    "is kept with its {length} bytes of content, where its entry said {}",
                    node.size
                ),
            });
            node.size = length;
        }
        true
    }

    fn store(&mut self, tree: &Tree) -> Result<Id> {
        let bytes = tree.encode()?;
        match &mut self.writer {
            Some(writer) => writer.store(&bytes),
            None => Ok(Id::of(&bytes)),
        }
    }
}

/// Stores trees in packs, and names these in the index.
struct TreeWriter<'a> {
    reader: &'a BlobReader,
    lock: &'a Lock,
    encoder: Encoder,
    stored: HashSet<Id>,
    pack: Option<PackBuilder>,
    index: IndexWriter<'a>,
}

impl<'a> TreeWriter<'a> {
    fn new(reader: &'a BlobReader, lock: &'a Lock) -> Result<Self> {
        Ok(Self {
            reader,
            lock,
            encoder: Encoder::new()?,
            stored: HashSet::new(),
            pack: None,
            index: IndexWriter::new(reader.repository(), lock),
        })
    }

    fn store(&mut self, content: &[u8]) -> Result<Id> {
        let id = Id::of(content);
        // The index may name one in a pack that is damaged.
        let is_there = self.reader.read_tree(&id).is_ok();
        if is_there || !self.stored.insert(id) {
            return Ok(id);
        }
        let key = self.reader.repository().key();
        let pack = self
            .pack
            .get_or_insert_with(|| PackBuilder::new(Buffer::default()));
        let compressed = self.encoder.compress(content)?;
        compressed.add_to(pack, key, BlobType::Tree, id)?;
        ensure_proven(Id::of(content), id)?;
        if pack.is_full() {
            self.send()?;
        }
        Ok(id)
    }

    fn send(&mut self) -> Result<()> {
        match self.pack.take() {
            Some(pack) => {
                self.lock.ensure_held()?;
                let (pack, _) = self.reader.repository().save_pack(pack)?;
                self.index.add(pack)
            }
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.send()?;
        self.index.finish().map(drop)
    }
}
