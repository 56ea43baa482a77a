//! Objects in memory. Every call is recorded, and can be made to fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::destination::{Body, Destination, ObjectMetadata, PutOptions};
use crate::{Error, ErrorKind, Result, Time};

/// What a destination can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Storing.
    Put,
    /// Reading.
    Get,
    /// Looking for one object.
    Stat,
    /// Listing.
    List,
    /// Deleting.
    Delete,
}

/// A call that was made, whether it succeeded or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// The object's key, or the prefix of a list.
    pub key: String,
    /// Bytes that were to be stored, or asked for; 0 otherwise.
    pub size: u64,
}

/// Calls that fail.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: Operation,
    key_prefix: String,
    /// How many matching calls pass before.
    passing: usize,
    /// How many fail then.
    failing: usize,
    kind: ErrorKind,
    /// The work is done all the same.
    is_done: bool,
}

impl Fault {
    /// After `passing` calls of `operation`, `failing` of them fail with `kind`.
    pub fn fail(operation: Operation, passing: usize, failing: usize, kind: ErrorKind) -> Self {
        Self {
            operation,
            key_prefix: String::new(),
            passing,
            failing,
            kind,
            is_done: false,
        }
    }

    /// After `passing` calls of `operation`, one does its work and then times out.
    pub fn lose_answer(operation: Operation, passing: usize) -> Self {
        Self {
            is_done: true,
            ..Self::fail(operation, passing, 1, ErrorKind::TimedOut)
        }
    }

    /// Only for keys that begin with `prefix`.
    #[must_use]
    pub fn on_keys(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.key_prefix);
        self
    }
}

/// A destination in memory.
pub struct MemoryDestination {
    name: String,
    parallelism: usize,
    state: Mutex<State>,
}

#[derive(Clone)]
struct Object {
    content: Bytes,
    /// Nanoseconds since the Unix epoch.
    modified: i64,
}

