//! Whether a backup is what its source was: what the operator expects, the last backup that counts and this one in; a verdict out. It is told of every
//! plugin's sources alike, by figures.

use super::past::Reference;
use super::stats::SourceReport;
use crate::loss::{Figures, Loss};
use crate::source::Summary;
use crate::{Error, ErrorKind};

/// What an operator expects of a source. Where nothing is said, that it has not lost nearly everything since the last backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// It may have lost everything.
    pub allow_empty: bool,
    /// It holds so many files at least; with as many it has lost nothing.
    pub min_files: Option<u64>,
    /// Each host directory that it consists of is a mount point.
    pub expect_mount: bool,
}

/// A backup that is to be judged.
pub(crate) struct Delivered<'a> {
    /// The source.
    pub(crate) source: &'a str,
    /// The job.
    pub(crate) job: &'a str,
    pub(crate) report: &'a SourceReport,
    /// How many databases, say.
    pub(crate) holds: Option<u64>,
    /// Host directories that were mount points and are none now.
    pub(crate) no_mounts: Vec<String>,
    /// Directories below them that were such, and are empty.
    pub(crate) unmounted: Vec<String>,
}

/// What is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As usual.
    Good,
    /// It holds nothing, as far as anybody knows rightly.
    Empty,
    /// Next to nothing is left, and that is meant.
    Accepted,
}

impl Expected {
    /// Judges what a source delivered beside the last backup that counts.
    pub(crate) fn judge(
        &self,
        now: &Delivered<'_>,
        before: Option<&Reference>,
    ) -> Result<Verdict, Error> {
        let figures = figures(&now.report.summary);
        if let Some(least) = self.min_files.filter(|least| figures.files < *least) {
            let message = format!(
                "it has {}, and min_files says that there are {least} at least",
                counted(figures)
            );
            return Err(Error::new(ErrorKind::NotFound, message).hint(format!(
                "mount or bring back what is missing, or correct min_files in [sources.{}]",
                now.source
            )));
        }
        // What could not be read is named, and an incomplete backup takes no other's place.
        if now.report.is_incomplete() {
            return Ok(Verdict::Good);
        }
        let is_meant = self.allow_empty || self.min_files.is_some();
        let Some(before) = before else {
            return Ok(match figures.files == 0 && !is_meant {
                true => Verdict::Empty,
                false => Verdict::Good,
            });
        };
        let loss = figures.loss_since(before.figures);
        match now.lost(figures, loss, before) {
            Some(_) if is_meant || !before.is_alike => Ok(match loss {
                Loss::NearlyAll => Verdict::Accepted,
                _ => Verdict::Good,
            }),
            Some(what) => Err(now.refused(what)),
            None if figures.files == 0 && !is_meant => Ok(Verdict::Empty),
            None => Ok(Verdict::Good),
        }
    }
}

impl Delivered<'_> {
    /// What is gone, where that is too much to be taken for granted.
    fn lost(&self, figures: Figures, loss: Loss, before: &Reference) -> Option<String> {
        let time = before.time.point().strftime("%Y-%m-%d %H:%M UTC");
        let then = format!("backup {} of {time}", before.id.short());
        if loss == Loss::NearlyAll || (loss == Loss::Much && !self.no_mounts.is_empty()) {
            let mounts = match self.no_mounts.as_slice() {
                [] => String::new(),
                roots => format!(", and nothing is mounted at {} any more", roots.join(", ")),
            };
            return Some(format!(
                "it has {}, where {then} has {}{mounts}",
                counted(figures),
                counted(before.figures)
            ));
        }
        if let Some(first) = self.unmounted.first() {
            return Some(format!(
                "{first} is empty, and was a mount point with something in it in {then}"
            ));
        }
        match (before.noted.holds, self.holds) {
            (Some(some @ 1..), Some(0)) => Some(format!(
                "nothing is left of what there was: {then} holds {some}"
            )),
            _ => None,
        }
    }

    fn refused(&self, what: String) -> Error {
        let (job, source) = (self.job, self.source);
        Error::new(ErrorKind::NotFound, what).hint(format!(
            "mount or bring back what is missing; if it is meant to be gone, `strongroom backup {job} --source {source} --allow-empty` once, or \
             `allow_empty = true` or `min_files` in [sources.{source}]"
        ))
    }
}

fn figures(summary: &Summary) -> Figures {
    Figures {
        files: summary.files,
        bytes: summary.bytes,
    }
}

