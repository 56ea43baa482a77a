//! Large buffers that go round: a bounded pool, whose limit is what bounds a run's memory.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A pool of equal buffers. Their memory is mapped once and used again: on a virtual machine a page fault costs a microsecond or more.
pub struct Pool {
    capacity: usize,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    free: Vec<Vec<u8>>,
    unmade: usize,
}

impl Pool {
    /// At most `count` buffers of `capacity` bytes, made when they are first needed.
    pub fn new(count: usize, capacity: usize) -> Arc<Self> {
        let state = Mutex::new(State {
            free: Vec::with_capacity(count),
            unmade: count,
        });
        Arc::new(Self {
            capacity,
            state,
            returned: Condvar::new(),
        })
    }

    /// An empty buffer. Blocks until there is one.
    pub fn take(self: &Arc<Self>) -> Buffer {
        let mut state = self.lock();
        loop {
            if let Some(bytes) = state.free.pop() {
                return Buffer {
                    bytes,
                    home: Some(Arc::clone(self)),
                };
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                let bytes = Vec::with_capacity(self.capacity);
                return Buffer {
                    bytes,
                    home: Some(Arc::clone(self)),
                };
            }
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that return to their pool when they are dropped. The default one has no pool.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<Arc<Pool>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.home.take() {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            // The last one to come back is the next to go: its memory is still in the caches.
            pool.lock().free.push(bytes);
            pool.returned.notify_one();
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let pool = Pool::new(1, 100);
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"something");
        let address = buffer.as_ptr();
        drop(buffer);
        let again = pool.take();
        assert_eq!((again.len(), again.as_ptr()), (0, address));
    }

    #[test]
    fn taking_waits_for_a_return() {
        let pool = Pool::new(1, 100);
        let buffer = pool.take();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.take().len());
            assert!(!waiting.is_finished());
            drop(buffer);
            assert_eq!(waiting.join().expect("joined"), 0);
        });
    }
}
