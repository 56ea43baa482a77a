//! The host: one compiler and one set of imports for all plugins. In goes a component's bytes, out comes a [`Plugin`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use strongroom_repository::{Error, ErrorKind, Id, Result};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, OptLevel};

use crate::cache::{Cache, Key};
use crate::convert::tidy;
use crate::limits::Limits;
use crate::plugin::Plugin;
use crate::sandbox::Sandbox;
use crate::ticker::Ticker;

/// What a [`Host`] is made with.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Folder for compiled code, below the engine's state folder. Made where it is missing; must be writable by nobody else.
    pub cache: PathBuf,
    /// Limits of every instance.
    pub limits: Limits,
}

/// Compiles and runs plugins. Cheap to clone.
#[derive(Clone)]
pub struct Host(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Sandbox>,
    pub(crate) ticker: Ticker,
    pub(crate) limits: Limits,
    cache: Cache,
    compilations: AtomicUsize,
}

impl Host {
    /// Fails where the cache folder cannot be trusted. Where there is no room for it, there is none.
    pub fn new(options: HostOptions) -> Result<Self> {
        let cache = Cache::open(&options.cache)?;
        let engine = engine().map_err(|error| internal("cannot set up the engine", &error))?;
        let linker =
            Sandbox::linker(&engine).map_err(|error| internal("cannot set up imports", &error))?;
        let ticker = Ticker::start(engine.clone()).map_err(Error::no_thread)?;
        Ok(Self(Arc::new(Inner {
            engine,
            linker,
            ticker,
            limits: options.limits,
            cache,
            compilations: AtomicUsize::new(0),
        })))
    }

    /// Compiles `component`, or takes the code from the cache, and asks it what it is. `name` is what the configuration calls it.
    ///
    /// Errors have the subject `plugin NAME`: not a component, lacks an export, built for another version of the ABI, or its `describe`
    /// fails. It runs with no capability.
    pub fn load(&self, name: &str, component: &[u8]) -> Result<Plugin> {
        let on = |error: Error| error.on(format!("plugin {name}"));
        let sha256 = Id::of(component);
        refuse_what_is_no_component(component).map_err(on)?;
        let component = self.0.compile(&sha256, component).map_err(on)?;
        Plugin::describe(self.clone(), name, sha256, &component)
    }

    /// Why nothing that is compiled is kept, where that is so.
    pub fn without_cache(&self) -> Option<&Error> {
        self.0.cache.problem()
    }

    /// How many components were compiled rather than taken from the cache.
    pub fn compilations(&self) -> usize {
        self.0.compilations.load(Relaxed)
    }
}

impl Inner {
    fn compile(&self, sha256: &Id, component: &[u8]) -> Result<Component> {
        let key = Key::new(sha256, &self.engine);
        if let Some(code) = self.cache.load(&key) {
            // SAFETY: `code` was made by `precompile_component`: only we could write the file, and its hash is that of what we wrote.
            // wasmtime checks besides that version and settings are its own.
            if let Ok(component) = unsafe { Component::deserialize(&self.engine, &code) } {
                return Ok(component);
            }
        }
        self.compilations.fetch_add(1, Relaxed);
        let code = self
            .engine
            .precompile_component(component)
            .map_err(|error| {
                Error::new(
                ErrorKind::InvalidConfig,
                format!("is no valid component: {}", reason(&error)),
            )
            .hint("the file may be damaged, or use a feature of WebAssembly that is not supported")
            })?;
        self.cache.store(&key, &code);
        // SAFETY: `code` comes from `precompile_component` of this engine a line ago.
        unsafe { Component::deserialize(&self.engine, &code) }
            .map_err(|error| internal("cannot load compiled code", &error))
    }
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        .epoch_interruption(true)
        .wasm_component_model(true);
    if is_address_space_limited() {
        // A memory is reserved at its full reach as a rule, which costs nothing but addresses. Where these are counted, only what is used.
        config
            .memory_reservation(0)
            .memory_guard_size(1 << 16)
            .memory_reservation_for_growth(1 << 20);
    }
    Engine::new(&config)
}

/// By `ulimit -v`.
fn is_address_space_limited() -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As);
    limit.current.is_some()
}

/// What the first eight bytes tell, in words that say what to do. Anything else is the compiler's to refuse.
fn refuse_what_is_no_component(bytes: &[u8]) -> Result<()> {
    let wrong =
        |message: &str, hint: &str| Err(Error::new(ErrorKind::InvalidConfig, message).hint(hint));
    let build_hint = "build it for the target wasm32-wasip2, or turn a module into a component with `wasm-tools component new`";
    match bytes {
        [] => wrong("is an empty file", "copy or download it again"),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => {
            wrong("is a core WebAssembly module, not a component", build_hint)
        }
        _ => wrong("is no WebAssembly component", build_hint),
    }
}

/// The first line of the innermost reason, fit for a message.
pub(crate) fn reason(error: &wasmtime::Error) -> String {
    let text = error.root_cause().to_string();
    tidy(text.lines().next().unwrap_or_default())
}

pub(crate) fn internal(what: &str, error: &wasmtime::Error) -> Error {
    Error::new(ErrorKind::Failed, format!("{what}: {}", reason(error)))
}
