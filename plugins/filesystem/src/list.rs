//! Listing objects, page by page, in the order of their keys' parts.

use strongroom_plugin::{Metadata, Page, Result};
use wasip2::filesystem::types::{DescriptorType, ErrorCode};

use crate::error::failure;
use crate::folder::{Folder, metadata};
use crate::key::Key;

/// The most objects on a page.
const PAGE_OBJECTS: usize = 1024;

/// A directory is read again so often at most, while names vanish from it.
const MOST_PASSES: usize = 10;

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
    ///
    /// A name that is gone when it is looked at may have been replaced by another one, which was not there yet when the names were read: so they
    /// are read again. Nobody must miss a lock that its holder refreshes.
    fn directory(&mut self, directory: &str, name_prefix: &str, after: &[&str]) -> Result<()> {
        let mut names = self.names(directory)?;
        let begin = self.objects.len();
        for _ in 0..MOST_PASSES {
            let matching = names.iter().filter(|name| name.starts_with(name_prefix));
            if !self.pass(directory, matching, after)? {
                break;
            }
            let again = self.names(directory)?;
            // It is no name that leads anywhere, such as a link whose end is gone.
            if again == names {
                break;
            }
            names = again;
            self.objects.truncate(begin);
        }
        Ok(())
    }

    /// Adds what the `names` in a directory stand for, until the page is full. Whether one of them was gone.
    fn pass<'n>(
        &mut self,
        directory: &str,
        names: impl Iterator<Item = &'n String>,
        after: &[&str],
    ) -> Result<bool> {
        let mut has_vanished = false;
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
                "" => name.to_owned(),
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
                Ok(_) => {}
                Err(ErrorCode::NoEntry) => has_vanished = true,
                Err(code) => return Err(failure(&path, code)),
            }
        }
        Ok(has_vanished)
    }

    /// The sorted names in a directory, without those that cannot be a key's part. A directory that is not there has none.
    fn names(&self, directory: &str) -> Result<Vec<String>> {
        let (mut names, mut has_vanished) = self.read(directory)?;
        for _ in 1..MOST_PASSES {
            if !has_vanished {
                break;
            }
            (names, has_vanished) = self.read(directory)?;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The names, and whether one vanished while they were read.
    fn read(&self, directory: &str) -> Result<(Vec<String>, bool)> {
        let fail = |code| failure(if directory.is_empty() { "." } else { directory }, code);
        let opened = match directory {
            "" => self.folder.root().read_directory(),
            path => self
                .folder
                .open_directory(path)
                .and_then(|directory| directory.read_directory()),
        };
        let entries = match opened {
            Err(ErrorCode::NoEntry | ErrorCode::NotDirectory) => return Ok((Vec::new(), false)),
            other => other.map_err(fail)?,
        };
        let mut names = Vec::new();
        let mut has_vanished = false;
        loop {
            match entries.read_directory_entry() {
                Ok(Some(entry)) if entry.name.starts_with('.') => {}
                Ok(Some(entry)) => names.push(entry.name),
                Ok(None) => return Ok((names, has_vanished)),
                Err(ErrorCode::NoEntry) => has_vanished = true,
                // A name that is not UTF-8 is no object's.
                Err(ErrorCode::IllegalByteSequence) => {}
                Err(code) => return Err(fail(code)),
            }
        }
    }
}
