//! What one instance of a plugin may use: memory, running time, wall time. None of it trusts the guest.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_repository::Progress;
use wasmtime::{CallHook, ResourceLimiter};

/// Limits of every instance. They apply to each instance by itself.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Ceiling of an instance's memory in bytes.
    pub memory_bytes: usize,
    /// How long a guest may compute without calling the engine or returning. What the engine does for it does not count.
    pub cpu_budget: Duration,
    /// Wall time of `describe`, `requirements` and `verify-needs`, and of an instance's start.
    pub describe_deadline: Duration,
    /// Wall time of a call to a destination, and of a source's `open` and `check`. A source's `backup`, `restore` and `verify` take as long as they take.
    pub call_deadline: Duration,
    /// How long a call may go on after the run was cancelled.
    pub cancel_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            cpu_budget: Duration::from_secs(60),
            describe_deadline: Duration::from_secs(10),
            call_deadline: Duration::from_secs(600),
            cancel_grace: Duration::from_secs(10),
        }
    }
}

/// Why the engine ended a call. Travels through the guest's stack as the trap's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The deadline passed.
    Deadline(Duration),
    /// The guest computed for too long.
    Cpu(Duration),
    /// The run was cancelled and the guest went on.
    Cancelled,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended by the engine: {self:?}")
    }
}

impl std::error::Error for Ended {}

/// Watches one call: its deadline, and whether the run was cancelled.
#[derive(Clone)]
pub(crate) struct Watch {
    started: Instant,
    deadline: Option<Duration>,
    grace: Duration,
    progress: Arc<Progress>,
    /// A call that begins in a run already cancelled tidies up, such as removing a lock: it is not told to stop, and gets the grace time.
    tidying: bool,
    cancelled_at: Option<Instant>,
}

impl Watch {
    /// Starts with the call. `deadline` is the wall time from now, or none.
    pub(crate) fn start(
        deadline: Option<Duration>,
        grace: Duration,
        progress: Arc<Progress>,
    ) -> Self {
        let tidying = progress.is_cancelled();
        let deadline = match deadline {
            Some(deadline) if tidying => Some(deadline.min(grace)),
            None if tidying => Some(grace),
            other => other,
        };
        Self {
            started: Instant::now(),
            deadline,
            grace,
            progress,
            tidying,
            cancelled_at: None,
        }
    }

    /// The same with some time on top, for whoever watches the watcher.
    pub(crate) fn with_slack(mut self, slack: Duration) -> Self {
        self.deadline = self.deadline.map(|deadline| deadline + slack);
        self.grace += slack;
        self
    }

    /// What the guest is told when it asks.
    pub(crate) fn is_cancelled(&self) -> bool {
        !self.tidying && self.progress.is_cancelled()
    }

    /// Why the call must end now, if it must.
    pub(crate) fn verdict(&mut self) -> Option<Ended> {
        if let Some(deadline) = self.deadline
            && self.started.elapsed() >= deadline
        {
            return Some(Ended::Deadline(deadline));
        }
        if self.is_cancelled() {
            let cancelled_at = *self.cancelled_at.get_or_insert_with(Instant::now);
            if cancelled_at.elapsed() >= self.grace {
                return Some(Ended::Cancelled);
            }
        }
        None
    }
}

/// The guest's running time since it last called the engine, in ticks of the epoch that found it running.
#[derive(Default)]
pub(crate) struct Stretch {
    ticks: u32,
    before_host_call: u32,
}

impl Stretch {
    /// To be told of every crossing between guest and engine.
    pub(crate) fn on_hook(&mut self, hook: CallHook) {
        if hook.entering_host() {
            self.before_host_call = self.ticks;
            self.ticks = 0;
        }
    }

    /// Counts a tick. The epoch's own callback is a call of the engine too, and must not count as one.
    pub(crate) fn tick(&mut self) -> u32 {
        self.ticks = self.before_host_call.saturating_add(1);
        self.ticks
    }

    /// Starts over with a new call.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Keeps an instance's memories, all together, under a ceiling.
pub(crate) struct MemoryCeiling {
    ceiling: usize,
    used: usize,
    last_growth: usize,
    exceeded: bool,
}

impl MemoryCeiling {
    pub(crate) fn new(ceiling: usize) -> Self {
        Self {
            ceiling,
            used: 0,
            last_growth: 0,
            exceeded: false,
        }
    }

    pub(crate) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// What the instance has: the most that it ever needed, because it never gives any back.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Starts a call: what was refused in an earlier one did not end the guest.
    pub(crate) fn begin(&mut self) {
        self.exceeded = false;
    }

    /// Whether more was asked for in this call. A guest that lives with the refusal is none the worse.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }
}

impl ResourceLimiter for MemoryCeiling {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.used.saturating_add(growth);
        if total > self.ceiling {
            self.exceeded = true;
            return Ok(false);
        }
        self.used = total;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.used = self.used.saturating_sub(self.last_growth);
        self.last_growth = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // An element takes 8 bytes of the engine's memory.
        Ok(desired <= 1 << 20)
    }

    fn instances(&self) -> usize {
        256
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together_and_a_refusal_is_remembered() {
        let mut ceiling = MemoryCeiling::new(100);
        assert!(ceiling.memory_growing(0, 60, None).expect("first"));
        assert!(ceiling.memory_growing(0, 40, None).expect("second"));
        assert!(!ceiling.exceeded());
        assert!(!ceiling.memory_growing(40, 41, None).expect("third"));
        assert!(ceiling.exceeded());
        assert_eq!(ceiling.used(), 100);
    }

    #[test]
    fn a_call_to_the_engine_starts_the_stretch_anew_and_a_tick_does_not() {
        let mut stretch = Stretch::default();
        for expected in 1..4 {
            stretch.on_hook(CallHook::CallingHost);
            assert_eq!(stretch.tick(), expected);
            stretch.on_hook(CallHook::ReturningFromHost);
        }
        stretch.on_hook(CallHook::CallingHost);
        stretch.on_hook(CallHook::ReturningFromHost);
        stretch.on_hook(CallHook::CallingHost);
        assert_eq!(stretch.tick(), 1);
    }

    #[test]
    fn a_call_in_a_cancelled_run_gets_the_grace_time_and_is_not_told_to_stop() {
        let progress = Arc::new(Progress::default());
        let (hour, none) = (Duration::from_secs(3600), Duration::ZERO);
        let mut before = Watch::start(Some(hour), none, progress.clone());
        assert_eq!(before.verdict(), None);
        progress.cancel();
        assert!(before.is_cancelled());
        assert_eq!(before.verdict(), Some(Ended::Cancelled));

        let mut after = Watch::start(None, none, progress);
        assert!(!after.is_cancelled());
        assert_eq!(after.verdict(), Some(Ended::Deadline(none)));
    }
}
