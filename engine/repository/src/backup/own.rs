//! Folders that are the backup's own: whatever is walked, they are left out. A repository that lies in its source would hold itself, and grow with each
//! backup by all that it holds. They are known by device and inode, so that neither a link nor a bind mount hides one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::metadata::Metadata;
use crate::{Error, ErrorKind, Result};

/// A folder that no backup should hold.
#[derive(Debug, Clone)]
pub struct OwnFolder {
    /// Where it is. One that is not there is of no account.
    pub path: PathBuf,
    /// What it is to people, such as `the repository of destination nas`; `None` for what nobody misses.
    pub what: Option<String>,
    /// Whether this run writes there: then it cannot be a source by itself either.
    pub is_written_to: bool,
}

/// Those that are there.
#[derive(Default)]
pub(crate) struct OwnFolders(Vec<(Identity, OwnFolder)>);

type Identity = (u64, u64);

/// The folders of a repository, in which nothing else lies.
const INSIDE: [&str; 5] = ["data", "index", "keys", "locks", "snapshots"];

impl OwnFolders {
    pub(crate) fn new(folders: Vec<OwnFolder>) -> Self {
        let folders = folders.into_iter();
        Self(
            folders
                .filter_map(|folder| Some((identity(&folder.path)?, folder)))
                .collect(),
        )
    }

    /// The one that an entry is.
    pub(crate) fn find(&self, metadata: &Metadata) -> Option<&OwnFolder> {
        let wanted = (metadata.device, metadata.inode);
        let mut folders = self.0.iter();
        let found = folders.find(|(identity, _)| *identity == wanted);
        found.map(|(_, folder)| folder)
    }

    /// Fails where `root` is a repository that is written to, or lies among its files.
    pub(crate) fn refuse_root(&self, root: &Path) -> Result<()> {
        let Ok(real) = root.canonicalize() else {
            // Whoever opens it says why.
            return Ok(());
        };
        let written = self.0.iter().filter(|(_, folder)| folder.is_written_to);
        for (own, folder) in written {
            let inside = INSIDE.map(|name| identity(&folder.path.join(name)));
            let is_inside = real.ancestors().any(|above| {
                let above = identity(above);
                above.is_some() && inside.contains(&above)
            });
            if is_inside || identity(&real) == Some(*own) {
                let what = folder.what.as_deref().unwrap_or("a folder of the engine");
                let message = format!("the backup would hold itself: this is {what}");
                return Err(Error::new(ErrorKind::InvalidConfig, message)
                    .on(root.display())
                    .hint("back up another folder, or keep the repository elsewhere: `strongroom copy` brings its backups to another destination"));
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
