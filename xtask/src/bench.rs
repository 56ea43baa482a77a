//! `cargo xtask bench`: the engine and its peers side by side, on the same data, in one run.
//!
//! In: options. Out: a table on standard output; a picture and JSON in `bench` under the target folder; progress on standard error.

mod change;
mod database;
mod dataset;
mod dump;
mod folder;
mod index;
mod machine;
mod measure;
mod native;
mod peers;
mod place;
mod plot;
mod record;
mod results;
mod rounds;
mod stages;

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine;
use crate::error::{Error, Result};
use crate::packages;
use crate::workspace::{Workspace, say};
use database::Which;
use dataset::{Content, Dataset};
use peers::Tool;
use place::Place;
use results::Results;

/// What a benchmark is asked for.
#[derive(Debug, Clone, PartialEq)]
struct Options {
    scale: f64,
    rounds: usize,
    /// Where the data set, repositories and restored files are put, instead of the target folder and memory.
    folder: Option<PathBuf>,
    /// First words of the names of the tools; every tool that is there if empty.
    tools: Vec<String>,
    json: Option<PathBuf>,
    install_peers: bool,
    /// Whether the documents shall show what is measured.
    record: bool,
}

/// How much larger than the volume the large one is.
const LARGE: f64 = 4.0;

/// Every benchmark.
const NAMES: &str = "volume, many, large, dump, postgres, mysql, index, sandbox, stages";

/// Runs the benchmark that `arguments` name, or all.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let missing = || Error::new("a benchmark is missing").hint(format!("one of {NAMES}, or all"));
    let (name, rest) = arguments.split_first().ok_or_else(missing)?;
    let options = Options::parse(rest)?;
    if matches!(name.as_str(), "all" | "postgres") && options.json.is_some() {
        let error = Error::new(format!(
            "--json names one file, and `{name}` has several results"
        ));
        return Err(error.hint("they are in target/bench, a file for each"));
    }
    if options.install_peers {
        packages::install_peers(workspace)?;
    }
    if name != "all" {
        return measure(workspace, name, &options);
    }
    NAMES
        .split(", ")
        .try_for_each(|name| measure(workspace, name, &options))
}

fn measure(workspace: &Workspace, name: &str, options: &Options) -> Result<()> {
    let several = match name {
        "postgres" => Some(Which::Postgres),
        "mysql" => Some(Which::Mysql),
        _ => None,
    };
    if let Some(which) = several {
        let results = database::run(workspace, options, which)?;
        return results
            .iter()
            .try_for_each(|results| publish(workspace, options, results));
    }
    let results = match name {
        "volume" => folder(workspace, options, Content::Volume, "volume")?,
        "large" => folder(workspace, &options.times(LARGE), Content::Volume, "large")?,
        "many" => folder(workspace, options, Content::Many, "many")?,
        "sandbox" => folder(workspace, options, Content::Volume, "sandbox")?,
        "dump" => dump::run(workspace, options)?,
        "index" => index::run(workspace, options)?,
        "stages" => stages::run(workspace, options)?,
        other => {
            let error = Error::new(format!("no benchmark `{other}`"));
            return Err(error.hint(format!("one of {NAMES}, or all")));
        }
    };
    publish(workspace, options, &results)
}

/// A benchmark of folders.
fn folder(
    workspace: &Workspace,
    options: &Options,
    content: Content,
    name: &'static str,
) -> Result<Results> {
    let tools = match name {
        "sandbox" => vec![
            Tool::native(native::build(workspace)?, "without plugins", false),
            Tool::strongroom(engine::build(workspace)?),
        ],
        "large" => vec![Tool::strongroom(engine::build(workspace)?)],
        _ => tools(workspace, options)?,
    };
    let disk = disk(workspace, options)?;
    let dataset = Dataset::prepare(&disk, content, options.scale)?;
    change::undo(&dataset)?;
    say(&format!(
        "the data set has {} files and {} MB; reading it once",
        dataset.files,
        dataset.bytes / 1_000_000
    ));
    dataset.warm()?;
    // A repository, what is restored from it, and room for the tools themselves.
    let place = place(options, &disk, dataset.bytes * 3);
    let measured = rounds::interleaved(&tools, options.rounds, |tool| {
        folder::round(&dataset, tool, &place.folder, name == "sandbox")
    });
    let _ = fs::remove_dir_all(&place.folder);
    let zstd = match name {
        "sandbox" | "large" => "its fast strategy between levels 1 and 2",
        _ => peers::ZSTD,
    };
    let (title, ratio) = match name {
        "sandbox" => ("With and without plugins", "with plugins"),
        "many" => ("Backing up many small files", "of the best peer"),
        "large" => ("Backing up a large volume", ""),
        _ => ("Backing up a volume", "of the best peer"),
    };
    Ok(Results {
        name,
        title,
        about: vec![
            format!(
                "{} files, {:.2} GB, {}, in the page cache; encrypted, compressed with zstd ({}); {}.",
                dataset.files,
                dataset.bytes as f64 / 1e9,
                content.about(),
                zstd,
                place.description
            ),
            machine_and_rounds(options.rounds),
        ],
        ratio,
        figures: folder::figures(),
        tools: measured?,
        notes: Vec::new(),
    })
}

