//! An archive of a base backup: tar in, each file in a file of its own out, with its checksum for the manifest.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use strongroom_plugin::{Context, Entry, Error, ErrorKind, Result, Sink, progress};
use tar::{Archive, EntryType};

use super::DATA;
use super::base::Tablespace;
use super::manifest::Received;

const BUFFER_BYTES: usize = 256 * 1024;

/// Where the bytes of a base backup go, and what is remembered of them.
pub(super) struct Unpacker<'a> {
    sink: &'a Sink<'a>,
    received: Received,
    directories: BTreeSet<String>,
    buffer: Vec<u8>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(sink: &'a Sink<'a>) -> Self {
        Self {
            sink,
            received: Received::default(),
            directories: BTreeSet::new(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Unpacks one archive to its end. A tablespace goes where the cluster looks for it: below `pg_tblspc`.
    pub(super) fn unpack(
        &mut self,
        archive: impl Read,
        tablespace: Option<&Tablespace>,
    ) -> Result<()> {
        let root = tablespace.map(|it| format!("pg_tblspc/{}/", it.oid));
        let root = root.unwrap_or_default();
        for entry in Archive::new(archive).entries()? {
            let mut entry = entry?;
            let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| {
                Error::new(
                    ErrorKind::Unsupported,
                    "the cluster has a file whose name is no UTF-8",
                )
                .hint("look for what does not belong into the data directory")
            })?;
            let name = name.trim_start_matches("./").trim_end_matches('/');
            if name.is_empty() || name == "." {
                continue;
            }
            let path = format!("{root}{name}");
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => self.file(&path, &mut entry)?,
                // A link below pg_tblspc: the files come by an archive of their own.
                EntryType::Directory | EntryType::Symlink => {
                    self.directories.insert(path);
                }
                _ => {
                    let problem = format!("{path} is neither a file nor a directory");
                    return Err(Error::new(ErrorKind::Unsupported, problem));
                }
            }
        }
        Ok(())
    }

    /// What was received, and all directories.
    pub(super) fn finish(self) -> (Received, BTreeSet<String>) {
        (self.received, self.directories)
    }

    fn file<R: Read>(&mut self, path: &str, entry: &mut tar::Entry<'_, R>) -> Result<()> {
        progress::check_cancelled()?;
        let header = entry.header();
        let modified = header
            .mtime()
            .ok()
            .and_then(|seconds| i64::try_from(seconds).ok());
        let expected = entry.size();
        let mut writer = self.sink.write(&Entry {
            path: format!("{DATA}/{path}"),
            size: Some(expected),
            modified: modified.and_then(|seconds| seconds.checked_mul(1_000_000_000)),
            mode: header.mode().ok(),
            fingerprint: None,
        })?;
        let mut size = 0;
        loop {
            let count = entry.read(&mut self.buffer).on(path)?;
            let bytes = self.buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            size += bytes.len() as u64;
            writer.write_all(bytes)?;
        }
        if size != expected {
            let problem = format!("{path} ended after {size} of {expected} bytes");
            return Err(Error::new(ErrorKind::Failed, problem));
        }
        let crc32c = writer.crc32c()?;
        writer.finish()?;
        self.received.add(path, size, crc32c);
        Ok(())
    }
}
