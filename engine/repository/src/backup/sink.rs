//! What a source plugin writes into: files as streams, whole host directories, and what it keeps from the parent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::directory::Home;
use super::expected::Expected;
use super::file::FileInProgress;
use super::filler::Filler;
use super::manifest::{Folder, Stream};
use super::parent::Continued;
use super::past::Reference;
use super::pipeline::{MAX_WRITERS, Shared};
use super::stats::{Problem, Stats};
use super::storer::Storer;
use super::tree::{Ground, archive_tree};
use crate::guard::lock;
use crate::id::Id;
use crate::source::{Attributes, Begun, Entry, Parent, Sink, Summary, Tree, Writer};
use crate::tree::{FileTime, Node, NodeType};
use crate::{Error, ErrorKind, Result};

/// The sink of one source's backup.
pub(crate) struct SessionSink {
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    parent: Option<Continued>,
    /// What the last backup that counts says of what there was.
    reference: Option<Arc<Reference>>,
    /// Whether a host directory has to be a mount point.
    expect_mount: bool,
    gathered: Arc<Mutex<Gathered>>,
    writers: Arc<AtomicUsize>,
}

/// What the source has delivered so far.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Paths of files that were begun.
    begun: BTreeSet<String>,
    /// By path relative to the source.
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) notes: Attributes,
    /// Host directories that were walked.
    pub(crate) folders: Vec<Folder>,
    /// Where something was mounted in the last backup that counts, and an empty directory is now: its path on the host.
    pub(crate) unmounted: Vec<String>,
    /// What was asked for and is not in the backup.
    pub(crate) missing: Vec<Problem>,
    /// What whoever restores should know.
    pub(crate) warnings: Vec<String>,
    /// Bytes that the notes and what is missing take, with those that were not taken.
    note_bytes: usize,
    /// How the first note begins that was not taken.
    surplus: Option<String>,
}

impl SessionSink {
    pub(crate) fn new(shared: &Arc<Shared>, stats: &Arc<Stats>, parent: Option<Continued>) -> Self {
        Self {
            shared: Arc::clone(shared),
            stats: Arc::clone(stats),
            parent,
            reference: None,
            expect_mount: false,
            gathered: Arc::default(),
            writers: Arc::default(),
        }
    }

    /// Looks at what is walked with what there was in mind.
    pub(crate) fn expecting(
        mut self,
        reference: Option<&Arc<Reference>>,
        expected: &Expected,
    ) -> Self {
        self.reference = reference.cloned();
        self.expect_mount = expected.expect_mount;
        self
    }

    /// Everything, once the source says that it is done.
    pub(crate) fn finish(self) -> Result<Gathered> {
        if self.writers.load(Ordering::Acquire) > 0 {
            return Err(Error::new(
                ErrorKind::Failed,
                "a file was begun and never finished",
            ));
        }
        let gathered = std::mem::take(&mut *lock(&self.gathered));
        match gathered.surplus {
            None => Ok(gathered),
            Some(key) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the notes of a backup take {} bytes, and at most {MAX_NOTES} are kept: '{key}' was too much",
                    gathered.note_bytes
                ),
            )),
        }
    }

    /// Reserves a path: none comes twice.
    fn reserve(&self, path: &str) -> Result<()> {
        if lock(&self.gathered).begun.insert(path.to_owned()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::AlreadyExists, "is in this backup already").on(path))
    }

    /// Takes over `path` from the parent where every target still holds all of it.
    fn carry_over(&self, path: &str) -> Option<Summary> {
        let parent = self.parent.as_ref()?;
        let mut node = match path {
            "" => parent.root.clone(),
            _ => parent.trees.find(parent.root.subtree?, path)?,
        };
        let mut summary = Summary::default();
        let everywhere = parent.trees.is_everywhere(&node, &mut |node| {
            if node.node_type != NodeType::Dir {
                summary.files += 1;
                summary.bytes += node.size;
            }
        });
        if !everywhere {
            return None;
        }
        node.name = file_name(path).into();
        let mut gathered = lock(&self.gathered);
        gathered.nodes.insert(path.to_owned(), node);
        let below = format!("{path}/");
        let carried = parent
            .streams
            .iter()
            .filter(|(name, _)| path.is_empty() || *name == path || name.starts_with(&below))
            .map(|(name, stream)| (name.clone(), stream.clone()));
        gathered.streams.extend(carried);
        self.stats.carried(&summary);
        self.shared.progress.advance(summary.bytes, summary.files);
        Some(summary)
    }
}

impl Sink for SessionSink {
    fn parent(&self) -> Option<Parent> {
        self.parent
            .as_ref()
            .map(|continued| continued.parent.clone())
    }

