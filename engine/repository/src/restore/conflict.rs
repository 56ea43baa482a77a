//! What is in the way of a restore, found before anything is written.

use super::RestoreOptions;
use crate::contents::Found;
use crate::source::Conflict;
use crate::target_root::TargetRoot;
use crate::tree::NodeType;
use crate::{Error, ErrorKind, Result};

/// The target as it was before the restore.
pub(super) struct Obstacles {
    /// None where nothing can be in the way, or may be.
    root: Option<TargetRoot>,
}

impl Obstacles {
    pub(super) fn look_at(options: &RestoreOptions) -> Result<Self> {
        let looks = options.conflict == Conflict::Fail && options.target.exists();
        let root = if looks {
            Some(options.target.open()?)
        } else {
            None
        };
        Ok(Self { root })
    }

    /// Fails where something is in the way of `found`. Directories may be there already.
    pub(super) fn refuse(&self, found: &Found) -> Result<()> {
        let Some(root) = &self.root else {
            return Ok(());
        };
        if found.path.is_empty() {
            return Ok(());
        }
        let Some(existing) = root.metadata(&found.path)? else {
            return Ok(());
        };
        if existing.node_type() == NodeType::Dir && found.node.node_type == NodeType::Dir {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::AlreadyExists,
            "exists already; nothing was restored",
        )
        .on(root.display(&found.path))
        .hint("choose an empty folder, or say --overwrite or --keep-existing"))
    }
}
