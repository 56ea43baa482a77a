//! What a benchmark of a database is to reach.
//!
//! In: results. Out: a line for each goal: what it is, what was measured, and whether it was reached.

use crate::bench::results::{Results, Rounds};

/// At most so much.
struct Goal {
    what: &'static str,
    figure: &'static str,
    /// What the tool is compared with is called; none where the figure itself counts.
    of: Option<&'static str>,
    at_most: f64,
}

const fn goal(
    what: &'static str,
    figure: &'static str,
    of: Option<&'static str>,
    at_most: f64,
) -> Goal {
    Goal {
        what,
        figure,
        of,
        at_most,
    }
}

const PLUGIN: Goal = goal("memory of the plugin, MB", "plugin_megabytes", None, 64.0);

const DUMPS: [Goal; 5] = [
    goal("time, of zstd's", "first_wall_seconds", Some("zstd"), 1.15),
    goal("size, of zstd's", "stored_megabytes", Some("zstd"), 1.15),
    goal(
        "time, of restic's",
        "first_wall_seconds",
        Some("restic"),
        0.5,
    ),
    goal("added by the newest, %", "newest_percent", None, 10.0),
    PLUGIN,
];

const CLUSTERS: [Goal; 3] = [
    goal("time, of zstd's", "first_wall_seconds", Some("zstd"), 1.0),
    goal("added by the newest, %", "newest_percent", None, 5.0),
    PLUGIN,
];

/// A line for each goal of the results of this name.
pub(super) fn notes(results: &Results) -> Vec<String> {
    let goals: &[Goal] = match results.name {
        "postgres-physical" => &CLUSTERS,
        _ => &DUMPS,
    };
    let told = goals.iter().filter_map(|goal| {
        let value = value(results, goal)?;
        let verdict = match value <= goal.at_most {
            true => "reached",
            false => "missed",
        };
        Some(format!(
            "Goal: {} at most {}: {value:.2}, {verdict}.",
            goal.what, goal.at_most
        ))
    });
    told.collect()
}

fn value(results: &Results, goal: &Goal) -> Option<f64> {
    let mut figures = results.figures.iter();
    let figure = figures.position(|figure| figure.key == goal.figure)?;
    let of = |tool: &Rounds| tool.median(figure);
    let ours = of(results.tools.iter().find(|tool| tool.is_ours)?);
    let value = match goal.of {
        None => ours,
        Some(name) => {
            let is_peer = |tool: &&Rounds| !tool.is_ours && tool.tool.contains(name);
            ours / of(results.tools.iter().find(is_peer)?)
        }
    };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::Figure;

    #[test]
    fn a_goal_is_reached_or_missed_and_left_out_where_nobody_was_measured() {
        let rounds = |tool: &str, is_ours, values: &[f64]| Rounds {
            tool: tool.into(),
            is_ours,
            rounds: vec![values.to_vec()],
        };
        let figure = |key: &str| Figure::new(key, "", "s", None);
        let results = Results {
            name: "postgres",
            title: "",
            about: Vec::new(),
            ratio: "",
            figures: ["first_wall_seconds", "stored_megabytes", "plugin_megabytes"]
                .map(figure)
                .to_vec(),
            tools: vec![
                rounds("strongroom", true, &[11.0, 150.0, f64::NAN]),
                rounds("pg_dump | zstd", false, &[10.0, 100.0, f64::NAN]),
            ],
            notes: Vec::new(),
        };
        assert_eq!(
            notes(&results),
            [
                "Goal: time, of zstd's at most 1.15: 1.10, reached.",
                "Goal: size, of zstd's at most 1.15: 1.50, missed."
            ]
        );
    }
}
