//! What verifications found, kept in the state folder: a line of JSON for each backup and source, appended and never changed. Losing it loses no
//! backup, and a line that is torn or not understood is passed over.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strongroom_host::make_folder;
use strongroom_repository::source::Attributes;
use strongroom_repository::verification::Finding;
use strongroom_repository::{Error, Id, Result, Time};

use super::backups::{Backup, BackupSource};
use crate::engine::Engine;

const FILE: &str = "verifications.jsonl";

/// What is known of a backup after a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Worth {
    /// It came to life and is what it should be.
    Proven,
    /// It did not, or is not.
    Failed,
    /// Something else went wrong: nothing can be said.
    Unknown,
}

impl Worth {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One verification of one source of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// When it began.
    pub time: Time,
    /// The backup's id.
    pub backup: String,
    /// The source.
    pub source: String,
    /// Where the backup was read, if it came to that.
    pub destination: Option<String>,
    /// The snapshot that was read, if it came to that. Proofs that were noted before there was this field have none.
    #[serde(default)]
    pub snapshot: Option<Id>,
    /// What is known since.
    pub result: Worth,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// Details.
    #[serde(with = "as_map")]
    pub attributes: Attributes,
    /// Why nothing can be said.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What is known of a whole backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "result")]
pub enum Standing {
    /// All sources were proven, the first of them then.
    Proven {
        /// When.
        time: Time,
    },
    /// A source was verified and failed.
    Failed {
        /// When.
        time: Time,
    },
    /// Some sources were proven, and nothing is known of the others.
    Partly {
        /// How many.
        proven: usize,
        /// Of how many.
        of: usize,
    },
}

/// The file.
pub struct Proofs(PathBuf);

/// The last words on each source of each backup, by the destination that it was read at. None of them stands for another.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<(String, String), BTreeMap<Option<String>, Proof>>);

impl Proofs {
    /// In the engine's state folder.
    pub fn of(engine: &Engine) -> Self {
        Self(engine.config().state_folder().join(FILE))
    }

    /// Appends a line.
    pub fn add(&self, proof: &Proof) -> Result<()> {
        let failed = |error| Error::io(format!("cannot write {}", self.0.display()), error);
        if let Some(folder) = self.0.parent() {
            make_folder(folder, 0o711).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&self.0).map_err(failed)?;
        let mut line = serde_json::to_vec(proof).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // Whoever was killed while writing left half a line: ours must not become its other half.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last).map_err(failed)?;
        }
        if last != [b'\n'] {
            line.insert(0, b'\n');
        }
        // One write: those of two engines at once do not mix.
        file.write_all(&line).map_err(failed)
    }

    /// What is known.
    pub fn read(&self) -> Result<Known> {
        let bytes = match fs::read(&self.0) {
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Known::default()),
            bytes => bytes
                .map_err(|error| Error::io(format!("cannot read {}", self.0.display()), error))?,
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        let proofs = lines.filter_map(|line| serde_json::from_slice::<Proof>(line).ok());
        let mut known = Known::default();
        for proof in proofs {
            let key = (proof.backup.clone(), proof.source.clone());
            let places = known.0.entry(key).or_default();
            // Of a failure nobody knows at which destination, a later proof knows better.
            if proof.result == Worth::Proven {
                places.remove(&None);
            }
            // An attempt that came to nothing takes back nothing.
            if proof.result != Worth::Unknown || !places.contains_key(&proof.destination) {
                places.insert(proof.destination.clone(), proof);
            }
        }
        Ok(known)
    }
}

impl Known {
    /// The last word on a source of a backup: of a destination where it failed, else of the one where it was proven last. What is said of a
    /// snapshot that is gone says nothing: a repair may have put another one in its place.
    pub fn last(&self, backup: &str, source: &BackupSource) -> Option<&Proof> {
        let places = self.0.get(&(backup.to_owned(), source.source.clone()))?;
        let is_there = |proof: &&Proof| match proof.snapshot {
            Some(snapshot) => source.copies.iter().any(|copy| copy.id == snapshot),
            // Nobody knows what was proven.
            None => proof.result != Worth::Proven,
        };
        let rank = |proof: &Proof| match proof.result {
            Worth::Unknown => 0,
            Worth::Proven => 1,
            Worth::Failed => 2,
        };
        places
            .values()
            .filter(is_there)
            .max_by_key(|proof| (rank(proof), proof.time))
    }

    /// What is known of a backup; nothing where no source of it was ever proven or failed.
    pub fn standing(&self, backup: &Backup) -> Option<Standing> {
        let sources = backup.sources.iter();
        let last: Vec<_> = sources.map(|it| self.last(&backup.id, it)).collect();
        let times = |worth| {
            let of = last.iter().flatten().filter(move |it| it.result == worth);
            of.map(|it| it.time)
        };
        if let Some(time) = times(Worth::Failed).max() {
            return Some(Standing::Failed { time });
        }
        let proven = times(Worth::Proven).count();
        let first = times(Worth::Proven).min()?;
        Some(match proven == last.len() {
            true => Standing::Proven { time: first },
            false => Standing::Partly {
                proven,
                of: last.len(),
            },
        })
    }
}

