//! `cargo xtask soak`: random operations of both programs on two repositories, with kills in between, until something is wrong or enough is done.
//!
//! In: a number of operations or minutes, and a seed. Out: a table of operations and outcomes. What says that it is done is looked at. At the end,
//! and now and then before, the stock restic reads every byte of the repositories, and every backup that is there is restored and compared with
//! what was backed up. Operations and data follow from the seed; when a kill hits does not.

mod claim;
mod data;
mod ground;
mod listing;
mod operation;
mod options;
mod tally;

use std::time::Instant;

use crate::engine;
use crate::error::{Error, Result};
use crate::packages;
use crate::random::Random;
use crate::workspace::{Workspace, say};
use ground::Ground;
use operation::Outcome;
use options::Options;
use tally::Tally;

/// So many operations lie between two verifications.
const BETWEEN_CHECKS: u64 = 40;

/// Soaks as `arguments` say.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    packages::install_missing(&[("restic", "restic")])?;
    let (restics, missing) = packages::restics(workspace);
    if restics.is_empty() {
        return Err(Error::new("a soak needs restic, and none works here")
            .hint("install it with your system's package manager: apt-get install restic"));
    }
    let versions: Vec<&str> = restics.iter().map(|it| it.version.as_str()).collect();
    say(&format!("beside restic {}", versions.join(" and ")));
    if let Some(missing) = missing {
        say(&format!("without {missing}"));
    }
    let strongroom = engine::build(workspace)?;
    let ground = Ground::prepare(strongroom, restics)?;
    let mut tally = Tally::default();
    let result = soak(&ground, &options, &mut tally);
    print!("{}", tally.table());
    match result {
        Ok(verified) => {
            println!(
                "\n{} operations, seed {}: the repositories are sound, and {verified} backups restored exactly as they were.",
                tally.operations, options.seed
            );
            if let Some(shortfall) = options.shortfall(tally.operations) {
                println!("{shortfall}");
            }
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
fn soak(ground: &Ground, options: &Options, tally: &mut Tally) -> Result<usize> {
    let mut random = Random::new(options.seed);
    let started = Instant::now();
    let mut first = operation::FIRST.into_iter();
    while options.goes_on(tally.operations, started.elapsed()) {
        let operation = match first.next() {
            Some(operation) => operation,
            None => operation::pick(&mut random),
        };
        tally.begin();
        let before = ground.snapshot_files()?;
        let outcome = operation
            .run(ground, &mut random)
            .map_err(|error| error.context(operation.name))?;
        tally.count(operation.name, outcome);
        let after = ground.snapshot_files()?;
        if !operation.forgets()
            && let Some(lost) = before.difference(&after).next()
        {
            return Err(Error::new(format!(
                "{} lost snapshot {}",
                operation.name,
                lost.display()
            )));
        }
        if outcome != Outcome::Killed && after.is_empty() {
            return Err(Error::new(format!("{} left no backup", operation.name)));
        }
        if tally.operations.is_multiple_of(BETWEEN_CHECKS) {
            let verified = verify(ground, options, tally, Some(3))?;
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
    verify(ground, options, tally, None)
}

/// Verifies with numbers of its own: how many it draws depends on what the kills left, and operations must not.
fn verify(ground: &Ground, options: &Options, tally: &Tally, most: Option<usize>) -> Result<usize> {
    let mut random = Random::new(options.seed ^ tally.operations.rotate_left(32));
    ground.verify(&mut random, most)
}
