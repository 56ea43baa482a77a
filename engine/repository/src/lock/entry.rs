//! What a lock says, and what follows for its holder: pure functions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::absent::null_is_default;
use crate::machine::{Machine, Process, ThisMachine};
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
    /// Where the number of the process means something: one boot of one machine, and one space of process numbers on it. restic notes none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "null_is_default"
    )]
    pub process_space: Option<String>,
    /// When the process was started, in ticks since the boot.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "null_is_default"
    )]
    pub process_started: Option<u64>,
}

/// What is known of the holder of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A process of this boot of this machine that has ended.
    Dead,
    /// By the destination's own clock, it has not refreshed the lock for 30 minutes.
    Silent,
    /// A process of this boot of this machine that lives.
    Alive,
    /// Another machine, another container or another program, and nothing says that it has ended.
    Elsewhere,
    /// The lock cannot be read.
    Unknown,
}

impl Holder {
    /// What follows from whether the process lives, where that is known, and from the seconds since the lock was stored, where the destination
    /// tells. Neither a host's name nor its clock says anything.
    pub fn judge(lives: Option<bool>, age_seconds: Option<i64>, is_readable: bool) -> Self {
        match lives {
            Some(true) => Self::Alive,
            Some(false) => Self::Dead,
            None if age_seconds.is_some_and(|age| age > STALE_AFTER_SECONDS) => Self::Silent,
            None if is_readable => Self::Elsewhere,
            None => Self::Unknown,
        }
    }

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
            Self::Elsewhere => "nothing says that its process has ended",
            Self::Unknown => "it cannot be read",
        }
    }
}

/// After so many seconds without refreshing, a lock counts for nothing. restic has the same.
pub const STALE_AFTER_SECONDS: i64 = 30 * 60;

impl LockEntry {
    /// The lock that this process would hold.
    pub fn here(now: Time, exclusive: bool) -> Self {
        Self {
            time: now,
            ..Self::on(&ThisMachine, exclusive)
        }
    }

    /// The lock that the process on `machine` would hold.
    pub(crate) fn on(machine: &dyn Machine, exclusive: bool) -> Self {
        let (identity, process) = (machine.identity(), machine.process());
        Self {
            time: machine.now(),
            exclusive,
            hostname: identity.hostname,
            username: identity.username,
            pid: process.pid,
            uid: identity.uid,
            gid: identity.gid,
            process_space: process.space,
            process_started: process.started,
        }
    }

    /// Its holder.
    pub(crate) fn process(&self) -> Process {
        Process {
            pid: self.pid,
            space: self.process_space.clone(),
            started: self.process_started,
        }
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

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_judged_by_its_process_and_by_the_age_of_the_lock() {
        use Holder::*;
        for (lives, age, expected) in [
            (Some(true), Some(60), Alive),
            // Its process may be stopped; it will go on.
            (Some(true), Some(3600), Alive),
            (Some(false), Some(60), Dead),
            (Some(false), None, Dead),
            (None, Some(1800), Elsewhere),
            (None, Some(1801), Silent),
            (None, Some(-3600), Elsewhere),
            (None, None, Elsewhere),
        ] {
            assert_eq!(Holder::judge(lives, age, true), expected);
        }
        assert_eq!(Holder::judge(None, Some(60), false), Unknown);
        assert_eq!(Holder::judge(None, None, false), Unknown);
        assert_eq!(Holder::judge(None, Some(1801), false), Silent);
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
