//! Granted directories, opened for a guest under the paths that they have on the host, and for what the engine writes for it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use strongroom_repository::target_path::TargetPath;

use strongroom_repository::{Error, ErrorKind, Result};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::capability::{Capability, normalise};
use crate::grant::Grants;

/// A directory that may be written. It stays the one that it was when the instance began: programs of another user may give its name away.
pub(crate) struct Writable {
    real: PathBuf,
    directory: Arc<OwnedFd>,
}

impl Writable {
    fn open(real: PathBuf) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = Arc::new(rustix::fs::open(&real, flags, Mode::empty())?);
        Ok(Self { real, directory })
    }

    /// What `real`, a path without symbolic links, names in it.
    pub(crate) fn target(&self, real: &Path) -> Option<TargetPath> {
        let way = real.strip_prefix(&self.real).ok()?;
        let directory = Arc::clone(&self.directory);
        Some(TargetPath::beneath(directory, &self.real, way))
    }
}

/// Opens every directory that may be read or written. A guest path is spelled as the plugin asked for it, because it will open it so.
///
/// A directory that is to be written and does not exist is made (mode 0700) when its parent exists: a destination's first use makes its
/// folder, and a mount point that is missing altogether is not made up. Where the instance only reads, none is made, and one that is missing is not
/// opened. Returns those that may be written.
pub(crate) fn open_granted(builder: &mut WasiCtxBuilder, grants: &Grants) -> Result<Vec<Writable>> {
    let mut writable = Vec::new();
    let capabilities = grants.capabilities();
    for capability in capabilities {
        let (path, permissions) = match capability {
            // A second, weaker handle on the same directory could be the one that the guest's libc picks.
            Capability::Read(path) if !is_written_too(path, capabilities) => {
                (path, FsPerms::ReadOnly)
            }
            Capability::Write(path) => (path, FsPerms::ReadWrite),
            _ => continue,
        };
        if permissions == FsPerms::ReadWrite {
            if !grants.makes_folders && is_missing(path)? {
                continue;
            }
            create_last_component(path)?;
        }
        let real = open_directory(path)?;
        let spelled = match path.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        builder
            .preopened_dir(&real, spelled, permissions)
            .map_err(|error| match error.downcast::<std::io::Error>() {
                Ok(error) => Error::io(format!("cannot open {path}"), error),
                Err(error) => Error::new(
                    ErrorKind::Failed,
                    format!("cannot open {path}: {}", error.root_cause()),
                ),
            })?;
        if permissions == FsPerms::ReadWrite {
            let cannot = |error| Error::io(format!("cannot open {path}"), error);
            writable.push(Writable::open(real).map_err(cannot)?);
        }
    }
    Ok(writable)
}

fn is_written_too(path: &str, capabilities: &[Capability]) -> bool {
    capabilities.iter().any(|other| match other {
        Capability::Write(written) => normalise(written).ok() == normalise(path).ok(),
        _ => false,
    })
}

/// Symbolic links are resolved here, once: the grant means the directory that the path names now.
fn open_directory(path: &str) -> Result<PathBuf> {
    let cannot = |error: std::io::Error| {
        let kind = error.kind();
        let error = Error::io(format!("cannot open {path}"), error);
        match kind {
            std::io::ErrorKind::NotFound => {
                error.hint("correct the path, or mount what belongs there")
            }
            std::io::ErrorKind::PermissionDenied => {
                error.hint("run as a user who may read it, or change its mode")
            }
            _ => error,
        }
    };
    let real = normalise(path)?.canonicalize().map_err(cannot)?;
    if !real.metadata().map_err(cannot)?.is_dir() {
        return Err(
            Error::new(ErrorKind::InvalidConfig, format!("{path} is no directory"))
                .hint("name the directory that holds it"),
        );
    }
    // A handle on a directory can be had without the right to read it; say so now rather than in the middle of a run.
    real.read_dir().map_err(cannot)?;
    Ok(real)
}

fn is_missing(path: &str) -> Result<bool> {
    let found = normalise(path)?.symlink_metadata();
    Ok(found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound))
}

fn create_last_component(path: &str) -> Result<()> {
    let directory = normalise(path)?;
    if directory.symlink_metadata().is_ok() {
        return Ok(());
    }
    match make_private(&directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = directory.parent().unwrap_or(Path::new("/")).display();
            Err(Error::new(
                ErrorKind::NotFound,
                format!("cannot create {path}: {parent} does not exist"),
            )
            .hint(format!("create {parent}, or mount what belongs there")))
        }
        Err(error) => Err(Error::io(format!("cannot create {path}"), error)),
    }
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(directory)
}
