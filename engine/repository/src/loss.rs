//! What a source has lost: the figures of two of its backups in, how much of the earlier one is gone out. A disk that is not mounted is an empty folder;
//! nobody but the backup before knows that something was there.

use crate::snapshot::Snapshot;

/// The tag of a snapshot that holds next to nothing of what the one before it held, of which a person said that it is meant.
pub const ACCEPTED: &str = "loss:accepted";

/// How much a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Files of any type but directories.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
}

/// How much of an earlier backup is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// What may happen any day.
    Little,
    /// Half of its files and half of its bytes, at least.
    Much,
    /// All files, or 95 of a hundred of both.
    NearlyAll,
}

impl Figures {
    /// Those of a snapshot, where it tells.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        snapshot.summary.as_ref().map(|summary| Self {
            files: summary.total_files_processed,
            bytes: summary.total_bytes_processed,
        })
    }

    /// What is gone of `before`. Files and bytes must both say so: who clears up many small files, or one large one, has not lost a disk.
    pub fn loss_since(self, before: Self) -> Loss {
        let keeps_at_most = |percent: u128| {
            let is_at_most = |now: u64, before: u64| {
                u128::from(now).saturating_mul(100) <= u128::from(before).saturating_mul(percent)
            };
            is_at_most(self.files, before.files) && is_at_most(self.bytes, before.bytes)
        };
        match (before.files, self.files) {
            (0, _) => Loss::Little,
            (_, 0) => Loss::NearlyAll,
            _ if keeps_at_most(5) => Loss::NearlyAll,
            _ if keeps_at_most(50) => Loss::Much,
            _ => Loss::Little,
        }
    }
}

/// Goes through the backups of one source by one host, oldest first, and tells which of them may stand for it.
#[derive(Debug, Default)]
pub struct Series {
    last: Option<Figures>,
}

impl Series {
    /// Whether `next` may take the place of those before it: it is complete, and holds more than next to nothing of what the last one held that did.
    pub fn counts(&mut self, next: &Snapshot) -> bool {
        if !next.is_complete() {
            return false;
        }
        let Some(figures) = Figures::of(next) else {
            return true;
        };
        let is_hollow = !is_accepted(next)
            && self
                .last
                .is_some_and(|last| figures.loss_since(last) == Loss::NearlyAll);
        if !is_hollow {
            self.last = Some(figures);
        }
        !is_hollow
    }
}

fn is_accepted(snapshot: &Snapshot) -> bool {
    snapshot.tags.iter().any(|tag| tag == ACCEPTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::snapshot::INCOMPLETE;

    #[test]
    fn a_loss_shows_in_files_and_in_bytes() {
        let check = |before: (u64, u64), now: (u64, u64), expected: Loss| {
            let [before, now] = [before, now].map(|(files, bytes)| Figures { files, bytes });
            assert_eq!(now.loss_since(before), expected, "{before:?} {now:?}");
        };
        check((1, 9), (0, 0), Loss::NearlyAll);
        check((0, 0), (0, 0), Loss::Little);
        check((0, 0), (5, 5), Loss::Little);
        check((100, 1000), (5, 50), Loss::NearlyAll);
        check((100, 1000), (5, 51), Loss::Much);
        check((100, 1000), (6, 50), Loss::Much);
        check((100, 1000), (50, 500), Loss::Much);
        check((100, 1000), (51, 10), Loss::Little);
        check((100, 1000), (5, 900), Loss::Little);
        check((100, 0), (5, 0), Loss::NearlyAll);
        check((2, 1_000_000), (1, 1), Loss::Much);
        check((5, 5), (5, 5), Loss::Little);
        check((u64::MAX, u64::MAX), (1, 1), Loss::NearlyAll);
    }

    #[test]
    fn an_almost_empty_backup_stands_for_nothing_until_a_person_says_so() {
        let snapshot = |files: Option<u64>, tags: &[&str]| -> Snapshot {
            let mut json = serde_json::json!({
                "time": "2026-01-01T00:00:00Z", "tree": Id::of(b""), "paths": [], "tags": tags
            });
            if let Some(files) = files {
                json["summary"] = serde_json::json!({"total_files_processed": files, "total_bytes_processed": files});
            }
            serde_json::from_value(json).expect("a snapshot")
        };
        let check = |series: &[(Option<u64>, &[&str])], expected: &[bool]| {
            let mut walk = Series::default();
            let counted = series
                .iter()
                .map(|(files, tags)| walk.counts(&snapshot(*files, tags)));
            assert_eq!(counted.collect::<Vec<_>>(), expected, "{series:?}");
        };
        check(&[(Some(0), &[]), (Some(0), &[])], &[true, true]);
        // Each is compared with the last that counts, not with the one before.
        check(
            &[
                (Some(100), &[]),
                (Some(0), &[]),
                (Some(1), &[]),
                (Some(99), &[]),
            ],
            &[true, false, false, true],
        );
        check(
            &[(Some(100), &[]), (Some(0), &[ACCEPTED]), (Some(0), &[])],
            &[true, true, true],
        );
        // One that was not read whole says nothing of what there is.
        check(
            &[(Some(100), &[]), (Some(0), &[INCOMPLETE]), (Some(0), &[])],
            &[true, false, false],
        );
        check(
            &[(Some(100), &[]), (None, &[]), (Some(0), &[])],
            &[true, true, false],
        );
    }
}
