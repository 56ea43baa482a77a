//! Snapshots: one source at one moment. Loaded with what is wrong with the damaged ones, and found by the beginning of an id.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::absent::null_is_default;
use crate::file::FileType;
use crate::id::Id;
use crate::repository::Repository;
use crate::time::Time;
use crate::{Error, ErrorKind, Result, parallel};

/// What to do about a snapshot that is as it was written, and makes no sense to this program.
pub const NOT_UNDERSTOOD: &str = "a newer program may have made it: update strongroom, or forget it with a restic that understands it";

/// A snapshot, in restic's order of fields. Fields that another program added are kept: a copy, and what a repair puts in its place, have them
/// too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the backup began.
    pub time: Time,
    /// The snapshot that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The root tree.
    pub tree: Id,
    /// What was backed up.
    #[serde(default, deserialize_with = "null_is_default")]
    pub paths: Vec<String>,
    /// Where.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub hostname: String,
    /// By whom.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub username: String,
    /// By whom, as a number.
    #[serde(
        default,
        skip_serializing_if = "is_zero",
        deserialize_with = "null_is_default"
    )]
    pub uid: u32,
    /// The group's number.
    #[serde(
        default,
        skip_serializing_if = "is_zero",
        deserialize_with = "null_is_default"
    )]
    pub gid: u32,
    /// What restic was told to leave out.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub excludes: Vec<String>,
    /// `name:value` for ours; anything for restic's.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub tags: Vec<String>,
    /// The snapshot that this one was before restic changed its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// The program that made it.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub program_version: String,
    /// Its figures, where the writer noted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What other programs put there.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The figures of a backup, as restic notes them from 0.17 on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the backup began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_start: Option<Time>,
    /// When its last data was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_end: Option<Time>,
    /// Files that the parent does not have.
    #[serde(default, deserialize_with = "null_is_default")]
    pub files_new: u64,
    /// Files that are different in the parent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub files_changed: u64,
    /// Files that are the same in the parent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub files_unmodified: u64,
    /// Directories that the parent does not have.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dirs_new: u64,
    /// Directories that are different in the parent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dirs_changed: u64,
    /// Directories that are the same in the parent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dirs_unmodified: u64,
    /// New blobs of content.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data_blobs: u64,
    /// New blobs of trees.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tree_blobs: u64,
    /// Bytes of new blobs, uncompressed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data_added: u64,
    /// Bytes of new blobs as they are stored.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data_added_packed: u64,
    /// Files in the backup.
    #[serde(default, deserialize_with = "null_is_default")]
    pub total_files_processed: u64,
    /// Bytes of their content.
    #[serde(default, deserialize_with = "null_is_default")]
    pub total_bytes_processed: u64,
    /// What other programs put there.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The tag of a snapshot that lacks something which its source had.
pub const INCOMPLETE: &str = "state:incomplete";

/// The name of the tags `missing-source:NAME`: another source of the same run, which failed.
pub const MISSING_SOURCE: &str = "missing-source";

impl Snapshot {
    /// Whether it holds all that its source had.
    pub fn is_complete(&self) -> bool {
        !self.tags.iter().any(|tag| tag == INCOMPLETE)
    }

    /// The value of the tag `name:value`.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| value_of(tag, name))
    }

    /// The values of all tags `name:value`.
    pub fn tags_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags.iter().filter_map(move |tag| value_of(tag, name))
    }

    /// A path from the snapshot's root on as people give it: relative to the source. What lies beside the source in a snapshot of ours stays
    /// as it is.
    pub fn path_in_source<'a>(&self, path: &'a str) -> &'a str {
        let from_root = path.strip_prefix('/').unwrap_or(path);
        let inside = match self.tag("run").and(self.tag("source")) {
            None => Some(from_root),
            Some(source) => {
                from_root
                    .strip_prefix(source)
                    .and_then(|rest| match rest.strip_prefix('/') {
                        None if rest.is_empty() => Some(rest),
                        inside => inside,
                    })
            }
        };
        match inside {
            None => path,
            Some("") => ".",
            Some(inside) => inside,
        }
    }

    /// Whether the object of a snapshot that cannot be loaded is as it was written.
    pub(crate) fn is_undamaged(repository: &Repository, id: &Id) -> bool {
        repository.load_plain(FileType::Snapshot, id).is_ok()
    }

    /// Stores it. From now on the backup counts.
    pub fn save(&self, repository: &Repository) -> Result<Id> {
        repository.save_json(FileType::Snapshot, self)
    }

    /// Loads one.
    pub fn load(repository: &Repository, id: &Id) -> Result<Self> {
        repository.load_json(FileType::Snapshot, id)
    }
}

