//! Compiled code on disk: in goes a component, out comes machine code that was compiled for exactly these bytes by exactly this engine.
//!
//! A file is named after the hash of the component, the engine's version and the compiler's settings, so that a changed plugin or engine
//! never meets old code. Loading code means trusting it, so the folder and its files must belong to whoever runs the engine and be
//! writable by nobody else, and each file carries a hash of its content against damage.

use std::fs;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use strongroom_repository::{Error, ErrorKind, Id, Result};
use wasmtime::Engine;

use crate::folder::make_folder;

const MAGIC: &[u8; 16] = b"strongroom-code\n";

/// An entry that was not written for so long is removed when another one is stored. A plugin in use costs a compilation then.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// A folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Why there is no folder. Nothing is loaded or stored then.
    problem: Option<Error>,
}

/// Names compiled code.
pub(crate) struct Key(Id);

impl Key {
    /// For the component with the hash `component`, compiled by `engine`.
    pub(crate) fn new(component: &Id, engine: &Engine) -> Self {
        let mut hasher = KeyHasher(Sha256::new());
        component.as_bytes().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(Id::from_bytes(hasher.0.finalize().into()))
    }
}

impl Cache {
    /// Makes the folder where it is missing. One that others may write to is refused.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let cannot = |error| {
            Error::io(
                format!(
                    "cannot open the cache of compiled plugins {}",
                    folder.display()
                ),
                error,
            )
        };
        // Only the cache itself is private: the way to other folders of the state may be one for other users' programs.
        let above = folder
            .parent()
            .map_or(Ok(()), |above| make_folder(above, 0o711));
        if let Err(error) = above.and_then(|()| make_folder(folder, 0o700)) {
            let problem = cannot(error);
            return match problem.kind() {
                // A backup must not depend on what only saves time.
                ErrorKind::OutOfSpace => Ok(Self {
                    folder: folder.to_owned(),
                    problem: Some(problem),
                }),
                _ => Err(problem),
            };
        }
        if !is_private(&folder.metadata().map_err(cannot)?) {
            return Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "the cache of compiled plugins {} belongs to or can be written by another user",
                    folder.display()
                ),
            )
            .hint(format!(
                "chown it to the user that runs the engine, and chmod 700 {}",
                folder.display()
            )));
        }
        Ok(Self {
            folder: folder.to_owned(),
            problem: None,
        })
    }

    /// Why nothing is kept, where that is so.
    pub(crate) fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }

    /// The code, or `None` where there is none that can be trusted.
    pub(crate) fn load(&self, key: &Key) -> Option<Vec<u8>> {
        if self.problem.is_some() {
            return None;
        }
        let file = fs::OpenOptions::new()
            .read(true)
            .open(self.path(key))
            .ok()?;
        if !is_private(&file.metadata().ok()?) {
            return None;
        }
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut &file, &mut content).ok()?;
        let code = content.strip_prefix(MAGIC)?;
        let (hash, code) = code.split_at_checked(32)?;
        if Id::of(code).as_bytes() != hash {
            return None;
        }
        content.drain(..MAGIC.len() + 32);
        Some(content)
    }

    /// Keeps the code, or does not: a full disk must not stop a backup. A reader sees all of it or nothing.
    pub(crate) fn store(&self, key: &Key, code: &[u8]) {
        if self.problem.is_some() {
            return;
        }
        self.remove_old();
        // Other threads and processes may be storing the same code.
        let unique = RandomState::new().build_hasher().finish();
        let temporary = self.folder.join(format!("{}.{unique:016x}.tmp", key.0));
        let written = write_private(&temporary, &[MAGIC, Id::of(code).as_bytes(), code])
            .and_then(|()| fs::rename(&temporary, self.path(key)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.code", key.0))
    }

    fn remove_old(&self) {
        let Ok(entries) = self.folder.read_dir() else {
            return;
        };
        for entry in entries.flatten() {
            let is_ours = entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "code" || extension == "tmp");
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .is_ok_and(|age| age > KEPT)
            });
            if is_ours && is_old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Owned by us or by root, and writable by no one else.
fn is_private(metadata: &fs::Metadata) -> bool {
    let us = rustix::process::geteuid().as_raw();
    (metadata.uid() == us || metadata.uid() == 0) && metadata.mode() & 0o022 == 0
}

fn write_private(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// Feeds what `Hash` says of a value into SHA-256.
struct KeyHasher(Sha256);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = Id::from_bytes(self.0.clone().finalize().into());
        hash.as_bytes()
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(text: &str) -> Key {
        Key(Id::of(text.as_bytes()))
    }

    #[test]
    fn code_comes_back_as_it_was_stored() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = Cache::open(&folder.path().join("a/b")).expect("cache");
        assert_eq!(cache.load(&key("a")), None);
        cache.store(&key("a"), b"machine code");
        assert_eq!(cache.load(&key("a")).as_deref(), Some(&b"machine code"[..]));
        assert_eq!(cache.load(&key("b")), None);
        let mode = fs::metadata(cache.path(&key("a"))).expect("file").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damaged_code_is_no_code() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = Cache::open(folder.path()).expect("cache");
        cache.store(&key("a"), b"machine code");
        let path = cache.path(&key("a"));
        let whole = fs::read(&path).expect("file");
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 1;
            fs::write(&path, &flipped).expect("write");
            assert_eq!(cache.load(&key("a")), None, "flipped at {position}");
            fs::write(&path, &whole[..position]).expect("write");
            assert_eq!(cache.load(&key("a")), None, "cut at {position}");
        }
        fs::write(&path, &whole).expect("write");
        assert!(cache.load(&key("a")).is_some());
    }

    #[test]
    fn code_that_others_may_write_is_not_trusted() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = Cache::open(folder.path()).expect("cache");
        cache.store(&key("a"), b"machine code");
        for mode in [0o620, 0o602] {
            let open = fs::Permissions::from_mode(mode);
            fs::set_permissions(cache.path(&key("a")), open).expect("chmod");
            assert_eq!(cache.load(&key("a")), None);
        }

        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).expect("chmod");
        let error = Cache::open(folder.path()).err().expect("refused");
        let path = folder.path().display();
        assert_eq!(
            error.to_string(),
            format!(
                "the cache of compiled plugins {path} belongs to or can be written by another user"
            )
        );
        assert_eq!(
            error.hint_text(),
            Some(
                format!("chown it to the user that runs the engine, and chmod 700 {path}").as_str()
            )
        );
    }
}
