//! The program: arguments in, exit code out.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use crate::cli::{Cli, Command};
use crate::commands;
use crate::config::{Config, Secrets};
use crate::engine::Engine;
use crate::exit::Exit;
use crate::render::screen::{Screen, ScreenOptions};
use crate::signals::cancel_on_signals;

/// What every command gets.
pub struct Context {
    /// Where everything is said.
    pub screen: Arc<Screen>,
    /// Of the one run that this process makes.
    pub progress: Arc<Progress>,
    /// The configuration file that the command line names.
    pub config: Option<PathBuf>,
}

impl Context {
    /// Reads the configuration and starts the engine.
    pub fn engine(&self) -> Result<Engine> {
        self.engine_for(Config::load(self.config.as_deref())?)
    }

    /// Starts the engine with a configuration.
    pub fn engine_for(&self, config: Config) -> Result<Engine> {
        let screen = Arc::clone(&self.screen);
        let warn = Box::new(move |text: String| screen.warn(&text));
        let secrets = Arc::new(Secrets::new(config.folder().to_path_buf(), warn));
        self.screen.hide(Arc::clone(&secrets));
        let engine = Engine::new(config, secrets)?;
        if let Some(problem) = engine.without_cache() {
            let told = format!("plugins are compiled anew each time: {problem}");
            self.screen.warn(&told);
        }
        Ok(engine)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    report_panics();
    raise_file_limit();
    let exit = panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Failed);
    ExitCode::from(exit.code())
}

fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) => {
            // Nobody may be listening.
            let _ = help.print();
            return if help.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
        }
    };
    let screen = Screen::new(ScreenOptions {
        json: cli.global.json,
        quiet: cli.global.quiet,
        verbose: cli.global.verbose,
        no_color: cli.global.no_color,
    });
    let context = Context {
        progress: Arc::new(Progress::with_listener(screen.listener())),
        config: cli.global.config,
        screen,
    };
    let result = cancel_on_signals(&context.progress, &context.screen)
        .and_then(|()| start_pool())
        .and_then(|()| dispatch(cli.command, &context));
    match result {
        Ok(exit) => exit,
        Err(error) => fail(&context, &error),
    }
}

/// The threads that compile plugins and derive keys. Whoever first wants them would start them too, and panic where the system has none.
fn start_pool() -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .build_global()
        .map_err(|error| Error::no_thread(std::io::Error::other(error)))
}

fn dispatch(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Init(args) => commands::init::run(&args, context),
        Command::Backup(args) => commands::backup::run(args, context),
        Command::List(args) => commands::list::run(&args, context),
        Command::Show(args) => commands::show::run(&args, context),
        Command::Ls(args) => commands::ls::run(&args, context),
        Command::Cat(args) => commands::cat::run(&args, context),
        Command::Find(args) => commands::find::run(&args, context),
        Command::Diff(args) => commands::diff::run(&args, context),
        Command::Restore(args) => commands::restore::run(args, context),
        Command::Download(args) => commands::download::run(&args, context),
        Command::Verify(args) => commands::verify::run(args, context),
        Command::Check(args) => commands::check::run(&args, context),
        Command::Forget(args) => commands::forget::run(args, context),
        Command::Prune(args) => commands::prune::run(&args, context),
        Command::Repair(command) => commands::repair::run(&command, context),
        Command::Copy(args) => commands::copy::run(args, context),
        Command::Unlock(args) => commands::unlock::run(&args, context),
        Command::Key(command) => commands::key::run(&command, context),
        Command::Source(command) => commands::source::run(&command, context),
        Command::Plugin(command) => commands::plugin::run(&command, context),
        Command::Config(command) => commands::config::run(&command, context),
    }
}

/// What goes wrong while a run is being cancelled is a consequence of that.
fn fail(context: &Context, error: &Error) -> Exit {
    if context.progress.is_cancelled() || error.kind() == ErrorKind::Cancelled {
        context.screen.note("cancelled");
        if error.kind() == ErrorKind::Cancelled
            && let Some(hint) = error.hint_text()
        {
            context.screen.note(&format!("hint: {hint}"));
        }
        return Exit::Cancelled;
    }
    context.screen.error(error);
    Exit::of(error)
}

/// The soft limit of open files is made for programs that cannot take larger numbers; the hard one is what the system means. No further than
/// we need it: programs that we start inherit it, and there are some that make room for as many files.
fn raise_file_limit() {
    const ENOUGH: u64 = 16_384;
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    if limit.current.is_some_and(|soft| soft < wanted) {
        limit.current = Some(wanted);
        // It goes with fewer, too.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// One line instead of a backtrace.
fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        use std::io::Write;
        let place = panic
            .location()
            .map(|place| format!("{}:{}", place.file(), place.line()))
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        let message = message.lines().next().unwrap_or_default();
        // Nobody may be listening.
        let _ = writeln!(
            std::io::stderr(),
            "error: internal error at {place}: {message}\nhint: this is a fault of strongroom: please report it with this line"
        );
    }));
}
