//! The first error of a run, which stops all its threads. The error of a source is none: the run may go on with the next one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::{Error, ErrorKind, Result};

/// Shared by all threads of a run.
#[derive(Default)]
pub(crate) struct Failure {
    failed: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Failure {
    /// Remembers the first error.
    pub(crate) fn record(&self, error: Error) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.failed.swap(true, Relaxed) {
            *first = Some(error);
        }
    }

    /// Whether some thread failed.
    pub(crate) fn is_set(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Fails once any thread has failed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_set() {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    /// `result`, or the error that made it fail.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        match &*self.first.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.clone()),
            None => result,
        }
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Failed, "stopped by an earlier error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_explains_the_others() {
        let failure = Failure::default();
        assert!(failure.check().is_ok());
        failure.record(Error::new(ErrorKind::OutOfSpace, "full"));
        failure.record(Error::new(ErrorKind::Failed, "later"));
        let error = failure.explain(failure.check()).expect_err("failed");
        assert_eq!(error.message(), "full");
        assert!(
            failure.explain(Ok(())).is_err(),
            "a failed run stays failed"
        );
    }
}
