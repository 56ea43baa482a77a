//! `key`: the passwords of a repository.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::tz::TimeZone;
use serde_json::json;
use strongroom_repository::keys::KeyInfo;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::table::{Align, Cell, Table};
use crate::render::time;
use crate::run::keys;

/// The commands below `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys of a repository
    List {
        /// Whose
        destination: String,
    },
    /// Let another password open a repository
    Add {
        /// Whose
        destination: String,
        /// Read the new password from this file, or from standard input where it is `-`
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
        /// Make a recovery key and show it once
        #[arg(long, conflicts_with = "new_password_file")]
        recovery: bool,
    },
    /// Remove a key: its password no longer opens the repository
    Remove {
        /// Whose
        destination: String,
        /// The key's id or its first digits
        key: String,
    },
}

/// Runs `key`.
pub fn run(command: &KeyCommand, context: &Context) -> Result<Exit> {
    match command {
        KeyCommand::List { destination } => list(destination, context),
        KeyCommand::Add {
            destination,
            recovery: true,
            ..
        } => add_recovery(destination, context),
        KeyCommand::Add {
            destination,
            new_password_file,
            ..
        } => add(destination, new_password_file.as_deref(), context),
        KeyCommand::Remove { destination, key } => remove(destination, key, context),
    }
}

fn list(destination: &str, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let (keys, problems) = keys::list(&engine, destination, &context.progress)?;
    drop(display);
    if context.screen.is_json() {
        context.screen.json(&keys)?;
    } else {
        let (style, width) = (context.screen.style(), context.screen.width());
        context.screen.result(&table(&keys).render(style, width))?;
    }
    for problem in &problems {
        context.screen.error(problem);
    }
    Ok(if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn table(keys: &[KeyInfo]) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("CREATED", Align::Left),
        ("BY", Align::Left),
        ("ON", Align::Left),
        ("", Align::Left),
    ]);
    // rustic says none of these where nobody asked it to.
    let or_dash = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    let zone = TimeZone::system();
    for key in keys {
        let created = key.created.map(|time| time::minute(time.point(), &zone));
        table.row(vec![
            Cell::painted(key.id.short(), Style::bold),
            or_dash(&created.unwrap_or_default()).into(),
            or_dash(&key.username).into(),
            or_dash(&key.hostname).into(),
            if key.current { "in use" } else { "" }.into(),
        ]);
    }
    table
}

fn add(destination: &str, file: Option<&Path>, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let password = new_password(file)?;
    let key = keys::add(&engine, destination, &password, &context.progress)?;
    if context.screen.is_json() {
        context.screen.json(&key)?;
    } else {
        context
            .screen
            .result(&format!("added key {}\n", key.id.short()))?;
        context.screen.note(
            "The configuration still names the old password. Once it names the new one, the old key can be removed.",
        );
    }
    Ok(Exit::Done)
}

fn add_recovery(destination: &str, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let (key, recovery_key) = keys::add_recovery_key(&engine, destination, &context.progress)?;
    if context.screen.is_json() {
        let shown = json!({"id": key.id, "recovery_key": recovery_key.as_str()});
        context.screen.json(&shown)?;
    } else {
        let shown = context.screen.style().bold(recovery_key.as_str());
        let id = key.id.short();
        let result = format!("added key {id}\n  recovery key  {shown}\n");
        let unseen = |error: Error| {
            error.hint(format!(
                "key {id} was added, and nobody has seen it: remove it (`strongroom key remove {destination} {id}`), and try again"
            ))
        };
        match context.screen.result_for_somebody(&result) {
            Ok(true) => {}
            Ok(false) => {
                let problem = "standard output is discarded";
                return Err(unseen(Error::new(ErrorKind::Failed, problem)));
            }
            Err(error) => return Err(unseen(error)),
        }
        context
            .screen
            .note("  It is shown only now: keep it off this machine.");
    }
    Ok(Exit::Done)
}

fn remove(destination: &str, prefix: &str, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let key = keys::remove(&engine, destination, prefix, &context.progress)?;
    if context.screen.is_json() {
        context.screen.json(&key)?;
    } else {
        context
            .screen
            .result(&format!("removed key {}\n", key.id.short()))?;
    }
    Ok(Exit::Done)
}

/// From a file, from standard input, or from the person at the terminal, who types it twice.
fn new_password(file: Option<&Path>) -> Result<String> {
    let password = match file {
        Some(path) if path == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Error::io("cannot read the password", error))?;
            text
        }
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?,
        None => typed_password()?,
    };
    let password = password.strip_suffix('\n').unwrap_or(&password);
    if password.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "the new password is empty",
        ));
    }
    Ok(password.to_owned())
}

fn typed_password() -> Result<String> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "there is no terminal to ask for the password",
        )
        .hint("name a file with --new-password-file, or - for standard input"));
    }
    let terminal = console::Term::stderr();
    let ask = |prompt: &str| {
        terminal
            .write_str(prompt)
            .and_then(|()| terminal.read_secure_line())
            .map_err(|error| Error::io("cannot ask for the password", error))
    };
    let password = ask("new password: ")?;
    if ask("once more: ")? != password {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "the two passwords are not the same",
        ));
    }
    Ok(password)
}
