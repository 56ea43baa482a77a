//! The instances of a destination: each on a thread of its own, started when all others are busy, handed to one caller at a time.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use strongroom_repository::{Error, ErrorKind, Result};
use wasmtime::component::ResourceAny;

use crate::bindings::destination::AsDestination;
use crate::instance::{Instance, Role};
use crate::limits::{Ended, Watch};
use crate::plugin::Code;

/// How often a waiting caller looks whether its instance still answers.
const LOOK: Duration = Duration::from_millis(100);

/// How much later than the instance's own watch a caller gives up.
const SLACK: Duration = Duration::from_secs(2);

/// Up to `limit` instances of one plugin with one configuration.
pub(crate) struct Pool {
    code: Code,
    role: Arc<Role>,
    config: Arc<str>,
    limit: usize,
    workers: Mutex<Workers>,
    freed: Condvar,
}

#[derive(Default)]
struct Workers {
    idle: Vec<Worker>,
    /// Idle or not.
    started: usize,
}

/// A thread that runs jobs until this is dropped.
struct Worker(Sender<Job>);

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// What a worker's thread holds: an open store, once there was a call and unless it failed.
pub(crate) struct Slot {
    code: Code,
    role: Arc<Role>,
    config: Arc<str>,
    open: Option<OpenStore>,
}

/// An instance and its `store` resource.
pub(crate) struct OpenStore {
    pub(crate) instance: Instance,
    pub(crate) exports: AsDestination,
    pub(crate) resource: ResourceAny,
    pub(crate) deadline: Duration,
}

impl Pool {
    pub(crate) fn new(code: Code, role: Arc<Role>, config: String, limit: usize) -> Self {
        Self {
            code,
            role,
            config: config.into(),
            limit: limit.max(1),
            workers: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The ceiling of an instance's memory, which is also the largest object that is read whole.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.code.host.0.limits.memory_bytes as u64
    }

    pub(crate) fn label(&self) -> &str {
        &self.role.origin
    }

    pub(crate) fn subject(&self) -> &str {
        &self.role.subject
    }

    /// Has an idle instance run `job`, and waits for it.
    ///
    /// An instance that hangs in the operating system cannot be ended from here, only left behind: its thread ends when the system
    /// lets go of it.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        operation: &'static str,
        job: impl FnOnce(&mut OpenStore) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let worker = self.take()?;
        let limits = &self.code.host.0.limits;
        // The instance's start and its `open` have deadlines of their own.
        let all = limits.describe_deadline + 2 * limits.call_deadline;
        let mut watch = Watch::start(Some(all), limits.cancel_grace, self.role.progress.clone())
            .with_slack(SLACK);
        let (reply, answer) = sync_channel(1);
        let job: Job = Box::new(move |slot| {
            let _ = reply.send(slot.run(job));
        });
        if worker.0.send(job).is_err() {
            self.lose();
            return Err(self.lost(operation, "its thread ended"));
        }
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(result) => {
                    self.give_back(worker);
                    return result;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.lose();
                    return Err(self.lost(operation, "its thread ended"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(ended) = watch.verdict() {
                        self.lose();
                        return Err(self.left_behind(ended, operation));
                    }
                }
            }
        }
    }

    fn take(&self) -> Result<Worker> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workers = self
            .freed
            .wait_while(workers, |workers| {
                workers.idle.is_empty() && workers.started >= self.limit
            })
            .unwrap_or_else(PoisonError::into_inner);
        // The one used last is warm, and the others stay unstarted.
        if let Some(worker) = workers.idle.pop() {
            return Ok(worker);
        }
        let error = match self.start_worker() {
            Ok(worker) => {
                workers.started += 1;
                return Ok(worker);
            }
            Err(error) => error,
        };
        // The system has no more threads for us: those that there are do the work.
        let mut workers = self
            .freed
            .wait_while(workers, |workers| {
                workers.idle.is_empty() && workers.started > 0
            })
            .unwrap_or_else(PoisonError::into_inner);
        workers.idle.pop().ok_or(error)
    }

    fn give_back(&self, worker: Worker) {
        self.change(|workers| workers.idle.push(worker));
    }

    fn lose(&self) {
        self.change(|workers| workers.started = workers.started.saturating_sub(1));
    }

    fn change(&self, change: impl FnOnce(&mut Workers)) {
        change(&mut self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        self.freed.notify_one();
    }

    fn start_worker(&self) -> Result<Worker> {
        let (sender, jobs) = channel::<Job>();
        let mut slot = Slot {
            code: self.code.clone(),
            role: self.role.clone(),
            config: self.config.clone(),
            open: None,
        };
        std::thread::Builder::new()
            .name("plugin".into())
            .spawn(move || {
                for job in jobs {
                    job(&mut slot);
                }
            })
            .map_err(|error| Error::no_thread(error).on(self.subject()))?;
        Ok(Worker(sender))
    }

    fn lost(&self, operation: &str, why: &str) -> Error {
        let plugin = &self.role.plugin;
        Error::new(
            ErrorKind::Failed,
            format!("plugin {plugin} was lost in {operation}: {why}"),
        )
        .on(self.subject())
    }

    fn left_behind(&self, ended: Ended, operation: &str) -> Error {
        let kind = match ended {
            Ended::Cancelled => ErrorKind::Cancelled,
            Ended::Deadline(_) | Ended::Cpu(_) => ErrorKind::TimedOut,
        };
        Error::new(
            kind,
            format!(
                "plugin {} hangs in {operation} and cannot be ended",
                self.role.plugin
            ),
        )
        .hint("look whether the disk or network file system behind it still answers")
        .on(self.subject())
    }
}

impl Slot {
    fn run<R>(&mut self, job: impl FnOnce(&mut OpenStore) -> Result<R>) -> Result<R> {
        let mut store = match self.open.take() {
            Some(store) => store,
            None => OpenStore::open(&self.code, &self.role, &self.config)?,
        };
        let result = job(&mut store);
        if !store.instance.is_dead() {
            self.open = Some(store);
        }
        result
    }
}

impl OpenStore {
    fn open(code: &Code, role: &Arc<Role>, config: &str) -> Result<Self> {
        let mut instance = code.start(role)?;
        let exports = instance.exports(|store, instance| AsDestination::new(store, instance))?;
        let deadline = code.host.0.limits.call_deadline;
        let resource = instance.call("open", Some(deadline), async |store| {
            let stores = exports.strongroom_plugin_destination().store();
            stores.call_open(store, config).await
        })?;
        Ok(Self {
            instance,
            exports,
            resource,
            deadline,
        })
    }
}
