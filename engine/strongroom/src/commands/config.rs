//! `config`: the configuration itself.

use clap::Subcommand;
use serde_json::{Value, json};
use strongroom_host::PluginKind;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::app::Context;
use crate::config::schema::{PluginSchema, full_schema};
use crate::config::unused::not_acted_on;
use crate::config::{Config, Section, show};
use crate::engine::Engine;
use crate::exit::Exit;
use crate::plugins::known;
use crate::render::size;

/// The commands below `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration without touching anything outside
    Check,
    /// Print the JSON Schema of the configuration, plugins' tables included, for editors
    Schema,
    /// Show the configuration as the engine understands it, secrets hidden
    Show,
}

/// Runs `config`.
pub fn run(command: &ConfigCommand, context: &Context) -> Result<Exit> {
    match command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Schema => schema(context),
        ConfigCommand::Show => {
            let config = Config::load(context.config.as_deref())?;
            let engine = context.engine_for(config)?;
            // A literal secret is refused, so that it is not shown.
            if let Some(problem) = engine.problems().into_iter().next() {
                return Err(problem);
            }
            let shown = show::show(engine.config());
            if context.screen.is_json() {
                context.screen.json(&shown)?;
            } else {
                context.screen.result(&show::to_toml(&shown))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn check(context: &Context) -> Result<Exit> {
    let (problems, config) = match Config::load_or_problems(context.config.as_deref()) {
        Err(problems) => (problems, None),
        Ok(config) => {
            let engine = context.engine_for(config)?;
            (engine.problems(), Some(engine.config().clone()))
        }
    };
    let warning = config.as_ref().and_then(not_acted_on);
    if context.screen.is_json() {
        let problems: Vec<_> = problems.iter().map(to_json).collect();
        let warnings: Vec<_> = warning.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"problems": problems, "warnings": warnings}))?;
    } else {
        for problem in &problems {
            context.screen.error(problem);
        }
    }
    if let (true, Some(config)) = (problems.is_empty(), config) {
        if !context.screen.is_json() {
            context.screen.result(&good(&config, context))?;
        }
        if let Some(warning) = &warning {
            context.screen.warning(warning);
        }
        return Ok(Exit::Done);
    }
    Ok(Exit::Usage)
}

fn to_json(problem: &Error) -> Value {
    json!({
        "place": problem.subject(),
        "message": problem.message(),
        "hint": problem.hint_text(),
    })
}

fn good(config: &Config, context: &Context) -> String {
    let counted = |number: usize, what| size::counted(number as u64, what);
    format!(
        "{}: {} · {}, {}, {}\n",
        config.document().path().display(),
        context.screen.style().good("no problems"),
        counted(config.names(Section::Sources).len(), "source"),
        counted(config.names(Section::Destinations).len(), "destination"),
        counted(config.job_names().len(), "job"),
    )
}

/// With the plugins of the configuration, or only the bundled ones where there is none.
fn schema(context: &Context) -> Result<Exit> {
    let config = match Config::load(context.config.as_deref()) {
        Ok(config) => config,
        // An editor asks for the schema because the file is not right yet.
        Err(error) if error.kind() == ErrorKind::InvalidConfig => Config::empty(),
        Err(error) => return Err(error),
    };
    let engine = context.engine_for(config)?;
    let plugins = describe_all(&engine)?;
    let schemas: Vec<_> = plugins
        .iter()
        .map(|(name, section, schema)| PluginSchema {
            name,
            section: *section,
            schema,
        })
        .collect();
    context.screen.json(&full_schema(&schemas))?;
    Ok(Exit::Done)
}

fn describe_all(engine: &Engine) -> Result<Vec<(String, Section, Value)>> {
    known(engine.config())
        .into_keys()
        .map(|name| {
            let plugin = engine.plugin(&name)?;
            let section = match plugin.info().kind {
                PluginKind::Source => Section::Sources,
                PluginKind::Destination => Section::Destinations,
            };
            let schema = serde_json::from_str(&plugin.info().config_schema).unwrap_or_default();
            Ok((name, section, schema))
        })
        .collect()
}
