//! The directory that a backup comes to life in. In goes the folder for such directories, out comes one of its own with a free port, which is removed
//! when it is let go of. A lock beside it tells those that are in use from what a killed engine left behind, which the next one removes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind as IoErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::geteuid;
use strongroom_host::make_folder;
use strongroom_repository::verification::Scratch;
use strongroom_repository::{Error, ErrorKind, Result};

use super::workers::end_workers;
use crate::run::id;

/// What the names of directories and locks begin with: the folder may hold other things, such as `/var/tmp`.
const PREFIX: &str = "strongroom-verify-";
const LOCK: &str = "lock";

/// How long what still writes there has to come to its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory in use.
pub(super) struct ScratchDirectory {
    directory: PathBuf,
    lock: PathBuf,
    port: u16,
    /// Held as long as the directory is in use.
    _held: File,
    is_removed: bool,
}

impl ScratchDirectory {
    /// Removes what was left behind in `folder`, and makes a directory there.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| Error::io(format!("cannot create {path}"), error)
        };
        // Another user's programs have to get through, and have no business in looking around.
        make_folder(folder, 0o711).map_err(failed(folder))?;
        let folder = folder.canonicalize().map_err(failed(folder))?;
        check_owners(&folder)?;
        tidy(&folder)?;
        loop {
            let name = format!("{PREFIX}{}", id::generate()?);
            let lock = folder.join(format!("{name}.{LOCK}"));
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let held = options.open(&lock).map_err(failed(&lock))?;
            // Between the two, another engine may have taken it for something left behind.
            if held.try_lock().is_err() || !lock.exists() {
                continue;
            }
            let directory = folder.join(name);
            let made = DirBuilder::new().mode(0o700).create(&directory);
            made.map_err(failed(&directory))?;
            return Ok(Self {
                directory,
                lock,
                port: free_port()?,
                _held: held,
                is_removed: false,
            });
        }
    }

    /// For the plugin.
    pub(super) fn place(&self) -> Scratch {
        Scratch {
            directory: self.directory.clone(),
            port: self.port,
        }
    }

    /// Ends what still works there, and removes it.
    pub(super) fn remove(mut self) -> Result<()> {
        self.is_removed = true;
        remove(&self.directory, &self.lock)
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        if !self.is_removed {
            // The next one tries again.
            let _ = remove(&self.directory, &self.lock);
        }
    }
}

/// Nobody else may be able to put another directory in the place of ours.
fn check_owners(folder: &Path) -> Result<()> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    for above in folder.ancestors() {
        let found = above
            .metadata()
            .map_err(|error| Error::io(above.display(), error))?;
        let is_ours = found.uid() == 0 || found.uid() == geteuid().as_raw();
        let is_open = found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0;
        if !is_ours || is_open {
            let problem = format!(
                "{} belongs to or can be written by another user, who could put another directory in the place of the scratch directory",
                above.display()
            );
            return Err(Error::new(ErrorKind::Denied, problem).hint(
                "name another folder by --scratch or `scratch`, such as one below /var/lib",
            ));
        }
    }
    Ok(())
}

/// Removes what is left of engines that are gone.
fn tidy(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder.display(), error))?;
    for entry in entries.flatten() {
        let (name, lock) = (entry.file_name(), entry.path());
        let is_named_so = name.to_str().is_some_and(|it| it.starts_with(PREFIX));
        if !is_named_so || lock.extension().is_none_or(|it| it != LOCK) {
            continue;
        }
        let Ok(file) = open_own(&lock) else {
            continue;
        };
        if file.try_lock().is_ok() {
            remove(&lock.with_extension(""), &lock)?;
        }
    }
    Ok(())
}

/// A file of our own: another user's could name what is not ours to remove.
fn open_own(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    match file.metadata()?.uid() == geteuid().as_raw() {
        true => Ok(file),
        false => Err(IoErrorKind::PermissionDenied.into()),
    }
}

/// The lock goes last: what is left without one would stay for ever.
fn remove(directory: &Path, lock: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        end_workers(directory);
        match fs::remove_dir_all(directory) {
            Ok(()) => break,
            Err(error) if error.kind() == IoErrorKind::NotFound => break,
            Err(error) if begun.elapsed() > PATIENCE => {
                let what = format!("cannot remove {}", directory.display());
                return Err(Error::io(what, error));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    match fs::remove_file(lock) {
        Err(error) if error.kind() != IoErrorKind::NotFound => Err(Error::io(
            format!("cannot remove {}", lock.display()),
            error,
        )),
        _ => Ok(()),
    }
}

/// Free now: whoever takes it meanwhile makes the scratch server fail to start, which is an error and no finding.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    listener
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::io("cannot find a free port", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn what_is_in_use_stays_and_what_was_left_behind_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("scratch");
        let first = ScratchDirectory::create(&folder).expect("made");
        let left = folder.join(format!("{PREFIX}left"));
        fs::create_dir_all(left.join("data")).expect("a folder");
        fs::write(folder.join(format!("{PREFIX}left.lock")), "").expect("written");
        let others = ["other", "other.lock", &format!("{PREFIX}other")];
        for name in others {
            fs::write(folder.join(name), "").expect("written");
        }
        let link = folder.join(format!("{PREFIX}other.lock"));
        std::os::unix::fs::symlink("other.lock", link).expect("a link");

        let second = ScratchDirectory::create(&folder).expect("made");
        assert!(!left.exists());
        assert!(first.directory.exists() && second.directory.exists());
        assert_ne!(first.directory, second.directory);
        first.remove().expect("removed");
        drop(second);
        assert_eq!(names(&folder), others.len() + 1);
    }

    #[test]
    fn whoever_works_in_a_directory_that_goes_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = ScratchDirectory::create(folder.path()).expect("made");
        let mut sleeper = std::process::Command::new("sleep")
            .arg("1000")
            .current_dir(&scratch.directory)
            .spawn()
            .expect("sleep starts");
        scratch.remove().expect("removed");
        let ended = sleeper.wait().expect("it ends");
        assert!(!ended.success());
        assert_eq!(names(folder.path()), 0);
    }
}
