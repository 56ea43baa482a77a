//! What one destination holds, decided about: its snapshots, the jobs of the configuration, whose backups and now in; a plan for each job, source,
//! host and trigger out. Hosts that share a repository and a configuration have a history each. Each destination is planned for by itself, so that one that missed a run does not lose its own weekly.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strongroom_repository::loss::Series;
use strongroom_repository::{Error, ErrorKind, Id, Result, Snapshot, Time};

use super::plan::{Candidate, plan};
use super::policy::Policy;
use super::reason::Reason;
use crate::config::JobTable;
use crate::config::schedule::parse_timezone;

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The clock.
    Scheduled,
    /// A person.
    OnDemand,
}

/// A job, as far as it says what is kept.
#[derive(Debug, Clone)]
pub struct JobRetention {
    /// Its name.
    pub name: String,
    /// Names of its sources.
    pub sources: Vec<String>,
    /// Names of its destinations.
    pub destinations: Vec<String>,
    /// For scheduled backups.
    pub scheduled: Policy,
    /// For those made by hand.
    pub on_demand: Policy,
    /// Where its days begin.
    pub zone: TimeZone,
}

/// Whose backups are decided about. A configuration speaks for the host that it lies on: another one may keep its own for longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Those of these hosts.
    These(Vec<String>),
    /// Everybody's.
    All,
}

/// The backups of a source by one job, host and trigger.
#[derive(Debug, Clone)]
pub struct Group {
    /// The job.
    pub job: String,
    /// The source.
    pub source: String,
    /// The host that made them.
    pub host: String,
    /// What started the runs.
    pub trigger: Trigger,
    /// What is kept.
    pub policy: Policy,
    /// Where the job's days begin.
    pub zone: TimeZone,
    /// Oldest first.
    pub backups: Vec<Decided>,
}

/// One source of a backup, and why it is kept.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The backup's id.
    pub run: String,
    /// The snapshot's.
    pub snapshot: Id,
    /// When it was made.
    pub time: Time,
    /// Whether it holds all that it should.
    pub is_complete: bool,
    /// Whether it holds next to nothing of what the one before held, and nobody said that it is meant to: it takes no other's place.
    pub is_almost_empty: bool,
    /// Where there is none, it is to be forgotten.
    pub reasons: Vec<Reason>,
}

/// What a destination holds.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// In the order of the configuration.
    pub groups: Vec<Group>,
    /// Ours, but of a job or source that the configuration does not name with this destination: left alone.
    pub unconfigured: usize,
    /// Of jobs and sources that the configuration names, by hosts that were not asked for, with their number: left alone.
    pub others: BTreeMap<String, usize>,
    /// Made by another program: left alone.
    pub foreign: usize,
}

impl Trigger {
    /// The word for it, as snapshots have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::OnDemand => "on-demand",
        }
    }
}

impl JobRetention {
    /// From the job's table, which was checked.
    pub fn new(name: &str, table: &JobTable) -> Result<Self> {
        let policy = |table: &Option<_>| table.as_ref().map(Policy::new).transpose();
        let zone = match &table.timezone {
            None => TimeZone::system(),
            Some(zone) => parse_timezone(zone).map_err(|reason| {
                Error::new(ErrorKind::InvalidConfig, format!("its timezone {reason}"))
                    .on(format_args!("job {name}"))
            })?,
        };
        Ok(Self {
            name: name.to_owned(),
            sources: table.sources.clone(),
            destinations: table.destinations.clone(),
            scheduled: policy(&table.retention)?.unwrap_or_default(),
            on_demand: policy(&table.on_demand_retention)?.unwrap_or_default(),
            zone,
        })
    }

    fn policy(&self, trigger: Trigger) -> &Policy {
        match trigger {
            Trigger::Scheduled => &self.scheduled,
            Trigger::OnDemand => &self.on_demand,
        }
    }
}

