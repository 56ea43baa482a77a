//! Removing what killed runs have left under temporary names.

use strongroom_plugin::log;

use crate::folder::Folder;
use crate::put::TEMPORARY;

/// No put takes this long.
const OLD_SECONDS: u64 = 24 * 60 * 60;

/// How many names are looked at, so that opening stays quick. The next opening goes on.
const LOOKS: usize = 1000;

/// Removes old temporary files. Nothing depends on it, so a failure is only logged.
///
/// Old is what much has happened after, by the clock that the files have their times from. Another one may be ahead of it - this machine's, of a file server's -
/// and would take away what is being written at this moment.
pub(crate) fn remove_leftovers(folder: &Folder) {
    // Usually there is no such directory, or nothing in it.
    let Ok(temporary) = folder.open_directory(TEMPORARY) else {
        return;
    };
    let Ok(entries) = temporary.read_directory() else {
        return;
    };
    let Some(latest) = modified(folder, TEMPORARY) else {
        return;
    };
    for _ in 0..LOOKS {
        let name = match entries.read_directory_entry() {
            Ok(Some(entry)) => entry.name,
            Ok(None) => return,
            Err(_) => continue,
        };
        let path = format!("{TEMPORARY}/{name}");
        let is_old = modified(folder, &path)
            .is_some_and(|seconds| latest.saturating_sub(seconds) > OLD_SECONDS);
        if is_old && folder.root().unlink_file_at(&path).is_ok() {
            log::info(format!(
                "removed {path}, which a run that was killed had left"
            ));
        }
    }
}

/// A directory is modified whenever a file in it is begun.
fn modified(folder: &Folder, path: &str) -> Option<u64> {
    let stat = folder.stat_path(path).ok()?;
    stat.data_modification_timestamp.map(|time| time.seconds)
}
