//! Trees without what is lost: a tree in, the same tree or one in its place out, and by name what it lacks.
//!
//! A file that lacks any of its content goes as a whole: half a file is worse than none, because it looks like one.
//! Trees may be nested deeper than a thread's stack: those on the way from the root are kept in a list.

use std::collections::HashSet;
use std::vec::IntoIter;

use crate::Result;
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::buffer::Buffer;
use crate::encode::{Encoder, ensure_proven};
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

/// A tree that is being looked at.
struct Open {
    number: Option<u32>,
    /// Of the path to it.
    path_length: usize,
    /// Changes that were known before.
    changes_before: usize,
    rest: IntoIter<Node>,
    /// A directory whose own tree is looked at, and the length of the path to it.
    waiting: Option<(Node, usize)>,
    done: Vec<Node>,
}

/// What is known of a tree when it has been read.
enum Begun {
    Open(Box<Open>),
    Known(Repaired),
}

/// Repairs trees. Those that are sound are looked at once.
pub(super) struct TreeRepair<'a> {
    reader: &'a BlobReader,
    progress: &'a Progress,
    sound: HashSet<u32>,
    /// What was looked for and cannot be read: every tree, and of each file the first blob.
    lost: HashSet<(BlobType, Id)>,
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
            lost: HashSet::new(),
            writer,
        })
    }

    /// What cannot be read of all that was looked at.
    pub(super) fn lost(&self) -> &HashSet<(BlobType, Id)> {
        &self.lost
    }

    /// Makes all new trees durable.
    pub(super) fn finish(self) -> Result<()> {
        self.writer.map_or(Ok(()), TreeWriter::finish)
    }

    /// Looks at the tree `root` of a snapshot and at all below it.
    pub(super) fn repair(&mut self, root: &Id, changes: &mut Changes) -> Result<Repaired> {
        let mut path = String::new();
        let mut open: Vec<Open> = Vec::new();
        let mut next = *root;
        loop {
            let mut known = match self.begin(&next, &path, changes)? {
                Begun::Known(repaired) => Some(repaired),
                Begun::Open(tree) => {
                    open.push(*tree);
                    None
                }
            };
            next = loop {
                match (known, open.last_mut()) {
                    (Some(known), None) => return Ok(known),
                    (Some(Repaired::NotUnderstood(why)), _) => {
                        return Ok(Repaired::NotUnderstood(why));
                    }
                    (Some(below), Some(tree)) => self.settle(tree, below, &mut path, changes)?,
                    (None, _) => {}
                }
                let Some(mut tree) = open.pop() else {
                    return Ok(Repaired::Sound);
                };
                if let Some(below) = self.go_on(&mut tree, &mut path, changes)? {
                    open.push(tree);
                    break below;
                }
                known = Some(self.end(tree, changes)?);
            };
        }
    }

    fn begin(&mut self, id: &Id, path: &str, changes: &Changes) -> Result<Begun> {
        self.progress.check_cancelled()?;
        let number = self.reader.index().number(BlobType::Tree, id);
        if number.is_some_and(|number| self.sound.contains(&number)) {
            return Ok(Begun::Known(Repaired::Sound));
        }
        let content = match self.read(id) {
            Ok(content) => content,
            Err(error) if error.is_damage() => {
                self.lost.insert((BlobType::Tree, *id));
                let why = error.message().to_owned();
                return Ok(Begun::Known(Repaired::Unreadable(why)));
            }
            Err(error) => return Err(error),
        };
        match Tree::decode(&content) {
            Ok(tree) => Ok(Begun::Open(Box::new(Open {
                number,
                path_length: path.len(),
                changes_before: changes.named.len(),
                done: Vec::with_capacity(tree.nodes.len()),
                rest: tree.nodes.into_iter(),
                waiting: None,
            }))),
            Err(error) => {
                let why = format!("tree {} at {path}/: {}", id.short(), error.message());
                Ok(Begun::Known(Repaired::NotUnderstood(why)))
            }
        }
    }

    /// Looks at what is left of a tree, as far as the next tree that lies in it. `path` then leads there.
    fn go_on(
        &mut self,
        tree: &mut Open,
        path: &mut String,
        changes: &mut Changes,
    ) -> Result<Option<Id>> {
        while let Some(mut node) = tree.rest.next() {
            path.truncate(tree.path_length);
            path.push('/');
            path.push_str(&String::from_utf8_lossy(&node.name));
            match (node.node_type, node.subtree) {
                (NodeType::Dir, subtree) => {
                    tree.waiting = Some((node, path.len()));
                    if subtree.is_some() {
                        return Ok(subtree);
                    }
                    let without = Repaired::Unreadable("it has no tree".into());
                    self.settle(tree, without, path, changes)?;
                }
                (NodeType::File, _) => {
                    if self.repair_file(&mut node, path, changes) {
                        tree.done.push(node);
                    }
                }
                _ => tree.done.push(node),
            }
        }
        Ok(None)
    }

    /// Takes what became of the directory that `tree` waits for. It stays, be it empty.
    fn settle(
        &mut self,
        tree: &mut Open,
        repaired: Repaired,
        path: &mut String,
        changes: &mut Changes,
    ) -> Result<()> {
        let Some((mut node, length)) = tree.waiting.take() else {
            return Ok(());
        };
        match repaired {
            Repaired::Sound | Repaired::NotUnderstood(_) => {}
            Repaired::Replaced(tree) => node.subtree = Some(tree),
            Repaired::Unreadable(why) => {
                path.truncate(length);
                changes.directories += 1;
                changes.named.push(Change {
                    path: path.clone(),
                    message: format!("all that was in it is lost: {why}"),
                });
                node.subtree = Some(self.store(&Tree::default())?);
            }
        }
        tree.done.push(node);
        Ok(())
    }

    fn end(&mut self, tree: Open, changes: &Changes) -> Result<Repaired> {
        if changes.named.len() == tree.changes_before {
            self.sound.extend(tree.number);
            return Ok(Repaired::Sound);
        }
        self.store(&Tree { nodes: tree.done })
            .map(Repaired::Replaced)
    }

    /// Reads a tree, a second time where it is not what it should be: a line may have failed rather than the store.
    fn read(&self, id: &Id) -> Result<Vec<u8>> {
        match self.reader.read_tree(id) {
            Err(error) if error.is_damage() => self.reader.read(BlobType::Tree, id),
            read => read,
        }
    }

    fn repair_file(&mut self, node: &mut Node, path: &str, changes: &mut Changes) -> bool {
        let mut length = 0;
        for id in node.content.iter().flatten() {
            let Some(location) = self.reader.index().get(BlobType::Data, id) else {
                self.lost.insert((BlobType::Data, *id));
                changes.files += 1;
                changes.bytes += node.size;
                changes.named.push(Change {
                    path: path.to_owned(),
                    message: format!("is lost: data blob {} is missing", id.short()),
                });
                return false;
            };
            length += u64::from(location.blob.plain_length());
        }
        if length != node.size {
            changes.named.push(Change {
                path: path.to_owned(),
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
        let compressed = self.encoder.prepare(self.reader.repository(), content)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::index::Index;
    use crate::testing::DirectoryDestination;
    use crate::{InitOptions, Repository};

    const LEVELS: usize = 20_000;

    fn reader(repository: &Arc<Repository>) -> BlobReader {
        let index = Index::load(repository, &Progress::default()).expect("loaded");
        BlobReader::new(Arc::clone(repository), Arc::new(index))
    }

    /// A file below `LEVELS` directories. Out comes the root.
    fn nest(writer: &mut TreeWriter<'_>, file: Node) -> Id {
        let mut node = file;
        for _ in 0..LEVELS {
            let tree = Tree { nodes: vec![node] };
            let bytes = tree.encode().expect("encoded");
            node = Node::new("d", NodeType::Dir);
            node.subtree = Some(writer.store(&bytes).expect("stored"));
        }
        node.subtree.expect("a tree")
    }

    /// Deeper than any stack.
    #[test]
    fn directories_may_be_nested_as_deep_as_they_like() {
        let folder = tempfile::tempdir().expect("a folder");
        let destination = Arc::new(DirectoryDestination::new("nas", folder.path()));
        let repository = Repository::init(
            destination,
            InitOptions {
                password: "x",
                ..InitOptions::default()
            },
        );
        let repository = Arc::new(repository.expect("a repository"));
        let lock = Lock::exclusive(&repository).expect("locked");
        let empty = reader(&repository);
        let mut writer = TreeWriter::new(&empty, &lock).expect("a writer");
        let whole = Node::new("whole", NodeType::File);
        let mut lost = Node::new("lost", NodeType::File);
        lost.content = Some(vec![Id::of(b"lost")]);
        let [whole, lost] = [whole, lost].map(|file| nest(&mut writer, file));
        writer.finish().expect("stored");

        let (reader, progress) = (reader(&repository), Progress::default());
        let mut repair = TreeRepair::new(&reader, &progress, None).expect("a repair");
        let mut changes = Changes::default();
        let repaired = repair.repair(&whole, &mut changes).expect("looked at");
        assert!(matches!(repaired, Repaired::Sound));
        let repaired = repair.repair(&lost, &mut changes).expect("looked at");
        assert!(matches!(repaired, Repaired::Replaced(_)));
        let paths: Vec<&str> = changes.named.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/d".repeat(LEVELS - 1) + "/lost"]);
    }
}
