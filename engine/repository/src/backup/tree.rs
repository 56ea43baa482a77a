//! A host directory in, its node out: walks, recognises what has not changed, and has the readers read the rest.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::Builder;

use crossbeam_channel::{Sender, bounded};

use super::directory::{Directory, Home, Previous};
use super::manifest::Folder;
use super::mounts::Mounts;
use super::parent::ParentTrees;
use super::pipeline::{Shared, reader_count};
use super::reader::{FileTask, Readers};
use super::scan::scan;
use super::sink::wait_for_node;
use super::stats::Stats;
use super::storer::Storer;
use crate::metadata::{Metadata, NodeReader};
use crate::source;
use crate::tree::{Node, NodeType, Tree};
use crate::walk::{self, DirectoryState, Found, Walk};
use crate::{Error, Result, descriptors};

/// Files that wait for a reader, where as many directories may be open: each may keep its own.
const WAITING_FILES: usize = 256;
/// Threads that list directories ahead of the one that goes through them.
const WALK_HELPERS: usize = 1;

/// What is to be mounted where a directory is backed up.
pub(crate) struct Ground<'a> {
    /// The directory itself.
    pub(crate) must_be_mount_point: bool,
    /// Paths below it where something was, the last time.
    pub(crate) mounts_before: &'a [String],
}

/// A host directory that was backed up.
pub(crate) struct Archived {
    /// It has no name yet.
    pub(crate) root: Node,
    /// What is said of folders that were left out because they are the backup's own.
    pub(crate) left_out: Vec<String>,
    /// Its path in the backup is the caller's.
    pub(crate) folder: Folder,
    /// Where something was mounted the last time, and an empty directory is now.
    pub(crate) unmounted: Vec<String>,
}

/// Backs up the directory `tree.root`. `before` is its node in the parent.
pub(crate) fn archive_tree(
    shared: &Arc<Shared>,
    (tree, ground): (&source::Tree, Ground<'_>),
    before: Option<&Node>,
    parent: Option<&ParentTrees>,
    stats: &Arc<Stats>,
) -> Result<Archived> {
    let own = shared.own.get();
    own.map_or(Ok(()), |own| own.refuse_root(&tree.root))?;
    let walk = Walk::start(tree, WALK_HELPERS)?;
    let mounts = Mounts::begin(tree, &walk, &ground)?;
    let is_over = AtomicBool::new(false);
    let (tasks, waiting) = bounded(descriptors::share(WAITING_FILES, 4));
    let readers = Readers {
        shared: Arc::clone(shared),
        stats: Arc::clone(stats),
        nodes: NodeReader::new(),
    };
    std::thread::scope(|scope| {
        let mut failed = None;
        for number in 0..reader_count() {
            let (readers, waiting) = (&readers, waiting.clone());
            let body = move || readers.run(&waiting);
            if let Err(error) = Builder::new().spawn_scoped(scope, body) {
                // Fewer take longer; without any nobody would take what is found.
                failed = (number == 0).then_some(error);
                break;
            }
        }
        drop(waiting);
        if let Some(error) = failed {
            return Err(Error::no_thread(error));
        }
        // One that has a parent is about as much as that. Without a thread for it nobody knows how much is to come, and that is all.
        if parent.is_none() && shared.progress.is_watched() {
            let is_over = &is_over;
            let body = move || scan(tree, own, is_over, &shared.progress);
            drop(Builder::new().spawn_scoped(scope, body));
        }
        let (sender, finished) = channel();
        let mut archiver = Archiver {
            walk: &walk,
            readers: &readers,
            parent,
            tasks,
            storer: Storer::new(shared),
            open: Vec::new(),
            left_out: Vec::new(),
            mounts,
        };
        let walked = archiver.begin(before, sender).and_then(|()| archiver.go());
        is_over.store(true, Relaxed);
        // Without it the readers would wait for more.
        let (left_out, mounts) = archiver.end();
        shared.failure.explain(walked)?;
        Ok(Archived {
            root: wait_for_node(&finished, shared)?,
            left_out,
            folder: mounts.folder,
            unmounted: mounts.unmounted,
        })
    })
}

/// Goes through the directories, one at a time.
struct Archiver<'a> {
    walk: &'a Walk,
    readers: &'a Readers,
    parent: Option<&'a ParentTrees>,
    tasks: Sender<FileTask>,
    storer: Storer,
    /// Directories that were found and not entered, the next one last.
    open: Vec<Unentered>,
    /// What is said of folders that are the backup's own.
    left_out: Vec<String>,
    mounts: Mounts,
}

