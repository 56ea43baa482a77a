//! The state of one sandboxed instance, as its imports see it: grants, limits, resources, and the run that it works for.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_repository::progress::{Level, Record};
use strongroom_repository::{Error, ErrorKind, Progress, Result};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::bindings::imports::{command, feed, log, object, progress, sink, tls, types};
use crate::clock::Clock;
use crate::convert;
use crate::grant::Grants;
use crate::limits::{Ended, Limits, MemoryCeiling, Stretch, Watch};
use crate::network::{self, Lookup};
use crate::preopen::{self, Writable};
use crate::quota::Quota;
use crate::reach::Reach;
use crate::stderr::LastWords;
use crate::ticker::TICK;

/// Most resources (streams, files, what is waited for) that an instance may hold at once, beside its directories. Each may be a descriptor of the
/// engine, which has no more than 1024 in most places.
const MAX_RESOURCES: usize = 256;
/// Each has threads that read ahead, and up to 80 MiB of what they read.
const MAX_READERS: usize = 8;
/// Each has a thread and six descriptors.
const MAX_PROGRAMS: usize = 8;
/// Warnings of one call that are kept for whoever asks; all of them are logged.
const MAX_WARNINGS: usize = 201;

/// What a store holds.
pub(crate) struct Sandbox {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    memory: MemoryCeiling,
    stretch: Stretch,
    pub(crate) watch: Watch,
    pub(crate) last_words: LastWords,
    pub(crate) grants: Arc<Grants>,
    pub(crate) writable: Vec<Writable>,
    pub(crate) reach: Reach,
    /// Files of a backup that are being read.
    pub(crate) readers: Quota,
    /// Programs that run.
    pub(crate) programs: Quota,
    /// Names being resolved, by resource.
    pub(crate) lookups: BTreeMap<u32, Lookup>,
    pub(crate) progress: Arc<Progress>,
    origin: String,
    /// Files begun and not finished, by resource: a call that leaves one behind has failed.
    pub(crate) unfinished: BTreeMap<u32, String>,
    failure: Option<Error>,
    /// What the plugin warned of in the call in hand.
    warnings: Vec<String>,
    /// What it said was not restored in the call in hand.
    pub(crate) missing: usize,
}

impl Sandbox {
    /// A store with nothing in it yet. `origin` names the plugin's log records.
    pub(crate) fn store(
        engine: &Engine,
        limits: &Limits,
        origin: &str,
        grants: &Arc<Grants>,
        progress: &Arc<Progress>,
    ) -> Result<Store<Self>> {
        let last_words = LastWords::default();
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(true)
            .wall_clock(Clock)
            .stderr(last_words.clone());
        let writable = preopen::open_granted(&mut wasi, grants)?;
        let reach = Reach::new(grants);
        network::open_granted(&mut wasi, &reach);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES + grants.capabilities().len());