/// Attributes as a table of JSON.
mod as_map {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};
    use strongroom_repository::source::Attributes;

    pub(super) fn serialize<S: Serializer>(
        attributes: &Attributes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(attributes.iter().map(|(name, value)| (name, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Attributes, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(map.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::backups::group;

    /// A source whose snapshot at each destination is named like that.
    fn shop(destinations: &[&str]) -> BackupSource {
        let at = |destination: &&str| {
            let json = serde_json::json!({"time": Time::now(), "tree": Id::of(b""), "paths": [], "tags": ["run:a", "source:shop"]});
            let snapshot = serde_json::from_value(json).expect("a snapshot");
            let id = Id::of(destination.as_bytes());
            ((*destination).to_owned(), vec![(id, snapshot)])
        };
        let mut backups = group(destinations.iter().map(at).collect());
        backups.remove(0).sources.remove(0)
    }

    fn proof(backup: &str, result: Worth, seconds: f64) -> Proof {
        Proof {
            time: Time::now(),
            backup: backup.into(),
            source: "shop".into(),
            destination: Some("nas".into()),
            snapshot: Some(Id::of(b"nas")),
            result,
            findings: Vec::new(),
            attributes: vec![("server".into(), "PostgreSQL 15".into())],
            error: None,
            seconds,
        }
    }

    #[test]
    fn the_last_word_counts_and_half_a_line_harms_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let proofs = Proofs(folder.path().join("state").join(FILE));
        assert!(
            proofs
                .read()
                .expect("read")
                .last("a", &shop(&["nas"]))
                .is_none()
        );
        let all = [
            proof("a", Worth::Failed, 1.0),
            proof("a", Worth::Proven, 2.0),
            proof("b", Worth::Proven, 3.0),
        ];
        for proof in &all {
            proofs.add(proof).expect("added");
        }
        let mut file = OpenOptions::new()
            .append(true)
            .open(&proofs.0)
            .expect("open");
        file.write_all(br#"{"time":"2026-0"#).expect("written");
        let last = proof("c", Worth::Failed, 4.0);
        proofs.add(&last).expect("added");
        proofs.add(&proof("b", Worth::Unknown, 5.0)).expect("added");

        let known = proofs.read().expect("read");
        let source = shop(&["nas"]);
        assert_eq!(known.last("a", &source), all.get(1));
        assert_eq!(known.last("b", &source), all.get(2));
        assert_eq!(known.last("c", &source), Some(&last));
        let crm = BackupSource {
            source: "crm".into(),
            ..source
        };
        assert_eq!(known.last("c", &crm), None);
    }

    #[test]
    fn a_copy_that_failed_is_not_made_good_by_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let proofs = Proofs(folder.path().join(FILE));
        let at = |destination: &str, result| Proof {
            destination: Some(destination.into()),
            snapshot: Some(Id::of(destination.as_bytes())),
            ..proof("a", result, 1.0)
        };
        let last = |added: Proof| {
            proofs.add(&added).expect("added");
            let known = proofs.read().expect("read");
            let source = shop(&["nas", "offsite"]);
            let last = known.last("a", &source).expect("one");
            (last.destination.clone().unwrap_or_default(), last.result)
        };
        let failed = ("offsite".to_owned(), Worth::Failed);
        assert_eq!(last(at("offsite", Worth::Failed)), failed);
        assert_eq!(last(at("nas", Worth::Proven)), failed);
        let proven = ("offsite".to_owned(), Worth::Proven);
        assert_eq!(last(at("offsite", Worth::Proven)), proven);
        let nowhere = Proof {
            destination: None,
            snapshot: None,
            ..proof("a", Worth::Failed, 2.0)
        };
        assert_eq!(last(nowhere), (String::new(), Worth::Failed));
        assert_eq!(last(at("offsite", Worth::Proven)), proven);
    }

    #[test]
    fn a_proof_is_one_of_a_snapshot() {
        let folder = tempfile::tempdir().expect("a folder");
        let proofs = Proofs(folder.path().join(FILE));
        let nas = proof("a", Worth::Proven, 1.0);
        proofs.add(&nas).expect("added");
        let result = |destinations: &[&str]| {
            let known = proofs.read().expect("read");
            known.last("a", &shop(destinations)).map(|it| it.result)
        };
        assert_eq!(result(&["nas", "offsite"]), Some(Worth::Proven));
        assert_eq!(result(&["offsite"]), None, "that one was never proven");
        // One that was noted without its snapshot is worth nothing any more, and a failure is one until a proof.
        let add = |result| {
            let noted = Proof {
                snapshot: None,
                ..proof("a", result, 2.0)
            };
            let mut line = serde_json::to_value(&noted).expect("JSON");
            line.as_object_mut()
                .and_then(|it| it.remove("snapshot"))
                .expect("a field");
            let mut text = fs::read_to_string(&proofs.0).expect("read");
            text += &format!("{line}\n");
            fs::write(&proofs.0, text).expect("written");
        };
        add(Worth::Proven);
        assert_eq!(result(&["nas", "offsite"]), None);
        add(Worth::Failed);
        assert_eq!(result(&["nas", "offsite"]), Some(Worth::Failed));
        proofs.add(&nas).expect("added");
        assert_eq!(result(&["nas", "offsite"]), Some(Worth::Proven));
    }
}
