//! Who works in a directory: processes whose working directory it is. Servers work in their data directory, with all the processes that they start, and
//! some of these outlive a server that was killed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills them. The directory is the engine's own, and nobody else has business there.
pub(super) fn end_workers(directory: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let name = process.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        if !works_in(&process.path(), directory) {
            continue;
        }
        // Asked again of what is certainly the same process: ids are used again.
        if let Ok(opened) = pidfd_open(pid, PidfdFlags::empty())
            && works_in(&process.path(), directory)
        {
            let _ = pidfd_send_signal(&opened, Signal::KILL);
        }
    }
}

fn works_in(process: &Path, directory: &Path) -> bool {
    let Ok(working) = fs::read_link(process.join("cwd")) else {
        return false;
    };
    // What was removed meanwhile is still told, with a remark.
    let bytes = working.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    Path::new(OsStr::from_bytes(bytes)).starts_with(directory)
}