impl Decided {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Decides about `snapshots`, which are all that `destination` holds.
pub fn groups(
    jobs: &[JobRetention],
    destination: &str,
    snapshots: &[(Id, Snapshot)],
    hosts: &Hosts,
    now: Timestamp,
) -> Held {
    let mut held = Held::default();
    let is_ours = |snapshot: &Snapshot| snapshot.tag("run").is_some();
    held.foreign = snapshots
        .iter()
        .filter(|(_, snapshot)| !is_ours(snapshot))
        .count();
    for job in jobs {
        if !job.destinations.iter().any(|name| name == destination) {
            continue;
        }
        for source in &job.sources {
            for (host, series) in by_host(job, source, snapshots) {
                for trigger in [Trigger::Scheduled, Trigger::OnDemand] {
                    let group = group(job, source, host, trigger, &series, now);
                    if group.backups.is_empty() {
                        continue;
                    }
                    match hosts {
                        Hosts::These(hosts) if !hosts.iter().any(|it| it == host) => {
                            *held.others.entry(host.to_owned()).or_default() += group.backups.len();
                        }
                        _ => held.groups.push(group),
                    }
                }
            }
        }
    }
    let decided: usize = held.groups.iter().map(|group| group.backups.len()).sum();
    let others: usize = held.others.values().sum();
    held.unconfigured = snapshots.len() - held.foreign - decided - others;
    held
}

/// A source's snapshots by one job and host, oldest first.
type OfHost<'a> = Vec<&'a (Id, Snapshot)>;

fn by_host<'a>(
    job: &JobRetention,
    source: &str,
    snapshots: &'a [(Id, Snapshot)],
) -> BTreeMap<&'a str, OfHost<'a>> {
    let mut hosts: BTreeMap<&str, OfHost<'_>> = BTreeMap::new();
    for held in snapshots {
        if is_of(&held.1, job, source) {
            hosts.entry(&held.1.hostname).or_default().push(held);
        }
    }
    for series in hosts.values_mut() {
        series.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
    }
    hosts
}

/// Those of `series` that may stand for their source.
fn counting(series: &OfHost<'_>) -> BTreeSet<Id> {
    let mut walk = Series::default();
    let counted = series.iter().filter(|(_, snapshot)| walk.counts(snapshot));
    counted.map(|(id, _)| *id).collect()
}

/// The time of the newest of `series` that is in `counting`, whoever asked for it.
fn newest_complete(
    series: &OfHost<'_>,
    counting: &BTreeSet<Id>,
    now: Timestamp,
) -> Option<Timestamp> {
    let complete = series.iter().filter(|(id, _)| counting.contains(id));
    complete
        .map(|(_, snapshot)| snapshot.time.point())
        .filter(|time| *time <= now)
        .max()
}

fn is_of(snapshot: &Snapshot, job: &JobRetention, source: &str) -> bool {
    snapshot.tag("job") == Some(&job.name) && snapshot.tag("source") == Some(source)
}