/// All snapshots of a repository.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that can be read, oldest first.
    pub good: Vec<(Id, Snapshot)>,
    /// Those that cannot, and why.
    pub problems: Vec<(Id, Error)>,
}

impl Repository {
    /// Loads all snapshots, several at a time. Damaged ones are in the result, not dropped; an error means that nothing can be said.
    pub fn snapshots(&self) -> Result<Snapshots> {
        let ids = self.list(FileType::Snapshot)?;
        let loaded = parallel::map(self.destination().parallelism(), &ids, |(id, _)| {
            Ok(match Snapshot::load(self, id) {
                Err(error) if is_of_one_object(&error) => (*id, Err(error)),
                loaded => (*id, Ok(loaded?)),
            })
        })?;
        let mut snapshots = Snapshots::default();
        for (id, result) in loaded {
            match result {
                Ok(snapshot) => snapshots.good.push((id, snapshot)),
                Err(error) => snapshots.problems.push((id, error)),
            }
        }
        snapshots
            .good
            .sort_by_key(|(id, snapshot)| (snapshot.time, *id));
        Ok(snapshots)
    }
}

/// Whether the other objects may still be readable. One that has vanished was forgotten by somebody else in the meantime, or is lost.
fn is_of_one_object(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupted | ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Failed
    )
}

impl Snapshots {
    /// The fewest digits that name a snapshot.
    pub const MIN_PREFIX: usize = 4;

    /// The snapshot that `name` means: `latest`, an id, or the first digits of one, at least [`MIN_PREFIX`](Self::MIN_PREFIX).
    pub fn find(&self, name: &str) -> Result<&(Id, Snapshot)> {
        let not_found = |message: String| {
            Error::new(ErrorKind::NotFound, message).hint("`strongroom list` shows the backups")
        };
        if name == "latest" {
            return self
                .good
                .last()
                .ok_or_else(|| not_found("there is no snapshot yet".into()));
        }
        if name.len() < Self::MIN_PREFIX {
            return Err(not_found(format!(
                "'{name}' is too short for a snapshot's id: it takes {} digits or more",
                Self::MIN_PREFIX
            )));
        }
        let named = |id: &Id| id.to_string().starts_with(name);
        if let Some((_, problem)) = self.problems.iter().find(|(id, _)| named(id)) {
            return Err(Error::new(problem.kind(), problem.to_string()).hint(
                problem
                    .hint_text()
                    .unwrap_or("the other backups do not need it"),
            ));
        }
        let candidates: Vec<_> = self.good.iter().filter(|(id, _)| named(id)).collect();
        match candidates.as_slice() {
            [] => Err(not_found(format!("no snapshot's id begins with '{name}'"))),
            [one] => Ok(one),
            several => Err(ambiguous(name, several)),
        }
    }
}

fn ambiguous(name: &str, candidates: &[&(Id, Snapshot)]) -> Error {
    const SHOWN: usize = 5;
    let mut listed: Vec<String> = candidates
        .iter()
        .take(SHOWN)
        .map(|(id, snapshot)| {
            let digits: String = id.to_string().chars().take(name.len().max(8) + 4).collect();
            format!("{digits} of {}", snapshot.time)
        })
        .collect();
    if candidates.len() > SHOWN {
        listed.push(format!("{} more", candidates.len() - SHOWN));
    }
    Error::new(
        ErrorKind::InvalidConfig,
        format!(
            "'{name}' may be any of {} snapshots: {}",
            candidates.len(),
            listed.join(", ")
        ),
    )
    .hint("give more digits of the id")
}

fn value_of<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.strip_prefix(name)?.strip_prefix(':')
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
