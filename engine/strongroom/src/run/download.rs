//! Downloading: a backup in, ordinary files out. Dumps are the files that they are, anything else is one archive for each source.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use strongroom_repository::backup::manifest::Manifest;
use strongroom_repository::contents::Contents;
use strongroom_repository::restore::Selection;
use strongroom_repository::source::Summary;
use strongroom_repository::tar::write_tar;
use strongroom_repository::tree::NodeType;
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use super::backups::{Backup, BackupSource};
use super::path::all_meant;
use super::survey::Survey;
use crate::render::time::compact;

mod dumps;
mod partial;

use dumps::write_dump;
use partial::{PartialFile, PartialFolder};

/// Bytes of a file's name that file systems take, less what is added to it while it is written.
const LONGEST_NAME: usize = 255 - 20;

/// What to download, and where to.
pub struct Request {
    /// The folder that gets the files, made where it is missing.
    pub output: PathBuf,
    /// Only these paths, relative to the source; empty for all.
    pub paths: Vec<OsString>,
}

/// A file that was written.
pub struct Downloaded {
    /// The source.
    pub source: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// What an archive holds; nothing where the file is what was backed up.
    pub archived: Option<Summary>,
}

/// What a source becomes.
enum Shape {
    /// A tar of all that is selected.
    Archive(Selection),
    /// This file itself.
    File(Vec<u8>),
    /// A folder with these files.
    Folder(Vec<Vec<u8>>),
}

/// Writes one source of `backup` below the output folder. Refuses to write over anything; what is there has its name only when it is whole.
pub fn download(
    survey: &Survey,
    backup: &Backup,
    source: &BackupSource,
    request: &Request,
    progress: &Arc<Progress>,
) -> Result<Vec<Downloaded>> {
    let folder = &request.output;
    make_folder(folder)?;
    let base = folder.join(base_name(backup, source));
    let written = survey.read(source, progress, |reading| {
        let contents = &reading.contents;
        match shape(contents, &all_meant(contents, &request.paths))? {
            Shape::Archive(selection) => archive(contents, &selection, &base, progress),
            Shape::File(path) => file(contents, &path, &base, progress),
            Shape::Folder(paths) => folder_of(contents, &paths, &base, progress),
        }
    });
    let (_, files) = written.map_err(|error| match error.kind() {
        ErrorKind::OutOfSpace => error.hint("make room, or name another folder with --output"),
        _ => error,
    })?;
    let files = files.into_iter().map(|(path, size, archived)| Downloaded {
        source: source.source.clone(),
        path,
        size,
        archived,
    });
    Ok(files.collect())
}

/// A path of one file means that file, of whatever source. Dumps are of use one by one; of a volume or a cluster, all files belong together.
fn shape(contents: &Contents, paths: &[Vec<u8>]) -> Result<Shape> {
    let mut found = Vec::new();
    for path in paths {
        found.push(contents.find(path)?.node_type);
    }
    if let ([path], [NodeType::File]) = (paths, found.as_slice()) {
        return Ok(Shape::File(path.clone()));
    }
    let selection = Selection::new(paths);
    if !contents.manifest().is_some_and(Manifest::holds_dumps) {
        return Ok(Shape::Archive(selection));
    }
    let mut files = Vec::new();
    for found in contents.walk_selected(contents.root().clone(), &selection) {
        let found = found?;
        if found.node.node_type == NodeType::File {
            files.push(found.path);
        }
    }
    Ok(match files.as_mut_slice() {
        [only] => Shape::File(std::mem::take(only)),
        _ => Shape::Folder(files),
    })
}

/// A file's path, its size, and what it holds if it is an archive.
type Written = (PathBuf, u64, Option<Summary>);

fn archive(
    contents: &Contents,
    selection: &Selection,
    base: &Path,
    progress: &Progress,
) -> Result<Vec<Written>> {
    let path = with_end(base, ".tar");
    let partial = PartialFile::create(&path)?;
    let summary = write_tar(contents, selection, partial.file(), progress)?;
    Ok(vec![(path.clone(), partial.finish(&path)?, Some(summary))])
}

fn file(
    contents: &Arc<Contents>,
    name: &[u8],
    base: &Path,
    progress: &Arc<Progress>,
) -> Result<Vec<Written>> {
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
    let path = with_end(base, last_of(last, base).as_slice());
    let partial = PartialFile::create(&path)?;
    write_dump(contents, name, partial.file(), progress)?;
    Ok(vec![(path.clone(), partial.finish(&path)?, None)])
}

fn folder_of(
    contents: &Arc<Contents>,
    names: &[Vec<u8>],
    base: &Path,
    progress: &Arc<Progress>,
) -> Result<Vec<Written>> {
    let partial = PartialFolder::create(base)?;
    let mut written = Vec::new();
    for name in names {
        let name = OsStr::from_bytes(name);
        let path = partial.path().join(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let file = PartialFile::create(&path)?;
        write_dump(contents, name.as_bytes(), file.file(), progress)?;
        written.push((base.join(name), file.finish(&path)?, None));
    }
    partial.finish(base)?;
    Ok(written)
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::io(
            format!("cannot make the folder {}", folder.display()),
            error,
        )
        .hint("name another folder with --output")
    })
}

/// `media-20260301-140509-k3x9q2m7ab`, in the machine's own time. What stock restic backed up has paths for a name, which are no file's.
fn base_name(backup: &Backup, source: &BackupSource) -> String {
    let name: String = source
        .source
        .trim_matches('/')
        .chars()
        .map(|letter| match letter {
            letter if letter.is_alphanumeric() => letter,
            letter @ ('.' | '_' | '-') => letter,
            _ => '_',
        })
        .collect();
    let end = name.floor_char_boundary(100);
    let name = match name.get(..end) {
        None | Some("") => "backup",
        Some(name) => name,
    };
    let time = compact(backup.created.point(), &TimeZone::system());
    format!("{name}-{time}-{}", backup.short_id())
}

/// `-photo.jpg`; of a name that would be too long beside the base, its end.
fn last_of(name: &[u8], base: &Path) -> Vec<u8> {
    let base = base.file_name().map_or(0, OsStr::len);
    let start = name
        .len()
        .saturating_sub(LONGEST_NAME.saturating_sub(base + 1));
    [b"-", name.get(start..).unwrap_or_default()].concat()
}

fn with_end(base: &Path, end: impl AsRef<[u8]>) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(OsStr::from_bytes(end.as_ref()));
    PathBuf::from(name)
}
