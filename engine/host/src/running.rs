//! How many programs of a verification run: its scratch directory can go when none does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// A count of programs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<AtomicUsize>);

/// One program that runs.
#[derive(Debug)]
pub(crate) struct Counted(Running);

impl Running {
    /// Waits until all programs have ended; false where they have not in that time. Whoever started them must have let go of them.
    pub fn wait(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.count() > 0 && begun.elapsed() < patience {
            std::thread::sleep(LOOK);
        }
        self.count() == 0
    }

    pub(crate) fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::AcqRel);
        Counted(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_waited_for_the_last_one() {
        let running = Running::default();
        assert!(running.wait(Duration::ZERO));
        let (one, other) = (running.enter(), running.enter());
        drop(one);
        assert!(!running.wait(Duration::from_millis(1)));
        let thread = std::thread::spawn(move || drop(other));
        assert!(running.wait(Duration::from_secs(60)));
        thread.join().expect("it ends");
    }
}
