//! Listing objects, page by page, in the order of their keys' parts.

use strongroom_plugin::{Metadata, Page, Result};
use wasip2::filesystem::types::{DescriptorType, ErrorCode};

use crate::error::failure;
use crate::folder::{Folder, metadata};
use crate::key::Key;

/// The most objects on a page.
const PAGE_OBJECTS: usize = 1024;

/// A page of the objects whose key starts with `prefix`. The token is the last key of the page before, so that any instance can go on.
pub(crate) fn page(folder: &Folder, prefix: &str, token: Option<&str>) -> Result<Page> {
    // "data/ab" wants what is in "data" and starts with "ab": no other directory is looked into.
    let (directory, name_prefix) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    if !directory.is_empty() {
        Key::parse(directory)?;
    }
    let after: Vec<&str> = match token {
        Some(token) => {
            let below = token.strip_prefix(directory).unwrap_or(token);
            below.trim_start_matches('/').split('/').collect()
        }
        None => Vec::new(),
    };
    let mut walk = Walk {
        folder,
        objects: Vec::new(),
    };
    walk.directory(directory, name_prefix, &after)?;
    let is_full = walk.objects.len() >= PAGE_OBJECTS;
    let last = walk.objects.last().filter(|_| is_full);
    Ok(Page {
        next: last.map(|object| object.key.clone()),
        objects: walk.objects,
    })
}

struct Walk<'a> {
    folder: &'a Folder,
    objects: Vec<Metadata>,
}

impl Walk<'_> {
    /// Adds what lies in `directory` and below, whose name starts with `name_prefix` and comes after `after` (a path's parts).
    fn directory(&mut self, directory: &str, name_prefix: &str, after: &[&str]) -> Result<()> {
        let mut names = self.names(directory)?;
        names.retain(|name| name.starts_with(name_prefix));
        names.sort_unstable();
        let (place, below) = match after.split_first() {
            Some((place, below)) => (*place, below),
            None => ("", after),
        };
        for name in names {
            if self.objects.len() >= PAGE_OBJECTS {
                break;
            }
            if name.as_str() < place {
                continue;
            }
            let path = match directory {
                "" => name.clone(),
                directory => format!("{directory}/{name}"),
            };
            let after_here = if name == place { below } else { &[] };
            match self.folder.stat_path(&path) {
                Ok(stat) if stat.type_ == DescriptorType::Directory => {
                    self.directory(&path, "", after_here)?;
                }
                // The token itself was on the page before.
                Ok(stat) if stat.type_ == DescriptorType::RegularFile && name != place => {
                    self.objects.push(metadata(path, &stat));
                }
                // Deleted in the meantime, or no object.
                Ok(_) | Err(ErrorCode::NoEntry) => {}
                Err(code) => return Err(failure(&path, code)),
            }
        }
        Ok(())
    }

    /// The names in a directory, without those that cannot be a key's part. A directory that is not there has none.
    fn names(&self, directory: &str) -> Result<Vec<String>> {
        let fail = |code| failure(if directory.is_empty() { "." } else { directory }, code);
        let opened = match directory {
            "" => self.folder.root().read_directory(),
            path => self
                .folder
                .open_directory(path)
                .and_then(|directory| directory.read_directory()),
        };
        let entries = match opened {
            Err(ErrorCode::NoEntry | ErrorCode::NotDirectory) => return Ok(Vec::new()),
            other => other.map_err(fail)?,
        };
        let mut names = Vec::new();
        loop {
            match entries.read_directory_entry() {
                Ok(Some(entry)) if entry.name.starts_with('.') => {}
                Ok(Some(entry)) => names.push(entry.name),
                Ok(None) => return Ok(names),
                // A file that vanished while the directory was read, or a name that is not UTF-8: neither is an object.
                Err(ErrorCode::NoEntry | ErrorCode::IllegalByteSequence) => {}
                Err(code) => return Err(fail(code)),
            }
        }
    }
}
