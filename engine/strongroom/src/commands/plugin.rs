//! `plugin`: what is installed, and what it may do.

use clap::Subcommand;
use serde_json::{Value, json};
use strongroom_host::{Plugin, PluginKind};
use strongroom_repository::{Error, Result};

use super::plugin_use::{User, users};
use crate::app::Context;
use crate::bundled::{BUILD_HINT, BUNDLED};
use crate::config::{Config, Pointer, schema};
use crate::engine::Engine;
use crate::exit::Exit;
use crate::plugins::{Origin, known};
use crate::render::style::Style;
use crate::render::table::{Align, Cell, Table, details};
use crate::render::text::clean;

/// The commands below `plugin`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// List the plugins
    List,
    /// Show what a plugin is for, what its `config` table takes, and what it requires where it is used
    Show {
        /// As in `plugin = "…"`
        plugin: String,
    },
}

/// Runs `plugin`. Bundled plugins need no configuration file.
pub fn run(command: &PluginCommand, context: &Context) -> Result<Exit> {
    let config = Config::load_if_any(context.config.as_deref())?;
    let engine = context.engine_for(config)?;
    match command {
        PluginCommand::List => list(&engine, context),
        PluginCommand::Show { plugin } => show(&engine, plugin, context),
    }
}

fn list(engine: &Engine, context: &Context) -> Result<Exit> {
    if BUNDLED.is_empty() {
        context.screen.warn(BUILD_HINT);
    }
    let mut loaded = Vec::new();
    let mut problems = Vec::new();
    for (name, origin) in known(engine.config()) {
        match engine.plugin(&name) {
            Ok(plugin) => loaded.push((name, origin, plugin)),
            Err(error) => problems.push(error),
        }
    }
    if context.screen.is_json() {
        let plugins: Vec<_> = loaded
            .iter()
            .map(|(name, origin, plugin)| to_json(name, origin, plugin))
            .collect();
        context.screen.json(&plugins)?;
    } else if !loaded.is_empty() {
        let (style, width) = (context.screen.style(), context.screen.width());
        context
            .screen
            .result(&table(&loaded).render(style, width))?;
    }
    Ok(tell(&problems, context))
}

fn tell(problems: &[Error], context: &Context) -> Exit {
    for problem in problems {
        context.screen.error(problem);
    }
    problems.iter().map(Exit::of).max().unwrap_or(Exit::Done)
}

fn table(plugins: &[(String, Origin, Plugin)]) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("FOR", Align::Left),
        ("VERSION", Align::Left),
        ("FROM", Align::Left),
        ("SUMMARY", Align::Left),
    ]);
    for (name, origin, plugin) in plugins {
        table.row(vec![
            Cell::painted(name, Style::bold),
            section(plugin).into(),
            plugin.info().version.clone().into(),
            origin_text(origin).into(),
            plugin.info().summary.clone().into(),
        ]);
    }
    table
}

fn section(plugin: &Plugin) -> &'static str {
    match plugin.info().kind {
        PluginKind::Source => "sources",
        PluginKind::Destination => "destinations",
    }
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Bundled => "bundled".into(),
        Origin::File(path) => path.display().to_string(),
    }
}

fn to_json(name: &str, origin: &Origin, plugin: &Plugin) -> Value {
    let info = plugin.info();
    json!({
        "name": name,
        "for": section(plugin),
        "version": info.version,
        "summary": info.summary,
        "features": info.features,
        "sha256": info.sha256,
        "bundled": *origin == Origin::Bundled,
        "path": match origin {
            Origin::Bundled => None,
            Origin::File(path) => Some(path),
        },
    })
}

fn show(engine: &Engine, name: &str, context: &Context) -> Result<Exit> {
    let plugin = engine.plugin(name)?;
    let origin = known(engine.config())
        .remove(name)
        .unwrap_or(Origin::Bundled);
    let schema: Value = serde_json::from_str(&plugin.info().config_schema).unwrap_or(Value::Null);
    let users = users(engine, name);
    if context.screen.is_json() {
        let mut shown = to_json(name, &origin, &plugin);
        shown["config_schema"] = schema;
        shown["used_by"] = users.iter().map(User::to_json).collect();
        context.screen.json(&shown)?;
        return Ok(Exit::Done);
    }
    let style = context.screen.style();
    let info = plugin.info();
    let mut text = details(
        &[
            ("plugin", style.bold(name)),
            ("summary", clean(&info.summary).into_owned()),
            ("for", section(&plugin).to_owned()),
            ("version", clean(&info.version).into_owned()),
            ("from", origin_text(&origin)),
            ("sha256", info.sha256.to_string()),
            ("features", clean(&info.features.join(", ")).into_owned()),
        ],
        style,
    );
    let keys = config_keys(&schema);
    if !keys.is_empty() {
        text.push_str(&format!("\n{}\n", style.bold("config")));
        text.push_str(&keys.render(style, None));
    }
    for user in &users {
        text.push_str(&user.text(style));
    }
    context.screen.result(&text)?;
    Ok(Exit::Done)
}

/// What the plugin's `config` table takes.
fn config_keys(schema: &Value) -> Table {
    let mut table = Table::new(&[
        ("KEY", Align::Left),
        ("TYPE", Align::Left),
        ("", Align::Left),
        ("MEANING", Align::Left),
    ]);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for key in schema::known_keys(schema, &Pointer::root()) {
        let at = Pointer::root().key(&key);
        let parts = schema::subschemas(schema, &at);
        let text_of = |name: &str| parts.iter().find_map(|part| part.get(name)?.as_str());
        let kind = if schema::marks_secret(schema, &at) {
            "secret".to_owned()
        } else {
            parts
                .iter()
                .find_map(|part| type_name(part.get("type")?))
                .unwrap_or_default()
        };
        let need = if required.contains(&key.as_str()) {
            "required".to_owned()
        } else {
            let default = parts.iter().find_map(|part| part.get("default"));
            default
                .map(|value| format!("default {value}"))
                .unwrap_or_default()
        };
        let meaning = text_of("description").unwrap_or_default();
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        table.row(vec![
            Cell::painted(key, Style::bold),
            kind.into(),
            need.into(),
            meaning.into(),
        ]);
    }
    table
}

fn type_name(kind: &Value) -> Option<String> {
    match kind {
        Value::String(name) => Some(name.clone()),
        Value::Array(names) => {
            let names: Vec<_> = names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null")
                .collect();
            Some(names.join(" or "))
        }
        _ => None,
    }
}