    fn file(&self, entry: Entry) -> Result<Begun> {
        check_path(&entry.path)?;
        self.reserve(&entry.path)?;
        let before = self
            .parent
            .as_ref()
            .and_then(|parent| parent.streams.get(&entry.path));
        let same = entry.fingerprint.is_some()
            && before.is_some_and(|before| before.fingerprint == entry.fingerprint);
        if same && self.carry_over(&entry.path).is_some() {
            return Ok(Begun::Unchanged);
        }
        if self.writers.fetch_add(1, Ordering::AcqRel) >= MAX_WRITERS {
            self.writers.fetch_sub(1, Ordering::AcqRel);
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("more than {MAX_WRITERS} files are being written at once"),
            )
            .on(&entry.path));
        }
        Ok(Begun::Write(Box::new(StreamWriter::begin(
            self,
            entry,
            before.is_some(),
        )?)))
    }

    fn tree(&self, path: &str, tree: &Tree) -> Result<Summary> {
        if !path.is_empty() {
            check_path(path)?;
        }
        self.reserve(path)?;
        let before = self.parent.as_ref().and_then(|parent| match path {
            "" => Some(parent.root.clone()),
            _ => parent.trees.find(parent.root.subtree?, path),
        });
        let trees = self.parent.as_ref().map(|parent| &parent.trees);
        let stats = Arc::new(Stats::default());
        let ground = Ground {
            must_be_mount_point: self.expect_mount,
            mounts_before: self
                .reference
                .as_ref()
                .map_or(&[], |it| it.noted.mounts(path)),
        };
        let archived = archive_tree(&self.shared, (tree, ground), before.as_ref(), trees, &stats)?;
        for warning in archived.left_out {
            self.shared.progress.warn(&warning);
            self.warning(&warning);
        }
        let mut gathered = lock(&self.gathered);
        gathered.nodes.insert(
            path.to_owned(),
            Node {
                name: file_name(path).into(),
                ..archived.root
            },
        );
        gathered.folders.push(Folder {
            path: path.to_owned(),
            ..archived.folder
        });
        gathered.unmounted.extend(archived.unmounted);
        drop(gathered);
        let summary = stats.summary();
        self.stats.absorb(&stats, path);
        Ok(summary)
    }

    fn carry(&self, path: &str) -> Result<Summary> {
        if !path.is_empty() {
            check_path(path)?;
        }
        self.reserve(path)?;
        self.carry_over(path).ok_or_else(|| {
            lock(&self.gathered).begun.remove(path);
            Error::new(
                ErrorKind::NotFound,
                "the parent backup does not hold it at every destination",
            )
            .on(path)
            .hint("start afresh with a full backup")
        })
    }

    fn note(&self, key: &str, value: &str) {
        let mut gathered = lock(&self.gathered);
        if gathered.has_room_for(key, value) {
            gathered.notes.push((key.to_owned(), value.to_owned()));
        }
    }

    fn missing(&self, subject: &str, reason: &str) {
        let mut gathered = lock(&self.gathered);
        if gathered.has_room_for(subject, reason) {
            gathered.missing.push(Problem {
                path: subject.to_owned(),
                message: reason.to_owned(),
            });
        }
    }

    fn warning(&self, message: &str) {
        let mut gathered = lock(&self.gathered);
        match gathered.warnings.len() {
            0..MAX_WARNINGS => gathered.warnings.push(message.to_owned()),
            MAX_WARNINGS => gathered.warnings.push("and more".into()),
            _ => {}
        }
    }
}

impl Gathered {
    /// Counts a note of the manifest; whether it may still be kept.
    fn has_room_for(&mut self, key: &str, value: &str) -> bool {
        self.note_bytes = self.note_bytes + EACH_NOTE + key.len() + value.len();
        let has_room = self.note_bytes <= MAX_NOTES;
        if !has_room && self.surplus.is_none() {
            self.surplus = Some(beginning(key));
        }
        has_room
    }
}

/// A file that a plugin writes.
struct StreamWriter {
    shared: Arc<Shared>,
    source_stats: Arc<Stats>,
    stats: Arc<Stats>,
    gathered: Arc<Mutex<Gathered>>,
    writers: Arc<AtomicUsize>,
    filler: Filler,
    file: Arc<FileInProgress>,
    entry: Entry,
    in_parent: bool,
    size: u64,
    crc32c: u32,
}

impl StreamWriter {
    fn begin(sink: &SessionSink, entry: Entry, in_parent: bool) -> Result<Self> {
        let stats = Arc::new(Stats::default());
        sink.shared.progress.item(&entry.path);
        let mut filler = Filler::new(&sink.shared);
        filler.begin(entry.size.unwrap_or(u64::MAX))?;
        Ok(Self {
            shared: Arc::clone(&sink.shared),
            source_stats: Arc::clone(&sink.stats),
            file: FileInProgress::new(Arc::clone(&stats)),
            stats,
            gathered: Arc::clone(&sink.gathered),
            writers: Arc::clone(&sink.writers),
            filler,
            entry,
            in_parent,
            size: 0,
            crc32c: 0,
        })
    }

