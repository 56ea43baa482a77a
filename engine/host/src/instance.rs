//! One running instance of a plugin, and every call into it: under limits, with traps and hangs turned into errors that name plugin and operation.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use strongroom_repository::progress::{Level, Record};
use strongroom_repository::{Error, ErrorKind, Progress, Result};
use tokio::runtime::Runtime;
use wasmtime::component::InstancePre;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::bindings::imports::types;
use crate::grant::Grants;
use crate::host::{Host, reason};
use crate::limits::{Ended, Watch};
use crate::sandbox::Sandbox;

/// Threads for what cannot be done without blocking, such as looking up a name.
const BLOCKING_THREADS: usize = 8;
/// How often a call that waits inside the engine is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What an instance runs as.
pub(crate) struct Role {
    /// The plugin's name.
    pub(crate) plugin: String,
    /// What errors are about: `plugin NAME`, `source NAME` or `destination NAME`.
    pub(crate) subject: String,
    /// What log records come from.
    pub(crate) origin: String,
    pub(crate) grants: Arc<Grants>,
    pub(crate) progress: Arc<Progress>,
}

/// Lives on the thread that calls it. After a trap it is [dead](Self::is_dead) and good for nothing.
pub(crate) struct Instance {
    store: Store<Sandbox>,
    instance: wasmtime::component::Instance,
    runtime: Option<Runtime>,
    host: Host,
    role: Arc<Role>,
    dead: bool,
}

impl Instance {
    /// Opens what was granted and instantiates.
    pub(crate) fn start(
        host: &Host,
        component: &InstancePre<Sandbox>,
        role: &Arc<Role>,
    ) -> Result<Self> {
        let (inner, limits) = (&host.0, &host.0.limits);
        let about = |error: Error| error.on(&role.subject);
        let mut store = Sandbox::store(
            &inner.engine,
            limits,
            &role.origin,
            &role.grants,
            &role.progress,
        )
        .map_err(about)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|error| about(Error::io("cannot start", error)))?;
        let watch = Watch::start(
            Some(limits.describe_deadline),
            limits.cancel_grace,
            role.progress.clone(),
        );
        let started = run(host, &runtime, &mut store, watch, async |store| {
            component.instantiate_async(store).await
        });
        match started {
            Ok(instance) => Ok(Self {
                store,
                instance,
                runtime: Some(runtime),
                host: host.clone(),
                role: role.clone(),
                dead: false,
            }),
            Err(error) => Err(explain(&error, role, "its start", store.data())),
        }
    }

    /// The exports of one world.
    pub(crate) fn exports<E>(
        &mut self,
        new: impl FnOnce(&mut Store<Sandbox>, &wasmtime::component::Instance) -> wasmtime::Result<E>,
    ) -> Result<E> {
        new(&mut self.store, &self.instance).map_err(|error| {
            Error::new(ErrorKind::Unsupported, reason(&error)).on(&self.role.subject)
        })
    }

    /// Calls into the guest. `operation` is the word for messages; no `deadline` means that only cancelling ends the call.
    pub(crate) fn call<R>(
        &mut self,
        operation: &str,
        deadline: Option<Duration>,
        body: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<Result<R, types::Error>>,
    ) -> Result<R> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::new(ErrorKind::Failed, "has ended").on(&self.role.subject));
        };
        let grace = self.host.0.limits.cancel_grace;
        let watch = Watch::start(deadline, grace, self.role.progress.clone());
        let result = match run(&self.host, runtime, &mut self.store, watch, body) {
            Ok(answer) => self
                .store
                .data_mut()
                .settle(answer)
                .map_err(|error| error.on(&self.role.subject)),
            Err(error) => {
                self.dead = true;
                Err(explain(&error, &self.role, operation, self.store.data()))
            }
        };
        // What is left open would stay so as long as the instance.
        self.dead |= !self.store.data().unfinished.is_empty();
        result
    }

    /// Logs how much memory it has come to need.
    pub(crate) fn tell_memory(&self) {
        let bytes = self.store.data().memory_used();
        self.role.progress.log(&Record {
            level: Level::Debug,
            origin: self.role.origin.clone(),
            message: "memory of the plugin".into(),
            fields: vec![("bytes".into(), bytes.to_string())],
        });
    }

    /// What the plugin warned of in the call that has just ended.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        self.store.data_mut().take_warnings()
    }

    /// Whether it must be replaced before the next call.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waiting for a file operation that hangs.
            runtime.shutdown_background();
        }
    }
}

/// Runs `body` until it is done or its watch says otherwise. The epoch ends a guest that computes; this ends one that waits.
fn run<R>(
    host: &Host,
    runtime: &Runtime,
    store: &mut Store<Sandbox>,
    watch: Watch,
    body: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    let _running = host.0.ticker.running();
    let mut watch_here = watch.clone();
    store.data_mut().begin(watch);
    store.set_epoch_deadline(1);
    runtime.block_on(async {
        let mut call = pin!(body(store));
        loop {
            if let Ok(result) = tokio::time::timeout(LOOK, call.as_mut()).await {
                return result;
            }
            if let Some(ended) = watch_here.verdict() {
                return Err(ended.into());
            }
        }
    })
}

/// The error for a call that did not return.
fn explain(error: &wasmtime::Error, role: &Role, operation: &str, sandbox: &Sandbox) -> Error {
    let Role {
        plugin, subject, ..
    } = role;
    let who = match subject.strip_prefix("plugin ") {
        Some(_) => String::new(),
        None => format!("plugin {plugin} "),
    };
    let failed = |what: String| Error::new(ErrorKind::Failed, format!("{who}{what}"));
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return explain_end(*ended, &who, operation).on(subject);
    }
    if let Some(ceiling) = sandbox.memory_exceeded() {
        let mebibytes = ceiling >> 20;
        return failed(format!(
            "asked for more than {mebibytes} MiB of memory in {operation}"
        ))
        .on(subject);
    }
    if let Some(panic) = sandbox.last_words.panic_message() {
        return failed(format!("panicked in {operation}: {panic}"))
            .hint("this is a fault of the plugin: report it to its author")
            .on(subject);
    }
    let what = match (
        error.downcast_ref::<Trap>(),
        error.downcast_ref::<I32Exit>(),
    ) {
        (Some(Trap::StackOverflow), _) => format!("ran out of stack in {operation}"),
        (Some(trap), _) => {
            let text = trap.to_string();
            let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
            format!("trapped in {operation}: {text}")
        }
        (None, Some(I32Exit(code))) => format!("exited with code {code} in {operation}"),
        (None, None) => format!("failed in {operation}: {}", reason(error)),
    };
    match sandbox.last_words.last_line() {
        Some(line) => failed(what).hint(format!("the last that it said: {line}")),
        None => failed(what),
    }
    .on(subject)
}

fn explain_end(ended: Ended, who: &str, operation: &str) -> Error {
    match ended {
        Ended::Deadline(deadline) => Error::new(
            ErrorKind::TimedOut,
            format!(
                "{who}was not done with {operation} after {}",
                seconds(deadline)
            ),
        ),
        Ended::Cpu(budget) => Error::new(
            ErrorKind::Failed,
            format!(
                "{who}computed for more than {} in {operation} without a word to the engine",
                seconds(budget)
            ),
        ),
        Ended::Cancelled => Error::new(
            ErrorKind::Cancelled,
            format!("{who}did not stop {operation} when the run was cancelled, and was ended"),
        ),
    }
}

/// `600 s`, `0.2 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
