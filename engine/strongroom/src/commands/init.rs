//! `init`: creates repositories and shows each recovery key once.

use clap::Args;
use serde_json::json;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::run::init::{Initialised, Made, init};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The destinations [default: all]
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
}

/// Runs `init`.
pub fn run(args: &InitArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let results = init(&engine, &args.destinations, &context.progress)?;
    drop(display);
    if context.screen.is_json() {
        let made: Vec<_> = results.iter().filter_map(to_json).collect();
        context.screen.json(&json!({"repositories": made}))?;
    } else {
        for initialised in &results {
            show(initialised, context)?;
        }
    }
    let mut exit = Exit::Done;
    for error in results
        .iter()
        .filter_map(|initialised| initialised.result.as_ref().err())
    {
        context.screen.error(error);
        exit = Exit::of(error);
    }
    Ok(exit)
}

fn to_json(initialised: &Initialised) -> Option<serde_json::Value> {
    let made = initialised.result.as_ref().ok()?;
    Some(json!({
        "destination": initialised.destination,
        "repository": made.repository,
        "created": made.recovery_key.is_some(),
        "recovery_key": made.recovery_key.as_ref().map(|key| key.as_str()),
    }))
}

fn show(initialised: &Initialised, context: &Context) -> Result<()> {
    let Ok(Made {
        repository,
        recovery_key,
    }) = &initialised.result
    else {
        return Ok(());
    };
    let style = context.screen.style();
    let (name, id) = (&initialised.destination, repository.short());
    match recovery_key {
        None => context.screen.result(&format!(
            "{name}: repository {id} is there already, and was left alone\n"
        )),
        Some(key) => {
            let shown = context.screen.result_for_somebody(&format!(
                "{} repository {id}\n  recovery key  {}\n",
                style.good(&format!("{name}: created")),
                style.bold(key.as_str()),
            ));
            // The repository is there, and a key that nobody has seen opens it.
            let unseen = |kind, why: &str| {
                Error::new(kind, format!("{name}: repository {id} was created, and nobody has seen its recovery key: {why}"))
                    .hint(format!("`strongroom key add {name} --recovery` makes and shows another one"))
            };
            match shown {
                Ok(true) => context.screen.note(
                    "  It opens the repository when the password is lost. It is shown only now: keep it off this machine.",
                ),
                Ok(false) => {
                    let why = "standard output is discarded";
                    context.screen.warning(&unseen(ErrorKind::Failed, why));
                }
                Err(error) => return Err(unseen(error.kind(), error.message())),
            }
            Ok(())
        }
    }
}
