//! Reading the files of a volume: entries in, chunks and finished nodes out. Several threads do this side by side.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crossbeam_channel::{Receiver, TryRecvError};
use rustix::io::Errno;

use super::directory::Home;
use super::file::FileInProgress;
use super::filler::Filler;
use super::pipeline::Shared;
use super::stats::Stats;
use super::storer::Storer;
use crate::holes::Extents;
use crate::metadata::{Metadata, NodeReader};
use crate::tree::Node;
use crate::walk::open_file;
use crate::{Error, ErrorKind, Result};

/// Bytes that any file gives at once.
const PAGE: u64 = 4096;

/// A file to be read.
pub(crate) struct FileTask {
    /// Its directory, open. Kept open until the last file in it was read.
    pub(crate) directory: Arc<OwnedFd>,
    pub(crate) name: Vec<u8>,
    /// For messages, relative to the source.
    pub(crate) path: String,
    pub(crate) metadata: Metadata,
    pub(crate) in_parent: bool,
    pub(crate) home: Home,
}

/// What the readers of one tree share.
pub(crate) struct Readers {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) nodes: NodeReader,
}

impl Readers {
    /// Reads files until there are no more.
    pub(crate) fn run(&self, tasks: &Receiver<FileTask>) {
        let mut reader = Reader {
            readers: self,
            filler: Filler::new(&self.shared),
            storer: Storer::new(&self.shared),
        };
        if let Err(error) = reader.read_all(tasks) {
            self.shared.failure.record(error);
        }
    }
}

struct Reader<'a> {
    readers: &'a Readers,
    filler: Filler,
    storer: Storer,
}

/// What reading a file came to.
enum Read {
    /// The file as it was when it was opened.
    Steady(Arc<FileInProgress>, Node),
    /// It changed meanwhile.
    Changed(Arc<FileInProgress>, Node),
}

impl Reader<'_> {
    fn read_all(&mut self, tasks: &Receiver<FileTask>) -> Result<()> {
        loop {
            let task = match tasks.try_recv() {
                Ok(task) => task,
                Err(TryRecvError::Disconnected) => return self.filler.flush(),
                Err(TryRecvError::Empty) => {
                    // Nothing to do for the moment: let the workers have what there is.
                    self.filler.flush()?;
                    match tasks.recv() {
                        Ok(task) => task,
                        Err(_) => return Ok(()),
                    }
                }
            };
            self.readers.shared.check()?;
            self.process(task)?;
        }
    }

    /// Reads one file. What cannot be read is named in the result; only what concerns the whole run is an error.
    fn process(&mut self, task: FileTask) -> Result<()> {
        let stats = &self.readers.stats;
        self.readers.shared.progress.item(&task.path);
        let read = match self.read(&task) {
            Ok(Read::Changed(..)) => self.read(&task),
            read => read,
        };
        let (file, node) = match read {
            Ok(Read::Steady(file, node)) => (file, node),
            Ok(Read::Changed(file, node)) => {
                stats.changed(task.path.clone());
                (file, node)
            }
            // Gone since its directory was listed: nothing that this backup lacks.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return task.home.fill(None, &mut self.storer);
            }
            Err(error) => {
                self.readers.shared.check()?;
                stats.unreadable(task.path, error.message().to_owned());
                return task.home.fill(None, &mut self.storer);
            }
        };
        stats.file(node.size);
        stats.changed_since_parent(task.in_parent);
        self.readers.shared.progress.advance(0, 1);
        file.end(node, task.home, &mut self.storer)
    }

    fn read(&mut self, task: &FileTask) -> Result<Read> {
        let opened = open_file(task.directory.as_fd(), &task.name)?;
        let before = metadata_of(&opened)?;
        if before.node_type() != task.metadata.node_type() {
            return Err(Error::new(ErrorKind::Failed, "is no regular file any more"));
        }
        let file = FileInProgress::new(Arc::clone(&self.readers.stats));
        self.filler.begin(before.size)?;
        let length = self.read_content(&opened, &before, &file)?;
        self.filler.end(&file);
        let after = metadata_of(&opened)?;
        let (mut node, problem) =
            self.readers
                .nodes
                .node(task.directory.as_fd(), &task.name, &before)?;
        if let Some(problem) = problem {
            self.readers
                .stats
                .unreadable(task.path.clone(), problem.message().to_owned());
        }
        node.size = length;
        // A file of the kernel's takes no room, and says nothing of its size, or the wrong thing.
        let steady = (length == before.size || before.blocks == 0)
            && after.size == before.size
            && after.mtime == before.mtime
            && after.ctime == before.ctime;
        Ok(if steady {
            Read::Steady(file, node)
        } else {
            Read::Changed(file, node)
        })
    }

    /// Reads to the end. Holes are not read: they are zeros.
    fn read_content(
        &mut self,
        opened: &File,
        metadata: &Metadata,
        file: &Arc<FileInProgress>,
    ) -> Result<u64> {
        if metadata.is_sparse() {
            return self.read_sparse(opened, metadata.size, file);
        }
        let mut length = 0;
        loop {
            match self.read_some(opened, u64::MAX, file)? {
                0 => return Ok(length),
                count => length += count,
            }
        }
    }

    fn read_sparse(&mut self, opened: &File, size: u64, file: &Arc<FileInProgress>) -> Result<u64> {
        let mut position = 0;
        for extent in Extents::of(opened, size) {
            while position < extent.start {
                position += self.filler.zeros(extent.start - position, file)?;
            }
            rustix::fs::seek(opened, rustix::fs::SeekFrom::Start(position))
                .map_err(|error| Error::io("cannot be read", error.into()))?;
            while position < extent.end {
                match self.read_some(opened, extent.end - position, file)? {
                    // It became shorter; the caller sees that.
                    0 => return Ok(position),
                    count => position += count,
                }
            }
        }
        while position < size {
            position += self.filler.zeros(size - position, file)?;
        }
        Ok(position)
    }

    fn read_some(&mut self, opened: &File, limit: u64, file: &Arc<FileInProgress>) -> Result<u64> {
        let read = match self.filler.read(opened, limit, file) {
            // Files of the kernel's may give no more than a page at once.
            Err(Errno::INVAL | Errno::NOMEM) => self.filler.read(opened, limit.min(PAGE), file),
            read => read,
        };
        match read {
            Ok(count) => Ok(count as u64),
            Err(error) => {
                self.readers.shared.check()?;
                Err(Error::io("cannot be read", error.into()))
            }
        }
    }
}

fn metadata_of(opened: &File) -> Result<Metadata> {
    Metadata::of_file(opened).map_err(|error| Error::io("cannot be read", error.into()))
}