fn group(
    job: &JobRetention,
    source: &str,
    host: &str,
    trigger: Trigger,
    series: &OfHost<'_>,
    now: Timestamp,
) -> Group {
    let counting = counting(series);
    let newest = newest_complete(series, &counting, now);
    let mut backups: Vec<Decided> = series
        .iter()
        .filter_map(|(id, snapshot)| {
            let is_of_group = snapshot.tag("trigger") == Some(trigger.as_str());
            Some(Decided {
                run: snapshot.tag("run").filter(|_| is_of_group)?.to_owned(),
                snapshot: *id,
                time: snapshot.time,
                is_complete: snapshot.is_complete(),
                is_almost_empty: snapshot.is_complete() && !counting.contains(id),
                reasons: Vec::new(),
            })
        })
        .collect();
    let candidates: Vec<Candidate> = backups
        .iter()
        .map(|backup| Candidate {
            id: backup.run.clone(),
            time: backup.time.point(),
            is_complete: backup.is_complete && !backup.is_almost_empty,
        })
        .collect();
    let policy = job.policy(trigger).clone();
    let plan = plan(&policy, &candidates, newest, now, &job.zone);
    for (backup, reasons) in backups.iter_mut().zip(plan) {
        backup.reasons = reasons;
    }
    Group {
        job: job.name.clone(),
        source: source.to_owned(),
        host: host.to_owned(),
        trigger,
        policy,
        zone: job.zone.clone(),
        backups,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_repository::loss::ACCEPTED;
    use strongroom_repository::snapshot::INCOMPLETE;

    use crate::config::model::Retention;

    fn snapshot(second: i64, tags: &[&str]) -> (Id, Snapshot) {
        let time = Time::from_nanoseconds(second * 1_000_000_000);
        let json =
            serde_json::json!({"time": time, "tree": Id::of(b""), "paths": [], "tags": tags});
        let id = Id::of(json.to_string().as_bytes());
        (id, serde_json::from_value(json).expect("a snapshot"))
    }

    fn ours(second: i64, run: &str, job: &str, source: &str, trigger: &str) -> (Id, Snapshot) {
        let tags = [
            format!("run:{run}"),
            format!("job:{job}"),
            format!("source:{source}"),
            format!("trigger:{trigger}"),
        ];
        snapshot(second, &tags.each_ref().map(String::as_str))
    }

    /// Keeps the last of each group.
    fn nightly() -> JobRetention {
        let last = Policy::new(&Retention {
            last: Some(1),
            ..Retention::default()
        });
        let last = last.expect("a policy");
        JobRetention {
            name: "nightly".into(),
            sources: vec!["media".into(), "shop".into()],
            destinations: vec!["nas".into()],
            scheduled: last.clone(),
            on_demand: last,
            zone: TimeZone::UTC,
        }
    }

    fn forgotten(held: &Held) -> Vec<&str> {
        let backups = held.groups.iter().flat_map(|group| &group.backups);
        backups
            .filter(|backup| !backup.is_kept())
            .map(|backup| backup.run.as_str())
            .collect()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).expect("in range")
    }

    #[test]
    fn sources_and_triggers_are_counted_apart() {
        let snapshots = [
            ours(10, "a", "nightly", "media", "scheduled"),
            ours(20, "b", "nightly", "shop", "scheduled"),
            ours(30, "c", "nightly", "media", "on-demand"),
            ours(40, "d", "nightly", "media", "scheduled"),
        ];
        let held = groups(&[nightly()], "nas", &snapshots, &Hosts::All, now());
        let found: Vec<_> = held
            .groups
            .iter()
            .map(|group| (group.source.as_str(), group.trigger, group.backups.len()))
            .collect();
        assert_eq!(
            found,
            [
                ("media", Trigger::Scheduled, 2),
                ("media", Trigger::OnDemand, 1),
                ("shop", Trigger::Scheduled, 1)
            ]
        );
        assert_eq!(forgotten(&held), ["a"]);
    }

    #[test]
    fn ages_are_counted_from_the_sources_newest_backup_whoever_asked_for_it() {
        let table = Retention {
            within: Some("1h".into()),
            ..Retention::default()
        };
        let job = JobRetention {
            on_demand: Policy::new(&table).expect("a policy"),
            ..nightly()
        };
        let mut snapshots = vec![
            ours(10, "a", "nightly", "media", "on-demand"),
            ours(20, "b", "nightly", "media", "on-demand"),
            // None of these is a newer complete backup of that source.
            ours(9000, "c", "nightly", "shop", "scheduled"),
            ours(9000, "d", "weekly", "media", "scheduled"),
            ours(2_000_000, "e", "nightly", "media", "scheduled"),
        ];
        let check = |snapshots: &[_], expected: &[&str]| {
            assert_eq!(
                forgotten(&groups(
                    std::slice::from_ref(&job),
                    "nas",
                    snapshots,
                    &Hosts::All,
                    now()
                )),
                expected
            );
        };
        check(&snapshots, &[]);
        snapshots.push(ours(3615, "f", "nightly", "media", "scheduled"));
        check(&snapshots, &["a"]);
    }

    #[test]
    fn what_the_configuration_does_not_name_is_left_alone() {
        let snapshots = [
            ours(10, "a", "weekly", "media", "scheduled"),
            ours(20, "b", "nightly", "photos", "scheduled"),
            ours(30, "c", "nightly", "media", "by-moonlight"),
            snapshot(40, &["job:nightly", "source:media", "trigger:scheduled"]),
            snapshot(50, &[]),
        ];
        let held = groups(&[nightly()], "nas", &snapshots, &Hosts::All, now());
        assert_eq!(
            (held.groups.len(), held.unconfigured, held.foreign),
            (0, 3, 2)
        );
    }

    #[test]
    fn a_destination_that_the_job_no_longer_names_is_left_alone() {
        let snapshots = [
            ours(10, "a", "nightly", "media", "scheduled"),
            ours(20, "b", "nightly", "media", "scheduled"),
        ];
        let held = groups(&[nightly()], "offsite", &snapshots, &Hosts::All, now());
        assert_eq!((held.groups.len(), held.unconfigured), (0, 2));
        assert_eq!(
            forgotten(&groups(&[nightly()], "nas", &snapshots, &Hosts::All, now())),
            ["a"]
        );
    }

    #[test]
    fn a_snapshot_that_could_not_be_read_whole_displaces_none_that_could() {
        let (id, mut broken) = ours(20, "b", "nightly", "media", "scheduled");
        broken.tags.push(INCOMPLETE.into());
        let whole = ours(10, "a", "nightly", "media", "scheduled");
        let held = groups(
            &[nightly()],
            "nas",
            &[whole, (id, broken)],
            &Hosts::All,
            now(),
        );
        assert_eq!(forgotten(&held), [""; 0]);
    }

    fn by(host: &str, (_, mut snapshot): (Id, Snapshot)) -> (Id, Snapshot) {
        snapshot.hostname = host.into();
        let json = serde_json::to_vec(&snapshot).expect("JSON");
        (Id::of(&json), snapshot)
    }

    #[test]
    fn hosts_are_counted_apart_and_each_decides_about_its_own() {
        let snapshots = [
            by("alpha", ours(10, "a", "nightly", "media", "scheduled")),
            by("beta", ours(20, "b", "nightly", "media", "scheduled")),
            by("alpha", ours(30, "c", "nightly", "media", "scheduled")),
            by("beta", ours(40, "d", "nightly", "media", "scheduled")),
            by("gamma", ours(50, "e", "nightly", "media", "on-demand")),
        ];
        let check = |hosts: &Hosts, expected: &[&str], others: &[(&str, usize)]| {
            let held = groups(&[nightly()], "nas", &snapshots, hosts, now());
            assert_eq!(forgotten(&held), expected);
            let left = held
                .others
                .iter()
                .map(|(host, number)| (host.as_str(), *number));
            assert_eq!(left.collect::<Vec<_>>(), others);
            assert_eq!(held.unconfigured, 0);
        };
        let these = |hosts: &[&str]| Hosts::These(hosts.iter().map(|&it| it.into()).collect());
        check(&these(&["alpha"]), &["a"], &[("beta", 2), ("gamma", 1)]);
        check(&these(&["beta", "gamma"]), &["b"], &[("alpha", 2)]);
        check(
            &these(&["delta"]),
            &[],
            &[("alpha", 2), ("beta", 2), ("gamma", 1)],
        );
        check(&Hosts::All, &["a", "b"], &[]);
    }

    #[test]
    fn ages_are_counted_from_the_hosts_own_newest_backup() {
        let table = Retention {
            within: Some("1h".into()),
            ..Retention::default()
        };
        let job = JobRetention {
            scheduled: Policy::new(&table).expect("a policy"),
            ..nightly()
        };
        let snapshots = [
            by("alpha", ours(10, "a", "nightly", "media", "scheduled")),
            by("beta", ours(9000, "b", "nightly", "media", "scheduled")),
        ];
        let held = groups(&[job], "nas", &snapshots, &Hosts::All, now());
        assert_eq!(forgotten(&held), [""; 0]);
    }

    #[test]
    fn an_almost_empty_backup_displaces_no_full_one_until_a_person_says_so() {
        let holding = |files: u64, tag: &str, (_, mut snapshot): (Id, Snapshot)| {
            let summary =
                serde_json::json!({"total_files_processed": files, "total_bytes_processed": files});
            snapshot.summary = Some(serde_json::from_value(summary).expect("a summary"));
            snapshot.tags.push(tag.into());
            by("alpha", (Id::of(b""), snapshot))
        };
        let full = holding(100, "", ours(10, "full", "nightly", "media", "scheduled"));
        // Whoever asked for which.
        let by_hand = holding(99, "", ours(15, "hand", "nightly", "media", "on-demand"));
        let empty = holding(0, "", ours(20, "empty", "nightly", "media", "scheduled"));
        let again = holding(0, "", ours(30, "again", "nightly", "media", "scheduled"));
        let meant = holding(
            0,
            ACCEPTED,
            ours(40, "meant", "nightly", "media", "scheduled"),
        );
        let check = |snapshots: &[&(Id, Snapshot)], expected: &[&str]| {
            let snapshots: Vec<_> = snapshots.iter().map(|&it| it.clone()).collect();
            let held = groups(&[nightly()], "nas", &snapshots, &Hosts::All, now());
            assert_eq!(forgotten(&held), expected);
        };
        check(&[&full, &empty], &[]);
        check(&[&full, &by_hand, &empty, &again], &[]);
        check(
            &[&full, &empty, &again, &meant],
            &["full", "empty", "again"],
        );
    }
}
