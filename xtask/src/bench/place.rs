//! Where repositories and restored files are put while they are measured.
//!
//! In: how much room they need. Out: a folder in memory where there is room, so that no disk's moods are measured; a folder on disk otherwise.
//! (An ext4 without a journal, for one, spends half of a restore on looking for inodes that were not freed lately, whoever restores.)

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const MEMORY: &str = "/dev/shm";
const TMPFS: i64 = 0x0102_1994;

/// As much as a volume of 3 GB takes when it is restored.
const MAX_WARMED_BYTES: u64 = 4 << 30;

/// A folder to work in, and what to say of it.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) description: &'static str,
}

impl Place {
    /// In memory where `bytes` fit in half of what is free, else below `disk`.
    pub(super) fn find(disk: &Path, bytes: u64) -> Self {
        if free_in_memory().is_some_and(|free| free / 2 >= bytes) {
            return Self {
                folder: Path::new(MEMORY).join(format!("strongroom-bench-{}", std::process::id())),
                description: "repositories and restored files in memory",
            };
        }
        Self::on_disk(disk)
    }

    /// Below `disk`.
    pub(super) fn on_disk(disk: &Path) -> Self {
        Self {
            folder: disk.join("work"),
            description: "repositories and restored files on disk",
        }
    }
}

/// Uses some memory and gives it back. A virtual machine gets each page from its host when it is used first, or again after a while: that costs
/// several times what is done with the page, and whoever comes first would pay for the others.
///
/// In a file, because a program that is started takes over the peak of our own memory.
pub(super) fn warm_memory() {
    let bytes = free_in_memory().unwrap_or(0) / 2;
    let path = Path::new(MEMORY).join(format!("strongroom-bench-warm-{}", std::process::id()));
    // Where it cannot be, the measurement is only less steady.
    if let Ok(mut file) = File::create(&path) {
        let _ = io::copy(
            &mut io::repeat(1).take(bytes.min(MAX_WARMED_BYTES)),
            &mut file,
        );
        let _ = fs::remove_file(&path);
    }
}

/// Bytes that a file system in memory can still take, if there is one.
fn free_in_memory() -> Option<u64> {
    Some(available_memory()?.min(free_in_tmpfs(MEMORY)?))
}

fn available_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = available.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn free_in_tmpfs(path: &str) -> Option<u64> {
    let path = std::ffi::CString::new(path).ok()?;
    // SAFETY: the struct is plain numbers, and the path ends with a NUL.
    let found = unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        (libc::statfs(path.as_ptr(), &raw mut found) == 0).then_some(found)
    }?;
    (found.f_type as i64 == TMPFS).then_some(found.f_bavail as u64 * found.f_bsize as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_into_memory_goes_to_the_disk() {
        let place = Place::find(Path::new("/somewhere"), u64::MAX);
        assert_eq!(place.folder, Path::new("/somewhere/work"));
    }
}
