//! `cargo xtask soak`: random operations of both programs on one repository, with kills in between, until something is wrong or the time is over.
//!
//! In: minutes or a number of operations, and a seed. Out: a table of operations and outcomes. At the end, and now and then before, the stock
//! restic reads every byte of the repository, and every backup that is there is restored and compared with what was backed up. Operations and data
//! follow from the seed; when a kill hits does not.

mod data;
mod ground;
mod operation;

use std::time::{Duration, Instant, SystemTime};

use crate::engine;
use crate::error::{Error, Result};
use crate::packages;
use crate::random::Random;
use crate::workspace::{Workspace, say};
use ground::Ground;
use operation::{Operation, Outcome, Tally};

/// So many operations lie between two verifications.
const BETWEEN_CHECKS: u64 = 40;

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Options {
    minutes: f64,
    /// Ends it sooner.
    operations: u64,
    seed: u64,
    keep: bool,
}

/// Soaks as `arguments` say.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let strongroom = engine::build(workspace)?;
    let restics = packages::for_tests(workspace)?.restic;
    let ground = Ground::prepare(strongroom, restics)?;
    let (operations, missing) = operation::available(&ground);
    if !missing.is_empty() {
        say(&format!(
            "left out, because this engine has no such command: {}",
            missing.join(", ")
        ));
    }
    let mut tally = Tally::default();
    let result = soak(&ground, &operations, &options, &mut tally);
    print!("{}", tally.table());
    match result {
        Ok(verified) => {
            println!(
                "\n{} operations, seed {}: the repository is sound, and {verified} backups restored exactly as they were.",
                tally.operations, options.seed
            );
            if options.keep {
                println!("Everything is in {}", ground.folder().display());
                return Ok(());
            }
            ground.remove()
        }
        Err(error) => Err(error
            .context(format!(
                "operation {} of seed {}",
                tally.operations, options.seed
            ))
            .or_hint(format!(
                "look into {}; `cargo xtask soak --seed {} --operations {}` does the same operations again",
                ground.folder().display(),
                options.seed,
                tally.operations
            ))),
    }
}

/// Runs operations; out comes how many backups the last verification restored.
fn soak(
    ground: &Ground,
    operations: &[Operation],
    options: &Options,
    tally: &mut Tally,
) -> Result<usize> {
    let mut random = Random::new(options.seed);
    let started = Instant::now();
    let limit = Duration::from_secs_f64(options.minutes * 60.0);
    // There is always something to look at.
    let first = [Operation::Backup, Operation::ResticBackup];
    let mut first = first.into_iter();
    while tally.operations < options.operations && started.elapsed() < limit {
        let operation = match first.next() {
            Some(operation) => operation,
            None => operation::pick(operations, &mut random),
        };
        tally.begin();
        let before = ground.snapshot_files()?;
        let outcome = operation.run(ground, &mut random, tally.operations)?;
        tally.count(operation, outcome);
        let after = ground.snapshot_files()?;
        if !operation.forgets()
            && let Some(lost) = before.difference(&after).next()
        {
            return Err(Error::new(format!(
                "{} lost snapshot {lost}",
                operation.name()
            )));
        }
        if outcome != Outcome::Killed && after.is_empty() {
            return Err(Error::new(format!("{} left no backup", operation.name())));
        }
        if tally.operations.is_multiple_of(BETWEEN_CHECKS) {
            let verified = ground.verify(&mut random, Some(3))?;
            say(&format!(
                "{} operations, {} kills, {} backups, {verified} restored and compared, {:.1} minutes",
                tally.operations,
                tally.of(Outcome::Killed),
                after.len(),
                started.elapsed().as_secs_f64() / 60.0
            ));
        }
    }
    say("reading every byte with restic, and restoring every backup");
    ground.verify(&mut random, None)
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut options = Self {
            minutes: 10.0,
            operations: u64::MAX,
            seed: clock.map_or(1, |time| time.as_secs() % 1_000_000),
            keep: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| Error::new(format!("{argument} wants a value")))
            };
            match argument.as_str() {
                "--minutes" => options.minutes = number(argument, value()?)?,
                "--operations" => options.operations = number(argument, value()?)?,
                "--seed" => options.seed = number(argument, value()?)?,
                "--keep" => options.keep = true,
                other => {
                    return Err(Error::new(format!("no option `{other}`"))
                        .hint("options are --minutes, --operations, --seed, --keep"));
                }
            }
        }
        if !(0.0..1e6).contains(&options.minutes) {
            return Err(Error::new("--minutes wants a number above zero"));
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| Error::new(format!("{option} wants a number, not `{value}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_named() {
        let options = parse("--minutes 0.5 --operations 7 --seed 3 --keep").unwrap();
        let expected = Options {
            minutes: 0.5,
            operations: 7,
            seed: 3,
            keep: true,
        };
        assert_eq!(options, expected);
        for (line, message) in [
            ("--minutes", "--minutes wants a value"),
            ("--minutes NaN", "--minutes wants a number above zero"),
            ("--seed x", "--seed wants a number, not `x`"),
            ("--hours 1", "no option `--hours`"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert_eq!(error.lines().next(), Some(message));
        }
    }
}
