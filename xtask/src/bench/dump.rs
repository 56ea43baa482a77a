//! `bench dump`: a database's dump as a stream from standard input into one file, twice, with 1 % of its rows changed in between.
//!
//! In: tools. Out: results. What comes back of the second backup is compared with what went in, byte by byte.
//!
//! `strongroom` has no source that reads standard input; a database's plugin writes its dump into the same sink that is fed here, so ours is the
//! engine without plugins.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::dataset::warm;
use super::folder::size_of;
use super::measure::measure_stream;
use super::peers::{Input, Phase, Place, Tool};
use super::results::{Figure, Results};
use super::rounds::{interleaved, tell};
use super::{Options, disk, machine_and_rounds, native, peers, place, some};
use crate::error::{Error, Result};
use crate::random::{Random, Words};
use crate::workspace::{Workspace, say};

/// At scale 1.
const BYTES: f64 = 2e9;

/// The first and the second dump.
struct Dumps {
    folder: PathBuf,
    bytes: u64,
}

/// Measures.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<Results> {
    let mut tools = Vec::new();
    if options.wants("strongroom") {
        let program = native::build(workspace)?;
        tools.push(Tool::native(program, "strongroom's engine", true));
    }
    tools.extend(peers::installed(workspace, |name| options.wants(name)));
    let tools = some(tools)?;
    let disk = disk(workspace, options)?;
    let dumps = Dumps::prepare(&disk, options.scale)?;
    for dump in [dumps.first(), dumps.second()] {
        warm(&dump)?;
    }
    let place = place(options, &disk, dumps.bytes * 3);
    let measured = interleaved(&tools, options.rounds, |tool| {
        round(&dumps, tool, &place.folder)
    });
    let _ = fs::remove_dir_all(&place.folder);
    Ok(Results {
        name: "dump",
        title: "Backing up a stream",
        about: vec![
            format!(
                "A dump of {:.2} GB from standard input; then once more, 1 % of its rows changed; encrypted, compressed with zstd ({}); {}.",
                dumps.bytes as f64 / 1e9,
                peers::ZSTD,
                place.description
            ),
            machine_and_rounds(options.rounds),
        ],
        ratio: "of the best peer",
        figures: figures(),
        tools: measured?,
        notes: Vec::new(),
    })
}

fn figures() -> Vec<Figure> {
    let seconds = |key: &str, title: &str, chart| Figure::new(key, title, "s", chart);
    let megabytes = |key: &str, title: &str, chart| Figure::new(key, title, "MB", chart);
    vec![
        seconds("first_wall_seconds", "first", Some("First backup")),
        seconds(
            "first_cpu_seconds",
            "processor",
            Some("First backup, processor time"),
        ),
        seconds(
            "changed_wall_seconds",
            "1 % changed",
            Some("Again, 1 % of the rows changed"),
        ),
        seconds("changed_cpu_seconds", "processor", None),
        seconds(
            "restore_wall_seconds",
            "restore",
            Some("Back to standard output"),
        ),
        seconds("restore_cpu_seconds", "processor", None),
        megabytes(
            "backup_peak_megabytes",
            "peak memory, backup",
            Some("Peak memory, backup"),
        ),
        megabytes("restore_peak_megabytes", "restore", None),
        megabytes(
            "repository_megabytes",
            "repository",
            Some("Repository after the first backup"),
        ),
        megabytes(
            "change_megabytes",
            "added by change",
            Some("What the change added"),
        ),
    ]
}

fn round(dumps: &Dumps, tool: &Tool, work: &Path) -> Result<Vec<f64>> {
    let place = Place::fresh(&dumps.folder, work)?;
    tool.init(&place)?;
    let restored = place.restored().join("dump");
    let run = |phase, input: Option<&Path>, output: Option<&Path>| {
        let mut command = tool.phase(phase, Input::Stream, &place);
        measure_stream(&mut command, input, output, &place.log())
            .map_err(|error| error.context(&tool.name))
    };
    let first = run(Phase::Backup("first"), Some(&dumps.first()), None)?;
    tell("first", &first);
    let first_bytes = size_of(&place.repository())?;
    let changed = run(Phase::Backup("changed"), Some(&dumps.second()), None)?;
    tell("1 % changed", &changed);
    let all_bytes = size_of(&place.repository())?;
    let restore = run(Phase::Restore("changed"), None, Some(&restored))?;
    tell("restore", &restore);
    if !same(&dumps.second(), &restored).map_err(|e| Error::io("cannot read", &restored, &e))? {
        return Err(Error::new(format!("{} gave back another dump", tool.name)));
    }
    place.clear()?;
    let seconds = [first, changed, restore]
        .into_iter()
        .flat_map(|measured| [measured.wall_seconds, measured.cpu_seconds]);
    let bytes = [
        first.peak_bytes.max(changed.peak_bytes),
        restore.peak_bytes,
        first_bytes,
        all_bytes.saturating_sub(first_bytes),
    ];
    Ok(seconds
        .chain(bytes.map(|bytes| bytes as f64 / 1e6))
        .collect())
}

