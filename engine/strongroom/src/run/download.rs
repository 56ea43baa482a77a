//! Downloading: a backup in, ordinary files out. Dumps are the files that they are, anything else is one archive for each source.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use strongroom_repository::backup::manifest::Manifest;
use strongroom_repository::contents::Contents;
use strongroom_repository::restore::Selection;
use strongroom_repository::source::Summary;
use strongroom_repository::tar::write_tar;
use strongroom_repository::tree::NodeType;
use strongroom_repository::{Error, Progress, Result};

use super::backups::{Backup, BackupSource};
use super::survey::Survey;
use crate::render::time::compact;

mod dumps;
mod partial;

use dumps::write_dump;
use partial::{PartialFile, PartialFolder};

/// What to download, and where to.
pub struct Request {
    /// The folder that gets the files, made where it is missing.
    pub output: PathBuf,
    /// Only these paths, relative to the source; empty for all.
    pub paths: Vec<String>,
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
    File(String),
    /// A folder with these files.
    Folder(Vec<String>),
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
    let (_, files) = survey.read(source, progress, |reading| {
        let contents = &reading.contents;
        match shape(contents, &request.paths)? {
            Shape::Archive(selection) => archive(contents, &selection, &base, progress),
            Shape::File(path) => file(contents, &path, &base, progress),
            Shape::Folder(paths) => folder_of(contents, &paths, &base, progress),
        }
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
fn shape(contents: &Contents, paths: &[String]) -> Result<Shape> {
    let mut found = Vec::new();
    for path in paths {
        found.push(contents.find(path)?.node_type);
    }
    if let ([path], [NodeType::File]) = (paths, found.as_slice()) {
        return Ok(Shape::File(path.trim_matches('/').to_owned()));
    }
    let selection = Selection::new(paths);
    if !contents.manifest().is_some_and(Manifest::holds_dumps) {
        return Ok(Shape::Archive(selection));
    }
    let mut files = Vec::new();
    for found in contents.walk_selected(contents.root().clone(), &selection) {
        let found = found?;
        if found.node.node_type == NodeType::File {
            // A plugin names its files in UTF-8.
            files.push(String::from_utf8_lossy(&found.path).into_owned());
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
    name: &str,
    base: &Path,
    progress: &Arc<Progress>,
) -> Result<Vec<Written>> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let path = with_end(base, &format!("-{last}"));
    let partial = PartialFile::create(&path)?;
    write_dump(contents, name, partial.file(), progress)?;
    Ok(vec![(path.clone(), partial.finish(&path)?, None)])
}

fn folder_of(
    contents: &Arc<Contents>,
    names: &[String],
    base: &Path,
    progress: &Arc<Progress>,
) -> Result<Vec<Written>> {
    let partial = PartialFolder::create(base)?;
    let mut written = Vec::new();
    for name in names {
        let path = partial.path().join(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let file = PartialFile::create(&path)?;
        write_dump(contents, name, file.file(), progress)?;
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
        .take(100)
        .collect();
    let name = if name.is_empty() { "backup" } else { &name };
    let time = compact(backup.created.point(), &TimeZone::system());
    format!("{name}-{time}-{}", backup.short_id())
}

fn with_end(base: &Path, end: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
