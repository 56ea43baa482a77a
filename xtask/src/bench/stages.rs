//! `bench stages`: what each stage of a backup costs by itself, beside what the machine allows.
//!
//! In: rounds. Out: processor seconds a GB of each stage as the engine does it, and of the primitive that it stands on or of memory. A stage that
//! is fast beside its limit is one where nothing is to be gained.

use std::fs;
use std::process::Command;

use super::results::{Figure, Results, Rounds};
use super::{Options, disk, machine_and_rounds, native, place};
use crate::error::{Error, Result};
use crate::process;
use crate::workspace::{Workspace, make_folder, say};

/// What the engine measures, what it is called here, and its limit.
const STAGES: [(&str, &str, &str); 10] = [
    (
        "read",
        "read",
        "Read a file in the page cache (limit: memcpy)",
    ),
    ("cut", "cut", "Cut into chunks (limit: memcpy)"),
    ("hash", "hash", "Hash (limit: SHA instructions, four lanes)"),
    (
        "compress_noise",
        "photos",
        "Compress photos and prove it (limit: zstd alone)",
    ),
    (
        "compress_dump",
        "dump",
        "Compress a dump and prove it (limit: zstd alone)",
    ),
    (
        "seal",
        "seal",
        "Encrypt and authenticate (limit: AES-CTR, Poly1305)",
    ),
    (
        "prove",
        "prove",
        "Open again and compare (limit: AES-CTR, Poly1305)",
    ),
    ("write", "write", "Write packs and sync (limit: memcpy)"),
    (
        "decode_noise",
        "open photos",
        "Decrypt and hash photos (limit: AES-CTR, Poly1305, SHA)",
    ),
    (
        "decode_dump",
        "open a dump",
        "Decrypt, decompress, hash a dump (limit: as before, and zstd)",
    ),
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
    let measured = (0..options.rounds).try_for_each(|number| {
        say(&format!("round {} of {}", number + 1, options.rounds));
        let mut command = Command::new(&program);
        let output = process::output(command.arg("stages").arg(&place.folder))?;
        (1..).zip(&mut tools).try_for_each(|(column, tool)| {
            tool.rounds.push(round(&output, column)?);
            Ok(())
        })
    });
    let _ = fs::remove_dir_all(&place.folder);
    measured?;
    Ok(Results {
        name: "stages",
        title: "What each stage costs",
        about: vec![
            "Processor seconds a GB of plain bytes on one core, each stage by itself and as the engine does it, chunks of 1 MiB.".into(),
            machine_and_rounds(options.rounds),
        ],
        ratio: "of the limit",
        figures: STAGES
            .map(|(key, title, chart)| {
                Figure::new(format!("{key}_seconds_a_gb"), title, "s/GB", Some(chart))
            })
            .into(),
        tools: tools.into(),
        notes: Vec::new(),
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
            .map(|(key, ..)| format!("{key} 1.5 0.5\n"))
            .collect();
        assert_eq!(round(&all, 1).unwrap(), [1.5; 10]);
        assert_eq!(round(&all, 2).unwrap(), [0.5; 10]);
        let error = round(&all.replace("seal", "sail"), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the engine did not measure the stage seal"
        );
    }
}
