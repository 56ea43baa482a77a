//! One directory in, its entries out: read, left out by the rules or examined, and sorted.

use std::ffi::CStr;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;

use super::open::{open_file, without_access_time};
use super::{Directory, Ground};
use crate::Error;
use crate::exclude::CACHE_SIGNATURE;
use crate::metadata::Metadata;
use crate::tree::NodeType;

/// What lies in a directory.
#[derive(Debug)]
pub struct DirectoryListing {
    /// How the listing came to be.
    pub state: DirectoryState,
    /// Sorted by the bytes of the names, without what the rules leave out and without what vanished meanwhile.
    pub entries: Vec<Found>,
    /// What could not be read: the directory, or entries that are missing above.
    pub problems: Vec<Problem>,
}

/// What became of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryState {
    /// It was read.
    Listed,
    /// It could not be read, at least not to its end, see `problems`. To be kept with the entries that are there.
    Unreadable,
    /// It belongs to another file system, and the walk stays on one. To be kept as an empty directory: the mount point.
    OtherFileSystem,
    /// It holds a file that leaves it out. To be left out of the backup, itself included.
    Excluded,
    /// It was removed, or replaced by something else, since its parent was listed. To be left out.
    Vanished,
}

/// An entry of a directory.
#[derive(Debug)]
pub struct Found {
    /// File name.
    pub name: Box<[u8]>,
    /// What it is.
    pub metadata: Metadata,
    /// To list it, if it is a directory.
    pub directory: Option<Directory>,
}

/// Something that could not be read.
#[derive(Debug)]
pub struct Problem {
    /// Relative to the root, empty for the root itself.
    pub path: Vec<u8>,
    /// Why, without the path.
    pub error: Error,
}

/// Memory that is used again for every directory.
pub(super) struct Scratch {
    raw: Vec<MaybeUninit<u8>>,
    /// Names with a NUL after each.
    names: Vec<u8>,
    entries: Vec<RawEntry>,
}

#[derive(Clone, Copy)]
struct RawEntry {
    start: usize,
    /// After the NUL.
    end: usize,
    file_type: FileType,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            raw: vec![MaybeUninit::uninit(); 32 * 1024],
            names: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn name(&self, entry: RawEntry) -> Option<&CStr> {
        CStr::from_bytes_with_nul(self.names.get(entry.start..entry.end)?).ok()
    }
}

