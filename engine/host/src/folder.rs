//! Folders of the engine itself. In goes a path and a mode; out comes the folder, and the missing ones above it, with that mode.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Makes `folder` and what is missing above it, each with `mode`, whatever the umask leaves of it. Those that are there stay as they are.
pub fn make_folder(folder: &Path, mode: u32) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above, mode)?;
    }
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(mode)),
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_its_mode_and_those_that_are_there_keep_theirs() {
        let place = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        let kept = mode(place.path());
        let inner = place.path().join("a/b");
        // No umask that is common leaves this bit.
        make_folder(&inner, 0o733).expect("made");
        make_folder(&inner, 0o700).expect("is there");
        for path in [&inner, &place.path().join("a")] {
            assert_eq!(mode(path), 0o733, "{}", path.display());
        }
        assert_eq!(mode(place.path()), kept);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let place = tempfile::tempdir().expect("a folder");
        let file = place.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(make_folder(&file, 0o700).is_err());
        assert!(make_folder(&file.join("below"), 0o700).is_err());
    }
}
