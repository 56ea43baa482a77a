//! `cargo xtask bench`: the engine and its peers side by side, on the same data, in one run.
//!
//! In: options. Out: a table on standard output; `bench/volume.svg` and `bench/volume.json` under the target folder; progress on standard error.

mod change;
mod dataset;
mod json;
mod measure;
mod peers;
mod place;
mod plot;
mod report;
mod rounds;

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine;
use crate::error::{Error, Result};
use crate::packages;
use crate::workspace::{Workspace, say};
use dataset::Dataset;
use place::Place;

/// What `bench volume` is asked for.
#[derive(Debug, PartialEq)]
struct Options {
    scale: f64,
    rounds: usize,
    /// Where the data set, repositories and restored files are put, instead of the target folder and memory.
    folder: Option<PathBuf>,
    /// First words of the names of the tools; every tool that is there if empty.
    tools: Vec<String>,
    json: Option<PathBuf>,
    install_peers: bool,
}

/// Runs the benchmark that `arguments` name.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((what, rest)) if what == "volume" => volume(workspace, &Options::parse(rest)?),
        Some((other, _)) => {
            Err(Error::new(format!("no benchmark `{other}`")).hint("cargo xtask bench volume"))
        }
        None => Err(Error::new("a benchmark is missing").hint("cargo xtask bench volume")),
    }
}

fn volume(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.install_peers {
        packages::install_peers(workspace)?;
    }
    let ours = options.tools.is_empty() || options.tools.iter().any(|tool| tool == "strongroom");
    let strongroom = if ours {
        Some(engine::build(workspace)?)
    } else {
        None
    };
    let tools = peers::tools(workspace, strongroom, &options.tools);
    if tools.is_empty() {
        return Err(
            Error::new("none of the tools is installed").hint("--install-peers installs them")
        );
    }
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    say(&format!("measuring {}", names.join(", ")));

    let results_folder = workspace.target_folder("bench")?;
    let folder = match &options.folder {
        Some(folder) => {
            std::path::absolute(folder).map_err(|e| Error::io("cannot find", folder, &e))?
        }
        None => results_folder.clone(),
    };
    let dataset = Dataset::prepare(&folder, options.scale)?;
    change::undo(&dataset)?;
    say(&format!(
        "the data set has {} files and {} MB; reading it once",
        dataset.files,
        dataset.bytes / 1_000_000
    ));
    dataset.warm()?;
    // A repository, what is restored from it, and room for the tools themselves.
    let place = match &options.folder {
        Some(_) => Place::on_disk(&folder),
        None => Place::find(&folder, dataset.bytes * 3),
    };
    let measured = rounds::measure_rounds(&dataset, &tools, options.rounds, &place.folder);
    let _ = fs::remove_dir_all(&place.folder);
    let results = measured?;

    let about = [
        format!(
            "{} files, {:.2} GB, two thirds of it incompressible, in the page cache; encrypted, zstd level 3; {}.",
            dataset.files,
            dataset.bytes as f64 / 1e9,
            place.description
        ),
        format!("{}. {}", json::machine(), rounds_in_words(options.rounds)),
    ];
    let json = json::document(&results, &dataset, options.scale);
    write(&results_folder.join("volume.json"), &json)?;
    write(
        &results_folder.join("volume.svg"),
        &plot::svg(&results, &about),
    )?;
    if let Some(path) = &options.json {
        write(path, &json)?;
    }
    println!("{}\n{}\n", about[0], about[1]);
    print!("{}", report::table(&results));
    println!(
        "\nEvery restore of every round was compared with the data set and was the same, byte by byte."
    );
    println!("Plot: {}", results_folder.join("volume.svg").display());
    Ok(())
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            scale: 1.0,
            rounds: 3,
            folder: None,
            tools: Vec::new(),
            json: None,
            install_peers: false,
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
                other => {
                    let hint =
                        "options are --scale, --rounds, --dir, --tools, --json, --install-peers";
                    return Err(Error::new(format!("no option `{other}`")).hint(hint));
                }
            }
        }
        Ok(options)
    }
}

fn rounds_in_words(rounds: usize) -> String {
    match rounds {
        1 => "One round.".into(),
        _ => format!("Bars: median of {rounds} interleaved rounds. Dots: each round."),
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
