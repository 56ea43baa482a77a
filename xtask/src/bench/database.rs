//! `bench postgres` and `bench mysql`: a real server of the benchmark's own, backed up by stock programs and by us.
//!
//! In: a system and options. Out: results. Each round starts the same server anew; everybody backs up; 1 % of the rows change, the newest, and
//! everybody backs up; 1 % of the rows change, scattered over all, and everybody backs up once more. What ours gives back is compared with what
//! the server has, outside of what is measured.

mod goals;
mod mariadb;
mod postgres;
mod rows;
mod server;
mod system;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder::size_of;
use super::measure::measure;
use super::results::{Figure, Results, Rounds};
use super::rounds::tell;
use super::{Options, disk, machine_and_rounds, place};
use crate::engine;
use crate::error::{Error, Result};
use crate::packages;
use crate::process;
use crate::random::Words;
use crate::workspace::{Workspace, make_folder, say};
use rows::Table;
use server::{Server, own_folder};
use system::{Change, DATABASE, Group, System, load, sql};
use tools::{Tool, plugin_memory};

/// Bytes of the database at scale 1, about.
const BYTES: f64 = 2e9;
/// How much room the server, what is kept of it and what is restored take, in databases.
const ROOM: f64 = 5.0;
/// In each hundred rows of a table…
const HUNDRED: u64 = 100;

/// Which benchmark.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    Postgres,
    Mysql,
}

/// Measures.
pub(super) fn run(workspace: &Workspace, options: &Options, which: Which) -> Result<Vec<Results>> {
    let ours = match options.wants("strongroom") {
        true => Some(engine::build(workspace)?),
        false => None,
    };
    let (mut restics, _) = packages::restics(workspace);
    let restic = restics.pop().filter(|_| options.wants("restic"));
    let restic = restic.map(|restic| (restic.version, restic.path));
    packages::install_missing(&[("zstd", "zstd")])?;
    let system: Box<dyn System> = match which {
        Which::Postgres => Box::new(postgres::Postgres::find(ours, restic)?),
        Which::Mysql => Box::new(mariadb::Mariadb::find(ours, restic)?),
    };
    let disk = disk(workspace, options)?;
    let place = place(options, &disk, (BYTES * options.scale * ROOM) as u64);
    let bench = Bench {
        system: &*system,
        words: Words::new(),
        template: disk.join(format!("{}-v1-scale{}", system.key(), options.scale)),
        scale: options.scale,
        work: place.folder.clone(),
    };
    let measured = bench.measure(options.rounds);
    let _ = fs::remove_dir_all(&place.folder);
    let (bytes, groups) = measured?;
    let about = vec![
        format!(
            "{}, a database of {:.2} GB (text, numbers, JSON, {} MB of bytes; indexes); all connect by TCP; zstd -3 -T2; {}.",
            system.version(),
            bytes / 1e9,
            (80.0 * options.scale).round(),
            place.description
        ),
        "Newest: of the orders the newest 0.5 % changed, in each table 0.5 % new. Scattered: every hundredth row of every table changed."
            .into(),
        machine_and_rounds(options.rounds),
    ];
    Ok(groups
        .into_iter()
        .map(|(group, tools)| results(&group, tools, &about))
        .collect())
}

fn results(group: &Group, tools: Vec<Rounds>, about: &[String]) -> Results {
    let mut results = Results {
        name: group.name,
        title: group.title,
        about: about.to_vec(),
        ratio: "of the best peer",
        figures: figures(),
        tools,
        notes: Vec::new(),
    };
    results.notes = goals::notes(&results);
    results
}