impl Dumps {
    /// Finds the dumps of this scale in `folder`, or makes them.
    fn prepare(folder: &Path, scale: f64) -> Result<Self> {
        let mut dumps = Self {
            folder: folder.join(format!("dump-v2-scale{scale}")),
            bytes: 0,
        };
        let mark = dumps.folder.join("complete");
        let failed = |error| Error::io("cannot write a dump in", &dumps.folder, &error);
        if !mark.exists() {
            say(&format!("making the dumps in {}", dumps.folder.display()));
            fs::create_dir_all(&dumps.folder).map_err(failed)?;
            let mut out = BufWriter::new(File::create(dumps.first()).map_err(failed)?);
            Words::new()
                .write_rows(&mut Random::new(7 << 32), &mut out, (BYTES * scale) as u64)
                .and_then(|()| out.flush())
                .and_then(|()| change(&dumps.first(), &dumps.second()))
                .and_then(|()| fs::write(&mark, ""))
                .map_err(failed)?;
        }
        dumps.bytes = fs::metadata(dumps.first()).map_err(failed)?.len();
        Ok(dumps)
    }

    fn first(&self) -> PathBuf {
        self.folder.join("first.sql")
    }

    fn second(&self) -> PathBuf {
        self.folder.join("second.sql")
    }
}

/// Of so many rows…
const STRETCH: u64 = 100_000;
/// … so many change, side by side, because what is written together changes together.
const CHANGED: u64 = 1_000;

/// Copies a dump with one row of a hundred changed: mostly in place, one in ten by a new row before it.
fn change(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut rows = BufReader::with_capacity(1 << 20, File::open(from)?);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(to)?);
    let mut random = Random::new(8 << 32);
    let mut row = Vec::new();
    let mut number = 0;
    while rows.read_until(b'\n', &mut row)? > 0 {
        // The first stretch begins after the dump's head.
        let is_changed = (STRETCH / 2..STRETCH / 2 + CHANGED).contains(&(number % STRETCH));
        if is_changed && random.below(10) == 0 {
            writeln!(out, "0\t{}\tnew", random.next())?;
        } else if is_changed {
            for digit in row.iter_mut().filter(|byte| byte.is_ascii_digit()) {
                *digit = b'0' + random.below(10) as u8;
            }
        }
        out.write_all(&row)?;
        row.clear();
        number += 1;
    }
    out.flush()
}

fn same(left: &Path, right: &Path) -> std::io::Result<bool> {
    let mut left = BufReader::with_capacity(1 << 20, File::open(left)?);
    let mut right = File::open(right)?;
    if left.get_ref().metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let mut other = vec![0; 1 << 20];
    loop {
        let piece = left.fill_buf()?;
        if piece.is_empty() {
            return Ok(true);
        }
        let Some(other) = other.get_mut(..piece.len()) else {
            return Ok(false);
        };
        right.read_exact(other)?;
        if piece != other {
            return Ok(false);
        }
        let length = piece.len();
        left.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_of_a_hundred_changes_and_the_difference_is_seen() {
        let file = |name: &str| {
            std::env::temp_dir().join(format!("xtask-dump-{}-{name}", std::process::id()))
        };
        let (from, to) = (file("first"), file("second"));
        let rows: Vec<String> = (0..2 * STRETCH).map(|n| format!("{n}\tname\n")).collect();
        fs::write(&from, rows.concat()).unwrap();
        change(&from, &to).unwrap();

        let before: std::collections::BTreeSet<&str> =
            rows.iter().map(|row| row.trim_end()).collect();
        let after = fs::read_to_string(&to).unwrap();
        let new = after.lines().filter(|row| !before.contains(row)).count() as u64;
        // Digits may become what they were, or another row's.
        assert!((CHANGED..=2 * CHANGED).contains(&new), "{new}");
        assert!(same(&from, &from).unwrap());
        assert!(!same(&from, &to).unwrap());
        fs::remove_file(from).unwrap();
        fs::remove_file(to).unwrap();
    }
}
