//! `check`: verifies repositories.

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::check::{CheckReport, Finding};

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::size;
use crate::render::text::clean;
use crate::run::check::{Checked, check_all};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The destinations [default: all]
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Read the data itself too: all of it, or a share of the packs, where the next check goes on
    #[arg(
        long,
        value_name = "PERCENT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100",
        value_parser = percent
    )]
    read_data: Option<f64>,
}

/// `5`, `2.5` or `10%`.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .map_err(|_| "is no number".to_owned())?;
    if number > 0.0 && number <= 100.0 {
        Ok(number)
    } else {
        Err("must be more than 0 and at most 100".into())
    }
}

/// Runs `check`.
pub fn run(args: &CheckArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let checked = check_all(
        &engine,
        &args.destinations,
        args.read_data,
        &context.progress,
    )?;
    drop(display);
    if context.screen.is_json() {
        let destinations: Vec<_> = checked.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"destinations": destinations}))?;
    } else {
        for checked in &checked {
            if let Ok(report) = &checked.result {
                let text = text(&checked.destination, report, context);
                context.screen.result(&text)?;
            }
        }
        let is_sound = |checked: &Checked| {
            let report = checked.result.as_ref();
            report.is_ok_and(|report| report.problems.is_empty())
        };
        if args.read_data.is_none() && checked.iter().all(is_sound) {
            let note = "only the structure was checked: --read-data reads the data too";
            context.screen.note(note);
        }
    }
    let mut exit = Exit::Done;
    for checked in &checked {
        match &checked.result {
            Ok(report) if report.problems.is_empty() => {}
            Ok(_) => {
                context.screen.note(&next(&checked.destination));
                exit = Exit::Failed;
            }
            Err(error) => {
                context.screen.error(error);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

/// Where to go on after problems.
fn next(destination: &str) -> String {
    format!(
        "`strongroom repair index {destination}` comes first, then `strongroom repair snapshots {destination}`; --dry-run shows what each would save"
    )
}

fn to_json(checked: &Checked) -> Value {
    let findings = |findings: &[Finding]| -> Value {
        findings
            .iter()
            .map(|finding| json!({"subject": finding.subject, "message": finding.message}))
            .collect()
    };
    match &checked.result {
        Err(error) => json!({"destination": checked.destination, "error": error.to_string()}),
        Ok(report) => json!({
            "destination": checked.destination,
            "problems": findings(&report.problems),
            "notes": findings(&report.notes),
            "snapshots": report.snapshots,
            "blobs": report.blobs,
            "packs": report.packs,
            "pack_bytes": report.pack_bytes,
            "packs_read": report.packs_read,
            "bytes_read": report.bytes_read,
        }),
    }
}

fn text(destination: &str, report: &CheckReport, context: &Context) -> String {
    let style = context.screen.style();
    let mut parts = vec![
        size::counted(report.snapshots as u64, "snapshot"),
        format!(
            "{} in {}",
            size::bytes(report.pack_bytes),
            size::counted(report.packs as u64, "pack")
        ),
    ];
    match report.packs_read {
        0 => {}
        packs if packs == report.packs => parts.push("every byte read".into()),
        packs => parts.push(format!(
            "{} read of {}",
            size::bytes(report.bytes_read),
            size::counted(packs as u64, "pack")
        )),
    }
    let verdict = match report.problems.len() {
        0 => style.good("no problems"),
        number => style.bad(&size::counted(number as u64, "problem")),
    };
    let mut text = format!("{destination}: {verdict} · {}\n", parts.join(" · "));
    for finding in &report.problems {
        text.push_str(&line("problem", finding));
    }
    for finding in &report.notes {
        text.push_str(&line("note", finding));
    }
    text
}

fn line(label: &str, finding: &Finding) -> String {
    format!(
        "  {label}: {} {}\n",
        clean(&finding.subject),
        clean(&finding.message)
    )
}
