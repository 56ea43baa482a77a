//! Benchmarks of folders: `volume`, `many`, and `sandbox`, which is a volume with and without plugins.
//!
//! In: a data set and tools. Out: results. Each round backs up into a fresh repository, backs up again, changes 2 % of the files, backs up once
//! more, and restores. Every restore is compared with the data set, outside of what is measured; a difference is an error.

use std::fs;
use std::path::Path;

use super::change::Change;
use super::dataset::{Dataset, files_below};
use super::measure::{Measured, measure};
use super::peers::{Input, Phase, Place, Tool};
use super::results::Figure;
use super::rounds::tell;
use crate::compare;
use crate::error::{Error, Result};
use crate::workspace::say;

const CHANGED: Phase = Phase::Backup("changed");

/// Every phase, in order: its key, its title, what its chart is called.
const PHASES: [(Phase, &str, &str, &str); 4] = [
    (
        Phase::Backup("first"),
        "first_backup",
        "first backup",
        "First backup",
    ),
    (
        Phase::Backup("unchanged"),
        "unchanged_again",
        "unchanged again",
        "Again, nothing changed",
    ),
    (
        CHANGED,
        "two_percent_changed",
        "2 % changed",
        "Again, 2 % of the files changed",
    ),
    (Phase::Restore("changed"), "restore", "restore", "Restore"),
];

/// The figures of a round, in the order in which [`round`] has them.
pub(crate) fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (index, (_, key, title, chart)) in PHASES.into_iter().enumerate() {
        figures.push(Figure::new(
            format!("{key}_wall_seconds"),
            title,
            "s",
            Some(chart),
        ));
        let chart = (index == 0).then_some("First backup, processor time");
        figures.push(Figure::new(
            format!("{key}_cpu_seconds"),
            "processor",
            "s",
            chart,
        ));
    }
    let megabytes = [
        (
            "backup_peak_megabytes",
            "peak memory, backup",
            Some("Peak memory, backup"),
        ),
        (
            "restore_peak_megabytes",
            "restore",
            Some("Peak memory, restore"),
        ),
        (
            "repository_megabytes",
            "repository",
            Some("Repository after the first backup"),
        ),
        ("change_megabytes", "added by change", None),
    ];
    figures.extend(megabytes.map(|(key, title, chart)| Figure::new(key, title, "MB", chart)));
    figures
}

/// One tool's round in the folder `work`, which is empty before and after. Where it `is_installed`, it has done already what it does once on each
/// machine.
pub(crate) fn round(
    dataset: &Dataset,
    tool: &Tool,
    work: &Path,
    is_installed: bool,
) -> Result<Vec<f64>> {
    let place = Place::fresh(&dataset.data(), work)?;
    tool.init(&place)?;
    if is_installed {
        tool.compile_plugins(&place)?;
    }
    let mut costs = Vec::new();
    let (mut first_bytes, mut change_bytes) = (0, 0);
    let mut change = None;
    for (phase, _, title, _) in PHASES {
        if phase == CHANGED {
            let applied = Change::apply(dataset)?;
            say(&format!("  {} files are edited", applied.files));
            change = Some(applied);
        }
        let before = size_of(&place.repository())?;
        let measured = measure(&mut tool.phase(phase, Input::Folder, &place), &place.log())
            .map_err(|error| error.context(&tool.name))?;
        let after = size_of(&place.repository())?;
        if costs.is_empty() {
            first_bytes = after;
        }
        if phase == CHANGED {
            change_bytes = after.saturating_sub(before);
        }
        tell(title, &measured);
        costs.push(measured);
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
    Ok(values(&costs, [first_bytes, change_bytes]))
}

fn values(costs: &[Measured], sizes: [u64; 2]) -> Vec<f64> {
    let times = costs
        .iter()
        .flat_map(|measured| [measured.wall_seconds, measured.cpu_seconds]);
    let (restore, backups) = match costs.split_last() {
        Some((restore, backups)) => (restore.peak_bytes, backups),
        None => (0, costs),
    };
    let backup = backups.iter().map(|measured| measured.peak_bytes).max();
    let bytes = [backup.unwrap_or(0), restore]
        .into_iter()
        .chain(sizes)
        .map(|bytes| bytes as f64 / 1e6);
    times.chain(bytes).collect()
}

/// Bytes of all files below `folder`.
pub(crate) fn size_of(folder: &Path) -> Result<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_a_value_for_every_figure() {
        let cost = |peak_bytes| Measured {
            wall_seconds: 1.0,
            cpu_seconds: 2.0,
            peak_bytes,
        };
        let costs = [5, 7, 6, 9].map(|megabytes| cost(megabytes * 1_000_000));
        let values = values(&costs, [3_000_000, 4_000_000]);
        assert_eq!(values.len(), figures().len());
        assert_eq!(values.get(8..), Some([7.0, 9.0, 3.0, 4.0].as_slice()));
    }
}
