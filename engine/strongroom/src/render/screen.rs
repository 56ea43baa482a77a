//! The terminal: results to standard output, messages to standard error and above the progress bar, secrets blotted out of both.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use indicatif::ProgressBar;
use serde::Serialize;
use strongroom_repository::progress::{Level, Listener, Record};
use strongroom_repository::text::{clean, clean_json, clean_lines};
use strongroom_repository::{Error, Result};

use super::style::Style;
use crate::config::Secrets;

/// How to talk.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScreenOptions {
    /// Results as JSON.
    pub json: bool,
    /// Nothing but results, warnings and errors.
    pub quiet: bool,
    /// Log records below warnings too.
    pub verbose: bool,
    /// No colour, whatever the terminal can do.
    pub no_color: bool,
}

/// Everything that is said goes through here. Shared by all threads.
pub struct Screen {
    options: ScreenOptions,
    bar: Mutex<Option<ProgressBar>>,
    secrets: OnceLock<Arc<Secrets>>,
}

impl Screen {
    /// A screen over the process's own streams.
    pub fn new(options: ScreenOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            bar: Mutex::default(),
            secrets: OnceLock::new(),
        })
    }

    /// From now on, what was resolved here is blotted out.
    pub fn hide(&self, secrets: Arc<Secrets>) {
        // A second configuration in one process would be a second screen.
        let _ = self.secrets.set(secrets);
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.options.json
    }

    /// Whether more is wanted than most people care for.
    pub fn is_verbose(&self) -> bool {
        self.options.verbose
    }

    /// Whether a bar may be drawn.
    pub fn draws(&self) -> bool {
        !self.options.quiet && !self.options.json && io::stderr().is_terminal()
    }

    /// Whether plain progress lines are wanted where there is no bar.
    pub fn tells_progress(&self) -> bool {
        !self.options.quiet && !self.options.json
    }

    /// Colours of results.
    pub fn style(&self) -> Style {
        self.style_for(io::stdout().is_terminal())
    }

    /// Columns of the terminal that results go to, or `None` where they go elsewhere.
    pub fn width(&self) -> Option<usize> {
        io::stdout()
            .is_terminal()
            .then(|| console::Term::stdout().size_checked())
            .flatten()
            .map(|(_, columns)| usize::from(columns))
    }

    /// Writes a result. `text` ends with a newline where it should. The reader who has gone is no error.
    pub fn result(&self, text: &str) -> Result<()> {
        self.content(self.fit(text).as_bytes()).map(|_| ())
    }

    /// A result as it may leave: without secrets, and with no letter of others that steers a terminal.
    fn fit(&self, text: &str) -> String {
        let text = self.hidden(text);
        match self.options.json {
            true => clean_json(&text).into(),
            false => clean_lines(&text).into(),
        }
    }

    /// As [`result`](Self::result), of what is of no use where nobody reads it. Out comes whether anybody may.
    pub fn result_for_somebody(&self, text: &str) -> Result<bool> {
        Ok(self.content(self.fit(text).as_bytes())? && !is_discarded())
    }

    /// Writes content of a backup, as it is. Out comes whether anybody still reads.
    pub fn content(&self, bytes: &[u8]) -> Result<bool> {
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()
        };
        match self.suspended(write) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::io("cannot write to standard output", error)),
            Ok(()) => Ok(true),
        }
    }

    /// Writes a result as a JSON document over several lines.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        self.result(&(to_json(serde_json::to_string_pretty(value))? + "\n"))
    }

    /// Writes a result or event as JSON in one line.
    pub fn json_line(&self, value: &impl Serialize) -> Result<()> {
        self.result(&(to_json(serde_json::to_string(value))? + "\n"))
    }

    /// What people may want to know.
    pub fn note(&self, text: &str) {
        if !self.options.quiet {
            self.message(text);
        }
    }

    /// What someone should look at.
    pub fn warn(&self, text: &str) {
        let label = self.message_style().warning("warning:");
        self.message(&format!("{label} {}", clean(text)));
    }

    /// What someone should look at, and the next thing to try in a second line.
    pub fn warning(&self, warning: &Error) {
        self.warn(&warning.to_string());
        if let Some(hint) = warning.hint_text() {
            let label = self.message_style().hint("hint:");
            self.message(&format!("{label} {}", clean(hint)));
        }
    }

    /// What failed, in one line, and the next thing to try in a second.
    pub fn error(&self, error: &Error) {
        let style = self.message_style();
        let mut text = format!("{} {}", style.bad("error:"), clean(&error.to_string()));
        if let Some(hint) = error.hint_text() {
            text.push_str(&format!("\n{} {}", style.hint("hint:"), clean(hint)));
        }
        self.message(&text);
    }

    /// Where the log records of a run go.
    pub fn listener(self: &Arc<Self>) -> Listener {
        let screen = Arc::clone(self);
        Box::new(move |record| screen.record(record))
    }

    /// Messages go above `bar` until it is taken away.
    pub fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn record(&self, record: &Record) {
        let wanted = match record.level {
            Level::Error | Level::Warn => true,
            Level::Info | Level::Debug => self.options.verbose,
            Level::Trace => false,
        };
        if !wanted {
            return;
        }
        let mut text = match record.origin.as_str() {
            "engine" => record.message.clone(),
            origin => format!("{origin}: {}", record.message),
        };
        for (name, value) in &record.fields {
            text.push_str(&format!(" {name}={value}"));
        }
        if record.level >= Level::Warn {
            self.warn(&text);
        } else {
            self.message(&self.message_style().dim(&clean(&text)));
        }
    }

    /// A line to standard error, whatever is asked for.
    pub fn message(&self, text: &str) {
        let text = self.hidden(text);
        let text = clean_lines(&text);
        self.suspended(|| {
            // Where nobody listens there is nobody to tell.
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    fn suspended<R>(&self, write: impl FnOnce() -> R) -> R {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match &*bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn hidden(&self, text: &str) -> String {
        match self.secrets.get() {
            Some(secrets) => secrets.hide(text),
            None => text.to_owned(),
        }
    }

    fn message_style(&self) -> Style {
        self.style_for(io::stderr().is_terminal())
    }

    fn style_for(&self, is_terminal: bool) -> Style {
        let refused = self.options.no_color
            || self.options.json
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style::new(is_terminal && !refused)
    }
}

/// Whether what is written to standard output goes nowhere: to `/dev/null`, which is also there where a shell has closed it.
fn is_discarded() -> bool {
    let Ok(null) = rustix::fs::stat("/dev/null") else {
        return false;
    };
    rustix::fs::fstat(io::stdout())
        .is_ok_and(|output| (output.st_mode, output.st_rdev) == (null.st_mode, null.st_rdev))
}

fn to_json(text: serde_json::Result<String>) -> Result<String> {
    text.map_err(|error| {
        Error::new(
            strongroom_repository::ErrorKind::Failed,
            format!("cannot write JSON: {error}"),
        )
    })
}
