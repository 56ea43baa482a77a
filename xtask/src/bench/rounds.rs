//! The measurements: rounds of every phase with every tool, interleaved.
//!
//! In: a data set and tools. Out: for each tool what each round cost. A machine's mood changes over minutes; tools that take turns share it.

use std::fs;
use std::path::Path;

use super::change::Change;
use super::dataset::{Dataset, files_below};
use super::measure::{Measured, measure};
use super::peers::{PHASES, Phase, Place, Tool};
use crate::compare;
use crate::error::{Error, Result};
use crate::workspace::say;

/// What one tool's round cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// In the order of [`PHASES`].
    pub(crate) phases: [Measured; 4],
    /// The repository's size after the first backup.
    pub(crate) repository_bytes: u64,
    /// How much the backup after the change added.
    pub(crate) change_bytes: u64,
}

/// One tool's rounds.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) tool: String,
    pub(crate) is_ours: bool,
    pub(crate) rounds: Vec<Round>,
}

/// Measures every tool `count` times. Each restore is compared with the data set, outside of what is measured; a difference is an error.
pub(crate) fn measure_rounds(
    dataset: &Dataset,
    tools: &[Tool],
    count: usize,
    work: &Path,
) -> Result<Vec<Rounds>> {
    let mut results: Vec<Rounds> = tools
        .iter()
        .map(|tool| Rounds {
            tool: tool.name.clone(),
            is_ours: tool.is_ours(),
            rounds: Vec::new(),
        })
        .collect();
    for number in 0..count {
        // Another tool begins each round.
        for index in 0..tools.len() {
            let index = (index + number) % tools.len();
            if let (Some(tool), Some(result)) = (tools.get(index), results.get_mut(index)) {
                say(&format!("round {} of {count}: {}", number + 1, tool.name));
                result.rounds.push(round(dataset, tool, work)?);
            }
        }
    }
    Ok(results)
}

fn round(dataset: &Dataset, tool: &Tool, work: &Path) -> Result<Round> {
    let place = Place::fresh(dataset.data(), work.to_path_buf())?;
    tool.init(&place)?;
    let mut round = Round::default();
    let mut change = None;
    for (phase, measured) in PHASES.into_iter().zip(&mut round.phases) {
        if phase == Phase::Changed {
            let applied = Change::apply(dataset)?;
            say(&format!("  {} files are edited", applied.files));
            change = Some(applied);
        }
        let before = size_of(&place.repository())?;
        *measured = measure(&mut tool.phase(phase, &place), &place.log())
            .map_err(|error| error.context(&tool.name))?;
        let after = size_of(&place.repository())?;
        match phase {
            Phase::First => round.repository_bytes = after,
            Phase::Changed => round.change_bytes = after.saturating_sub(before),
            Phase::Unchanged | Phase::Restore => {}
        }
        say(&format!(
            "  {}: {:.2} s, {:.2} s of processor, {} MB at most",
            title(phase),
            measured.wall_seconds,
            measured.cpu_seconds,
            measured.peak_bytes / 1_000_000
        ));
    }
    let restored = compare::root_of(&dataset.data(), &place.restored())?;
    let compared = compare::trees(&dataset.data(), &restored)
        .map_err(|error| error.context(format!("{} restored something else", tool.name)))?;
    say(&format!(
        "  the restored tree is the same: {} entries, {} bytes",
        compared.entries, compared.bytes
    ));
    if let Some(change) = change {
        change.undo()?;
    }
    place.clear()?;
    Ok(round)
}

/// What a phase is called.
pub(crate) fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::First => "first backup",
        Phase::Unchanged => "unchanged again",
        Phase::Changed => "2 % changed",
        Phase::Restore => "restore",
    }
}

fn size_of(folder: &Path) -> Result<u64> {
    let mut files = Vec::new();
    files_below(folder, &mut files)?;
    files
        .iter()
        .map(|file| {
            Ok(fs::symlink_metadata(file)
                .map_err(|e| Error::io("cannot read", file, &e))?
                .len())
        })
        .sum()
}
