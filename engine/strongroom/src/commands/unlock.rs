//! `unlock`: removes the locks of programs that are gone.

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::lock::Judged;

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::text::clean;
use crate::run::unlock::{Unlocked, unlock_all};

/// Arguments of `unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// The destinations [default: all]
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Remove every lock, also of programs that are at work
    #[arg(long)]
    all: bool,
}

/// Runs `unlock`.
pub fn run(args: &UnlockArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let unlocked = unlock_all(&engine, &args.destinations, args.all, &context.progress)?;
    drop(display);
    if context.screen.is_json() {
        let destinations: Vec<_> = unlocked.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"destinations": destinations}))?;
    }
    let mut exit = Exit::Done;
    for Unlocked {
        destination,
        result,
    } in &unlocked
    {
        match result {
            Ok(locks) => {
                if !context.screen.is_json() {
                    let style = context.screen.style();
                    context.screen.result(&text(destination, locks, style))?;
                }
                warn_of_holders(destination, locks, context);
                if locks.iter().any(|judged| !judged.is_removed) {
                    context.screen.note(&format!(
                        "`strongroom unlock {destination} --all` removes every lock: only for when you know that nobody is at work there"
                    ));
                }
            }
            Err(error) => {
                context.screen.error(error);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

fn text(destination: &str, locks: &[Judged], style: Style) -> String {
    if locks.is_empty() {
        return format!("{destination}: no locks\n");
    }
    let lines = locks.iter().map(|judged| {
        let verdict = match judged.is_removed {
            true => style.good("removed"),
            false => style.warning("left"),
        };
        let what = match &judged.lock {
            Ok(lock) => format!("locked {lock}"),
            Err(_) => format!("lock {}", judged.id.short()),
        };
        let why = judged.holder.describe();
        format!("{destination}: {verdict} · {} · {why}\n", clean(&what))
    });
    lines.collect()
}

/// Somebody may be at work, and has no lock any more.
fn warn_of_holders(destination: &str, locks: &[Judged], context: &Context) {
    for judged in locks {
        if let Ok(lock) = &judged.lock
            && judged.is_removed
            && !judged.holder.is_gone()
        {
            context.screen.warn(&format!(
                "{destination} was locked {lock}, and {}: what it does there now is not safe",
                judged.holder.describe()
            ));
        }
    }
}

fn to_json(unlocked: &Unlocked) -> Value {
    let destination = &unlocked.destination;
    let lock = |judged: &Judged| {
        json!({
            "id": judged.id,
            "lock": judged.lock.as_ref().ok(),
            "error": judged.lock.as_ref().err().map(ToString::to_string),
            "holder": judged.holder,
            "removed": judged.is_removed,
        })
    };
    match &unlocked.result {
        Ok(locks) => {
            let locks: Vec<_> = locks.iter().map(lock).collect();
            json!({"destination": destination, "locks": locks})
        }
        Err(error) => json!({"destination": destination, "error": error.to_string()}),
    }
}
