//! Downloading: a backup in, one archive for each source out. An archive has its final name only when it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use strongroom_repository::source::Summary;
use strongroom_repository::tar::write_tar;
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use super::backups::{Backup, BackupSource};
use super::survey::Survey;
use crate::render::time::compact;

/// An archive that was written.
pub struct Downloaded {
    /// The source.
    pub source: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// What it holds.
    pub summary: Summary,
}

/// Writes one source of `backup` as an archive into `folder`, which is made where it is missing. Refuses to write over a file.
pub fn download(
    survey: &Survey,
    backup: &Backup,
    source: &BackupSource,
    folder: &Path,
    progress: &Arc<Progress>,
) -> Result<Downloaded> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::io(
            format!("cannot make the folder {}", folder.display()),
            error,
        )
    })?;
    let path = folder.join(file_name(backup, source));
    refuse_existing(&path)?;
    let (_, (partial, summary)) = survey.read(source, progress, |reading| {
        let partial = Partial::create(&path)?;
        let summary = write_tar(&reading.contents, &partial.file, progress)?;
        Ok((partial, summary))
    })?;
    let size = partial.finish(&path)?;
    Ok(Downloaded {
        source: source.source.clone(),
        path,
        size,
        summary,
    })
}

/// `media-20260301-140509-k3x9q2m7ab.tar`, in the machine's own time. What stock restic backed up has paths for a name, which are no file's.
fn file_name(backup: &Backup, source: &BackupSource) -> String {
    let name: String = source
        .source
        .trim_matches('/')
        .chars()
        .map(|letter| match letter {
            letter if letter.is_alphanumeric() => letter,
            letter @ ('.' | '_' | '-') => letter,
            _ => '_',
        })
        .take(100)
        .collect();
    let name = if name.is_empty() { "backup" } else { &name };
    let time = compact(backup.created.point(), &TimeZone::system());
    format!("{name}-{time}-{}.tar", backup.short_id())
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{} exists already", path.display()),
        )
        .hint("move it away, or name another folder with --output"));
    }
    Ok(())
}

/// A file under a temporary name, removed unless it is finished.
struct Partial {
    path: PathBuf,
    file: File,
    is_finished: bool,
}

impl Partial {
    fn create(path: &Path) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = PathBuf::from(name);
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

    /// Makes it durable and gives it its name. Out comes its size in bytes.
    fn finish(mut self, path: &Path) -> Result<u64> {
        let failed = |error| Error::io(format!("cannot write {}", path.display()), error);
        self.file.sync_all().map_err(failed)?;
        let size = self.file.metadata().map_err(failed)?.len();
        // A link fails where the name was taken meanwhile. Not every file system has links.
        match fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => refuse_existing(path)?,
            Err(_) => {
                refuse_existing(path)?;
                fs::rename(&self.path, path).map_err(failed)?;
                self.is_finished = true;
            }
        }
        if let Some(folder) = path.parent() {
            // The name is durable only with its folder; a file system that cannot do this does it by itself.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(size)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_finished {
            // Left behind, it is only in the way: its name says what it is.
            let _ = fs::remove_file(&self.path);
        }
    }
}