impl Object {
    fn new(content: Bytes) -> Self {
        Self {
            content,
            modified: Time::now().nanoseconds(),
        }
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    calls: Vec<Call>,
    faults: Vec<Fault>,
    capacity: Option<u64>,
    after_put: Option<AfterPut>,
    /// So many listings of a prefix do not name the newest object yet.
    lag: Option<(String, usize)>,
}

/// Is told the key of each object that was put.
pub type AfterPut = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

impl MemoryDestination {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            parallelism: 4,
            state: Mutex::default(),
        }
    }

    /// One that takes so many calls at once.
    #[must_use]
    pub fn with_parallelism(mut self, calls: usize) -> Self {
        self.parallelism = calls;
        self
    }

    /// From now on, makes calls fail. Several faults are asked in turn; the first that matches counts.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// From now on, lets somebody else do something after each `put`, before it returns.
    pub fn after_put(&self, call: Option<AfterPut>) {
        self.state().after_put = call;
    }

    /// So many listings of `prefix` do not name the newest object.
    pub fn lag_behind(&self, prefix: &str, listings: usize) {
        self.state().lag = Some((prefix.to_owned(), listings));
    }

    /// Lets all calls succeed again.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.capacity = None;
    }

    /// A `put` that would take it beyond `bytes` of content fails with [`ErrorKind::OutOfSpace`].
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }

    /// Lets an object be as if it had been put so long ago.
    pub fn age(&self, key: &str, by: Duration) {
        let mut state = self.state();
        let object = state.objects.get_mut(key);
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        if let Some(object) = object {
            object.modified = object.modified.saturating_sub(by);
        }
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.state().calls.clear();
    }

    /// The keys of all objects, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// An object, past recording and faults.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.state()
            .objects
            .get(key)
            .map(|object| object.content.clone())
    }

    /// Puts an object in place, or takes it away, past recording and faults: for damage.
    pub fn set_object(&self, key: &str, content: Option<Bytes>) {
        match content {
            Some(content) => self
                .state()
                .objects
                .insert(key.to_owned(), Object::new(content)),
            None => self.state().objects.remove(key),
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the call, and does the `work` unless a fault says otherwise.
    fn call<T>(
        &self,
        operation: Operation,
        key: &str,
        size: u64,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state();
        state.calls.push(Call {
            operation,
            key: key.to_owned(),
            size,
        });
        match state.fault(operation, key) {
            None => work(&mut state),
            Some((kind, is_done)) => {
                if is_done {
                    work(&mut state)?;
                }
                Err(Error::new(kind, format!("injected at {key}")))
            }
        }
    }
}

impl State {
    fn fault(&mut self, operation: Operation, key: &str) -> Option<(ErrorKind, bool)> {
        let fault = self.faults.iter_mut().find(|fault| {
            fault.operation == operation && fault.failing > 0 && key.starts_with(&fault.key_prefix)
        })?;
        if fault.passing > 0 {
            fault.passing -= 1;
            return None;
        }
        fault.failing -= 1;
        Some((fault.kind, fault.is_done))
    }

    fn put(&mut self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        if options.create_only && self.objects.contains_key(key) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{key} exists already"),
            ));
        }
        let held: u64 = self
            .objects
            .values()
            .map(|object| object.content.len() as u64)
            .sum();
        if let Some(capacity) = self.capacity
            && held + body.bytes().len() as u64 > capacity
        {
            return Err(Error::new(ErrorKind::OutOfSpace, "no space left"));
        }
        // A copy: the bytes themselves may belong to a pool that waits for them.
        let content = Bytes::copy_from_slice(body.bytes());
        self.objects.insert(key.to_owned(), Object::new(content));
        Ok(())
    }

    /// The object that a listing does not name yet.
    fn hidden(&mut self, prefix: &str) -> Option<String> {
        let (_, listings) = self.lag.as_mut().filter(|(of, _)| of == prefix)?;
        *listings = listings.checked_sub(1)?;
        let objects = self.objects.iter();
        let found = objects.filter(|(key, _)| key.starts_with(prefix));
        found
            .max_by_key(|(_, object)| object.modified)
            .map(|(key, _)| key.clone())
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        let Object { content, .. } = self
            .objects
            .get(key)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no object {key}")))?;
        let size = content.len() as u64;
        let end = length.map_or(size.max(offset), |length| offset.saturating_add(length));
        if end > size {
            return Err(Error::corrupted(format!("{key} is shorter than expected")));
        }
        Ok(content.slice(offset as usize..end as usize))
    }
}

impl Destination for MemoryDestination {
    fn name(&self) -> &str {
        &self.name
    }

    fn parallelism(&self) -> usize {
        self.parallelism
    }

    fn fills_up(&self) -> bool {
        self.state().capacity.is_some()
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        let size = body.bytes().len() as u64;
        self.call(Operation::Put, key, size, |state| {
            state.put(key, body, options)
        })?;
        let after_put = self.state().after_put.clone();
        if let Some(call) = after_put {
            call(key);
        }
        Ok(())
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        self.call(Operation::Get, key, length.unwrap_or(0), |state| {
            state.get(key, offset, length)
        })
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        self.call(Operation::Stat, key, 0, |state| {
            Ok(state.objects.get(key).map(|object| metadata(key, object)))
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        self.call(Operation::List, prefix, 0, |state| {
            let hidden = state.hidden(prefix);
            Ok(state
                .objects
                .iter()
                .filter(|(key, _)| key.starts_with(prefix) && Some(*key) != hidden.as_ref())
                .map(|(key, object)| metadata(key, object))
                .collect())
        })
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.call(Operation::Delete, key, 0, |state| {
            state.objects.remove(key);
            Ok(())
        })
    }
}

fn metadata(key: &str, object: &Object) -> ObjectMetadata {
    ObjectMetadata {
        key: key.to_owned(),
        size: object.content.len() as u64,
        modified: Some(object.modified),
    }
}
