//! What the rounds say, for people.
//!
//! In: rounds. Out: their figures, each the median of its rounds, and a table of them.

use std::fmt::Write;

use super::peers::PHASES;
use super::rounds::{Round, Rounds, title};

/// One figure of a round.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Such as `first_backup_wall_seconds`; its unit is its end.
    pub(crate) key: String,
    pub(crate) title: String,
    /// `s` or `MB`.
    pub(crate) unit: &'static str,
    read: fn(&Round, usize) -> f64,
    phase: usize,
}

impl Figure {
    /// The figure of one round.
    pub(crate) fn of(&self, round: &Round) -> f64 {
        (self.read)(round, self.phase)
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, rounds: &Rounds) -> f64 {
        let mut values: Vec<f64> = rounds.rounds.iter().map(|round| self.of(round)).collect();
        median(&mut values)
    }

    /// The value as it is printed, without its unit.
    pub(crate) fn text(&self, value: f64) -> String {
        match self.unit {
            "s" if value < 9.95 => format!("{value:.2}"),
            "s" => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        }
    }
}

/// Every figure: wall and processor seconds of each phase, peak memory of backup and of restore, sizes.
pub(crate) fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (index, phase) in PHASES.into_iter().enumerate() {
        let key = title(phase)
            .replace("2 % ", "two_percent_")
            .replace(' ', "_");
        figures.push(Figure {
            key: format!("{key}_wall_seconds"),
            title: title(phase).into(),
            unit: "s",
            read: |round, phase| at(round, phase, |measured| measured.wall_seconds),
            phase: index,
        });
        figures.push(Figure {
            key: format!("{key}_cpu_seconds"),
            title: "processor".into(),
            unit: "s",
            read: |round, phase| at(round, phase, |measured| measured.cpu_seconds),
            phase: index,
        });
    }
    let mut megabytes = |key: &str, title: &str, read| {
        let (key, title) = (key.to_owned(), title.to_owned());
        figures.push(Figure {
            key,
            title,
            unit: "MB",
            read,
            phase: 0,
        });
    };
    megabytes(
        "backup_peak_megabytes",
        "peak memory, backup",
        |round, _| {
            (0..3)
                .map(|phase| at(round, phase, |measured| measured.peak_bytes as f64 / 1e6))
                .fold(0.0, f64::max)
        },
    );
    megabytes("restore_peak_megabytes", "restore", |round, _| {
        at(round, 3, |measured| measured.peak_bytes as f64 / 1e6)
    });
    megabytes("repository_megabytes", "repository", |round, _| {
        round.repository_bytes as f64 / 1e6
    });
    megabytes("change_megabytes", "added by change", |round, _| {
        round.change_bytes as f64 / 1e6
    });
    figures
}

/// An aligned table: a line for each tool, and what ours is of the best peer's, column by column.
pub(crate) fn table(results: &[Rounds]) -> String {
    let figures = figures();
    let mut lines = vec![
        header(&figures, |figure| figure.title.clone()),
        header(&figures, |figure| figure.unit.into()),
    ];
    for rounds in results {
        let cells = figures
            .iter()
            .map(|figure| figure.text(figure.median(rounds)));
        lines.push(std::iter::once(rounds.tool.clone()).chain(cells).collect());
    }
    if let Some(ours) = results.iter().find(|rounds| rounds.is_ours) {
        let ratio =
            |figure: &Figure| best_peer(figure, results).map(|best| figure.median(ours) / best);
        let cells = figures
            .iter()
            .map(|figure| ratio(figure).map_or("-".into(), |ratio| format!("{ratio:.2}×")));
        lines.push(
            std::iter::once("of the best peer".to_owned())
                .chain(cells)
                .collect(),
        );
    }
    aligned(&lines)
}

/// The best value of `figure` among the peers; none where we are alone.
pub(crate) fn best_peer(figure: &Figure, results: &[Rounds]) -> Option<f64> {
    let peers = results.iter().filter(|rounds| !rounds.is_ours);
    peers
        .map(|rounds| figure.median(rounds))
        .min_by(f64::total_cmp)
}

/// The middle value; the mean of both where there are two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => middle(count / 2),
        count => f64::midpoint(middle(count / 2 - 1), middle(count / 2)),
    }
}

fn at(round: &Round, phase: usize, read: fn(&super::measure::Measured) -> f64) -> f64 {
    round.phases.get(phase).map_or(f64::NAN, read)
}

fn header(figures: &[Figure], cell: impl Fn(&Figure) -> String) -> Vec<String> {
    std::iter::once(String::new())
        .chain(figures.iter().map(cell))
        .collect()
}

/// The first column to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            let _ = match index {
                0 => write!(text, "{cell}{padding}"),
                _ => write!(text, "  {padding}{cell}"),
            };
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn columns_are_aligned_by_characters_not_bytes() {
        let line = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(
            aligned(&[line("", "2 %"), line("größer", "10"), line("ab", "1×")]),
            "        2 %\ngrößer   10\nab       1×\n"
        );
    }
}