/// A directory that was found in another one.
struct Unentered {
    directory: walk::Directory,
    own: Node,
    home: Home,
    /// Its tree in the parent.
    previous: Option<crate::Id>,
}

impl Archiver<'_> {
    fn begin(
        &mut self,
        before: Option<&Node>,
        root: std::sync::mpsc::Sender<Option<Node>>,
    ) -> Result<()> {
        let directory = self.walk.root().clone();
        let opened = self.walk.open(&directory)?;
        let own = match before {
            Some(before) if self.is_unchanged(self.walk.root_metadata(), before, String::new) => {
                before.clone()
            }
            _ => self.node(&opened, b".", self.walk.root_metadata(), "")?,
        };
        let previous = before.and_then(|node| node.subtree);
        self.open.push(Unentered {
            directory,
            own,
            home: Home::Waiting(root),
            previous,
        });
        Ok(())
    }

    /// What was found besides. Nothing more is handed to the readers.
    fn end(self) -> (Vec<String>, Mounts) {
        (self.left_out, self.mounts)
    }

    fn go(&mut self) -> Result<()> {
        while let Some(next) = self.open.pop() {
            self.readers.shared.check()?;
            self.enter(next)?;
        }
        Ok(())
    }

    fn enter(&mut self, next: Unentered) -> Result<()> {
        let listing = self.walk.list(&next.directory);
        for problem in listing.problems {
            let path = String::from_utf8_lossy(&problem.path).into_owned();
            self.readers
                .stats
                .unreadable(path, problem.error.message().to_owned());
        }
        match listing.state {
            DirectoryState::Excluded | DirectoryState::Vanished => {
                return next.home.fill(None, &mut self.storer);
            }
            DirectoryState::Listed
            | DirectoryState::Unreadable
            | DirectoryState::OtherFileSystem => {}
        }
        if listing.state == DirectoryState::Listed {
            self.mounts.see(&next.directory, listing.entries.is_empty());
        }
        let before = self.parent.and_then(|parent| parent.tree(next.previous));
        let before = before.map(Arc::new);
        let previous = next.previous.map(|id| Previous {
            id,
            tree: before.clone(),
        });
        let assembled = Directory::new(
            next.own,
            next.home,
            previous,
            listing.entries.len(),
            &self.readers.stats,
        );
        let mut here = Here {
            directory: &next.directory,
            opened: None,
            assembled: &assembled,
            before,
        };
        let first = self.open.len();
        for found in listing.entries {
            self.take(found, &mut here)?;
        }
        // The last one is entered first.
        self.open.get_mut(first..).unwrap_or_default().reverse();
        assembled.close(&mut self.storer)
    }

    fn is_unchanged(&self, now: &Metadata, before: &Node, path: impl FnOnce() -> String) -> bool {
        self.parent
            .is_some_and(|parent| parent.is_unchanged(now, before, path))
    }

    /// Deals with one entry.
    fn take(&mut self, found: Found, here: &mut Here<'_>) -> Result<()> {
        let before = here
            .before
            .as_ref()
            .and_then(|tree| tree.find(&found.name))
            .filter(|node| self.is_unchanged(&found.metadata, node, || here.path_of(&found)));
        let before = before.cloned();
        match found.directory {
            Some(_) => self.take_directory(found, before, here),
            None if found.metadata.node_type() == NodeType::File => {
                self.take_file(found, before, here)
            }
            None => self.take_special(found, before, here),
        }
    }

    /// A link, a device, a pipe: all that there is to it is its node.
    fn take_special(
        &mut self,
        found: Found,
        before: Option<Node>,
        here: &mut Here<'_>,
    ) -> Result<()> {
        let stats = Arc::clone(&self.readers.stats);
        if let Some(node) = before {
            stats.carried(&source::Summary {
                files: 1,
                ..source::Summary::default()
            });
            here.assembled.add(node);
            return Ok(());
        }
        if let Some(node) = self.node_or_problem(&found, here)? {
            stats.file(0);
            stats.changed_since_parent(here.in_parent(&found));
            here.assembled.add(node);
        }
        Ok(())
    }

    fn take_directory(
        &mut self,
        found: Found,
        before: Option<Node>,
        here: &mut Here<'_>,
    ) -> Result<()> {
        if self.is_own(&found, here) {
            if let Some(directory) = &found.directory {
                self.walk.skip(directory);
            }
            return Ok(());
        }
        let previous = here
            .before
            .as_ref()
            .and_then(|tree| tree.find(&found.name)?.subtree);
        let own = match before {
            Some(node) => Some(node),
            None => self.node_or_problem(&found, here)?,
        };
        let Some(directory) = found.directory else {
            return Ok(());
        };
        match own {
            Some(own) => {
                let home = here.assembled.expect();
                self.open.push(Unentered {
                    directory,
                    own,
                    home,
                    previous,
                });
            }
            None => self.walk.skip(&directory),
        }
        Ok(())
    }

    fn take_file(&mut self, found: Found, before: Option<Node>, here: &mut Here<'_>) -> Result<()> {
        let same = before.filter(|node| {
            self.parent
                .is_some_and(|parent| parent.content_is_everywhere(node))
        });
        if let Some(mut node) = same {
            if node.links > 1 {
                // Device numbers may change with a reboot, and tell which links belong together.
                node.device_id = found.metadata.device;
            }
            let figures = source::Summary {
                files: 1,
                bytes: node.size,
                new_bytes: 0,
            };
            self.readers.stats.carried(&figures);
            self.readers.shared.progress.advance(node.size, 1);
            here.assembled.add(node);
            return Ok(());
        }
        let path = here.path_of(&found);
        let directory = match here.open(self.walk) {
            Ok(directory) => directory,
            Err(error) => {
                self.readers
                    .stats
                    .unreadable(path, error.message().to_owned());
                return Ok(());
            }
        };
        let task = FileTask {
            directory,
            in_parent: here.in_parent(&found),
            name: found.name.into(),
            path,
            metadata: found.metadata,
            home: here.assembled.expect(),
        };
        self.tasks.send(task).map_err(|_| Error::cancelled())
    }

    /// Whether a directory is to be left out because it is the backup's own.
    fn is_own(&mut self, found: &Found, here: &Here<'_>) -> bool {
        let own = self.readers.shared.own.get();
        let Some(folder) = own.and_then(|own| own.find(&found.metadata)) else {
            return false;
        };
        if let Some(what) = &folder.what {
            let path = here.path_of(found);
            self.left_out.push(format!(
                "{path} is left out: inside of the source lies {what}"
            ));
        }
        true
    }

    /// The node of an entry, or its place in the list of what could not be read.
    fn node_or_problem(&mut self, found: &Found, here: &mut Here<'_>) -> Result<Option<Node>> {
        let path = here.path_of(found);
        let node = here
            .open(self.walk)
            .and_then(|opened| self.node(&opened, &found.name, &found.metadata, &path));
        match node {
            Ok(node) => Ok(Some(node)),
            Err(error) => {
                self.readers
                    .stats
                    .unreadable(path, error.message().to_owned());
                Ok(None)
            }
        }
    }

    fn node(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        metadata: &Metadata,
        path: &str,
    ) -> Result<Node> {
        let (node, problem) = self.readers.nodes.node(directory.as_fd(), name, metadata)?;
        if let Some(problem) = problem {
            self.readers
                .stats
                .unreadable(path.to_owned(), problem.message().to_owned());
        }
        Ok(node)
    }
}

/// The directory in hand.
struct Here<'a> {
    directory: &'a walk::Directory,
    /// Only where something in it has to be read.
    opened: Option<Arc<OwnedFd>>,
    assembled: &'a Arc<Directory>,
    before: Option<Arc<Tree>>,
}

impl Here<'_> {
    fn open(&mut self, walk: &Walk) -> Result<Arc<OwnedFd>> {
        if let Some(opened) = &self.opened {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(walk.open(self.directory)?);
        self.opened = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Whether the parent has an entry of that name.
    fn in_parent(&self, found: &Found) -> bool {
        let tree = self.before.as_ref();
        tree.is_some_and(|tree| tree.find(&found.name).is_some())
    }

    fn path_of(&self, found: &Found) -> String {
        String::from_utf8_lossy(&self.directory.path_of(&found.name)).into_owned()
    }
}
