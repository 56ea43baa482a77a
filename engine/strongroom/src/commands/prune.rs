//! `prune`: gives back the space that no backup needs, or shows what it would do.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use strongroom_repository::Result;
use strongroom_repository::prune::{Figures, MaxUnused, PruneOptions, Pruned};

use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::render::table::{Align, Cell, Table};
use crate::render::{size, span};
use crate::run::open::AtDestination;
use crate::run::prune::prune_all;

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The destinations [default: all]
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Only show what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Unused space that may stay, because giving it back means copying what it lies among: a percentage, a size, or `unlimited`
    #[arg(long, value_name = "P", default_value = "5%", value_parser = max_unused)]
    max_unused: MaxUnused,
    /// Copy packs of at most this size in total, such as 10GiB; the next prune goes on
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_repack: Option<u64>,
    /// Packs that no index names stay until they are so old: a program that takes no locks, such as rustic, may be writing them. `0` removes
    /// them at once
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = grace)]
    grace: Duration,
}

/// `1d`, `12h`, or `0`.
pub(super) fn grace(text: &str) -> Result<Duration, String> {
    let zero = (text == "0").then_some(Duration::ZERO);
    zero.or_else(|| span::parse(text))
        .ok_or_else(|| format!("must be {}, or 0", span::FORM))
}

/// `5%`, `500MiB`, `0` or `unlimited`.
fn max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    let Some(number) = text.strip_suffix('%') else {
        return match size::parse(text) {
            Ok(bytes) => Ok(MaxUnused::Bytes(bytes)),
            Err(why) => Err(format!(
                "{why}, no percentage such as 5%, and not `unlimited`"
            )),
        };
    };
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(MaxUnused::Percent(percent)),
        _ => Err("must be at least 0% and at most 100%".into()),
    }
}

/// Runs `prune`.
pub fn run(args: &PruneArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let options = PruneOptions {
        max_unused: args.max_unused,
        max_repack: args.max_repack,
        grace: args.grace,
    };
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let pruned = prune_all(
        &engine,
        &args.destinations,
        &options,
        args.dry_run,
        &context.progress,
    )?;
    drop(display);
    if context.screen.is_json() {
        let destinations: Vec<_> = pruned.iter().map(to_json).collect();
        context
            .screen
            .json(&json!({"dry_run": args.dry_run, "destinations": destinations}))?;
    }
    show(&pruned, args.dry_run, context)
}

/// Shows people what was done, and everybody what failed.
pub(super) fn show(
    pruned: &[AtDestination<Pruned>],
    dry_run: bool,
    context: &Context,
) -> Result<Exit> {
    let mut exit = Exit::Done;
    for pruned in pruned {
        match &pruned.result {
            Ok(done) => {
                if !context.screen.is_json() {
                    let text = text(&pruned.destination, done, dry_run, context);
                    context.screen.result(&text)?;
                }
                note_young(&pruned.destination, &done.figures, context);
            }
            Err(error) => {
                context.screen.error(error);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

/// Space that a person may wait for.
fn note_young(destination: &str, figures: &Figures, context: &Context) {
    let packs = match figures.young.packs {
        0 => return,
        1 => "1 pack".to_owned(),
        packs => format!("{} packs", size::count(packs)),
    };
    context.screen.note(&format!(
        "{destination}: {packs} ({}) that no index names stay for now: another program that takes no locks may be writing them; `strongroom prune {destination} --grace 0` removes them where no such program is at work",
        size::bytes(figures.young.bytes)
    ));
}

pub(super) fn to_json(pruned: &AtDestination<Pruned>) -> Value {
    let Pruned {
        figures,
        written_bytes,
    } = match &pruned.result {
        Ok(pruned) => pruned,
        Err(error) => {
            return json!({"destination": pruned.destination, "error": error.to_string()});
        }
    };
    json!({
        "destination": pruned.destination,
        "packs": figures.indexed.packs,
        "pack_bytes": figures.indexed.bytes,
        "used": {"blobs": figures.used.blobs, "bytes": figures.used.bytes},
        "unused": {"blobs": figures.unused.blobs, "bytes": figures.unused.bytes},
        "repack": {"packs": figures.repack.packs, "blobs": figures.copied.blobs, "bytes": figures.copied.bytes},
        "remove": {"packs": figures.remove.packs, "blobs": figures.remove.blobs, "bytes": figures.remove.bytes},
        "orphans": {"packs": figures.orphans.packs, "bytes": figures.orphans.bytes},
        "young_orphans": {"packs": figures.young.packs, "bytes": figures.young.bytes},
        "missing_packs": figures.gone,
        "freed_bytes": figures.freed_bytes,
        "unused_after_bytes": figures.unused_after_bytes,
        "written_bytes": written_bytes,
    })
}

fn text(destination: &str, pruned: &Pruned, dry_run: bool, context: &Context) -> String {
    let style = context.screen.style();
    let figures = &pruned.figures;
    let verb = if dry_run { "would free" } else { "freed" };
    let verdict = match figures.freed_bytes {
        0 => "nothing to free".to_owned(),
        bytes => style.good(&format!("{verb} {}", size::bytes(bytes))),
    };
    let stays = match figures.unused_after_bytes {
        0 => String::new(),
        bytes => format!(" · {} unused stays", size::bytes(bytes)),
    };
    let table = table(figures).render(style, context.screen.width());
    let table: String = table.lines().map(|line| format!("  {line}\n")).collect();
    format!("{destination}: {verdict}{stays}\n{table}")
}

fn table(figures: &Figures) -> Table {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("PACKS", Align::Right),
        ("BLOBS", Align::Right),
        ("SIZE", Align::Right),
    ]);
    let mut row = |name: &str, packs: Option<u64>, blobs: Option<u64>, bytes: u64| {
        let count =
            |number: Option<u64>| Cell::from(number.map_or_else(|| "-".into(), size::count));
        let cells = vec![
            name.into(),
            count(packs),
            count(blobs),
            size::bytes(bytes).into(),
        ];
        table.row(cells);
    };
    let Figures {
        indexed,
        used,
        unused,
        repack,
        copied,
        remove,
        orphans,
        young,
        ..
    } = figures;
    row(
        "in the index",
        Some(indexed.packs),
        Some(indexed.blobs),
        indexed.bytes,
    );
    row("used", None, Some(used.blobs), used.bytes);
    row("unused", None, Some(unused.blobs), unused.bytes);
    row(
        "to copy",
        Some(repack.packs),
        Some(copied.blobs),
        copied.bytes,
    );
    row(
        "to remove",
        Some(remove.packs),
        Some(remove.blobs),
        remove.bytes,
    );
    row(
        "left by killed runs",
        Some(orphans.packs),
        None,
        orphans.bytes,
    );
    if young.packs > 0 {
        row(
            "in no index, but young",
            Some(young.packs),
            None,
            young.bytes,
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stay_is_a_share_a_size_or_everything() {
        let check = |text, expected| assert_eq!(max_unused(text).ok(), expected, "{text}");
        check("5%", Some(MaxUnused::Percent(5.0)));
        check("0.5 %", Some(MaxUnused::Percent(0.5)));
        check("0", Some(MaxUnused::Bytes(0)));
        check("2GiB", Some(MaxUnused::Bytes(2 << 30)));
        check("unlimited", Some(MaxUnused::Unlimited));
        for text in ["", "5", "101%", "-1%", "%", "all"] {
            check(text, None);
        }
    }
}
