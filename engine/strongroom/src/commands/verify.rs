//! `verify`: sees that a backup is good, by bringing it to life.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::verification::{Finding, Verdict};

use super::check::percent;
use super::host::HostArg;
use super::list::tell_problems;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::style::Style;
use crate::render::table::{Align, Cell, Table};
use crate::render::text::clean;
use crate::render::time;
use crate::run::backups::Backup;
use crate::run::id::LATEST;
use crate::run::latest::{Wanted, find};
use crate::run::proofs::{Proof, Worth};
use crate::run::survey::{Survey, not_found_at};
use crate::run::verify::{Options, Verified, verify};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The backup's id, its first 4 digits or more, or `latest`
    #[arg(default_value = LATEST)]
    backup: String,
    /// Only this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only from this destination [default: the first one that can be read]
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
    /// How many percent of a volume's files to restore [default: as configured, or 5]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    sample: Option<f64>,
    /// Restore below this folder, and remove it afterwards [default: as configured, or in the state folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// Runs `verify`.
pub fn run(args: VerifyArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let screen = &context.screen;
    let display = Display::begin(screen, &context.progress, Shown::People);
    let from = args.from.as_deref();
    let survey = Survey::take(&engine, from, &context.progress)?;
    let backup = find(
        &survey.backups,
        &args.backup,
        Wanted::Ours(args.source.as_deref()),
        &args.host.whose(&engine),
        &context.progress,
    )
    .map_err(|error| not_found_at(from, error))?;
    let sources = backup.chosen(args.source.as_deref())?;
    if let Some(shortfall) = backup.shortfall(args.source.as_deref()) {
        screen.warn(&shortfall);
    }
    let options = Options {
        percent: args.sample,
        scratch: args.scratch,
    };
    let verified = verify(
        &engine,
        &survey,
        backup,
        &sources,
        &options,
        &context.progress,
    )?;
    drop(display);
    if screen.is_json() {
        screen.json(&to_json(backup, &verified))?;
    } else {
        for verified in verified.iter().filter(|it| it.error.is_none()) {
            screen.result(&text(&verified.proof, screen.style()))?;
        }
    }
    let mut exit = Exit::Done;
    for verified in &verified {
        if let Some(error) = &verified.error {
            screen.error(error);
        }
        exit = exit.max(match verified.proof.result {
            Worth::Proven => Exit::Done,
            Worth::Failed | Worth::Unknown => Exit::Failed,
        });
    }
    // What was asked for was read: another destination's trouble is told, and says nothing about this backup.
    tell_problems(&survey, context);
    Ok(exit)
}

fn to_json(backup: &Backup, verified: &[Verified]) -> Value {
    let sources: Vec<_> = verified.iter().map(|it| json!(it.proof)).collect();
    let is_proven = verified.iter().all(|it| it.proof.result == Worth::Proven);
    json!({"backup": backup.id, "proven": is_proven, "sources": sources})
}

fn text(proof: &Proof, style: Style) -> String {
    let mut parts = vec![match proof.result {
        Worth::Proven => style.good("proven"),
        Worth::Failed | Worth::Unknown => style.bad("not proven"),
    }];
    parts.extend(
        proof
            .destination
            .as_ref()
            .map(|it| format!("from {}", clean(it))),
    );
    parts.extend(proof.attributes.iter().map(|(name, value)| {
        let (name, value) = (clean(name), clean(value));
        format!("{name}: {value}")
    }));
    parts.push(time::duration(Duration::from_secs_f64(
        proof.seconds.max(0.0),
    )));
    let heading = format!("{}: {}\n", clean(&proof.source), parts.join(" · "));
    heading + &findings_table(&proof.findings, style)
}

/// One line for each finding, as long as it may be: the end of a reason is what tells most.
pub(super) fn findings_table(findings: &[Finding], style: Style) -> String {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Left)]);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Passed => Cell::painted("  ok", Style::good),
            Verdict::Failed => Cell::painted("  failed", Style::bad),
            Verdict::Skipped => Cell::painted("  skipped", Style::warning),
        };
        let (subject, detail) = (finding.subject.as_str(), finding.detail.as_str());
        table.row(vec![verdict, subject.into(), detail.into()]);
    }
    table.rows(style)
}
