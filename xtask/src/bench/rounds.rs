//! Rounds: every tool does the same, interleaved.
//!
//! In: tools, and what each does in a round. Out: what each round of each tool cost. A machine's mood changes over minutes; tools that take turns
//! share it.

use super::measure::Measured;
use super::peers::Tool;
use super::results::Rounds;
use crate::error::Result;
use crate::workspace::say;

/// Has every tool do `round` `count` times; another tool begins each round.
pub(crate) fn interleaved(
    tools: &[Tool],
    count: usize,
    mut round: impl FnMut(&Tool) -> Result<Vec<f64>>,
) -> Result<Vec<Rounds>> {
    let mut results: Vec<Rounds> = tools
        .iter()
        .map(|tool| Rounds {
            tool: tool.name.clone(),
            is_ours: tool.is_ours,
            rounds: Vec::new(),
        })
        .collect();
    for number in 0..count {
        for index in 0..tools.len() {
            let index = (index + number) % tools.len();
            if let (Some(tool), Some(result)) = (tools.get(index), results.get_mut(index)) {
                say(&format!("round {} of {count}: {}", number + 1, tool.name));
                result.rounds.push(round(tool)?);
            }
        }
    }
    Ok(results)
}

/// What the person is told while a round goes on.
pub(crate) fn tell(title: &str, measured: &Measured) {
    say(&format!(
        "  {title}: {:.2} s, {:.2} s of processor, {} MB at most",
        measured.wall_seconds,
        measured.cpu_seconds,
        measured.peak_bytes / 1_000_000
    ));
}
