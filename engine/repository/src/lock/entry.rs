//! What a lock says, and what follows from it: pure functions of the locks, the time, this host, and which processes live.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::absent::null_is_default;
use crate::id::Id;
use crate::identity::Identity;
use crate::time::Time;

/// A lock as restic writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockEntry {
    /// When it was made or last refreshed. Where nothing says so, in the first year: to restic, too, such a lock is stale.
    #[serde(default, deserialize_with = "null_is_default")]
    pub time: Time,
    /// Whether nobody else may work in the repository.
    #[serde(default, deserialize_with = "null_is_default")]
    pub exclusive: bool,
    /// The holder's host.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hostname: String,
    /// The holder's user.
    #[serde(default, deserialize_with = "null_is_default")]
    pub username: String,
    /// The holder's process.
    #[serde(default, deserialize_with = "null_is_default")]
    pub pid: i64,
    /// The holder's user as a number.
    #[serde(
        default,
        skip_serializing_if = "is_zero",
        deserialize_with = "null_is_default"
    )]
    pub uid: u32,
    /// The holder's group as a number.
    #[serde(
        default,
        skip_serializing_if = "is_zero",
        deserialize_with = "null_is_default"
    )]
    pub gid: u32,
}

/// What decides whether the holder of a lock is still there.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The time.
    pub now: Time,
    /// This host.
    pub hostname: &'a str,
    /// Whether a process of this host lives.
    pub is_alive: &'a dyn Fn(i64) -> bool,
}

/// What is known of the holder of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A process of this host that has ended.
    Dead,
    /// It has not refreshed the lock for 30 minutes.
    Silent,
    /// A process of this host that lives.
    Alive,
    /// Another host, from which the lock was refreshed within 30 minutes.
    Elsewhere,
    /// The lock cannot be read.
    Unknown,
}

impl Holder {
    /// Whether the lock counts for nothing.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Dead | Self::Silent)
    }

    /// For people, after the lock.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Dead => "its process has ended",
            Self::Silent => "it was not refreshed for 30 minutes",
            Self::Alive => "its process lives",
            Self::Elsewhere => "it was refreshed within 30 minutes",
            Self::Unknown => "it cannot be read",
        }
    }
}

/// After so many seconds without refreshing, a lock counts for nothing. restic has the same.
pub const STALE_AFTER_SECONDS: i64 = 30 * 60;

impl LockEntry {
    /// The lock that this process would hold.
    pub fn here(now: Time, exclusive: bool) -> Self {
        let identity = Identity::current();
        Self {
            time: now,
            exclusive,
            hostname: identity.hostname,
            username: identity.username,
            pid: std::process::id().into(),
            uid: identity.uid,
            gid: identity.gid,
        }
    }

    /// What is known of its holder.
    pub fn holder(&self, situation: &Situation<'_>) -> Holder {
        if self.is_dead(situation) {
            Holder::Dead
        } else if self.age_seconds(situation.now) > STALE_AFTER_SECONDS {
            Holder::Silent
        } else if self.hostname == situation.hostname {
            Holder::Alive
        } else {
            Holder::Elsewhere
        }
    }

    /// Whether its holder is gone, as far as one can tell.
    pub fn is_stale(&self, situation: &Situation<'_>) -> bool {
        self.holder(situation).is_gone()
    }

    /// Whether its process was one of this host and does not live.
    pub fn is_dead(&self, situation: &Situation<'_>) -> bool {
        self.hostname == situation.hostname && !(situation.is_alive)(self.pid)
    }

    /// Seconds since it was refreshed; negative where the holder's clock runs ahead.
    pub fn age_seconds(&self, now: Time) -> i64 {
        now.point().duration_since(self.time.point()).as_secs()
    }
}

impl fmt::Display for LockEntry {
    /// Who holds it, where and since when.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            time,
            hostname,
            username,
            pid,
            ..
        } = self;
        let how = if self.exclusive { "exclusively " } else { "" };
        write!(
            f,
            "{how}by {username} on {hostname} (process {pid}) since {time}"
        )
    }
}