    fn node(&self) -> Node {
        let mut node = Node::new(file_name(&self.entry.path), NodeType::File);
        node.set_permissions(self.entry.mode.unwrap_or(0o600) & 0o7777);
        let modified = self
            .entry
            .modified
            .map_or_else(FileTime::now, FileTime::from_nanoseconds);
        (node.mtime, node.atime, node.ctime) = (modified, modified, modified);
        node.size = self.size;
        node.links = 1;
        node
    }
}

impl Writer for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.size += bytes.len() as u64;
        let written = self.filler.write(bytes, &self.file);
        self.shared.failure.explain(written)
    }

    fn crc32c(&self) -> u32 {
        self.crc32c
    }

    fn finish(mut self: Box<Self>) -> Result<Summary> {
        self.filler.end(&self.file);
        self.filler.flush()?;
        let (sender, receiver) = channel();
        let mut storer = Storer::new(&self.shared);
        self.file
            .end(self.node(), Home::Waiting(sender), &mut storer)?;
        let node = wait_for_node(&receiver, &self.shared)?;
        self.stats.file(self.size);
        self.stats.changed_since_parent(self.in_parent);
        self.shared.progress.advance(0, 1);
        let stream = Stream {
            size: self.size,
            crc32c: Some(self.crc32c),
            fingerprint: self.entry.fingerprint.take(),
        };
        let mut gathered = lock(&self.gathered);
        gathered.streams.insert(self.entry.path.clone(), stream);
        gathered.nodes.insert(self.entry.path.clone(), node);
        drop(gathered);
        self.source_stats.absorb(&self.stats, "");
        self.writers.fetch_sub(1, Ordering::AcqRel);
        Ok(self.stats.summary())
    }
}

/// Waits for a node that the workers finish, unless the run fails.
pub(crate) fn wait_for_node(nodes: &Receiver<Option<Node>>, shared: &Shared) -> Result<Node> {
    loop {
        match nodes.recv_timeout(Duration::from_millis(50)) {
            Ok(Some(node)) => return Ok(node),
            Err(RecvTimeoutError::Timeout) => shared.failure.explain(shared.check())?,
            Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                let lost = Err(Error::new(ErrorKind::Failed, "the pipeline lost a file"));
                return shared.failure.explain(shared.check()).and(lost);
            }
        }
    }
}

/// Nodes by path made into the nodes of one directory. `store` turns the entries of a deeper directory into its tree.
pub(crate) fn nest(
    nodes: BTreeMap<String, Node>,
    store: &mut dyn FnMut(&[Node]) -> Result<Id>,
) -> Result<Vec<Node>> {
    let mut children: BTreeMap<String, BTreeMap<String, Node>> = BTreeMap::new();
    let mut own: BTreeMap<String, Node> = BTreeMap::new();
    for (path, node) in nodes {
        match path.split_once('/') {
            Some((first, rest)) => {
                children
                    .entry(first.to_owned())
                    .or_default()
                    .insert(rest.to_owned(), node);
            }
            None => {
                own.insert(path, node);
            }
        }
    }
    for (name, below) in children {
        if own.contains_key(&name) {
            return Err(Error::new(ErrorKind::Failed, "is both a file and a directory").on(name));
        }
        let newest = below
            .values()
            .map(|node| node.mtime)
            .max()
            .unwrap_or_default();
        let mut directory = Node::new(name.as_bytes(), NodeType::Dir);
        directory.set_permissions(0o700);
        (directory.mtime, directory.atime, directory.ctime) = (newest, newest, newest);
        let entries = nest(below, store)?;
        directory.subtree = Some(store(&entries)?);
        own.insert(name, directory);
    }
    let mut nodes: Vec<Node> = own.into_values().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

/// Bytes of all notes: they are kept in memory, and in the manifest of the backup.
const MAX_NOTES: usize = 1024 * 1024;
/// Warnings that the manifest keeps. All of them were shown.
const MAX_WARNINGS: usize = 200;
/// What one takes beside its text, so that nothing is not noted without end.
const EACH_NOTE: usize = size_of::<(String, String)>();
/// Bytes of a name and of a path, as Linux has them: what is longer could not be restored.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 4096;
/// No path of a plugin is deeper, so that nothing that recurses over it runs out of stack.
const MAX_DEPTH: usize = 100;

fn check_path(path: &str) -> Result<()> {
    let too_long = |what: &str, text: &str, most: usize| {
        let message = format!(
            "the {what} '{}' is {} bytes long, and at most {most} are kept",
            beginning(text),
            text.len()
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    };
    if path.len() > MAX_PATH {
        return too_long("path", path, MAX_PATH);
    }
    if let Some(name) = path.split('/').find(|name| name.len() > MAX_NAME) {
        return too_long("name", name, MAX_NAME);
    }
    let parts = || path.split('/');
    if path.contains('\0')
        || parts().any(|part| matches!(part, "" | "." | ".."))
        || parts().count() > MAX_DEPTH
    {
        return Err(Error::new(
            ErrorKind::Failed,
            format!("'{}' is no relative path of a backup", path.escape_debug()),
        ));
    }
    Ok(())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// As much of a text as fits a message.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", shown.escape_debug())
}
