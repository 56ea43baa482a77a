//! Objects as files of a folder, laid out as restic's local backend has them.

use std::fs::{self, File};
use std::io::{ErrorKind as Io, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::destination::{Body, Destination, ObjectMetadata, PutOptions};
use crate::{Error, ErrorKind, Result};

/// A folder. Atomic by renaming; nothing is synced unless it is made [`durable`](Self::durable), as no test pulls the plug.
pub struct DirectoryDestination {
    name: String,
    root: PathBuf,
    is_durable: bool,
}

impl DirectoryDestination {
    /// Over `root`, which is made with its first object.
    pub fn new(name: &str, root: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            root: root.into(),
            is_durable: false,
        }
    }

    /// Syncs what it stores and takes as many calls at once as the plugin `filesystem`, for measuring beside that one.
    pub fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    fn collect(&self, folder: &Path, prefix: &str, found: &mut Vec<ObjectMetadata>) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == Io::NotFound => return Ok(()),
            entries => entries.map_err(|error| failed(folder, error))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            if path.is_dir() {
                self.collect(&path, prefix, found)?;
                continue;
            }
            let key = path
                .strip_prefix(&self.root)
                .unwrap_or(&path)
                .to_string_lossy();
            if key.starts_with(prefix)
                && let Some(metadata) = self.stat(&key)?
            {
                found.push(metadata);
            }
        }
        Ok(())
    }
}

impl Destination for DirectoryDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn parallelism(&self) -> usize {
        if self.is_durable { 8 } else { 4 }
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        let path = self.root.join(key);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let mut random = [0; 8];
        crate::crypto::random(&mut random);
        let temporary = folder.join(format!(".{}.tmp", crate::id::hex(&random)));
        let written = File::create(&temporary)
            .and_then(|mut file| {
                file.write_all(body.bytes())?;
                if self.is_durable {
                    file.sync_data()
                } else {
                    Ok(())
                }
            })
            .and_then(|()| match options.create_only {
                true => fs::hard_link(&temporary, &path).and_then(|()| fs::remove_file(&temporary)),
                false => fs::rename(&temporary, &path),
            })
            .and_then(|()| {
                if self.is_durable {
                    File::open(folder)?.sync_all()
                } else {
                    Ok(())
                }
            });
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed(&path, error)
        })
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        let path = self.root.join(key);
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(offset))?;
                file.take(length.unwrap_or(u64::MAX))
                    .read_to_end(&mut content)
            })
            .map_err(|error| failed(&path, error))?;
        match length {
            Some(length) if (content.len() as u64) < length => {
                Err(Error::corrupted(format!("{key} is shorter than expected")))
            }
            _ => Ok(content.into()),
        }
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        let path = self.root.join(key);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(ObjectMetadata {
                key: key.to_owned(),
                size: metadata.len(),
                modified: modified(&metadata),
            })),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        let folder = match prefix.rsplit_once('/') {
            Some((folder, _)) => self.root.join(folder),
            None => self.root.clone(),
        };
        let mut found = Vec::new();
        self.collect(&folder, prefix, &mut found)?;
        Ok(found)
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        match fs::remove_file(&path).map_err(|error| failed(&path, error)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Nanoseconds since the Unix epoch.
fn modified(metadata: &fs::Metadata) -> Option<i64> {
    let modified = metadata.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io(path.display(), error)
}
