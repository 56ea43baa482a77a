//! Whether two directory trees hold the same: names, kinds, modes, link counts, modification times, targets of links, and every byte.
//!
//! In: the tree that was backed up, and the restored one. Out: how much was compared, or the first difference.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How much two equal trees hold.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Compared {
    /// Entries of every kind, the root not counted.
    pub(crate) entries: usize,
    /// Bytes of the regular files.
    pub(crate) bytes: u64,
}

/// Compares everything below `expected` with what is below `actual`; fails with the first difference. The roots' own attributes are not compared.
pub(crate) fn trees(expected: &Path, actual: &Path) -> Result<Compared> {
    let mut compared = Compared::default();
    let mut buffers = (vec![0; 1 << 18], vec![0; 1 << 18]);
    folders(expected, actual, &mut compared, &mut buffers)?;
    Ok(compared)
}

/// What strongroom adds beside the sources in each backup; other tools restore it like any folder.
const MANIFEST_FOLDER: &str = ".strongroom";

/// The folder in or below `restored` that holds what `expected` holds at its top: a tool may have made the path above it, too.
pub(crate) fn root_of(expected: &Path, restored: &Path) -> Result<PathBuf> {
    let wanted = names(expected)?;
    let mut folder = restored.to_path_buf();
    loop {
        let mut found = names(&folder)?;
        if found != wanted {
            found.remove(OsStr::new(MANIFEST_FOLDER));
        }
        match found.first() {
            Some(only) if found != wanted && found.len() == 1 && folder.join(only).is_dir() => {
                folder.push(only);
            }
            _ => return Ok(folder),
        }
    }
}

type Buffers = (Vec<u8>, Vec<u8>);

fn folders(
    expected: &Path,
    actual: &Path,
    compared: &mut Compared,
    buffers: &mut Buffers,
) -> Result<()> {
    let (names, found) = (names(expected)?, names(actual)?);
    if let Some(name) = names.difference(&found).next() {
        return Err(difference(&actual.join(name), "is missing"));
    }
    if let Some(name) = found.difference(&names).next() {
        return Err(difference(
            &actual.join(name),
            "was not in what was backed up",
        ));
    }
    for name in names {
        let (expected, actual) = (expected.join(&name), actual.join(&name));
        compared.entries += 1;
        let metadata = attributes(&expected, &actual)?;
        if metadata.is_dir() {
            folders(&expected, &actual, compared, buffers)?;
        } else if metadata.is_symlink() {
            if fs::read_link(&expected).ok() != fs::read_link(&actual).ok() {
                return Err(difference(&actual, "points elsewhere"));
            }
        } else if metadata.is_file() {
            contents(&expected, &actual, buffers)?;
            compared.bytes += metadata.len();
        }
    }
    Ok(())
}

/// Compares the attributes of two entries; out come those of the expected one.
fn attributes(expected: &Path, actual: &Path) -> Result<Metadata> {
    let read = |path: &Path| {
        fs::symlink_metadata(path).map_err(|error| Error::io("cannot read", path, &error))
    };
    let (left, right) = (read(expected)?, read(actual)?);
    if left.mode() != right.mode() {
        let modes = format!(
            "has the mode {:o} instead of {:o}",
            right.mode(),
            left.mode()
        );
        return Err(difference(actual, &modes));
    }
    if left.is_file() {
        if left.len() != right.len() {
            let sizes = format!("has {} bytes instead of {}", right.len(), left.len());
            return Err(difference(actual, &sizes));
        }
        if left.nlink() != right.nlink() {
            let links = format!("has {} names instead of {}", right.nlink(), left.nlink());
            return Err(difference(actual, &links));
        }
        if (left.mtime(), left.mtime_nsec()) != (right.mtime(), right.mtime_nsec()) {
            return Err(difference(actual, "has another time of modification"));
        }
    }
    Ok(left)
}

fn contents(expected: &Path, actual: &Path, buffers: &mut Buffers) -> Result<()> {
    let open =
        |path: &Path| File::open(path).map_err(|error| Error::io("cannot open", path, &error));
    let (mut left, mut right) = (open(expected)?, open(actual)?);
    loop {
        let read =
            fill(&mut left, &mut buffers.0).map_err(|e| Error::io("cannot read", expected, &e))?;
        let found =
            fill(&mut right, &mut buffers.1).map_err(|e| Error::io("cannot read", actual, &e))?;
        if buffers.0.get(..read) != buffers.1.get(..found) {
            return Err(difference(actual, "holds other bytes"));
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, &error))?;
    Ok(entries.flatten().map(|entry| entry.file_name()).collect())
}

fn difference(path: &Path, what: &str) -> Error {
    Error::new(format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    /// Two equal trees, `a` and `b`, in a folder of this test's own.
    fn trees_in(test: &str) -> (PathBuf, PathBuf) {
        let root =
            std::env::temp_dir().join(format!("xtask-compare-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for tree in ["a", "b"] {
            let folder = root.join(tree).join("folder");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("file"), "1234").unwrap();
            symlink("file", folder.join("link")).unwrap();
            set_time(&folder.join("file"), 1_000_000_000);
        }
        (root.join("a"), root.join("b"))
    }

    fn set_time(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    #[track_caller]
    fn check(test: &str, damage: impl Fn(&Path), message: &str) {
        let (a, b) = trees_in(test);
        assert_eq!(
            trees(&a, &b).unwrap(),
            Compared {
                entries: 3,
                bytes: 4
            }
        );
        damage(&b.join("folder"));
        let error = trees(&a, &b).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
        fs::remove_dir_all(a.parent().unwrap()).unwrap();
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        check(
            "missing",
            |f| fs::remove_file(f.join("link")).unwrap(),
            "folder/link is missing",
        );
        check(
            "added",
            |f| fs::write(f.join("new"), "").unwrap(),
            "new was not in what was backed up",
        );
        check(
            "bytes",
            |f| {
                fs::write(f.join("file"), "1235").unwrap();
                set_time(&f.join("file"), 1_000_000_000);
            },
            "file holds other bytes",
        );
        check(
            "size",
            |f| fs::write(f.join("file"), "12345").unwrap(),
            "has 5 bytes instead of 4",
        );
        check(
            "time",
            |f| set_time(&f.join("file"), 1_000_000_001),
            "has another time of modification",
        );
        check(
            "links",
            |f| fs::hard_link(f.join("file"), f.parent().unwrap().join("x")).unwrap(),
            "x was not in what was backed up",
        );
        check(
            "mode",
            |f| fs::set_permissions(f.join("file"), fs::Permissions::from_mode(0o600)).unwrap(),
            "100600 instead of 100644",
        );
        check(
            "target",
            |f| {
                fs::remove_file(f.join("link")).unwrap();
                symlink("elsewhere", f.join("link")).unwrap();
            },
            "link points elsewhere",
        );
    }

    #[test]
    fn the_manifest_beside_what_was_restored_is_passed_over() {
        let (a, b) = trees_in("manifest");
        let restored = b.with_file_name("restored");
        fs::create_dir_all(restored.join(MANIFEST_FOLDER)).unwrap();
        fs::create_dir_all(restored.join("path")).unwrap();
        fs::rename(&b, restored.join("path/b")).unwrap();
        assert_eq!(root_of(&a, &restored).unwrap(), restored.join("path/b"));
        fs::remove_dir_all(a.parent().unwrap()).unwrap();
    }
}
