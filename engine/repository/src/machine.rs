//! The machine that a repository is used from: its clocks, its name, and which of its processes live. A simulation brings machines of its own.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::identity::Identity;
use crate::time::Time;

/// What a repository asks of the machine.
pub(crate) trait Machine: Send + Sync {
    /// The time of day, right or wrong.
    fn now(&self) -> Time;

    /// A clock that only goes forward, also while the machine sleeps.
    fn uptime(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration);

    /// The user and the host.
    fn identity(&self) -> Identity;

    /// This process.
    fn process(&self) -> Process;

    /// Whether a process is still there. `None` where nothing here can tell: its number means nothing to this machine.
    fn lives(&self, process: &Process) -> Option<bool>;

    /// Takes over what is to be called now and then, as long as it is there. `false` where its owner has to see to that himself, in a thread.
    fn calls(&self, _ticking: Weak<dyn Ticking>) -> bool {
        false
    }
}

/// What is to be done now and then.
pub(crate) trait Ticking: Send + Sync {
    /// Does what is due.
    #[cfg_attr(not(test), expect(dead_code, reason = "only simulations take it over"))]
    fn tick(&self);
}

/// A process, so that nobody takes another one for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i64,
    /// Where that number means something: one boot of one machine, and one space of process numbers on it. Containers have their own.
    pub(crate) space: Option<String>,
    /// When it was started, in the system's ticks since the boot: numbers are used again.
    pub(crate) started: Option<u64>,
}

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThisMachine;

impl Machine for ThisMachine {
    fn now(&self) -> Time {
        Time::now()
    }

    fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn identity(&self) -> Identity {
        Identity::current()
    }

    fn process(&self) -> Process {
        let pid = std::process::id();
        Process {
            pid: pid.into(),
            space: space(),
            started: started(pid),
        }
    }

    fn lives(&self, process: &Process) -> Option<bool> {
        if process.space.is_none() || process.space != space() {
            return None;
        }
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw)?;
        // One that we may not signal lives.
        let is_there = test_kill_process(pid) != Err(rustix::io::Errno::SRCH);
        let is_another = || {
            let started = u32::try_from(process.pid).ok().and_then(started);
            started.is_some() && process.started.is_some() && started != process.started
        };
        Some(is_there && !is_another())
    }
}

/// This boot, and this space of process numbers.
fn space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), numbers.display()))
}

/// When a process was started, in ticks since the boot.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything, also brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

impl fmt::Debug for dyn Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({})", self.identity().hostname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_ended_does_not() {
        let own = ThisMachine.process();
        assert_eq!(ThisMachine.lives(&own), Some(true));
        let mut child = std::process::Command::new("true").spawn().expect("runs");
        let ended = Process {
            pid: child.id().into(),
            ..own.clone()
        };
        child.wait().expect("ends");
        assert_eq!(ThisMachine.lives(&ended), Some(false));
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let own = ThisMachine.process();
        let before = Process {
            started: own.started.map(|started| started - 1),
            ..own.clone()
        };
        assert!(own.started.is_some());
        assert_eq!(ThisMachine.lives(&before), Some(false));
    }

    #[test]
    fn a_number_of_another_boot_or_container_says_nothing() {
        let own = ThisMachine.process();
        let boot = own.space.clone().expect("is known");
        for space in [None, Some(format!("{boot}0")), Some(String::new())] {
            let other = Process {
                space,
                ..own.clone()
            };
            assert_eq!(ThisMachine.lives(&other), None);
        }
    }

    #[test]
    fn uptime_goes_forward() {
        let before = ThisMachine.uptime();
        ThisMachine.sleep(Duration::from_millis(2));
        assert!(ThisMachine.uptime() > before);
    }
}
