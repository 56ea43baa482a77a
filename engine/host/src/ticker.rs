//! The clock behind the CPU budget: while any guest runs, a thread advances the engine's epoch.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// How often a running guest looks up. Short enough for deadlines, long enough to cost nothing.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Shared by all instances of a host. Its thread ends with the last clone.
#[derive(Clone)]
pub(crate) struct Ticker(Arc<Handle>);

struct Handle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    closed: bool,
}

impl Ticker {
    /// Starts the thread for `engine`.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let on_thread = shared.clone();
        std::thread::Builder::new()
            .name("plugin-clock".into())
            .spawn(move || on_thread.run(&engine))?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Ticks at least until the guard is dropped.
    pub(crate) fn running(&self) -> Running {
        self.0.0.change(|state| state.running += 1);
        Running(self.0.0.clone())
    }
}

/// Keeps the clock going.
pub(crate) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(|state| state.running -= 1);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.change(|state| state.closed = true);
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn run(&self, engine: &Engine) {
        loop {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let state = self
                .changed
                .wait_while(state, |state| state.running == 0 && !state.closed)
                .unwrap_or_else(PoisonError::into_inner);
            if state.closed && state.running == 0 {
                return;
            }
            drop(state);
            std::thread::sleep(TICK);
            engine.increment_epoch();
        }
    }
}
