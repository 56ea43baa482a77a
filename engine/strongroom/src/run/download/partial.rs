//! A file or folder under a temporary name: it gets its own name when it is whole, and is gone if that never happens.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::run::id;

/// A file that is being written.
pub(super) struct PartialFile {
    path: PathBuf,
    file: File,
    is_finished: bool,
}

/// A folder whose files are being written.
pub(super) struct PartialFolder {
    path: PathBuf,
    is_finished: bool,
    /// As long as it is open.
    _lock: Option<File>,
}

impl PartialFile {
    /// Refuses where `path` is taken.
    pub(super) fn create(path: &Path) -> Result<Self> {
        refuse_existing(path)?;
        sweep(path);
        let path = partial_name(path)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            // What a backup holds is nobody else's business.
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
        // Whoever finds it knows by this that it is in use. A file system that knows no locks loses it to the next download of the same.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Self {
            path,
            file,
            is_finished: false,
        })
    }

    /// To write into.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes it durable and gives it its name. Out comes its size in bytes.
    pub(super) fn finish(mut self, path: &Path) -> Result<u64> {
        let failed = |error| Error::io(format!("cannot write {}", path.display()), error);
        self.file.sync_all().map_err(failed)?;
        let size = self.file.metadata().map_err(failed)?.len();
        put_in_place(&self.path, path)?;
        self.is_finished = true;
        sync_parent(path);
        Ok(size)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Left behind, it is only in the way: its name says what it is.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl PartialFolder {
    /// Refuses where `path` is taken.
    pub(super) fn create(path: &Path) -> Result<Self> {
        refuse_existing(path)?;
        sweep(path);
        let path = partial_name(path)?;
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| {
                Error::io(format!("cannot make the folder {}", path.display()), error)
            })?;
        let lock = File::open(&path).ok();
        if let Some(lock) = &lock {
            let _ = flock(lock, FlockOperation::NonBlockingLockExclusive);
        }
        Ok(Self {
            path,
            is_finished: false,
            _lock: lock,
        })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name. Its files are durable already.
    pub(super) fn finish(mut self, path: &Path) -> Result<()> {
        put_in_place(&self.path, path)?;
        self.is_finished = true;
        sync_parent(path);
        Ok(())
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Another one each time: what a killed download left behind is in nobody's way.
fn partial_name(path: &Path) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.partial", id::generate()?));
    Ok(PathBuf::from(name))
}

/// What killed downloads of the same left behind goes.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let is_left = |entry: &fs::DirEntry| {
        let found = entry.file_name();
        let rest = found.as_bytes().strip_prefix(name.as_bytes());
        let id = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(b".partial"));
        id.is_some_and(|id| id.len() == id::LENGTH && id.iter().all(u8::is_ascii_alphanumeric))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_dead = || {
            let opened = File::open(&path)?;
            flock(&opened, FlockOperation::NonBlockingLockExclusive)?;
            std::io::Result::Ok(opened)
        };
        if !is_left(&entry) {
            continue;
        }
        // Held until it is gone.
        if let Ok(_opened) = is_dead() {
            let _ = match entry.file_type().is_ok_and(|it| it.is_dir()) {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
        }
    }
}

/// Fails where the name was taken meanwhile, in one step where the file system can do that.
fn put_in_place(partial: &Path, path: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("cannot write {}", path.display()), error);
    match renameat_with(CWD, partial, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(taken(path)),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            refuse_existing(path)?;
            fs::rename(partial, path).map_err(failed)
        }
        Err(error) => Err(failed(error.into())),
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(taken(path)),
        Err(_) => Ok(()),
    }
}

fn taken(path: &Path) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("{} exists already", path.display()),
    )
    .hint("move it away, or name another folder with --output")
}

/// A name is durable only with its folder; a file system that cannot do this does it by itself.
fn sync_parent(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}
