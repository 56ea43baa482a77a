//! A layer over a destination that tries again what failed for now, with growing pauses, a bounded number of times.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::destination::{Body, Destination, ObjectMetadata, PutOptions};
use crate::progress::{Level, Progress, Record};
use crate::{Error, ErrorKind, Result};

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How often an operation is begun at most.
    pub attempts: u32,
    /// The pause after the first failure. It doubles after each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// Ten attempts within about three minutes: a server restarts in that time, and a person does not wait longer.
    fn default() -> Self {
        Self {
            attempts: 10,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The pause after the failure of attempt `attempt`, counted from 1; `chance` is even between 0 and 1. Between half and all of the
    /// doubled pause, so that those who failed together do not come back together.
    pub fn pause(&self, attempt: u32, chance: f64) -> Duration {
        let doubled = 2_u32
            .checked_pow(attempt.saturating_sub(1))
            .and_then(|factor| self.first_pause.checked_mul(factor))
            .unwrap_or(self.longest_pause)
            .min(self.longest_pause);
        doubled.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

/// A destination whose temporary errors are not passed on before they lasted. Cancelling the run ends a pause at once.
pub struct Retry {
    inner: Arc<dyn Destination>,
    policy: RetryPolicy,
    progress: Arc<Progress>,
}

impl Retry {
    /// Over `inner`, with the default policy. What is tried again is logged to `progress`.
    pub fn new(inner: Arc<dyn Destination>, progress: Arc<Progress>) -> Self {
        Self::with_policy(inner, progress, RetryPolicy::default())
    }

    /// Over `inner`.
    pub fn with_policy(
        inner: Arc<dyn Destination>,
        progress: Arc<Progress>,
        policy: RetryPolicy,
    ) -> Self {
        Self {
            inner,
            policy,
            progress,
        }
    }

    /// Calls `operation` with the number of the attempt until it succeeds, fails for good, or was tried often enough.
    fn run<T>(&self, what: &str, mut operation: impl FnMut(u32) -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            // The first attempt is made even when the run is being cancelled: a lock has to be removed all the same.
            match operation(attempt) {
                Err(error) if error.is_temporary() && attempt < self.policy.attempts => {
                    self.log(what, attempt, &error);
                    self.pause(attempt)?;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn log(&self, what: &str, attempt: u32, error: &Error) {
        self.progress.log(&Record {
            level: Level::Info,
            origin: "engine".into(),
            message: format!("{}: {what} failed for now: {error}", self.inner.name()),
            fields: vec![(
                "attempt".into(),
                format!("{attempt} of {}", self.policy.attempts),
            )],
        });
    }

    fn pause(&self, attempt: u32) -> Result<()> {
        const STEP: Duration = Duration::from_millis(50);
        let end = Instant::now() + self.policy.pause(attempt, chance());
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.progress.check_cancelled()?;
            sleep(left.min(STEP));
        }
        Ok(())
    }

    /// Whether a `put` that seemed to fail did its work before the answer was lost.
    fn holds(&self, key: &str, body: &Body) -> Result<bool> {
        Ok(Body::of(self.inner.get(key, 0, None)?).sha256() == body.sha256())
    }
}

impl Destination for Retry {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    fn fills_up(&self) -> bool {
        self.inner.fills_up()
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        self.run(&format!("storing {key}"), |attempt| {
            match self.inner.put(key, body, options) {
                Err(error)
                    if error.kind() == ErrorKind::AlreadyExists
                        && attempt > 1
                        && self.holds(key, body)? =>
                {
                    Ok(())
                }
                result => result,
            }
        })
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        self.run(&format!("reading {key}"), |_| {
            self.inner.get(key, offset, length)
        })
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        self.run(&format!("looking for {key}"), |_| self.inner.stat(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        self.run(&format!("listing {prefix}"), |_| self.inner.list(prefix))
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.run(&format!("deleting {key}"), |_| self.inner.delete(key))
    }
}

fn chance() -> f64 {
    let mut bytes = [0; 4];
    crate::crypto::random(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Content;
    use crate::testing::{Fault, MemoryDestination, Operation};

    const OPTIONS: PutOptions = PutOptions {
        create_only: true,
        content: Content::Metadata,
    };

    fn retrying(inner: &Arc<MemoryDestination>, attempts: u32) -> (Retry, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let policy = RetryPolicy {
            attempts,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
        };
        (
            Retry::with_policy(inner.clone(), progress.clone(), policy),
            progress,
        )
    }

    /// `failures` puts fail with `kind` before one succeeds.
    fn check(kind: ErrorKind, failures: usize, attempts: u32, expected: Result<(), ErrorKind>) {
        let inner = Arc::new(MemoryDestination::new("nas"));
        inner.inject(Fault::fail(Operation::Put, 0, failures, kind));
        let (retry, _) = retrying(&inner, attempts);
        let result = retry.put("config", &Body::of(&b"x"[..]), OPTIONS);
        assert_eq!(result.map_err(|error| error.kind()), expected);
    }

    #[test]
    fn what_fails_for_now_is_tried_again_a_bounded_number_of_times() {
        for kind in [
            ErrorKind::Unavailable,
            ErrorKind::TimedOut,
            ErrorKind::Throttled,
        ] {
            check(kind, 2, 3, Ok(()));
            check(kind, 3, 3, Err(kind));
        }
    }

    #[test]
    fn what_fails_for_good_is_tried_once() {
        for kind in [
            ErrorKind::Denied,
            ErrorKind::OutOfSpace,
            ErrorKind::AlreadyExists,
        ] {
            check(kind, 1, 3, Err(kind));
        }
    }

    #[test]
    fn a_put_whose_answer_was_lost_has_succeeded() {
        let inner = Arc::new(MemoryDestination::new("nas"));
        inner.inject(Fault::lose_answer(Operation::Put, 0));
        let (retry, _) = retrying(&inner, 3);
        let body = Body::of(&b"content"[..]);
        retry.put("config", &body, OPTIONS).expect("is stored");

        inner.inject(Fault::fail(Operation::Put, 0, 1, ErrorKind::TimedOut));
        let other = Body::of(&b"another"[..]);
        let error = retry.put("config", &other, OPTIONS).expect_err("differs");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn cancelling_ends_a_pause() {
        let inner = Arc::new(MemoryDestination::new("nas"));
        inner.inject(Fault::fail(Operation::Get, 0, 9, ErrorKind::TimedOut));
        let progress = Arc::new(Progress::default());
        let policy = RetryPolicy {
            first_pause: Duration::from_secs(60),
            longest_pause: Duration::from_secs(60),
            ..RetryPolicy::default()
        };
        let retry = Retry::with_policy(inner.clone(), progress.clone(), policy);
        let error = std::thread::scope(|scope| {
            let run = scope.spawn(|| retry.get("config", 0, None));
            sleep(Duration::from_millis(20));
            progress.cancel();
            run.join().expect("ends").expect_err("is cancelled")
        });
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(inner.calls().len(), 1);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RetryPolicy {
            attempts: 10,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(5),
        };
        for (attempt, chance, expected) in [
            (1, 1.0, 1000),
            (2, 1.0, 2000),
            (3, 0.0, 2000),
            (3, 1.0, 4000),
            (4, 1.0, 5000),
            (99, 0.5, 3750),
        ] {
            let pause = policy.pause(attempt, chance);
            assert_eq!(pause, Duration::from_millis(expected), "{attempt}");
        }
    }
}