/// Ours and the peers that are there, as far as they were asked for.
fn tools(workspace: &Workspace, options: &Options) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    if options.wants("strongroom") {
        tools.push(Tool::strongroom(engine::build(workspace)?));
    }
    tools.extend(peers::installed(workspace, |name| options.wants(name)));
    some(tools)
}

/// `tools`, which are at least one.
fn some(tools: Vec<Tool>) -> Result<Vec<Tool>> {
    if tools.is_empty() {
        return Err(
            Error::new("none of the tools is installed").hint("--install-peers installs them")
        );
    }
    Ok(tools)
}

/// Where data sets are kept.
fn disk(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    match &options.folder {
        Some(folder) => {
            std::path::absolute(folder).map_err(|e| Error::io("cannot find", folder, &e))
        }
        None => workspace.target_folder("bench"),
    }
}

/// Where so many bytes can be worked with.
fn place(options: &Options, disk: &Path, bytes: u64) -> Place {
    match options.folder {
        Some(_) => Place::on_disk(disk),
        None => Place::find(disk, bytes),
    }
}

/// Writes JSON and picture, prints the table.
fn publish(workspace: &Workspace, options: &Options, results: &Results) -> Result<()> {
    let folder = workspace.target_folder("bench")?;
    let (json, svg) = (results.json(), plot::svg(results));
    let picture = folder.join(format!("{}.svg", results.name));
    write(&folder.join(format!("{}.json", results.name)), &json)?;
    write(&picture, &svg)?;
    if let Some(path) = &options.json {
        write(path, &json)?;
    }
    if options.record {
        record::record(workspace.root(), results, &svg)?;
    }
    let notes: String = results.notes.iter().map(|it| format!("{it}\n")).collect();
    println!(
        "{}\n\n{}{notes}\nPlot: {}\n",
        results.about.join("\n"),
        results.table(),
        picture.display()
    );
    Ok(())
}

fn machine_and_rounds(rounds: usize) -> String {
    let rounds = match rounds {
        1 => "One round.".into(),
        _ => format!("Bars: median of {rounds} interleaved rounds. Dots: each round."),
    };
    format!("{}. {rounds}", machine::machine())
}

impl Options {
    /// The same of data so many times as large.
    fn times(&self, factor: f64) -> Self {
        Self {
            scale: self.scale * factor,
            ..self.clone()
        }
    }

    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            scale: 1.0,
            rounds: 3,
            folder: None,
            tools: Vec::new(),
            json: None,
            install_peers: false,
            record: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| Error::new(format!("{argument} wants a value")))
            };
            match argument.as_str() {
                "--scale" => options.scale = positive(argument, value()?)?,
                "--rounds" => options.rounds = positive(argument, value()?)?,
                "--dir" => options.folder = Some(value()?.into()),
                "--tools" => options.tools = value()?.split(',').map(str::to_owned).collect(),
                "--json" => options.json = Some(value()?.into()),
                "--install-peers" => options.install_peers = true,
                "--record" => options.record = true,
                other => {
                    let hint = "options are --scale, --rounds, --dir, --tools, --json, --install-peers, --record";
                    return Err(Error::new(format!("no option `{other}`")).hint(hint));
                }
            }
        }
        Ok(options)
    }

    /// Whether a tool is to be measured.
    fn wants(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|wanted| wanted == tool)
    }
}

fn positive<T: std::str::FromStr + PartialOrd + Default>(option: &str, value: &str) -> Result<T> {
    value
        .parse()
        .ok()
        .filter(|number| *number > T::default())
        .ok_or_else(|| Error::new(format!("{option} wants a number above zero, not `{value}`")))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::io("cannot write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_named() {
        let options = parse("--scale 0.1 --rounds 5 --tools restic,borg --json out.json").unwrap();
        assert_eq!((options.scale, options.rounds), (0.1, 5));
        assert_eq!(options.tools, ["restic", "borg"]);
        assert_eq!(options.json, Some(PathBuf::from("out.json")));
        for (line, message) in [
            ("--scale", "--scale wants a value"),
            ("--scale 0", "--scale wants a number above zero, not `0`"),
            (
                "--rounds -1",
                "--rounds wants a number above zero, not `-1`",
            ),
            ("--fast", "no option `--fast`"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert_eq!(error.lines().next(), Some(message));
        }
    }
}
