//! How much a tree is, counted beside its first backup, for whoever watches: nothing waits for it, and it takes what nobody else needs of the machine.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::own::OwnFolders;
use crate::progress::Progress;
use crate::source::Tree;
use crate::tree::NodeType;
use crate::walk::Walk;

/// The thread that counts, gives way to all others.
const NICE: i32 = 10;

/// Tells `progress` how much `tree` is, unless `over` comes first. What cannot be read is of no account: the backup names it.
pub(crate) fn scan(tree: &Tree, own: Option<&OwnFolders>, over: &AtomicBool, progress: &Progress) {
    // On Linux this is the thread's own. Where it cannot be had, the scan is as short as it is.
    let _ = rustix::process::setpriority_process(None, NICE);
    let Ok(walk) = Walk::start(tree, 0) else {
        return;
    };
    let (mut bytes, mut files) = (0_u64, 0_u64);
    let mut open = vec![walk.root().clone()];
    while let Some(directory) = open.pop() {
        if over.load(Relaxed) || progress.is_cancelled() {
            return;
        }
        for found in walk.list(&directory).entries {
            let metadata = &found.metadata;
            match found.directory {
                Some(_) if own.is_some_and(|own| own.find(metadata).is_some()) => {}
                Some(inner) => open.push(inner),
                None => {
                    files += 1;
                    if metadata.node_type() == NodeType::File {
                        bytes = bytes.saturating_add(metadata.size);
                    }
                }
            }
        }
    }
    progress.expect(Some(bytes), Some(files));
}
