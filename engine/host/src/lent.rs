//! Lending: a reference that lives on the caller's stack goes into a guest's resource table for the length of one call.
//!
//! A store's data must be `'static`, and a [`Sink`] or [`Feed`] is borrowed. The loan ends, whatever the guest did, before the borrow does.

use std::sync::{Arc, Mutex, PoisonError};

use strongroom_repository::source::{Feed, Sink};

/// The guest's side of a loan: usable until the loan ends, and empty from then on.
pub(crate) struct Lent<T: ?Sized + 'static>(Arc<Mutex<Option<&'static T>>>);

impl<T: ?Sized> Lent<T> {
    /// Calls `use_it` with the reference, or returns `None` when the loan has ended.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&T) -> R) -> Option<R> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.map(use_it)
    }
}

/// Lends `sink` while `body` runs.
pub(crate) fn lend_sink<R>(sink: &dyn Sink, body: impl FnOnce(Lent<dyn Sink + 'static>) -> R) -> R {
    // SAFETY: `lend` takes the reference back before it returns, and `sink` outlives this call.
    let extended = unsafe { std::mem::transmute::<&dyn Sink, &'static (dyn Sink + 'static)>(sink) };
    lend(extended, body)
}

/// Lends `feed` while `body` runs.
pub(crate) fn lend_feed<R>(feed: &dyn Feed, body: impl FnOnce(Lent<dyn Feed + 'static>) -> R) -> R {
    // SAFETY: as in `lend_sink`.
    let extended = unsafe { std::mem::transmute::<&dyn Feed, &'static (dyn Feed + 'static)>(feed) };
    lend(extended, body)
}

/// The loan ends when this is dropped: by return or by panic. It waits for a use in hand on another thread.
struct Loan<T: ?Sized + 'static>(Arc<Mutex<Option<&'static T>>>);

impl<T: ?Sized> Drop for Loan<T> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn lend<T: ?Sized, R>(reference: &'static T, body: impl FnOnce(Lent<T>) -> R) -> R {
    let slot = Arc::new(Mutex::new(Some(reference)));
    let _loan = Loan(slot.clone());
    body(Lent(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_is_over_when_the_call_returns() {
        let kept = lend("word", |lent| {
            assert_eq!(lent.with(str::len), Some(4));
            lent
        });
        assert_eq!(kept.with(str::len), None);
    }
}
