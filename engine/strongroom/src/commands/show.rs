//! `show`: one backup, with its snapshots and what its sources noted, or the files that it holds.

use std::ffi::OsString;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use strongroom_repository::backup::{Manifest, Problem};
use strongroom_repository::{Error, ErrorKind, Result};

use super::host::HostArg;
use super::list::{known_proofs, tell_problems};
use super::ls::Form;
use super::show_files::list_files;
use super::verify::findings_table;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::table::details;
use crate::render::text::clean;
use crate::render::{attribute, size, time};
use crate::run::backups::{Backup, BackupSource, State};
use crate::run::latest::{Wanted, find};
use crate::run::proofs::{Known, Proof, Worth};
use crate::run::survey::Survey;

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The backup's id, its first 4 digits or more, or `latest`
    backup: String,
    /// List the files that it holds instead
    #[arg(long)]
    files: bool,
    /// Only this path and what is below it, relative to the source; may be given several times
    #[arg(long = "path", value_name = "PATH", requires = "files")]
    paths: Vec<OsString>,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// How many names of files a terminal gets.
const NAMES_SHOWN: usize = 20;

/// Runs `show`.
pub fn run(args: &ShowArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let survey = Survey::take(&engine, None, &context.progress)?;
    let backup = find(
        &survey.backups,
        &args.backup,
        Wanted::Any,
        &args.host.whose(&engine),
        &context.progress,
    )?;
    if args.files {
        drop(display);
        let sources = backup.chosen(None)?;
        list_files(&survey, backup, &sources, &args.paths, Form::Long, context)?;
        return Ok(tell_problems(&survey, context));
    }
    let manifests = backup
        .sources
        .iter()
        .map(|source| manifest(&survey, source, context))
        .collect::<Result<Vec<_>>>()?;
    drop(display);
    if context.screen.is_json() {
        let known = known_proofs(&engine, context);
        context.screen.json(&to_json(backup, &manifests, &known)?)?;
    } else {
        context.screen.result(&text(
            backup,
            &manifests,
            &known_proofs(&engine, context),
            context,
        ))?;
    }
    Ok(tell_problems(&survey, context))
}

fn manifest(survey: &Survey, source: &BackupSource, context: &Context) -> Result<Option<Manifest>> {
    let (reading, ()) = survey.read(source, &context.progress, |_| Ok(()))?;
    Ok(reading.contents.manifest().cloned())
}

/// The object of `list`, with the manifest of each source.
fn to_json(backup: &Backup, manifests: &[Option<Manifest>], known: &Known) -> Result<Value> {
    let failed = |error: serde_json::Error| {
        Error::new(ErrorKind::Failed, format!("cannot write JSON: {error}"))
    };
    let mut value = serde_json::to_value(backup).map_err(failed)?;
    value["proof"] = json!(known.standing(backup));
    if let Some(sources) = value.get_mut("sources").and_then(Value::as_array_mut) {
        for ((source, manifest), of) in sources.iter_mut().zip(manifests).zip(&backup.sources) {
            source["manifest"] = json!(manifest);
            source["verification"] = json!(known.last(&backup.id, of));
        }
    }
    Ok(value)
}

fn text(
    backup: &Backup,
    manifests: &[Option<Manifest>],
    known: &Known,
    context: &Context,
) -> String {
    let style = context.screen.style();
    let created = backup.created.point();
    let or_dash = |text: &Option<String>| clean(text.as_deref().unwrap_or("-")).into_owned();
    let hostname = backup
        .sources
        .first()
        .and_then(|source| source.copies.first())
        .map(|copy| clean(&copy.snapshot.hostname).into_owned());
    let mut text = details(
        &[
            ("backup", style.bold(&clean(backup.short_id()))),
            ("job", or_dash(&backup.job)),
            (
                "created",
                format!(
                    "{}, {}",
                    time::second(created, &TimeZone::system()),
                    time::relative(created, Timestamp::now())
                ),
            ),
            ("kind", or_dash(&backup.kind)),
            ("trigger", or_dash(&backup.trigger)),
            (
                "state",
                match backup.state {
                    State::Complete => style.good(backup.state.as_str()),
                    State::Incomplete => style.warning(backup.state.as_str()),
                },
            ),
            (
                "missing",
                style.warning(&clean(&backup.missing_sources.join(", "))),
            ),
            ("where", clean(&backup.places()).into_owned()),
            ("made on", hostname.unwrap_or_default()),
            (
                "note",
                clean(backup.note.as_deref().unwrap_or_default()).into_owned(),
            ),
        ],
        style,
    );
    let is_verbose = context.screen.is_verbose();
    for (source, manifest) in backup.sources.iter().zip(manifests) {
        text.push_str(&source_text(source, manifest.as_ref(), is_verbose, style));
        if let Some(proof) = known.last(&backup.id, source) {
            text.push_str(&proof_text(proof, style));
        }
    }
    text
}