/// The figures of a round, in the order in which [`Cost::values`] has them.
fn figures() -> Vec<Figure> {
    let figure = |key: &str, title: &str, unit, chart| Figure::new(key, title, unit, chart);
    vec![
        figure("first_wall_seconds", "first", "s", Some("First backup")),
        figure(
            "first_cpu_seconds",
            "processor",
            "s",
            Some("First backup, processor time of the client's side"),
        ),
        figure(
            "stored_megabytes",
            "stored",
            "MB",
            Some("What the first backup takes"),
        ),
        figure(
            "newest_wall_seconds",
            "newest changed",
            "s",
            Some("Again, 1 % of the rows changed, the newest"),
        ),
        figure("newest_cpu_seconds", "processor", "s", None),
        figure("newest_megabytes", "added", "MB", None),
        figure(
            "newest_percent",
            "of the first",
            "%",
            Some("What that added"),
        ),
        figure(
            "scattered_wall_seconds",
            "scattered changed",
            "s",
            Some("Again, 1 % of the rows changed, scattered"),
        ),
        figure("scattered_cpu_seconds", "processor", "s", None),
        figure("scattered_megabytes", "added", "MB", None),
        figure(
            "scattered_percent",
            "of the first",
            "%",
            Some("What that added"),
        ),
        figure("peak_megabytes", "peak memory", "MB", Some("Peak memory")),
        figure("plugin_megabytes", "of it the plugin", "MB", None),
    ]
}

/// A benchmark under way.
struct Bench<'a> {
    system: &'a dyn System,
    words: Words,
    /// Where the server's data is kept as it is at the begin of each round.
    template: PathBuf,
    scale: f64,
    work: PathBuf,
}

/// A group of tools, and the rounds of each.
type Measured = (Group, Vec<Rounds>);

/// What one tool's round cost.
#[derive(Debug, Default)]
struct Cost {
    /// Wall and processor seconds of each backup, and what was kept after it, in bytes.
    backups: Vec<[f64; 3]>,
    peak_bytes: u64,
    plugin_bytes: Option<u64>,
}

impl Bench<'_> {
    /// The size of the database in bytes, and what was measured.
    fn measure(&self, rounds: usize) -> Result<(f64, Vec<Measured>)> {
        let bytes = self.prepare()?;
        let groups = self.system.groups();
        let tools: Vec<&Tool> = groups.iter().flat_map(|group| &group.tools).collect();
        let mut results: Vec<Rounds> = tools
            .iter()
            .map(|tool| Rounds {
                tool: tool.name.clone(),
                is_ours: tool.is_ours,
                rounds: Vec::new(),
            })
            .collect();
        for number in 0..rounds {
            say(&format!("round {} of {rounds}", number + 1));
            let costs = self.round(&tools, number)?;
            for (result, cost) in results.iter_mut().zip(costs) {
                result.rounds.push(cost.values());
            }
        }
        let mut results = results.into_iter();
        let measured = groups.into_iter().map(|group| {
            let rounds = results.by_ref().take(group.tools.len()).collect();
            (group, rounds)
        });
        Ok((bytes, measured.collect()))
    }

    /// Makes the template where there is none; out comes the size of the database in bytes.
    fn prepare(&self) -> Result<f64> {
        let (mark, kept) = (self.template.join("complete"), self.template.join("data"));
        if !mark.exists() {
            say(&format!("making a database for {}", self.system.version()));
            let _ = fs::remove_dir_all(&self.template);
            make_folder(&self.template)?;
            self.clear()?;
            let data = self.data();
            self.system.create(&data)?;
            let server = self.start()?;
            let system = self.system;
            sql(system, "", &format!("CREATE DATABASE {DATABASE}"))?;
            let [before, after] = system.schema();
            sql(system, DATABASE, before)?;
            for table in Table::ALL {
                let rows = table.rows(self.scale);
                say(&format!("  {rows} {}", table.name()));
                load(system, &self.words, table, 1..rows + 1)?;
            }
            sql(system, DATABASE, after)?;
            let bytes = sql(system, DATABASE, system.size())?;
            server.stop(system.stop_signal())?;
            copy(&data, &kept)?;
            fs::write(&mark, bytes).map_err(|e| Error::io("cannot write", &mark, &e))?;
        }
        let bytes = fs::read_to_string(&mark).map_err(|e| Error::io("cannot read", &mark, &e))?;
        bytes
            .parse()
            .map_err(|_| Error::new(format!("{} holds no size", mark.display())))
    }

    /// Everybody backs up three times. Who begins is another one in each round.
    fn round(&self, tools: &[&Tool], number: usize) -> Result<Vec<Cost>> {
        self.clear()?;
        copy(&self.template.join("data"), &self.data())?;
        let server = self.start()?;
        let mut costs: Vec<Cost> = tools.iter().map(|_| Cost::default()).collect();
        for (index, tool) in tools.iter().enumerate() {
            tool.prepare(&self.folder(index))?;
        }
        for phase in ["first", "newest", "scattered"] {
            self.change(phase)?;
            for turn in 0..tools.len() {
                let index = (turn + number) % tools.len();
                if let (Some(tool), Some(cost)) = (tools.get(index), costs.get_mut(index)) {
                    self.backup(tool, index, phase, cost)?;
                }
            }
        }
        for (index, tool) in tools.iter().enumerate() {
            tool.verify(&self.folder(index))?;
        }
        server.stop(self.system.stop_signal())?;
        self.clear()?;
        Ok(costs)
    }

    fn backup(&self, tool: &Tool, index: usize, phase: &str, cost: &mut Cost) -> Result<()> {
        let folder = self.folder(index);
        let log = folder.join("log");
        let measured = measure(&mut tool.backup(&folder, phase), &log)
            .map_err(|error| error.context(&tool.name))?;
        tell(&format!("{phase}, {}", tool.name), &measured);
        let kept = size_of(&tool.kept(&folder))?;
        cost.backups
            .push([measured.wall_seconds, measured.cpu_seconds, kept as f64]);
        cost.peak_bytes = cost.peak_bytes.max(measured.peak_bytes);
        let text = fs::read_to_string(&log).unwrap_or_default();
        cost.plugin_bytes = cost.plugin_bytes.max(plugin_memory(&text));
        Ok(())
    }

    /// Changes what is to be changed before `phase`.
    fn change(&self, phase: &str) -> Result<()> {
        match phase {
            "newest" => {
                let orders = Table::Orders.rows(self.scale);
                let after = orders - orders / HUNDRED / 2;
                let change = Change::Newest { after };
                sql(self.system, DATABASE, &self.system.change(change))?;
                for table in Table::ALL {
                    let rows = table.rows(self.scale);
                    let new = rows + 1..rows + 1 + (rows / HUNDRED / 2).max(1);
                    load(self.system, &self.words, table, new)?;
                }
            }
            "scattered" => {
                let change = self.system.change(Change::Scattered);
                sql(self.system, DATABASE, &change)?;
            }
            _ => {}
        }
        sql(self.system, DATABASE, self.system.settle()).map(drop)
    }

    fn start(&self) -> Result<Server> {
        let mut command = self.system.server(&self.data());
        Server::start(&mut command, &self.work.join("server.log"), || {
            sql(self.system, "", "SELECT 1").is_ok()
        })
    }

    fn data(&self) -> PathBuf {
        self.work.join("data")
    }

    fn folder(&self, tool: usize) -> PathBuf {
        self.work.join(format!("tool-{tool}"))
    }

    fn clear(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.work);
        own_folder(&self.work)
    }
}

