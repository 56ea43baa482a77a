//! The kinds of objects in a repository, and the key of each at its destination.

use std::fmt;

use crate::destination::Content;
use crate::id::Id;

/// A kind of object. All but the configuration are named by the SHA-256 of their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// The one object that makes a destination a repository.
    Config,
    /// The master key, wrapped with a password.
    Key,
    /// Blobs.
    Pack,
    /// Which blob lies where.
    Index,
    /// One backup of one source.
    Snapshot,
    /// Someone is at work.
    Lock,
}

impl FileType {
    /// The kinds whose objects are named by their content.
    pub const NAMED: [Self; 5] = [
        Self::Key,
        Self::Pack,
        Self::Index,
        Self::Snapshot,
        Self::Lock,
    ];

    /// Where the object `id` lies. The configuration has one place, whatever the id.
    pub fn key(self, id: &Id) -> String {
        match self {
            Self::Config => "config".to_owned(),
            Self::Pack => {
                let name = id.to_string();
                let (shard, _) = name.split_at(2);
                format!("data/{shard}/{name}")
            }
            _ => format!("{}{id}", self.prefix()),
        }
    }

    /// What the keys of all objects of this kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys/",
            Self::Pack => "data/",
            Self::Index => "index/",
            Self::Snapshot => "snapshots/",
            Self::Lock => "locks/",
        }
    }

    /// For the storage class. Packs of trees are [`Content::Metadata`] though, which only their writer knows.
    pub fn content(self) -> Content {
        match self {
            Self::Pack => Content::Data,
            _ => Content::Metadata,
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Pack => "pack",
            Self::Index => "index",
            Self::Snapshot => "snapshot",
            Self::Lock => "lock",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_lie_where_restic_looks_for_them() {
        let id = Id::from_bytes([0xa9; 32]);
        let name = "a9".repeat(32);
        for (file_type, key) in [
            (FileType::Config, "config".to_owned()),
            (FileType::Key, format!("keys/{name}")),
            (FileType::Pack, format!("data/a9/{name}")),
            (FileType::Index, format!("index/{name}")),
            (FileType::Snapshot, format!("snapshots/{name}")),
            (FileType::Lock, format!("locks/{name}")),
        ] {
            assert_eq!(file_type.key(&id), key);
            assert!(key.starts_with(file_type.prefix()));
        }
    }
}
