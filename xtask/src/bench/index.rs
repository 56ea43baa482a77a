//! `bench index`: a repository that says to hold five million blobs, about two TB of files, and what it takes to open it.
//!
//! In: tools. Out: results: the backup of one small file, which has every tool read the whole index, at first and with whatever it has cached;
//! and for our index alone, memory and look-ups.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::measure::measure;
use super::peers::{Input, Phase, Place, Tool};
use super::results::{Figure, Results, Rounds};
use super::rounds::{interleaved, tell};
use super::{Options, disk, machine_and_rounds, native, place, some, tools};
use crate::error::{Error, Result};
use crate::process;
use crate::workspace::{Workspace, make_folder, say};

/// At scale 1.
const BLOBS: f64 = 5e6;
/// What an index object takes for a blob, with some room.
const BYTES_PER_BLOB: u64 = 100;

/// Measures.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<Results> {
    let native = native::build(workspace)?;
    let mut tools = tools(workspace, options)?;
    tools.retain(Tool::is_of_restics_format);
    let tools = some(tools)?;
    let blobs = (BLOBS * options.scale) as u64;
    let disk = disk(workspace, options)?;
    let place = place(options, &disk, blobs * BYTES_PER_BLOB * 3);
    let _ = fs::remove_dir_all(&place.folder);
    let measured = rounds(&native, &tools, options.rounds, &place.folder, blobs);
    let _ = fs::remove_dir_all(&place.folder);
    let (measured, alone) = measured?;
    Ok(Results {
        name: "index",
        title: "Opening a large repository",
        about: vec![
            format!(
                "One small file is backed up into a repository of {blobs} blobs: the whole index is read. Then once more; {}.",
                place.description
            ),
            machine_and_rounds(options.rounds),
            our_index(&alone)?,
        ],
        ratio: "of the best peer",
        figures: figures(),
        tools: measured,
        notes: Vec::new(),
    })
}

/// Makes the repository in `folder` and measures; out come the rounds, and what the engine printed of its index alone.
fn rounds(
    native: &Path,
    tools: &[Tool],
    count: usize,
    folder: &Path,
    blobs: u64,
) -> Result<(Vec<Rounds>, String)> {
    let (made, data) = (folder.join("made"), folder.join("data"));
    make_folder(&data)?;
    let file = data.join("file");
    fs::write(&file, "one small file\n").map_err(|e| Error::io("cannot write", &file, &e))?;
    say(&format!("making a repository of {blobs} blobs"));
    let engine = |command: &str| {
        let mut program = Command::new(native);
        process::output(program.arg(command).arg(&made).arg(blobs.to_string()))
    };
    engine("index-make")?;
    let measured = interleaved(tools, count, |tool| {
        round(&made, &data, tool, &folder.join("work"), blobs)
    })?;
    Ok((measured, engine("index")?))
}

fn figures() -> Vec<Figure> {
    vec![
        Figure::new(
            "first_wall_seconds",
            "nothing cached",
            "s",
            Some("Nothing cached"),
        ),
        Figure::new(
            "first_cpu_seconds",
            "processor",
            "s",
            Some("Nothing cached, processor time"),
        ),
        Figure::new("again_wall_seconds", "again", "s", Some("Again")),
        Figure::new("again_cpu_seconds", "processor", "s", None),
        Figure::new("peak_megabytes", "peak memory", "MB", Some("Peak memory")),
        Figure::new("peak_bytes_a_blob", "a blob", "B", None),
    ]
}

fn round(made: &Path, data: &Path, tool: &Tool, work: &Path, blobs: u64) -> Result<Vec<f64>> {
    let place = Place::fresh(data, work)?;
    tool.adopt(&place)?;
    // Nothing is ever written to an object again, so that a repository can be had by links.
    let mut copy = Command::new("cp");
    process::output(copy.arg("-rlT").arg(made).arg(place.repository()))?;
    let run = |title: &'static str| {
        let mut command = tool.phase(Phase::Backup(title), Input::Folder, &place);
        let measured =
            measure(&mut command, &place.log()).map_err(|error| error.context(&tool.name))?;
        tell(title, &measured);
        Ok(measured)
    };
    let (first, again) = (run("first")?, run("again")?);
    place.clear()?;
    let peak = first.peak_bytes.max(again.peak_bytes) as f64;
    Ok(vec![
        first.wall_seconds,
        first.cpu_seconds,
        again.wall_seconds,
        again.cpu_seconds,
        peak / 1e6,
        peak / blobs as f64,
    ])
}

/// A line about our index, from what the engine printed.
fn our_index(output: &str) -> Result<String> {
    let value = |name: &str| {
        let line = output
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok())
            .ok_or_else(|| Error::new(format!("the engine did not measure {name}")))
    };
    if (value("hits_found")?, value("misses_found")?) != (1.0, 0.0) {
        return Err(Error::new("the index does not hold what was put into it"));
    }
    let blobs = value("blobs")?;
    Ok(format!(
        "This engine's index alone: loaded in {:.2} s, {:.1} bytes a blob for the whole process ({:.1} at its peak), {:.1} million look-ups a second that find a blob and {:.1} that find none, on one core.",
        value("load_seconds")?,
        value("memory_bytes")? / blobs,
        value("peak_bytes")? / blobs,
        value("hits_a_second")? / 1e6,
        value("misses_a_second")? / 1e6,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_loses_a_blob_is_an_error() {
        let output = "load_seconds 1.5\nblobs 10\nmemory_bytes 600\npeak_bytes 640\nhits_a_second 2e6\nhits_found 1\n\
                      misses_a_second 5e6\nmisses_found 0\n";
        let line = our_index(output).unwrap();
        assert!(line.contains("60.0 bytes a blob"), "{line}");
        let lost = output.replace("hits_found 1", "hits_found 0.99");
        assert!(our_index(&lost).is_err());
        assert!(our_index("").is_err());
    }
}