fn counted(figures: Figures) -> String {
    match figures.files {
        0 => "no files".to_owned(),
        1 => format!("1 file of {} bytes", figures.bytes),
        files => format!("{files} files of {} bytes", figures.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::past::Noted;
    use super::super::stats::{Counts, Problem};
    use super::*;
    use crate::id::Id;
    use crate::source::Kind;
    use crate::time::Time;

    /// What is judged, and what is said of it.
    struct Case {
        expected: Expected,
        before: Option<(u64, u64)>,
        holds: (Option<u64>, Option<u64>),
        now: (u64, u64),
        no_mounts: bool,
        unmounted: bool,
        is_incomplete: bool,
        is_alike: bool,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                expected: Expected::default(),
                before: Some((100, 1000)),
                holds: (None, None),
                now: (100, 1000),
                no_mounts: false,
                unmounted: false,
                is_incomplete: false,
                is_alike: true,
            }
        }
    }

    fn check(case: &Case, verdict: Result<Verdict, &str>) {
        let problem = Problem {
            path: "a".into(),
            message: "denied".into(),
        };
        let report = SourceReport {
            source: "media".into(),
            kind: Kind::Full,
            summary: Summary {
                files: case.now.0,
                bytes: case.now.1,
                new_bytes: 0,
            },
            counts: Counts::default(),
            unreadable: case.is_incomplete.then_some(problem).into_iter().collect(),
            missing: Vec::new(),
            changed: Vec::new(),
            attributes: Vec::new(),
        };
        let reference = case.before.map(|(files, bytes)| Reference {
            id: Id::of(b""),
            time: Time::from_nanoseconds(0),
            figures: Figures { files, bytes },
            noted: Noted::holding(case.holds.0),
            is_alike: case.is_alike,
        });
        let named = |is_so: bool, name: &str| is_so.then(|| name.to_owned()).into_iter().collect();
        let delivered = Delivered {
            source: "media",
            job: "nightly",
            report: &report,
            holds: case.holds.1,
            no_mounts: named(case.no_mounts, "/srv"),
            unmounted: named(case.unmounted, "/srv/a"),
        };
        let judged = case.expected.judge(&delivered, reference.as_ref());
        let judged = judged.map_err(|error| error.to_string());
        assert_eq!(judged, verdict.map_err(str::to_owned));
    }

    fn allowing() -> Expected {
        Expected {
            allow_empty: true,
            ..Expected::default()
        }
    }

    fn at_least(files: u64) -> Expected {
        Expected {
            min_files: Some(files),
            ..Expected::default()
        }
    }

    #[test]
    fn what_is_gone_is_compared_with_the_last_backup_that_counts() {
        let all = "it has no files, where backup e3b0c442 of 1970-01-01 00:00 UTC has 100 files of 1000 bytes";
        let gone = || Case {
            now: (0, 0),
            ..Case::default()
        };
        check(&Case::default(), Ok(Verdict::Good));
        check(&gone(), Err(all));
        check(
            &Case {
                expected: allowing(),
                ..gone()
            },
            Ok(Verdict::Accepted),
        );
        check(
            &Case {
                is_alike: false,
                ..gone()
            },
            Ok(Verdict::Accepted),
        );
        check(
            &Case {
                is_incomplete: true,
                ..gone()
            },
            Ok(Verdict::Good),
        );
        check(
            &Case {
                before: None,
                ..gone()
            },
            Ok(Verdict::Empty),
        );
        check(
            &Case {
                before: Some((0, 0)),
                ..gone()
            },
            Ok(Verdict::Empty),
        );
        check(
            &Case {
                before: None,
                expected: allowing(),
                ..gone()
            },
            Ok(Verdict::Good),
        );
        let half = || Case {
            now: (50, 500),
            ..Case::default()
        };
        check(&half(), Ok(Verdict::Good));
        let mounted = "it has 50 files of 500 bytes, where backup e3b0c442 of 1970-01-01 00:00 UTC has 100 files of 1000 bytes, and nothing is mounted at /srv any more";
        check(
            &Case {
                no_mounts: true,
                ..half()
            },
            Err(mounted),
        );
        check(
            &Case {
                no_mounts: true,
                expected: allowing(),
                ..half()
            },
            Ok(Verdict::Good),
        );
        check(
            &Case {
                no_mounts: true,
                ..Case::default()
            },
            Ok(Verdict::Good),
        );
        let below = "/srv/a is empty, and was a mount point with something in it in backup e3b0c442 of 1970-01-01 00:00 UTC";
        check(
            &Case {
                unmounted: true,
                ..Case::default()
            },
            Err(below),
        );
        check(
            &Case {
                unmounted: true,
                expected: allowing(),
                ..Case::default()
            },
            Ok(Verdict::Good),
        );
    }

    #[test]
    fn a_server_without_databases_had_some() {
        let none =
            "nothing is left of what there was: backup e3b0c442 of 1970-01-01 00:00 UTC holds 2";
        let case = |holds| Case {
            holds,
            ..Case::default()
        };
        check(&case((Some(2), Some(0))), Err(none));
        check(&case((Some(2), Some(1))), Ok(Verdict::Good));
        check(&case((Some(0), Some(0))), Ok(Verdict::Good));
        check(&case((None, Some(0))), Ok(Verdict::Good));
        check(&case((Some(2), None)), Ok(Verdict::Good));
        let meant = Case {
            expected: allowing(),
            ..case((Some(2), Some(0)))
        };
        check(&meant, Ok(Verdict::Good));
    }

    #[test]
    fn so_many_files_are_enough() {
        let case = |least, now| Case {
            expected: at_least(least),
            now,
            ..Case::default()
        };
        check(&case(3, (3, 3)), Ok(Verdict::Accepted));
        check(&case(3, (90, 900)), Ok(Verdict::Good));
        let few = "it has 2 files of 3 bytes, and min_files says that there are 3 at least";
        check(&case(3, (2, 3)), Err(few));
        check(
            &Case {
                is_incomplete: true,
                ..case(3, (2, 3))
            },
            Err(few),
        );
        check(
            &Case {
                before: None,
                ..case(3, (2, 3))
            },
            Err(few),
        );
    }
}