impl Cost {
    fn values(&self) -> Vec<f64> {
        let megabytes = |bytes: f64| bytes / 1e6;
        let first = self.backups.first().map_or(f64::NAN, |[.., kept]| *kept);
        let mut before = 0.0;
        let mut values = Vec::new();
        for (index, [wall, processor, kept]) in self.backups.iter().enumerate() {
            let added = kept - before;
            before = *kept;
            values.extend([*wall, *processor, megabytes(added)]);
            if index > 0 {
                values.push(added / first * 100.0);
            }
        }
        values.push(megabytes(self.peak_bytes as f64));
        values.push(
            self.plugin_bytes
                .map_or(f64::NAN, |it| megabytes(it as f64)),
        );
        values
    }
}

/// Copies a data directory, owners and all.
fn copy(from: &Path, to: &Path) -> Result<()> {
    process::output(Command::new("cp").arg("-a").arg(from).arg(to)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_a_value_for_every_figure() {
        let cost = Cost {
            backups: vec![[1.0, 2.0, 200e6], [1.0, 2.0, 210e6], [1.0, 2.0, 310e6]],
            peak_bytes: 5_000_000,
            plugin_bytes: None,
        };
        let values = cost.values();
        assert_eq!(values.len(), figures().len());
        assert_eq!(values.get(2), Some(&200.0));
        assert_eq!(values.get(5..7), Some([10.0, 5.0].as_slice()));
        assert_eq!(values.get(9..12), Some([100.0, 50.0, 5.0].as_slice()));
        assert!(values.last().is_some_and(|plugin| plugin.is_nan()));
    }
}
