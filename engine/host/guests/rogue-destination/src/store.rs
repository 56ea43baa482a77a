//! The directory behind the store: one file for each object, its name the key with `/` spelled `+`.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::io::streams::StreamError;

use crate::exports::strongroom::plugin::destination::Metadata;
use crate::failed;
use crate::strongroom::plugin::object::{Answer, Body};
use crate::strongroom::plugin::types::Error;

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn at(path: String) -> Self {
        Self(path.into())
    }

    /// Leaves a file `instance-…` for each instance that was started.
    pub(crate) fn count_instance(&self) -> Result<(), Error> {
        let number = wasip2::random::random::get_random_u64();
        std::fs::write(self.file(&format!("instance-{number:x}")), "").map_err(failed)
    }

    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.0.join(key.replace('/', "+"))
    }

    /// `meet/3/a` returns when three of `meet/3/…` are in hand at once.
    pub(crate) fn meet(&self, key: &str) -> Result<(), Error> {
        let (meeting, _) = key.rsplit_once('/').ok_or_else(|| failed("no meeting"))?;
        let number = meeting.rsplit('/').next().and_then(|n| n.parse().ok());
        std::fs::write(self.file(&format!("at-{key}")), "").map_err(failed)?;
        while Some(self.objects(&format!("at-{meeting}"))?.len()) < number {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Sees the body in every way that there is.
    pub(crate) fn check(&self, body: &Body) {
        assert_eq!(body.size(), 10);
        assert_eq!(body.sha256().len(), 32);
        assert_eq!(body.read(0, 4), b"0123");
        assert_eq!(body.read(8, 100), b"89");
        assert_eq!(body.read(100, 1), b"");
        assert_eq!(body.open(7).blocking_read(100).ok(), Some(b"789".to_vec()));
        assert!(matches!(body.open(10).read(1), Err(StreamError::Closed)));
    }

    /// The body flows from the engine into the file and never through this memory.
    pub(crate) fn splice(&self, key: &str, body: &Body) -> Result<(), Error> {
        let (directory, _) = get_directories()
            .pop()
            .ok_or_else(|| failed("no directory was granted"))?;
        let file = directory
            .open_at(
                PathFlags::empty(),
                &key.replace('/', "+"),
                OpenFlags::CREATE | OpenFlags::TRUNCATE,
                DescriptorFlags::WRITE,
            )
            .map_err(failed)?;
        let output = file.write_via_stream(0).map_err(failed)?;
        let input = body.open(0);
        loop {
            match output.blocking_splice(&input, 1 << 20) {
                Ok(_) => {}
                Err(StreamError::Closed) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// The bytes flow from the file into the engine and never through this memory.
    pub(crate) fn copy(
        &self,
        key: &str,
        offset: u64,
        length: Option<u64>,
        into: &Answer,
    ) -> Result<(), Error> {
        let (directory, _) = get_directories()
            .pop()
            .ok_or_else(|| failed("no directory was granted"))?;
        let file = directory
            .open_at(
                PathFlags::empty(),
                &key.replace('/', "+"),
                OpenFlags::empty(),
                DescriptorFlags::READ,
            )
            .map_err(failed)?;
        // Of a directory there is nothing to copy.
        assert!(into.copy(&directory, 0, 1).is_err());
        into.copy(&file, offset, length.unwrap_or(u64::MAX))?;
        Ok(())
    }

    pub(crate) fn read(
        &self,
        key: &str,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Vec<u8>, Error> {
        let mut file = std::fs::File::open(self.file(key)).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        match length {
            Some(length) => {
                let mut bytes = vec![0; usize::try_from(length).map_err(failed)?];
                file.read_exact(&mut bytes).map_err(failed)?;
                Ok(bytes)
            }
            None => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(failed)?;
                Ok(bytes)
            }
        }
    }

    /// Sorted by key.
    pub(crate) fn objects(&self, prefix: &str) -> Result<Vec<Metadata>, Error> {
        let mut objects = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)?.flatten() {
            let key = entry.file_name().to_string_lossy().replace('+', "/");
            if key.starts_with(prefix) {
                objects.push(Metadata {
                    key,
                    size: entry.metadata().map_err(failed)?.len(),
                    modified: None,
                });
            }
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }
}
