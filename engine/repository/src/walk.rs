//! A host directory tree in, its listings out: sorted, examined, without what the rules leave out, and mostly made before they are
//! asked for, by helper threads that run ahead in the order in which a backup goes.
//!
//! A listing that no helper has begun is made by whoever asks for it, so nobody ever waits for a helper that has not started.

mod directory;
mod listing;
mod open;
mod prefetch;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::open_beneath;
use crate::exclude::Exclude;
use crate::metadata::Metadata;
use crate::mount::is_mount_point;
use crate::source::Tree;
use crate::{Error, ErrorKind, Result, descriptors};

pub use directory::Directory;
pub use listing::{DirectoryListing, DirectoryState, Found, Problem};
pub use open::open_file;

use prefetch::Prefetch;

/// A directory tree being listed. Dropping it ends its threads.
pub struct Walk {
    prefetch: Arc<Prefetch>,
    root: Directory,
    root_metadata: Metadata,
    helpers: Vec<JoinHandle<()>>,
}

/// What all threads of a walk read.
struct Ground {
    root: OwnedFd,
    device: u64,
    one_file_system: bool,
    exclude: Exclude,
    /// Directories that are kept open so that those in them are found quickly, the latest last.
    open: Mutex<VecDeque<Arc<OwnedFd>>>,
    /// How many of them.
    most_open: usize,
}

/// More directories are not kept open.
const MOST_OPEN: usize = 64;

impl Ground {
    fn open(&self, directory: &Directory, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let (start, path) = directory.nearest_opened();
        let start = start.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        open_beneath(start, &path, flags, Mode::empty())
    }

    fn keep_open(&self, directory: &Directory, opened: Arc<OwnedFd>) {
        directory.set_opened(&opened);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if open.len() < self.most_open {
            None
        } else {
            open.pop_front()
        };
        open.push_back(opened);
        drop(open);
        // Closing takes a while: not while others wait.
        drop(oldest);
    }
}

impl Walk {
    /// Opens the root, which may be a symbolic link to a directory, and starts `helpers` threads (0 for none).
    ///
    /// Fails where the root is missing, no directory or not readable, and on a wrong pattern.
    pub fn start(tree: &Tree, helpers: usize) -> Result<Self> {
        let exclude = Exclude::new(tree)?;
        let (root, metadata) = open_root(&tree.root)?;
        let ground = Ground {
            root,
            device: metadata.device,
            one_file_system: tree.one_file_system,
            exclude,
            open: Mutex::default(),
            most_open: descriptors::share(MOST_OPEN, 8),
        };
        let prefetch = Arc::new(Prefetch::new(ground, helpers > 0));
        let mut walk = Self {
            prefetch,
            root: Directory::root(metadata.device),
            root_metadata: metadata,
            helpers: Vec::with_capacity(helpers),
        };
        for number in 0..helpers {
            let prefetch = Arc::clone(&walk.prefetch);
            let helper = std::thread::Builder::new()
                .name(format!("walk {number}"))
                .spawn(move || prefetch.help())
                .map_err(Error::no_thread)?;
            walk.helpers.push(helper);
        }
        Ok(walk)
    }

    /// The directory to begin with.
    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// What the root itself is.
    pub fn root_metadata(&self) -> &Metadata {
        &self.root_metadata
    }

    /// Whether something is mounted at the root, where the system tells.
    pub fn is_root_mount_point(&self) -> Option<bool> {
        is_mount_point(&self.prefetch.ground().root)
    }

    /// What lies in `directory`. Each directory can be listed once ahead of time; asking again reads it again.
    ///
    /// From now on its sub-directories are listed ahead: call [`skip`](Self::skip) for one that will not be listed.
    pub fn list(&self, directory: &Directory) -> DirectoryListing {
        self.prefetch.list(directory)
    }

    /// Forgets what was listed ahead of `directory`, whose place others then take.
    pub fn skip(&self, directory: &Directory) {
        self.prefetch.skip(directory);
    }

    /// Opens a directory (with `O_PATH`), for [`open_file`] and [`NodeReader::node`](crate::metadata::NodeReader::node).
    /// No symbolic link is followed below the root.
    pub fn open(&self, directory: &Directory) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = self.prefetch.ground().open(directory, flags);
        opened.map_err(|error| {
            Error::io("directory cannot be opened", error.into()).on(directory.display())
        })
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.prefetch.close();
        for helper in self.helpers.drain(..) {
            let _ = helper.join();
        }
    }
}

fn open_root(path: &Path) -> Result<(OwnedFd, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed = |error: Errno| match error {
        Errno::NOTDIR => Error::new(ErrorKind::InvalidConfig, "is not a directory"),
        Errno::NOENT => Error::io("directory cannot be opened", error.into())
            .hint("correct the path, or mount what belongs there"),
        error => Error::io("directory cannot be opened", error.into()),
    };
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let root = opened.map_err(|error| failed(error).on(path.display()))?;
    let metadata = Metadata::of_file(&root).map_err(|error| failed(error).on(path.display()))?;
    Ok((root, metadata))
}

#[cfg(test)]
mod tests;
