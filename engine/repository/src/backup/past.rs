//! The earlier backups of a source by this host: which there are, and which of them says what there was.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::manifest::{Folder, Manifest};
use super::parent::Continued;
use super::pipeline::Shared;
use super::session::{RunInfo, SourceInfo};
use super::target::Target;
use crate::blobs::BlobReader;
use crate::contents::Contents;
use crate::id::Id;
use crate::loss::{Figures, Series};
use crate::snapshot::Snapshot;
use crate::source::Attributes;
use crate::time::Time;
use crate::{ErrorKind, Result};

/// The attribute by which a source says how many there are of what it is about, such as `3 databases`.
pub(crate) const HOLDS: &str = "holds";

/// The earlier backups of one source by this host, at the targets that were asked: the first that goes on, and others where that one has none.
pub(crate) struct Earlier<'a> {
    /// Oldest first.
    lists: Vec<(&'a Target, Vec<(Id, Snapshot)>)>,
}

/// What a backup says of what there was.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    plugin: String,
    method: Option<String>,
    /// How many databases, say.
    pub(crate) holds: Option<u64>,
    pub(crate) folders: Vec<Folder>,
}

/// The last backup that may stand for the source.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) id: Id,
    pub(crate) time: Time,
    pub(crate) figures: Figures,
    /// Nothing where it was made in another way, so that its figures are of something else.
    pub(crate) noted: Noted,
    /// Whether figures can be compared.
    pub(crate) is_alike: bool,
}

impl<'a> Earlier<'a> {
    /// Asks the targets. One that cannot even say which backups it has is out of reach, and given up.
    pub(crate) fn find(
        shared: &'a Arc<Shared>,
        run: &RunInfo,
        info: &SourceInfo,
        hostname: &str,
    ) -> Result<Self> {
        let mut lists = Vec::new();
        let mut others = BTreeSet::new();
        for target in shared.targets.iter().filter(|target| !target.has_failed()) {
            let snapshots = match target.repository().snapshots() {
                Ok(snapshots) => snapshots.good,
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    let name = target.repository().name();
                    let message =
                        format!("the parent backup cannot be looked for at {name}: {error}");
                    shared.progress.warn(message);
                    target.give_up(error.or_on(format_args!("destination {name}")));
                    continue;
                }
            };
            let of_source = snapshots
                .into_iter()
                .filter(|(_, snapshot)| snapshot.tag("source") == Some(&info.name));
            let (ours, theirs): (Vec<_>, Vec<_>) =
                of_source.partition(|(_, snapshot)| snapshot.hostname == hostname);
            let theirs = theirs
                .into_iter()
                .filter(|(_, snapshot)| snapshot.tag("job") == Some(&run.job));
            others.extend(theirs.map(|(_, snapshot)| snapshot.hostname));
            let is_empty = ours.is_empty();
            lists.push((target, ours));
            if !is_empty {
                break;
            }
        }
        if lists.iter().all(|(_, ours)| ours.is_empty()) && !others.is_empty() {
            shared
                .progress
                .warn(is_new_here(&info.name, hostname, &others));
        }
        Ok(Self { lists })
    }

    /// The first target that goes on.
    pub(crate) fn first(&self) -> Option<&'a Target> {
        self.lists.first().map(|(target, _)| *target)
    }

    /// What lies there.
    pub(crate) fn at_first(&self) -> &[(Id, Snapshot)] {
        self.lists.first().map_or(&[], |(_, snapshots)| snapshots)
    }

    /// The last backup that may stand for the source, with what it says, read anew where it is not the one that is continued.
    pub(crate) fn reference(
        &self,
        info: &SourceInfo,
        continued: Option<&Continued>,
    ) -> Option<Reference> {
        let now = Time::now();
        let (target, snapshots) = self.lists.last()?;
        let mut series = Series::default();
        let (id, snapshot) = snapshots
            .iter()
            .filter(|(_, snapshot)| !snapshot.time.is_to_come(now) && series.counts(snapshot))
            .last()?;
        let noted = match continued {
            Some(continued) if continued.parent.id == id.to_string() => {
                Some(continued.noted.clone())
            }
            _ => {
                let repository = Arc::clone(target.repository());
                let reader = BlobReader::new(repository, Arc::clone(target.index()));
                // Where it cannot be read, its figures are all that is known.
                let contents = Contents::open(Arc::new(reader), *id, snapshot).ok();
                contents.and_then(|it| it.manifest().map(Noted::of))
            }
        };
        let is_alike = noted
            .as_ref()
            .is_none_or(|noted| noted.plugin == info.plugin && noted.method == info.method);
        Some(Reference {
            id: *id,
            time: snapshot.time,
            figures: Figures::of(snapshot)?,
            noted: noted
                .filter(|_| is_alike)
                .unwrap_or_else(|| Noted::nothing(info)),
            is_alike,
        })
    }
}

impl Noted {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self {
            plugin: manifest.plugin.clone(),
            method: manifest.method.clone(),
            holds: manifest.attributes.get(HOLDS).and_then(|it| number(it)),
            folders: manifest.folders.clone(),
        }
    }

    /// For tests of what is judged by it.
    #[cfg(test)]
    pub(crate) fn holding(holds: Option<u64>) -> Self {
        Self {
            plugin: "volume".into(),
            method: None,
            holds,
            folders: Vec::new(),
        }
    }

    fn nothing(info: &SourceInfo) -> Self {
        Self {
            plugin: info.plugin.clone(),
            method: info.method.clone(),
            holds: None,
            folders: Vec::new(),
        }
    }

    /// What was walked at `path` of the backup.
    pub(crate) fn folder(&self, path: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.path == path)
    }

    /// Where something was mounted below the directory at `path` of the backup.
    pub(crate) fn mounts(&self, path: &str) -> &[String] {
        self.folder(path).map_or(&[], |folder| &folder.mounts)
    }
}

/// How many there are by the attributes of a backup.
pub(crate) fn held(attributes: &Attributes) -> Option<u64> {
    let mut found = attributes.iter().filter(|(key, _)| key == HOLDS);
    found.next_back().and_then(|(_, value)| number(value))
}

fn number(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

fn is_new_here(source: &str, hostname: &str, others: &BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = others.iter().map(String::as_str).take(SHOWN).collect();
    if others.len() > SHOWN {
        names.push("others");
    }
    let names = names.join(", ");
    format!(
        "this is the first backup of {source} by host {hostname}; there are some by {names}: if this machine had another name then, set `host` in [engine] to that"
    )
}
