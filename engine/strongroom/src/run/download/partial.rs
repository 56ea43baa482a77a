//! A file or folder under a temporary name: it gets its own name when it is whole, and is gone if that never happens.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
}

impl PartialFile {
    /// Refuses where `path` is taken.
    pub(super) fn create(path: &Path) -> Result<Self> {
        refuse_existing(path)?;
        let path = partial_name(path)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            // What a backup holds is nobody else's business.
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
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
        // A link fails where the name was taken meanwhile. Not every file system has links.
        match fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => return Err(taken(path)),
            Err(_) => {
                refuse_existing(path)?;
                fs::rename(&self.path, path).map_err(failed)?;
                self.is_finished = true;
            }
        }
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
        let path = partial_name(path)?;
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| {
                Error::io(format!("cannot make the folder {}", path.display()), error)
            })?;
        Ok(Self {
            path,
            is_finished: false,
        })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name. Its files are durable already.
    pub(super) fn finish(mut self, path: &Path) -> Result<()> {
        refuse_existing(path)?;
        // A folder that has come meanwhile is replaced only if it is empty.
        fs::rename(&self.path, path)
            .map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
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
