//! What a person watching a run sees: counters that workers bump and a terminal polls, and the switch that cancels.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::{Error, Result};

/// How grave a log record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For following single steps.
    Trace,
    /// For finding a fault.
    Debug,
    /// Normal.
    Info,
    /// Someone should look.
    Warn,
    /// Something was not done.
    Error,
}

/// A structured log record of a run.
#[derive(Debug, Clone)]
pub struct Record {
    /// How grave.
    pub level: Level,
    /// Who says it: `engine` or a plugin's name.
    pub origin: String,
    /// Lower case, no full stop.
    pub message: String,
    /// Details.
    pub fields: Vec<(String, String)>,
}

/// Takes the log records of a run, from any thread.
pub type Listener = Box<dyn Fn(&Record) + Send + Sync>;

/// Progress of one run. Shared by all its threads.
#[derive(Default)]
pub struct Progress {
    /// Bytes of content that were dealt with: read, carried, restored or checked.
    pub bytes: AtomicU64,
    /// Of how many in the part in hand, or 0 while unknown.
    pub bytes_expected: AtomicU64,
    /// Files (or packs, in a check) that were dealt with.
    pub items: AtomicU64,
    /// Of how many in the part in hand, or 0 while unknown.
    pub items_expected: AtomicU64,
    /// Bytes that were sent to destinations.
    pub stored_bytes: AtomicU64,
    /// Bytes and items that were dealt with before the part in hand.
    before: [AtomicU64; 2],
    step: Mutex<String>,
    item: Mutex<String>,
    cancelled: AtomicBool,
    watched: AtomicBool,
    listener: Option<Listener>,
}

impl Progress {
    /// Progress whose log records go to `listener`.
    pub fn with_listener(listener: Listener) -> Self {
        Self {
            listener: Some(listener),
            ..Self::default()
        }
    }

    /// Sets the short phrase for what is in hand.
    pub fn step(&self, label: impl Into<String>) {
        if let Ok(mut step) = self.step.lock() {
            *step = label.into();
        }
        self.item("");
    }

    /// Sets what of the step is in hand: one file of several that are, which is enough to see that something moves. Whoever would have to
    /// wait for another thread passes it over.
    pub fn item(&self, name: &str) {
        if let Ok(mut item) = self.item.try_lock() {
            item.clear();
            item.push_str(name);
        }
    }

    /// What of the step is in hand, or nothing.
    pub fn current_item(&self) -> String {
        self.item
            .lock()
            .map(|item| item.clone())
            .unwrap_or_default()
    }

    /// The short phrase for what is in hand.
    pub fn current_step(&self) -> String {
        self.step
            .lock()
            .map(|step| step.clone())
            .unwrap_or_default()
    }

    /// Begins a part of the work, such as one source of several. Nobody knows yet how much it is.
    pub fn begin_part(&self) {
        let [bytes, items] = &self.before;
        bytes.store(self.bytes.load(Relaxed), Relaxed);
        items.store(self.items.load(Relaxed), Relaxed);
        self.expect(Some(0), Some(0));
    }

    /// Bytes and items of the part in hand that were dealt with.
    pub fn done_in_part(&self) -> (u64, u64) {
        let [bytes, items] = &self.before;
        let since = |now: &AtomicU64, before: &AtomicU64| {
            let before = before.load(Relaxed);
            now.load(Relaxed).saturating_sub(before)
        };
        (since(&self.bytes, bytes), since(&self.items, items))
    }

    /// Sets the size of the part in hand, as far as it is known.
    pub fn expect(&self, bytes: Option<u64>, items: Option<u64>) {
        if let Some(bytes) = bytes {
            self.bytes_expected.store(bytes, Relaxed);
        }
        if let Some(items) = items {
            self.items_expected.store(items, Relaxed);
        }
    }

    /// Counts finished work.
    pub fn advance(&self, bytes: u64, items: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.items.fetch_add(items, Relaxed);
    }

    /// Says that somebody watches: then it is worth while to look how much there is to do.
    pub fn watch(&self) {
        self.watched.store(true, Relaxed);
    }

    /// Whether somebody watches.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// Asks the run to end. Every long loop looks at it through [`check_cancelled`](Self::check_cancelled).
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// Whether the run is being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    /// Fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) once the run is being cancelled.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.is_cancelled() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }

    /// Passes a log record on.
    pub fn log(&self, record: &Record) {
        if let Some(listener) = &self.listener {
            listener(record);
        }
    }

    /// Logs something that someone should look at.
    pub fn warn(&self, message: impl Into<String>) {
        self.log(&Record {
            level: Level::Warn,
            origin: "engine".into(),
            message: message.into(),
            fields: Vec::new(),
        });
    }
}
