//! The rounds as a picture: eight small bar charts on one SVG.
//!
//! In: rounds. Out: the SVG's text. A bar is the median, a dot one round, and ours stands out by its colour. Every chart starts at zero.

use std::fmt::Write;

use super::report::{Figure, figures};
use super::rounds::Rounds;

const WIDTH: f64 = 980.0;
const MARGIN: f64 = 32.0;
const GAP: f64 = 44.0;
const LABELS: f64 = 100.0;
const VALUES: f64 = 74.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
const HEAD: f64 = 104.0;
const CHART_HEAD: f64 = 30.0;
const CHART_FOOT: f64 = 30.0;

const OURS: &str = "#0b7a5c";
const PEERS: &str = "#b4bcc6";
const INK: &str = "#1c2430";
const FAINT: &str = "#5d6875";

/// What is drawn: a figure's key, and what it is called in the picture.
const CHARTS: [(&str, &str); 8] = [
    ("first_backup_wall_seconds", "First backup"),
    ("unchanged_again_wall_seconds", "Again, nothing changed"),
    (
        "two_percent_changed_wall_seconds",
        "Again, 2 % of the files changed",
    ),
    ("restore_wall_seconds", "Restore"),
    ("first_backup_cpu_seconds", "First backup, processor time"),
    ("repository_megabytes", "Repository after the first backup"),
    ("backup_peak_megabytes", "Peak memory, backup"),
    ("restore_peak_megabytes", "Peak memory, restore"),
];

/// Draws `results` under a `subtitle` that says what was measured, and where.
pub(crate) fn svg(results: &[Rounds], subtitle: &[String]) -> String {
    let chart_height = CHART_HEAD + STEP * results.len() as f64 + CHART_FOOT;
    let height = HEAD + chart_height * (CHARTS.len() / 2) as f64;
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\" font-size=\"13\" fill=\"{INK}\">"
    );
    let _ = writeln!(
        svg,
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    );
    text(
        &mut svg,
        (MARGIN, 38.0),
        "font-size=\"20\" font-weight=\"600\"",
        "Backing up a volume",
    );
    for (line, words) in subtitle.iter().enumerate() {
        let position = (MARGIN, 60.0 + 18.0 * line as f64);
        text(&mut svg, position, &format!("fill=\"{FAINT}\""), words);
    }
    let figures = figures();
    for (index, (key, title)) in CHARTS.into_iter().enumerate() {
        let Some(figure) = figures.iter().find(|figure| figure.key == key) else {
            continue;
        };
        let column = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
        let left = MARGIN + (column + GAP) * (index % 2) as f64;
        let top = HEAD + chart_height * (index / 2) as f64;
        chart(&mut svg, (left, top, column), figure, title, results);
    }
    svg.push_str("</svg>\n");
    svg
}

/// One chart at `(left, top, width)`.
fn chart(
    svg: &mut String,
    (left, top, width): (f64, f64, f64),
    figure: &Figure,
    title: &str,
    results: &[Rounds],
) {
    let unit = match figure.unit {
        "s" => "seconds",
        other => other,
    };
    text(svg, (left, top + 12.0), "font-weight=\"600\"", title);
    let end = format!("text-anchor=\"end\" fill=\"{FAINT}\" font-size=\"12\"");
    text(
        svg,
        (left + width, top + 12.0),
        &end,
        &format!("{unit}, less is better"),
    );

    let every = results
        .iter()
        .flat_map(|rounds| rounds.rounds.iter().map(|round| figure.of(round)));
    let most = every.fold(f64::MIN_POSITIVE, f64::max);
    let (start, room) = (left + LABELS, width - LABELS - VALUES);
    for (index, rounds) in results.iter().enumerate() {
        let y = top + CHART_HEAD + STEP * index as f64;
        let (colour, weight) = if rounds.is_ours {
            (OURS, "600")
        } else {
            (PEERS, "400")
        };
        let baseline = y + BAR * 0.72;
        let label = format!("text-anchor=\"end\" font-weight=\"{weight}\"");
        text(svg, (start - 8.0, baseline), &label, &rounds.tool);
        let median = figure.median(rounds);
        let length = (room * median / most).max(1.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{start}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\"/>"
        );
        let mut furthest = length;
        // A single round is the bar itself.
        for round in rounds.rounds.iter().filter(|_| rounds.rounds.len() > 1) {
            let x = room * figure.of(round) / most;
            furthest = furthest.max(x);
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{}\" r=\"2.2\" fill=\"{INK}\" fill-opacity=\"0.45\"/>",
                start + x,
                y + BAR / 2.0
            );
        }
        let value = format!("font-weight=\"{weight}\"");
        text(
            svg,
            (start + furthest + 8.0, baseline),
            &value,
            &grouped(&figure.text(median)),
        );
    }
    let bottom = top + CHART_HEAD + STEP * results.len() as f64 - (STEP - BAR) / 2.0;
    let axis = top + CHART_HEAD - 4.0;
    let _ = writeln!(
        svg,
        "<path d=\"M{start} {axis}V{bottom}\" stroke=\"{FAINT}\" stroke-opacity=\"0.6\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), attributes: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{words}</text>"
    );
}

/// Thousands set apart: `2,811`.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rounds::Round;

    #[test]
    fn every_chart_is_drawn_with_a_bar_for_every_tool() {
        let rounds = |tool: &str, is_ours| Rounds {
            tool: tool.into(),
            is_ours,
            rounds: vec![Round::default(); 3],
        };
        let svg = svg(
            &[rounds("strongroom", true), rounds("a & b", false)],
            &["one".into()],
        );
        assert_eq!(
            svg.matches(&format!("fill=\"{OURS}\"")).count(),
            CHARTS.len()
        );
        assert_eq!(
            svg.matches(&format!("fill=\"{PEERS}\"")).count(),
            CHARTS.len()
        );
        assert_eq!(svg.matches("a &amp; b").count(), CHARTS.len());
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, expected) in [
            ("0.42", "0.42"),
            ("999", "999"),
            ("2811", "2,811"),
            ("1234567.5", "1,234,567.5"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }
}
