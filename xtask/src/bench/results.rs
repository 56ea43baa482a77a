//! What a benchmark found: figures, and for each tool its rounds.
//!
//! In: rounds. Out: medians, a table for people, JSON for programs.

use std::fmt::Write;

use super::machine::machine;

/// One figure of a round. Less is better in each.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Such as `first_backup_wall_seconds`; its unit is its end.
    pub(crate) key: String,
    /// The column's head.
    pub(crate) title: String,
    /// `s`, `MB`, `%`, `s/GB` or `B`.
    pub(crate) unit: &'static str,
    /// What it is called in the picture, where it is drawn.
    pub(crate) chart: Option<&'static str>,
}

impl Figure {
    /// A figure that is drawn where `chart` says how.
    pub(crate) fn new(
        key: impl Into<String>,
        title: impl Into<String>,
        unit: &'static str,
        chart: Option<&'static str>,
    ) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            unit,
            chart,
        }
    }

    /// The value as it is printed, without its unit. What was not measured is no number.
    pub(crate) fn text(&self, value: f64) -> String {
        match self.unit {
            _ if value.is_nan() => "-".into(),
            "s/GB" => format!("{value:.3}"),
            "s" if value < 9.95 => format!("{value:.2}"),
            "s" | "B" | "%" => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        }
    }
}

/// One tool's rounds.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) tool: String,
    pub(crate) is_ours: bool,
    /// The values of a round are in the order of the figures.
    pub(crate) rounds: Vec<Vec<f64>>,
}

impl Rounds {
    /// The value of a figure in each round.
    pub(crate) fn values(&self, figure: usize) -> Vec<f64> {
        let values = self.rounds.iter().filter_map(|round| round.get(figure));
        values.copied().collect()
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, figure: usize) -> f64 {
        median(&mut self.values(figure))
    }
}

/// All of a benchmark.
#[derive(Debug)]
pub(crate) struct Results {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What the picture is called.
    pub(crate) title: &'static str,
    /// What was measured, and where: a line each.
    pub(crate) about: Vec<String>,
    /// The peers' name in the table's last line, such as `of the best peer`.
    pub(crate) ratio: &'static str,
    pub(crate) figures: Vec<Figure>,
    pub(crate) tools: Vec<Rounds>,
    /// What there is to say about the table: a line each.
    pub(crate) notes: Vec<String>,
}

impl Results {
    /// An aligned table: a line for each tool, and what ours is of the best peer's, column by column.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![
            self.line("", |_, figure| figure.title.clone()),
            self.line("", |_, figure| figure.unit.into()),
        ];
        for rounds in &self.tools {
            lines.push(self.line(&rounds.tool, |index, figure| {
                figure.text(rounds.median(index))
            }));
        }
        if self.tools.len() > 1 && self.tools.iter().any(|rounds| rounds.is_ours) {
            lines.push(self.line(self.ratio, |index, _| {
                self.of_the_best_peer(index)
                    .map_or("-".into(), |ratio| format!("{ratio:.2}×"))
            }));
        }
        aligned(&lines)
    }

    /// What our median is of the best peer's; none where one of them is missing.
    pub(crate) fn of_the_best_peer(&self, figure: usize) -> Option<f64> {
        let ours = self.tools.iter().find(|rounds| rounds.is_ours)?;
        let peers = self.tools.iter().filter(|rounds| !rounds.is_ours);
        let best = peers
            .map(|rounds| rounds.median(figure))
            .min_by(f64::total_cmp)?;
        let ratio = ours.median(figure) / best;
        ratio.is_finite().then_some(ratio)
    }

    /// Everything as JSON: the machine, what was measured, and every round of every tool.
    pub(crate) fn json(&self) -> String {
        let tools: Vec<String> = self.tools.iter().map(|rounds| self.tool(rounds)).collect();
        let about: Vec<String> = self.about.iter().map(|line| quoted(line)).collect();
        format!(
            "{{\n  \"benchmark\": {},\n  \"machine\": {},\n  \"about\": [{}],\n  \"tools\": [\n{}\n  ]\n}}\n",
            quoted(self.name),
            quoted(&machine()),
            about.join(", "),
            tools.join(",\n")
        )
    }

    fn tool(&self, rounds: &Rounds) -> String {
        let object = |value: &dyn Fn(usize) -> f64| {
            let fields: Vec<String> = self
                .figures
                .iter()
                .enumerate()
                .map(|(index, figure)| format!("{}: {}", quoted(&figure.key), number(value(index))))
                .collect();
            format!("{{{}}}", fields.join(", "))
        };
        let of = |round: &[f64], index| round.get(index).copied().unwrap_or_default();
        let each: Vec<String> = rounds
            .rounds
            .iter()
            .map(|round| format!("       {}", object(&|index| of(round, index))))
            .collect();
        format!(
            "    {{\"tool\": {},\n     \"median\": {},\n     \"rounds\": [\n{}]}}",
            quoted(&rounds.tool),
            object(&|index| rounds.median(index)),
            each.join(",\n")
        )
    }

    fn line(&self, head: &str, cell: impl Fn(usize, &Figure) -> String) -> Vec<String> {
        let cells = self.figures.iter().enumerate();
        std::iter::once(head.to_owned())
            .chain(cells.map(|(index, figure)| cell(index, figure)))
            .collect()
    }
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

/// The first column to the left, the others to the right.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
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

/// A JSON number, or none.
fn number(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value:.4}"),
        false => "null".into(),
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
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

    #[test]
    fn a_json_string_is_escaped() {
        assert_eq!(quoted("a \"b\" \\ \n"), r#""a \"b\" \\  ""#);
    }

    #[test]
    fn what_was_not_measured_is_no_number() {
        let figure = Figure::new("plugin_megabytes", "plugin", "MB", None);
        assert_eq!(figure.text(f64::NAN), "-");
        assert_eq!(number(f64::NAN), "null");
        assert_eq!(number(1.5), "1.5000");
    }

    #[test]
    fn ours_is_compared_with_the_best_peer() {
        let rounds = |tool: &str, is_ours, value| Rounds {
            tool: tool.into(),
            is_ours,
            rounds: vec![vec![value]],
        };
        let results = Results {
            name: "volume",
            title: "",
            about: Vec::new(),
            ratio: "of the best peer",
            figures: vec![Figure::new("wall_seconds", "wall", "s", None)],
            tools: vec![
                rounds("ours", true, 1.0),
                rounds("slow", false, 8.0),
                rounds("fast", false, 2.0),
            ],
            notes: Vec::new(),
        };
        assert_eq!(results.of_the_best_peer(0), Some(0.5));
        let table = results.table();
        assert_eq!(table.lines().last(), Some("of the best peer  0.50×"));
    }
}