fn source_text(
    source: &BackupSource,
    manifest: Option<&Manifest>,
    is_verbose: bool,
    style: Style,
) -> String {
    let or_unknown = |number: Option<u64>, show: fn(u64) -> String| {
        number.map_or_else(|| "unknown".into(), show)
    };
    let mut rows = vec![
        (
            "size",
            format!(
                "{} in {}",
                or_unknown(source.bytes, size::bytes),
                or_unknown(source.files, |files| size::counted(files, "file"))
            ),
        ),
        ("new", or_unknown(source.new_bytes, size::bytes)),
    ];
    for copy in &source.copies {
        rows.push((
            "snapshot",
            format!("{} at {}", copy.id.short(), copy.destination),
        ));
    }
    if let Some(manifest) = manifest {
        let plugin = format!("{} {}", manifest.plugin, manifest.plugin_version);
        rows.push(("plugin", clean(&plugin).into_owned()));
        let method = manifest.method.as_deref().unwrap_or_default();
        rows.push(("method", clean(method).into_owned()));
        rows.extend(attributes(manifest, is_verbose));
    }
    let mut text = format!(
        "\n{}\n{}",
        style.bold(&clean(&source.source)),
        details(&rows, style)
    );
    if let Some(manifest) = manifest {
        let named = |problems: &[Problem]| -> Vec<String> {
            let lines = problems.iter();
            lines
                .map(|it| format!("{}: {}", it.path, it.message))
                .collect()
        };
        text.push_str(&names(
            "could not be read",
            &named(&manifest.unreadable),
            style,
        ));
        text.push_str(&names("missing", &named(&manifest.missing), style));
        text.push_str(&names("warnings", &manifest.warnings, style));
        text.push_str(&names(
            "changed while it was read",
            &manifest.changed,
            style,
        ));
    }
    text
}

/// What the plugin noted. What only the next backup reads is told by number, unless more is asked for.
fn attributes(manifest: &Manifest, is_verbose: bool) -> Vec<(&'static str, String)> {
    let zone = TimeZone::system();
    let mut rows = Vec::new();
    let mut hidden = 0;
    for (name, value) in &manifest.attributes {
        match attribute::words(value, &zone) {
            Some(words) => rows.push(("", format!("{}: {words}", clean(name)))),
            None if is_verbose => rows.push(("", format!("{}: {}", clean(name), clean(value)))),
            None => hidden += 1,
        }
    }
    if hidden > 0 {
        let notes = size::counted(hidden, "note");
        rows.push((
            "",
            format!("{notes} for the next backup: --verbose shows more"),
        ));
    }
    rows
}

/// What the last verification found.
fn proof_text(proof: &Proof, style: Style) -> String {
    let result = match proof.result {
        Worth::Proven => style.good("proven"),
        Worth::Failed => style.bad("failed"),
        Worth::Unknown => style.warning("unknown"),
    };
    let created = proof.time.point();
    let mut parts = vec![
        result,
        time::second(created, &TimeZone::system()),
        time::relative(created, Timestamp::now()),
    ];
    parts.extend(
        proof
            .destination
            .as_ref()
            .map(|it| format!("from {}", clean(it))),
    );
    parts.extend(proof.error.as_ref().map(|it| clean(it).into_owned()));
    let heading = details(&[("verification", parts.join(", "))], style);
    heading + &findings_table(&proof.findings, style)
}

/// The first few names of a list, under a heading.
fn names(heading: &str, names: &[String], style: Style) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut text = format!("  {}\n", style.warning(heading));
    for name in names.iter().take(NAMES_SHOWN) {
        text.push_str(&format!("    {}\n", clean(name)));
    }
    if names.len() > NAMES_SHOWN {
        let more = names.len() - NAMES_SHOWN;
        text.push_str(&format!("    and {more} more: --json shows all\n"));
    }
    text
}
