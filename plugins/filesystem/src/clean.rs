//! Removing what killed runs have left under temporary names.

use strongroom_plugin::log;
use wasip2::clocks::wall_clock;

use crate::folder::Folder;
use crate::put::TEMPORARY;

/// No put takes this long.
const OLD_SECONDS: u64 = 24 * 60 * 60;

/// How many names are looked at, so that opening stays quick. The next opening goes on.
const LOOKS: usize = 1000;

/// Removes old temporary files. Nothing depends on it, so a failure is only logged.
pub(crate) fn remove_leftovers(folder: &Folder) {
    // Usually there is no such directory, or nothing in it.
    let Ok(temporary) = folder.open_directory(TEMPORARY) else {
        return;
    };
    let Ok(entries) = temporary.read_directory() else {
        return;
    };
    let now = wall_clock::now().seconds;
    for _ in 0..LOOKS {
        let name = match entries.read_directory_entry() {
            Ok(Some(entry)) => entry.name,
            Ok(None) => return,
            Err(_) => continue,
        };
        let path = format!("{TEMPORARY}/{name}");
        let modified = folder
            .stat_path(&path)
            .ok()
            .and_then(|stat| stat.data_modification_timestamp);
        let is_old = modified.is_some_and(|time| now.saturating_sub(time.seconds) > OLD_SECONDS);
        if is_old && folder.root().unlink_file_at(&path).is_ok() {
            log::info(format!(
                "removed {path}, which a run that was killed had left"
            ));
        }
    }
}
