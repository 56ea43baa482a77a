//! How many of one costly thing an instance may have at once. Each takes a place, and gives it back when it is gone.

use std::sync::Arc;

use strongroom_repository::{Error, ErrorKind, Result};

/// Places for one kind of thing.
pub(crate) struct Quota {
    limit: usize,
    /// What they are, for the error: `programs`.
    what: &'static str,
    /// A clone for each place that is taken.
    taken: Arc<()>,
}

/// One place, taken until it is dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Quota {
    pub(crate) fn new(limit: usize, what: &'static str) -> Self {
        Self {
            limit,
            what,
            taken: Arc::default(),
        }
    }

    /// Fails where all are taken.
    pub(crate) fn take(&self) -> Result<Place> {
        let taken = Arc::strong_count(&self.taken) - 1;
        if taken >= self.limit {
            let problem = format!("no more than {} {} at once", self.limit, self.what);
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .hint("a plugin has to let go of one before the next"));
        }
        Ok(Place(self.taken.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let quota = Quota::new(2, "programs");
        let (first, _second) = (quota.take().expect("free"), quota.take().expect("free"));
        let error = quota.take().err().expect("all are taken");
        assert_eq!(error.to_string(), "no more than 2 programs at once");
        drop(first);
        assert!(quota.take().is_ok());
    }
}
