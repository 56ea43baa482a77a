//! A directory of a walk: its place in the tree, from which its path and its turn follow. Holds no descriptor, so that a tree may be
//! deeper than there are descriptors, and only its own name, so that a deep tree's paths do not add up.

use std::cmp::Ordering;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, Weak};

/// A directory that was found. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    parent: Option<Directory>,
    name: Box<[u8]>,
    /// Among the entries of the parent.
    position: usize,
    depth: usize,
    device: u64,
    /// The descriptor it was listed with, for as long as it is kept open.
    opened: Mutex<Weak<OwnedFd>>,
}

impl Directory {
    pub(super) fn root(device: u64) -> Self {
        Self(Arc::new(Inner {
            parent: None,
            name: Box::default(),
            position: 0,
            depth: 0,
            device,
            opened: Mutex::default(),
        }))
    }

    pub(super) fn child(&self, name: &[u8], position: usize, device: u64) -> Self {
        Self(Arc::new(Inner {
            parent: Some(self.clone()),
            name: name.into(),
            position,
            depth: self.0.depth + 1,
            device,
            opened: Mutex::default(),
        }))
    }

    /// The file name, empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.0.name
    }

    /// The directory that it was found in.
    pub fn parent(&self) -> Option<&Directory> {
        self.0.parent.as_ref()
    }

    /// `st_dev`.
    pub fn device(&self) -> u64 {
        self.0.device
    }

    /// Relative to the root and `/`-separated, empty for the root itself.
    pub fn path(&self) -> Vec<u8> {
        let mut names = Vec::with_capacity(self.0.depth);
        let mut directory = self;
        while let Some(parent) = directory.parent() {
            names.push(directory.name());
            directory = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The path of an entry.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// The path for messages.
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.path()).into_owned()
    }

    pub(super) fn set_opened(&self, opened: &Arc<OwnedFd>) {
        if let Ok(mut place) = self.0.opened.lock() {
            *place = Arc::downgrade(opened);
        }
    }

    /// The nearest directory above this one that is open, and the path from there; `None` for the root, of which the whole path is given.
    pub(super) fn nearest_opened(&self) -> (Option<Arc<OwnedFd>>, Vec<u8>) {
        let mut names = Vec::new();
        let mut directory = self;
        let mut start = None;
        while let (None, Some(parent)) = (&start, directory.parent()) {
            names.push(directory.name());
            directory = parent;
            start = parent
                .0
                .opened
                .lock()
                .ok()
                .and_then(|opened| opened.upgrade());
        }
        names.reverse();
        (start, names.join(&b'/'))
    }

    /// The same as long as a clone of it lives.
    pub(super) fn key(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Which one a walk enters first: it goes down into a directory before its next sibling.
    pub(super) fn turn(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self, other);
        while left.0.depth > right.0.depth
            && let Some(parent) = left.parent()
        {
            left = parent;
        }
        while right.0.depth > left.0.depth
            && let Some(parent) = right.parent()
        {
            right = parent;
        }
        if left == right {
            return self.0.depth.cmp(&other.0.depth);
        }
        while let (Some(left_parent), Some(right_parent)) = (left.parent(), right.parent()) {
            if left_parent == right_parent {
                break;
            }
            (left, right) = (left_parent, right_parent);
        }
        left.0.position.cmp(&right.0.position)
    }
}

impl PartialEq for Directory {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Directory {}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({:?})", self.display())
    }
}

impl Drop for Inner {
    /// One by one: the last of ten thousand levels would otherwise drop its parents ten thousand calls deep.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(Directory(directory)) = parent {
            parent = Arc::into_inner(directory).and_then(|mut inner| inner.parent.take());
        }
    }
}