/// The lock that keeps us out: any other one if we want to be alone, else only an exclusive one. Stale locks and our `own` do not count.
pub fn blocking<'a>(
    locks: &'a [(Id, LockEntry)],
    own: Option<&Id>,
    exclusive: bool,
    situation: &Situation<'_>,
) -> Option<&'a LockEntry> {
    locks
        .iter()
        .filter(|(id, _)| Some(id) != own)
        .map(|(_, lock)| lock)
        .find(|lock| (exclusive || lock.exclusive) && !lock.is_stale(situation))
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-07-01T12:00:00Z";

    fn lock(time: &str, hostname: &str, pid: i64, exclusive: bool) -> (Id, LockEntry) {
        let entry = LockEntry {
            time: time.parse().expect(time),
            exclusive,
            hostname: hostname.into(),
            username: "ann".into(),
            pid,
            uid: 0,
            gid: 0,
        };
        (Id::of(format!("{entry}").as_bytes()), entry)
    }

    /// This host is `here`, where only process 1 lives.
    fn check(lock: &(Id, LockEntry), wanted_exclusive: bool, expected_blocked: bool) {
        let situation = Situation {
            now: NOW.parse().expect(NOW),
            hostname: "here",
            is_alive: &|pid| pid == 1,
        };
        let locks = [lock.clone()];
        assert_eq!(
            blocking(&locks, None, wanted_exclusive, &situation).is_some(),
            expected_blocked,
            "{}",
            lock.1
        );
        assert!(blocking(&locks, Some(&lock.0), wanted_exclusive, &situation).is_none());
    }

    #[test]
    fn readers_and_writers_share_and_the_exclusive_one_is_alone() {
        for (held_exclusive, wanted_exclusive, blocked) in [
            (false, false, false),
            (false, true, true),
            (true, false, true),
            (true, true, true),
        ] {
            let held = lock("2026-07-01T11:58:00Z", "there", 7, held_exclusive);
            check(&held, wanted_exclusive, blocked);
        }
    }

    #[test]
    fn a_lock_without_a_holder_keeps_nobody_out() {
        for (time, hostname, pid, blocked) in [
            ("2026-07-01T11:30:01Z", "there", 7, true),
            ("2026-07-01T11:29:59Z", "there", 7, false),
            // The zone is part of the time.
            ("2026-07-01T13:29:59+02:00", "there", 7, false),
            ("2026-07-01T12:20:00Z", "there", 7, true),
            ("2026-07-01T11:58:00Z", "here", 1, true),
            ("2026-07-01T11:58:00Z", "here", 7, false),
            ("2026-07-01T11:29:59Z", "here", 1, false),
        ] {
            check(&lock(time, hostname, pid, true), true, blocked);
        }
    }

    #[test]
    fn a_holder_is_judged_by_time_host_and_process() {
        for (time, hostname, pid, expected) in [
            ("2026-07-01T11:58:00Z", "here", 1, Holder::Alive),
            ("2026-07-01T11:58:00Z", "here", 7, Holder::Dead),
            ("2026-07-01T11:29:59Z", "here", 1, Holder::Silent),
            ("2026-07-01T11:29:59Z", "here", 7, Holder::Dead),
            ("2026-07-01T11:58:00Z", "there", 7, Holder::Elsewhere),
            ("2026-07-01T11:29:59Z", "there", 1, Holder::Silent),
        ] {
            let situation = Situation {
                now: NOW.parse().expect(NOW),
                hostname: "here",
                is_alive: &|pid| pid == 1,
            };
            let (_, lock) = lock(time, hostname, pid, false);
            assert_eq!(lock.holder(&situation), expected, "{lock}");
        }
    }

    #[test]
    fn what_restic_writes_is_read() {
        let json = r#"{"time":"2026-11-20T13:14:37.9+01:00","exclusive":true,"hostname":"vm","username":"root","pid":3361}"#;
        let entry: LockEntry = serde_json::from_str(json).expect("is read");
        assert_eq!(
            entry.to_string(),
            "exclusively by root on vm (process 3361) since 2026-11-20T13:14:37.9+01:00"
        );
        assert_eq!(serde_json::to_string(&entry).expect("is written"), json);
    }
}
