//! Whether something is mounted at a directory.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, fstat, openat, statx};

/// Whether `directory` is where a file system, or a part of one, is mounted; none where the system does not tell.
pub(crate) fn is_mount_point(directory: impl AsFd) -> Option<bool> {
    let directory = directory.as_fd();
    let asked = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty());
    if let Ok(told) = asked
        && told
            .stx_attributes_mask
            .contains(StatxAttributes::MOUNT_ROOT)
    {
        return Some(told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Kernels before 5.8 do not say. A folder that is mounted elsewhere on its own file system is not seen by its device.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = openat(directory, "..", flags, Mode::empty()).ok()?;
    let (here, above) = (fstat(directory).ok()?, fstat(&above).ok()?);
    match here.st_dev == above.st_dev {
        // The root of everything is above itself.
        true => Some(here.st_ino == above.st_ino),
        false => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_no_mount_point_and_the_root_is_one() {
        let check = |path: &std::path::Path, expected| {
            let directory = std::fs::File::open(path).expect("opens");
            assert_eq!(is_mount_point(&directory), Some(expected), "{path:?}");
        };
        check(std::path::Path::new("/proc"), true);
        check(tempfile::tempdir().expect("a folder").path(), false);
    }
}
