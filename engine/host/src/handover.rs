//! Gives a directory to a user with all that is in it, while that user's programs may be at work there. In go the directory and the user.
//!
//! Nothing that belongs elsewhere can be given away: no link is followed, no other file system is entered, a file with several names is left alone
//! (one of them may lie elsewhere), and so is what is older than the directory, because the user may have moved it in. Owner and kind are asked
//! of what was opened.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags, chownat, fstat, openat, statx,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use strongroom_repository::{Error, Result};

use crate::account::Account;

/// Deeper than any database nests its directories.
const MAX_DEPTH: usize = 100;

/// Makes `directory` and what is in it the account's.
pub(crate) fn hand_over(directory: &Path, account: &Account) -> Result<()> {
    let failed = |error: Errno| {
        let what = format!("cannot give {} to {}", directory.display(), account.name);
        Error::io(what, error.into())
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, directory, flags, Mode::empty()).map_err(failed)?;
    let handover = Handover {
        uid: Uid::from_raw(account.uid),
        gid: Gid::from_raw(account.gid),
        device: fstat(&root).map_err(failed)?.st_dev,
        born: born(&root).map_err(failed)?,
    };
    handover.give(&root, MAX_DEPTH).map_err(failed)
}

struct Handover {
    uid: Uid,
    gid: Gid,
    device: u64,
    /// When the directory was made, where the file system says so.
    born: Option<(i64, u32)>,
}

/// Seconds and nanoseconds.
fn born(file: &OwnedFd) -> rustix::io::Result<Option<(i64, u32)>> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    match statx(file, c"", flags, StatxFlags::BTIME) {
        Ok(found) if found.stx_mask & StatxFlags::BTIME.bits() != 0 => {
            Ok(Some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec)))
        }
        Ok(_) | Err(Errno::NOSYS) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Handover {
    fn give(&self, found: &OwnedFd, depth: usize) -> rustix::io::Result<()> {
        let stat = fstat(found)?;
        if stat.st_dev != self.device || depth == 0 || born(found)? < self.born {
            return Ok(());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            self.give_content(found.as_fd(), depth)?;
        } else if stat.st_nlink > 1 {
            return Ok(());
        }
        if stat.st_uid != self.uid.as_raw() {
            let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
            chownat(found, c"", Some(self.uid), Some(self.gid), flags)?;
        }
        Ok(())
    }

    fn give_content(&self, directory: BorrowedFd<'_>, depth: usize) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A program at work there may remove anything meanwhile.
        let opened = match openat(directory, c".", flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        for entry in Dir::read_from(&opened)? {
            let entry = match entry {
                Err(Errno::NOENT) => return Ok(()),
                entry => entry?,
            };
            let name: &CStr = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&opened, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {}
                found => self.give(&found?, depth - 1)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn what_lies_elsewhere_is_not_given_away() {
        if !Account::may_choose() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let owner = |name: &str| fs::symlink_metadata(path(name)).expect(name).uid();
        fs::write(path("older"), "").expect("written");
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::create_dir_all(path("scratch/deep")).expect("a folder");
        fs::create_dir(path("outside")).expect("a folder");
        fs::rename(path("older"), path("scratch/deep/older")).expect("moved");
        for file in [
            "scratch/deep/own",
            "outside/file",
            "outside/linked",
            "secret",
        ] {
            fs::write(path(file), "").expect("written");
        }
        symlink(path("secret"), path("scratch/link")).expect("a link");
        symlink(path("outside"), path("scratch/deep/way-out")).expect("a link");
        fs::hard_link(path("outside/linked"), path("scratch/deep/linked")).expect("a link");

        let account = Account {
            name: "somebody".into(),
            uid: 54_321,
            gid: 54_322,
        };
        hand_over(&path("scratch"), &account).expect("handed over");
        for given in [
            "scratch",
            "scratch/deep",
            "scratch/deep/own",
            "scratch/link",
        ] {
            assert_eq!(owner(given), 54_321, "{given}");
        }
        let elsewhere = ["secret", "outside", "outside/file", "outside/linked"];
        for kept in elsewhere.into_iter().chain(["scratch/deep/older"]) {
            assert_eq!(owner(kept), 0, "{kept}");
        }
    }
}
