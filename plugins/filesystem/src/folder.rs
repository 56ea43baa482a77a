//! The destination's directory, open: reading, looking, deleting, and making durable.

use std::collections::BTreeSet;

use strongroom_plugin::{Answer, Error, ErrorKind, HostPath, Metadata, Result};
use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, OpenFlags, PathFlags,
};

use crate::error::failure;
use crate::key::Key;

/// The destination's directory.
pub(crate) struct Folder {
    root: Descriptor,
    /// Directories that are known to survive a power cut, by their path below the root.
    durable: BTreeSet<String>,
}

impl Folder {
    /// The directory at `path`, which must have been granted.
    pub(crate) fn open(path: &HostPath) -> Result<Self> {
        let not_granted = || Error::new(ErrorKind::Denied, "access was not granted").on(path);
        let (granted, rest) = get_directories()
            .into_iter()
            .filter_map(|(descriptor, granted)| {
                let rest = path.as_str().strip_prefix(granted.trim_end_matches('/'))?;
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| (descriptor, rest.trim_start_matches('/').to_owned()))
            })
            .min_by_key(|(_, rest)| rest.len())
            .ok_or_else(not_granted)?;
        let root = match rest.as_str() {
            "" => granted,
            rest => open_directory(&granted, rest).map_err(|code| failure(path.as_str(), code))?,
        };
        Ok(Self {
            root,
            durable: BTreeSet::new(),
        })
    }

    /// The handle that paths are relative to.
    pub(crate) fn root(&self) -> &Descriptor {
        &self.root
    }

    /// Has the engine read exactly `length` bytes from `offset`, or all that follows. A file that is too short is `corrupted`.
    pub(crate) fn read(
        &self,
        key: Key,
        offset: u64,
        length: Option<u64>,
        into: &Answer,
    ) -> Result<()> {
        let fail = |code| failure(key.as_str(), code);
        let file = match self.open_file(key) {
            Err(ErrorCode::NotDirectory) => Err(ErrorCode::NoEntry),
            other => other,
        }
        .map_err(fail)?;
        let stat = file.stat().map_err(fail)?;
        if stat.type_ != DescriptorType::RegularFile {
            return Err(fail(ErrorCode::NoEntry));
        }
        let available = stat.size.saturating_sub(offset);
        let wanted = length.unwrap_or(available);
        if offset > stat.size || wanted > available {
            return Err(too_short(key, offset, length, stat.size));
        }
        let done = into
            .copy(&file, offset, wanted)
            .map_err(|error| error.on(key.as_str()))?;
        if done < wanted {
            return Err(too_short(key, offset, length, offset + done));
        }
        Ok(())
    }

    /// `None` where there is no such file.
    pub(crate) fn stat(&self, key: Key) -> Result<Option<Metadata>> {
        match self.stat_path(key.as_str()) {
            Ok(stat) if stat.type_ == DescriptorType::RegularFile => {
                Ok(Some(metadata(key.as_str().to_owned(), &stat)))
            }
            Ok(_) | Err(ErrorCode::NoEntry | ErrorCode::NotDirectory) => Ok(None),
            Err(code) => Err(failure(key.as_str(), code)),
        }
    }

    /// What lies at `path`, symbolic links followed as far as they stay below the root.
    pub(crate) fn stat_path(&self, path: &str) -> Result<DescriptorStat, ErrorCode> {
        self.root.stat_at(PathFlags::SYMLINK_FOLLOW, path)
    }

    /// Removes a file, durably. Absent is success.
    ///
    /// Without the sync, a power cut could bring back a snapshot whose packs, removed after it, stay removed.
    pub(crate) fn delete(&self, key: Key) -> Result<()> {
        match self.root.unlink_file_at(key.as_str()) {
            Ok(()) => self.sync(key.parent()),
            Err(ErrorCode::NoEntry | ErrorCode::NotDirectory) => Ok(()),
            Err(code) => Err(failure(key.as_str(), code)),
        }
    }

    /// Makes the directory `path` and those above it, durably.
    ///
    /// One that exists already may have been made by another instance a moment ago, so what it lies in is synchronised once all the same.
    pub(crate) fn make(&mut self, path: &str) -> Result<()> {
        if path.is_empty() || self.durable.contains(path) {
            return Ok(());
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.make(parent)?;
        match self.root.create_directory_at(path) {
            Ok(()) | Err(ErrorCode::Exist) => {}
            Err(code) => return Err(failure(path, code)),
        }
        self.sync(parent)?;
        self.durable.insert(path.to_owned());
        Ok(())
    }

    /// Forgets that directories are there, after one turned out not to be.
    pub(crate) fn distrust(&mut self) {
        self.durable.clear();
    }

    /// Makes the entries of the directory `path` durable.
    pub(crate) fn sync(&self, path: &str) -> Result<()> {
        let synced = match path {
            "" => self.root.sync(),
            path => self
                .open_directory(path)
                .and_then(|directory| directory.sync()),
        };
        match synced {
            // Network file systems may not know how to; they keep what the server has confirmed.
            Ok(()) | Err(ErrorCode::Invalid | ErrorCode::Unsupported) => Ok(()),
            Err(code) => Err(failure(if path.is_empty() { "." } else { path }, code)),
        }
    }

    /// Opens a directory below the root.
    pub(crate) fn open_directory(&self, path: &str) -> Result<Descriptor, ErrorCode> {
        open_directory(&self.root, path)
    }

    fn open_file(&self, key: Key) -> Result<Descriptor, ErrorCode> {
        self.root.open_at(
            PathFlags::SYMLINK_FOLLOW,
            key.as_str(),
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
    }
}

/// What the engine wants to know of a file.
pub(crate) fn metadata(key: String, stat: &DescriptorStat) -> Metadata {
    Metadata {
        key,
        size: stat.size,
        modified: stat.data_modification_timestamp.and_then(nanoseconds),
    }
}

fn nanoseconds(time: Datetime) -> Option<i64> {
    i64::try_from(time.seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(i64::from(time.nanoseconds))
}

fn open_directory(below: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    below.open_at(
        PathFlags::SYMLINK_FOLLOW,
        path,
        OpenFlags::DIRECTORY,
        DescriptorFlags::READ,
    )
}

fn too_short(key: Key, offset: u64, length: Option<u64>, size: u64) -> Error {
    let wanted = match length {
        Some(length) => format!("{length} bytes from offset {offset} were wanted"),
        None => format!("all from offset {offset} was wanted"),
    };
    Error::new(
        ErrorKind::Corrupted,
        format!("{wanted}, but the file has {size} bytes"),
    )
    .on(key.as_str())
    .hint("it is damaged: get it back from a copy of the repository")
}