        let mut store = Store::new(
            engine,
            Self {
                wasi: wasi.build(),
                table,
                memory: MemoryCeiling::new(limits.memory_bytes),
                stretch: Stretch::default(),
                watch: Watch::start(None, limits.cancel_grace, progress.clone()),
                last_words,
                grants: grants.clone(),
                writable,
                reach,
                readers: Quota::new(MAX_READERS, "open files of a backup"),
                programs: Quota::new(MAX_PROGRAMS, "programs"),
                lookups: BTreeMap::new(),
                progress: progress.clone(),
                origin: origin.to_owned(),
                unfinished: BTreeMap::new(),
                failure: None,
                warnings: Vec::new(),
                missing: 0,
            },
        );
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(limits.memory_bytes);
        store.call_hook(|mut store, hook| {
            store.data_mut().stretch.on_hook(hook);
            Ok(())
        });
        let budget = limits.cpu_budget;
        store.epoch_deadline_callback(move |mut store| {
            let sandbox = store.data_mut();
            if let Some(ended) = sandbox.watch.verdict() {
                return Err(ended.into());
            }
            if TICK * sandbox.stretch.tick() > budget {
                return Err(Ended::Cpu(budget).into());
            }
            Ok(UpdateDeadline::Continue(1))
        });
        Ok(store)
    }

    /// Everything that a component may import.
    pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Self>> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        network::add_to_linker(&mut linker)?;
        let l = &mut linker;
        types::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        log::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        progress::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        command::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        tls::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        sink::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        feed::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        object::add_to_linker::<_, HasSelf<_>>(l, |sandbox| sandbox)?;
        Ok(linker)
    }

    /// Readies the state for a call.
    pub(crate) fn begin(&mut self, watch: Watch) {
        self.watch = watch;
        self.stretch.reset();
        self.memory.begin();
        self.last_words.clear();
        self.reach.begin();
        self.failure = None;
        self.warnings.clear();
        self.missing = 0;
    }

    /// What the plugin warned of in the call that has just ended.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The ceiling in bytes, if the guest asked for more than that.
    pub(crate) fn memory_exceeded(&self) -> Option<usize> {
        self.memory.exceeded().then(|| self.memory.ceiling())
    }

    /// Bytes of all memories of the guest.
    pub(crate) fn memory_used(&self) -> usize {
        self.memory.used()
    }

    /// Notes an error after which the call cannot succeed, whatever the guest makes of it, and gives the guest its side of it.
    pub(crate) fn fail(&mut self, error: Error) -> types::Error {
        let for_guest = convert::error_to_guest(&error);
        self.failure.get_or_insert(error);
        for_guest
    }

    /// The verdict on a call that the guest returned from with `answer`.
    ///
    /// An error of the engine that the guest passes on comes out as it was. One that the guest kept to itself still fails the call.
    pub(crate) fn settle<R>(&mut self, answer: Result<R, types::Error>) -> Result<R> {
        if let Some(path) = self.unfinished.values().next() {
            let error = unfinished(path);
            self.failure.get_or_insert(error);
        }
        match (answer, self.failure.take()) {
            (Ok(value), None) => Ok(value),
            (Ok(_), Some(failure)) => Err(failure),
            (Err(error), Some(failure)) if error.message == failure.to_string() => Err(failure),
            (Err(error), _) => Err(self.explained(convert::error_from_guest(error))),
        }
    }

    /// WASI says "access denied" and nothing else of what was not granted. Where a guest passes that on, the words are added here.
    fn explained(&self, error: Error) -> Error {
        match self.reach.take_refusal() {
            Some(refusal) if error.kind() == ErrorKind::Denied && error.hint_text().is_none() => {
                let explained = Error::new(ErrorKind::Denied, format!("{error}: {refusal}"));
                match refusal.hint_text() {
                    Some(hint) => explained.hint(hint),
                    None => explained,
                }
            }
            _ => error,
        }
    }
}

/// The error for a file that a plugin began and left.
pub(crate) fn unfinished(path: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("left '{}' unfinished", convert::tidy(path)),
    )
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl types::Host for Sandbox {}

impl log::Host for Sandbox {
    fn emit(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = convert::level(level);
        let message = convert::tidy(&message);
        if level >= Level::Warn && self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(message.clone());
        }
        self.progress.log(&Record {
            level,
            origin: self.origin.clone(),
            message,
            fields: fields
                .iter()
                .map(|(key, value)| (convert::tidy(key), convert::tidy(value)))
                .collect(),
        });
        Ok(())
    }
}

impl progress::Host for Sandbox {
    fn step(&mut self, label: String) -> wasmtime::Result<()> {
        self.progress.step(convert::tidy(&label));
        Ok(())
    }

    fn expect(&mut self, bytes: Option<u64>, items: Option<u64>) -> wasmtime::Result<()> {
        self.progress.expect(bytes, items);
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.watch.is_cancelled())
    }
}
