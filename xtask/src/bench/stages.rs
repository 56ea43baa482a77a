//! `bench stages`: what each stage of a backup costs by itself, beside what the machine allows.
//!
//! In: rounds. Out: processor seconds a GB of each stage, and of the primitive that it stands on or of memory. A stage that is fast beside its
//! limit is one where nothing is to be gained.

use std::fs;
use std::process::Command;

use super::results::{Figure, Results, Rounds};
use super::{Options, disk, machine_and_rounds, native, place};
use crate::error::{Error, Result};
use crate::process;
use crate::workspace::{Workspace, make_folder, say};

/// What the engine measures, what it is called here, and its limit.
const STAGES: [(&str, &str, &str); 10] = [
    ("read", "read", "Read a file (limit: memcpy)"),
    ("cut", "cut", "Cut into chunks (limit: memcpy)"),
    ("hash", "hash", "Hash (limit: SHA-256 of crate sha2)"),
    (
        "compress_noise",
        "noise",
        "Compress photos (limit: zstd level 1)",
    ),
    (
        "compress_dump",
        "dump",
        "Compress a dump (limit: zstd level 1)",
    ),
    ("seal", "seal", "Encrypt and authenticate (limit: memcpy)"),
    ("write", "write", "Write packs (limit: memcpy)"),
    ("open", "open", "Authenticate and decrypt (limit: memcpy)"),
    (
        "decompress_dump",
        "decompress",
        "Decompress a dump (limit: memcpy)",
    ),
    ("verify", "verify", "Decrypt and hash (limit: memcpy)"),
];

/// Measures.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<Results> {
    let program = native::build(workspace)?;
    let place = place(options, &disk(workspace, options)?, 1 << 30);
    make_folder(&place.folder)?;
    let mut tools = [("this engine", true), ("the limit", false)].map(|(tool, is_ours)| Rounds {
        tool: tool.into(),
        is_ours,
        rounds: Vec::new(),
    });
    for number in 0..options.rounds {
        say(&format!("round {} of {}", number + 1, options.rounds));
        let mut command = Command::new(&program);
        let output = process::output(command.arg("stages").arg(&place.folder))?;
        for (column, tool) in [1, 3].into_iter().zip(&mut tools) {
            tool.rounds.push(round(&output, column)?);
        }
    }
    let _ = fs::remove_dir_all(&place.folder);
    Ok(Results {
        name: "stages",
        title: "What each stage costs",
        about: vec![
            "Processor seconds a GB of one core, each stage by itself, chunks of 1 MiB that come from memory.".into(),
            machine_and_rounds(options.rounds),
        ],
        ratio: "of the limit",
        figures: STAGES
            .map(|(key, title, chart)| {
                Figure::new(format!("{key}_seconds_a_gb"), title, "s/GB", Some(chart))
            })
            .into(),
        tools: tools.into(),
    })
}

/// The values in one column of what the engine printed, in the order of [`STAGES`].
fn round(output: &str, column: usize) -> Result<Vec<f64>> {
    STAGES
        .iter()
        .map(|(key, ..)| {
            let value = output.lines().find_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                (words.first() == Some(key)).then(|| words.get(column)?.parse().ok())?
            });
            value.ok_or_else(|| Error::new(format!("the engine did not measure the stage {key}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_was_not_measured_is_named() {
        let all: String = STAGES
            .iter()
            .map(|(key, ..)| format!("{key} 1.5 memory 0.5\n"))
            .collect();
        assert_eq!(round(&all, 1).unwrap(), [1.5; 10]);
        assert_eq!(round(&all, 3).unwrap(), [0.5; 10]);
        let error = round(&all.replace("seal", "sail"), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the engine did not measure the stage seal"
        );
    }
}