impl DirectoryListing {
    pub(super) fn empty(state: DirectoryState) -> Self {
        Self {
            state,
            entries: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn unreadable(directory: &Directory, error: Errno) -> Self {
        Self {
            problems: vec![Problem {
                path: directory.path(),
                error: Error::io("directory cannot be read", error.into()),
            }],
            ..Self::empty(DirectoryState::Unreadable)
        }
    }
}

/// Lists `directory`. Never fails as a whole.
pub(super) fn list(
    ground: &Ground,
    directory: &Directory,
    scratch: &mut Scratch,
) -> DirectoryListing {
    if ground.one_file_system && directory.device() != ground.device {
        return DirectoryListing::empty(DirectoryState::OtherFileSystem);
    }
    let opened = without_access_time(OFlags::RDONLY | OFlags::DIRECTORY, |flags| {
        ground.open(directory, flags)
    });
    let opened = match opened {
        Ok(opened) => Arc::new(opened),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if directory.parent().is_some() => {
            return DirectoryListing::empty(DirectoryState::Vanished);
        }
        Err(error) => return DirectoryListing::unreadable(directory, error),
    };
    let read = read_names(&opened, scratch);
    // The operator named the root: what lies in it cannot leave it out.
    if directory.parent().is_some() && is_excluded(ground, opened.as_fd(), scratch) {
        return DirectoryListing::empty(DirectoryState::Excluded);
    }
    let mut listing = match read {
        Ok(()) => DirectoryListing::empty(DirectoryState::Listed),
        Err(error) => DirectoryListing::unreadable(directory, error),
    };
    let Scratch { names, entries, .. } = &mut *scratch;
    entries.sort_unstable_by(|a, b| names.get(a.start..a.end).cmp(&names.get(b.start..b.end)));
    listing.entries.reserve_exact(scratch.entries.len());
    let mut examiner = Examiner {
        ground,
        directory,
        opened: opened.as_fd(),
        path: Vec::new(),
        prefix: 0,
    };
    if ground.exclude.has_patterns() {
        examiner.path = directory.path_of(b"");
        examiner.prefix = examiner.path.len();
    }
    for entry in &scratch.entries {
        if let Some(name) = scratch.name(*entry) {
            examiner.examine(name, entry.file_type, &mut listing);
        }
    }
    // Most directories have none in them, and their descriptors would push out others.
    if listing
        .entries
        .iter()
        .any(|found| found.directory.is_some())
    {
        ground.keep_open(directory, opened);
    }
    listing
}

fn read_names(directory: &OwnedFd, scratch: &mut Scratch) -> rustix::io::Result<()> {
    scratch.names.clear();
    scratch.entries.clear();
    let mut raw = RawDir::new(directory, scratch.raw.as_mut_slice());
    while let Some(entry) = raw.next() {
        let entry = match entry {
            Ok(entry) => entry,
            // Linux says this of a directory that was removed while it is open.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let start = scratch.names.len();
        scratch.names.extend_from_slice(name.to_bytes_with_nul());
        scratch.entries.push(RawEntry {
            start,
            end: scratch.names.len(),
            file_type: entry.file_type(),
        });
    }
    Ok(())
}

fn is_excluded(ground: &Ground, opened: BorrowedFd<'_>, scratch: &Scratch) -> bool {
    ground.exclude.has_markers()
        && scratch.entries.iter().any(|entry| {
            let name = scratch.name(*entry).map_or(&[][..], CStr::to_bytes);
            ground.exclude.is_marker(name)
                || ground.exclude.may_mark_cache(name) && holds_cache_signature(opened, name)
        })
}

fn holds_cache_signature(directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    let mut head = [0; CACHE_SIGNATURE.len()];
    open_file(directory, name)
        .is_ok_and(|mut file| file.read_exact(&mut head).is_ok() && head == CACHE_SIGNATURE)
}

/// Looks at the entries of one directory.
struct Examiner<'a> {
    ground: &'a Ground,
    directory: &'a Directory,
    opened: BorrowedFd<'a>,
    /// The directory's path with its slash, and a name behind; only where there are patterns that ask for it.
    path: Vec<u8>,
    prefix: usize,
}

impl Examiner<'_> {
    fn examine(&mut self, name: &CStr, file_type: FileType, listing: &mut DirectoryListing) {
        // Some file systems do not say what an entry is.
        let told = file_type != FileType::Unknown;
        if told && self.is_excluded(name, file_type == FileType::Directory) {
            return;
        }
        let metadata = match Metadata::of_entry(self.opened, name) {
            Ok(metadata) => metadata,
            Err(Errno::NOENT) => return,
            Err(error) => {
                listing.problems.push(Problem {
                    path: self.directory.path_of(name.to_bytes()),
                    error: Error::io("cannot be examined", error.into()),
                });
                return;
            }
        };
        let is_directory = metadata.node_type() == NodeType::Dir;
        if !told && self.is_excluded(name, is_directory) {
            return;
        }
        let elsewhere = metadata.device != self.ground.device;
        if elsewhere && !is_directory && self.ground.one_file_system {
            return;
        }
        let name = name.to_bytes();
        listing.entries.push(Found {
            directory: is_directory.then(|| {
                self.directory
                    .child(name, listing.entries.len(), metadata.device)
            }),
            name: name.into(),
            metadata,
        });
    }

    fn is_excluded(&mut self, name: &CStr, is_directory: bool) -> bool {
        if !self.ground.exclude.has_patterns() {
            return false;
        }
        self.path.truncate(self.prefix);
        self.path.extend_from_slice(name.to_bytes());
        self.ground.exclude.excludes(&self.path, is_directory)
    }
}
