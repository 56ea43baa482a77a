//! Results as a picture: a small bar chart for each figure that is drawn, on one SVG.
//!
//! In: results. Out: the SVG's text. A bar is the median, a dot one round, and ours stands out by its colour. Every chart starts at zero.

use std::fmt::Write;

use super::results::{Figure, Results};

const WIDTH: f64 = 980.0;
const MARGIN: f64 = 32.0;
const GAP: f64 = 44.0;
const LABELS: f64 = 116.0;
/// About the widest letter of a label, of a title and of a unit.
const LETTER: f64 = 7.6;
/// Letters of a line above the charts.
const ABOUT: usize = 125;
const VALUES: f64 = 74.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
const HEAD: f64 = 104.0;
const LINE: f64 = 18.0;
const CHART_HEAD: f64 = 30.0;
const CHART_FOOT: f64 = 30.0;

const OURS: &str = "#0b7a5c";
const PEERS: &str = "#b4bcc6";
const INK: &str = "#1c2430";
const FAINT: &str = "#5d6875";

/// Draws `results` under its title and what there is to say about it.
pub(crate) fn svg(results: &Results) -> String {
    let charts: Vec<(usize, &Figure, &str)> = results
        .figures
        .iter()
        .enumerate()
        .filter_map(|(index, figure)| Some((index, figure, figure.chart?)))
        .collect();
    let about: Vec<String> = results.about.iter().flat_map(|it| wrapped(it)).collect();
    let head = HEAD + LINE * (about.len() as f64 - 2.0);
    let chart_height = CHART_HEAD + STEP * results.tools.len() as f64 + CHART_FOOT;
    let height = head + chart_height * charts.len().div_ceil(2) as f64;
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
        results.title,
    );
    for (line, words) in about.iter().enumerate() {
        let position = (MARGIN, 60.0 + LINE * line as f64);
        text(&mut svg, position, &format!("fill=\"{FAINT}\""), words);
    }
    for (place, (index, figure, title)) in charts.into_iter().enumerate() {
        let column = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
        let left = MARGIN + (column + GAP) * (place % 2) as f64;
        let top = head + chart_height * (place / 2) as f64;
        chart(
            &mut svg,
            (left, top, column),
            (index, figure),
            title,
            results,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// `text` in lines of at most [`ABOUT`] letters, unless a single word is longer.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < ABOUT => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// One chart at `(left, top, width)`.
fn chart(
    svg: &mut String,
    (left, top, width): (f64, f64, f64),
    (index, figure): (usize, &Figure),
    title: &str,
    results: &Results,
) {
    let unit = match figure.unit {
        "s" => "seconds",
        "s/GB" => "s a GB",
        "B" => "bytes",
        "%" => "% of the first",
        other => other,
    };
    text(svg, (left, top + 12.0), "font-weight=\"600\"", title);
    let end = format!("text-anchor=\"end\" fill=\"{FAINT}\" font-size=\"12\"");
    let better = format!("{unit}, less is better");
    let letters = title.chars().count() + better.chars().count();
    let fits = letters as f64 * LETTER <= width;
    let unit = if fits { &better } else { unit };
    text(svg, (left + width, top + 12.0), &end, unit);

    let every = results.tools.iter().flat_map(|rounds| rounds.values(index));
    let most = every.fold(f64::MIN_POSITIVE, f64::max);
    let longest = results.tools.iter().map(|it| it.tool.chars().count()).max();
    let labels = (longest.unwrap_or(0) as f64 * LETTER + 8.0).max(LABELS);
    let (start, room) = (left + labels, width - labels - VALUES);
    for (row, rounds) in results.tools.iter().enumerate() {
        let y = top + CHART_HEAD + STEP * row as f64;
        let (colour, weight) = if rounds.is_ours {
            (OURS, "600")
        } else {
            (PEERS, "400")
        };
        let baseline = y + BAR * 0.72;
        let label = format!("text-anchor=\"end\" font-weight=\"{weight}\"");
        text(svg, (start - 8.0, baseline), &label, &rounds.tool);
        let median = rounds.median(index);
        let length = (room * median / most).max(1.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{start}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\"/>"
        );
        let mut furthest = length;
        // A single round is the bar itself.
        let dots = rounds.values(index);
        for value in dots.iter().filter(|_| dots.len() > 1) {
            let x = room * value / most;
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
    let bottom = top + CHART_HEAD + STEP * results.tools.len() as f64 - (STEP - BAR) / 2.0;
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
    use crate::bench::results::Rounds;

    #[test]
    fn a_long_line_is_wrapped_between_words() {
        let words = "seven c".repeat(40);
        let lines = wrapped(&words);
        assert!(lines.iter().all(|line| line.len() <= ABOUT), "{lines:?}");
        assert_eq!(lines.join(" "), words);
        assert_eq!(wrapped("short"), ["short"]);
    }

    #[test]
    fn every_chart_is_drawn_with_a_bar_for_every_tool() {
        let rounds = |tool: &str, is_ours| Rounds {
            tool: tool.into(),
            is_ours,
            rounds: vec![vec![1.0, 2.0, 3.0]; 3],
        };
        let figure = |chart| Figure::new("wall_seconds", "wall", "s", chart);
        let svg = svg(&Results {
            name: "volume",
            title: "A volume",
            about: vec!["one".into()],
            ratio: "",
            figures: vec![figure(Some("first")), figure(None), figure(Some("last"))],
            tools: vec![rounds("strongroom", true), rounds("a & b", false)],
            notes: Vec::new(),
        });
        for (text, times) in [
            (format!("fill=\"{OURS}\""), 2),
            (format!("fill=\"{PEERS}\""), 2),
            ("a &amp; b".into(), 2),
            ("<circle".into(), 12),
        ] {
            assert_eq!(svg.matches(&text).count(), times, "{text}");
        }
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
