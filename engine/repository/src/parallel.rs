//! Running one function over many items with several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::Builder;

use crate::{Error, Result};

/// Calls `work` for each item, with at most `threads` at once. After a failure no further item is begun, and the first error is returned.
pub(crate) fn for_each<T: Sync>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    share(threads, items, |items| {
        for item in items {
            work(item)?;
        }
        Ok(())
    })
}

/// Calls `work` at most `threads` times at once, each with as many of the items as it manages to take. After a failure the items end, and the
/// first error is returned.
pub(crate) fn share<T: Sync>(
    threads: usize,
    items: &[T],
    work: impl Fn(&mut dyn Iterator<Item = &T>) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let run = || {
        let mut items = std::iter::from_fn(|| match failed.load(Relaxed) {
            true => None,
            false => items.get(next.fetch_add(1, Relaxed)),
        });
        if let Err(error) = work(&mut items) {
            failed.store(true, Relaxed);
            if let Ok(mut failure) = failure.lock() {
                failure.get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            // Where the system has no more threads for us, those that there are do the work; in the worst case, this one.
            if Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    failure.into_inner().ok().flatten().map_or(Ok(()), Err)
}

/// As [`for_each`], with the results in the items' order.
pub(crate) fn map<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let numbered: Vec<usize> = (0..items.len()).collect();
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    for_each(threads, &numbered, |number| {
        let Some(item) = items.get(*number) else {
            return Ok(());
        };
        let result = work(item)?;
        if let Ok(mut results) = results.lock()
            && let Some(slot) = results.get_mut(*number)
        {
            *slot = Some(result);
        }
        Ok(())
    })?;
    Ok(results
        .into_inner()
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn results_come_in_order() {
        let items: Vec<u64> = (0..1000).collect();
        let squares = map(4, &items, |item| Ok(item * item)).expect("squares");
        assert!(
            squares
                .iter()
                .zip(&items)
                .all(|(square, item)| *square == item * item)
        );
    }

    #[test]
    fn the_first_error_ends_it() {
        let items: Vec<u64> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let result = for_each(2, &items, |item| {
            begun.fetch_add(1, Relaxed);
            if *item == 3 {
                Err(Error::new(ErrorKind::Failed, "three"))
            } else {
                Ok(())
            }
        });
        assert_eq!(result.expect_err("fails").message(), "three");
        assert!(begun.into_inner() < 1000);
    }
}
