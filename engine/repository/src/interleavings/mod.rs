//! A deterministic simulation: several programs in one repository, one of them restic, in every order that a seed can think of, on machines that
//! sleep, are killed, and have clocks that are wrong, over a store whose answers come late or never.
//!
//! ```text
//! world.rs   the store, virtual time, and whose turn it is: each call of a destination is a step
//! actors.rs  who takes them
//! here       a history from a seed, and what must hold after each
//! ```
//!
//! After each history every snapshot that is listed restores, nothing that nobody forgot is lost, a run that reported success has left its snapshots, and
//! the repository can be pruned and checked clean.

mod actors;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::{CONTENTS, Done, Role, back_up, restores};
use world::{Chance, Faults, Host, Station, World, seed_random};

use crate::check::{CheckOptions, check};
use crate::config::RepositoryConfig;
use crate::crypto::MasterKey;
use crate::destination::Destination;
use crate::id::Id;
use crate::index::Index;
use crate::polynomial::Polynomial;
use crate::progress::Progress;
use crate::prune::{MaxUnused, PruneOptions, prune};
use crate::repository::Repository;
use crate::retry::{Retry, RetryPolicy};

pub(crate) use world::random;

/// The repository as a program on `station` has it open.
fn open(station: &Arc<Station>, attempts: u32) -> Arc<Repository> {
    let policy = RetryPolicy {
        attempts,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    };
    let through: Arc<dyn Destination> = station.clone();
    let progress = Arc::new(Progress::default());
    Arc::new(Repository {
        destination: Arc::new(Retry::with_policy(through, progress, policy)),
        config: RepositoryConfig {
            id: Id::of(b"repository"),
            ..RepositoryConfig::new(polynomial())
        },
        key: MasterKey::new(&[1; 32], &[2; 16], &[3; 16]),
        key_id: Id::of(b"key"),
        machine: station.clone(),
    })
}

fn polynomial() -> Polynomial {
    "3DA3358B4DC173".parse().expect("a polynomial")
}

const RIGHT: Host = Host {
    name: "right",
    space: 1000,
    notes_space: true,
    skew: 0,
};

/// Snapshots and their trees.
type Snapshots = BTreeMap<Id, Id>;

fn snapshots_of(repository: &Repository) -> Result<Snapshots, String> {
    let snapshots = repository.snapshots().map_err(|error| error.to_string())?;
    if let Some((id, problem)) = snapshots.problems.first() {
        return Err(format!("snapshot {}: {problem}", id.short()));
    }
    let trees = snapshots.good.into_iter();
    Ok(trees.map(|(id, snapshot)| (id, snapshot.tree)).collect())
}

fn all_restore(repository: &Arc<Repository>, snapshots: &Snapshots) -> Result<(), String> {
    let index = Index::load(repository, &Progress::default()).map_err(|error| error.to_string())?;
    let index = Arc::new(index);
    for (id, tree) in snapshots {
        restores(repository, &index, tree)
            .map_err(|error| format!("snapshot {} does not restore: {error}", id.short()))?;
    }
    Ok(())
}

/// A program ends, be it by a panic: the others go on.
struct Ends<'a>(&'a Station);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What a history had in it.
#[derive(Debug, Default)]
struct Tally {
    written: usize,
    refused: usize,
    killed: usize,
}

/// One history. What does not hold afterwards, and all that happened before.
fn history(seed: u64) -> Result<Tally, String> {
    let world = World::new(seed);
    history_in(&world, seed).map_err(|wrong| {
        let log = world.log().join("\n");
        format!("{log}\nseed {seed}: {wrong}")
    })
}

fn history_in(world: &Arc<World>, seed: u64) -> Result<Tally, String> {
    let mut chance = Chance(seed ^ 0x5eed);
    seed_random(chance.next());
    let progress = Arc::new(Progress::default());
    let setup = world.join("setup", RIGHT, Duration::ZERO);
    let repository = open(&setup, 1);
    let begin = |blobs: &[u64]| {
        let written = back_up(&repository, &[blobs.to_vec()], &progress);
        written.map_err(|error| error.to_string())
    };
    // Something to keep, and something that is not needed any more.
    begin(&[0, 1])?;
    let gone = begin(&[2, 3, chance.below(CONTENTS)])?;
    begin(&[1, 4])?;
    for id in gone {
        let deleted = repository.delete(crate::FileType::Snapshot, &id);
        deleted.map_err(|error| error.to_string())?;
    }
    let before = snapshots_of(&repository)?;
    setup.end();
    world.pass(Duration::from_hours(1));

    let roles = [
        Role::Writer,
        Role::Writer,
        Role::Copier,
        Role::Pruner,
        Role::Pruner,
        Role::IndexRepairer,
        Role::SnapshotRepairer,
        Role::ResticWriter,
        Role::ResticPruner,
    ];
    let calm = chance.once_in(4);
    world.set_faults(Some(Faults {
        stall: if calm { u64::MAX } else { 25 },
        kill: if calm { u64::MAX } else { 150 },
        error: if chance.once_in(2) { 40 } else { u64::MAX },
    }));
    let count = 2 + chance.below(3);
    let parties: Vec<_> = (0..count)
        .map(|_| {
            let role = *chance.pick(&roles);
            let host = Host {
                name: if chance.once_in(2) { "alpha" } else { "beta" },
                space: chance.below(3),
                notes_space: !role.is_restic(),
                skew: *chance.pick(&[0, 0, 1860, -1860, 86_400, -86_400]),
            };
            let station = world.join(role.name(), host, role.stalls_at_most());
            (role, station, chance.next())
        })
        .collect();
    let done: Vec<(Role, bool, Result<(), String>, Done)> = std::thread::scope(|scope| {
        let threads: Vec<_> = parties
            .iter()
            .map(|(role, station, seed)| {
                scope.spawn(move || {
                    seed_random(*seed);
                    station.begin();
                    let _ends = Ends(station);
                    let repository = open(station, if role.is_restic() { 1 } else { 3 });
                    let mut done = Done::default();
                    let result = role.act(station, &repository, Chance(*seed), &mut done);
                    drop(repository);
                    let result = result.map_err(|error| error.to_string());
                    station.note(&format!("ENDS {result:?}"));
                    (*role, station.is_killed(), result, done)
                })
            })
            .collect();
        world.run();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });
    world.set_faults(None);
    world.pass(Duration::from_mins(2));

    let after = world.join("after", RIGHT, Duration::ZERO);
    let repository = open(&after, 1);
    let listed = snapshots_of(&repository)?;
    all_restore(&repository, &listed)?;
    let mut tally = Tally::default();
    let forgotten: Vec<Id> = done
        .iter()
        .flat_map(|(.., done)| done.forgotten.clone())
        .collect();
    // A repair gives a damaged snapshot another id; there is none.
    for id in before.keys().filter(|id| !forgotten.contains(id)) {
        if !listed.contains_key(id) {
            return Err(format!(
                "snapshot {}, which nobody forgot, is lost",
                id.short()
            ));
        }
    }
    for (role, is_killed, result, done) in &done {
        tally.written += done.written.len();
        tally.killed += usize::from(*is_killed);
        tally.refused += usize::from(result.is_err() && !is_killed);
        for id in done.written.iter().filter(|id| !forgotten.contains(id)) {
            if !is_killed && !listed.contains_key(id) {
                return Err(format!(
                    "{} reported a snapshot {} that is not there",
                    role.name(),
                    id.short()
                ));
            }
        }
    }
    world.pass(Duration::from_hours(2));
    let options = PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        grace: Duration::ZERO,
        ..PruneOptions::default()
    };
    prune(&repository, &options, &progress)
        .map_err(|error| format!("cannot be pruned: {error}"))?;
    let report = check(&repository, CheckOptions::default(), &progress);
    let report = report.map_err(|error| format!("cannot be checked: {error}"))?;
    if let Some(problem) = report.problems.first() {
        return Err(format!(
            "after a prune, check: {} {}",
            problem.subject, problem.message
        ));
    }
    if let Some(note) = report.notes.first() {
        return Err(format!(
            "after a prune, check notes: {} {}",
            note.subject, note.message
        ));
    }
    all_restore(&repository, &listed)?;
    Ok(tally)
}

/// So many histories: `STRONGROOM_SEEDS`, from `STRONGROOM_FIRST_SEED` on.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, usual| {
        let value = std::env::var(name).ok();
        value.and_then(|value| value.parse().ok()).unwrap_or(usual)
    };
    let first = number("STRONGROOM_FIRST_SEED", 0);
    first..first + number("STRONGROOM_SEEDS", 1000)
}

#[test]
fn whatever_happens_to_several_at_once_what_is_listed_restores() {
    let mut sum = Tally::default();
    for seed in seeds() {
        match history(seed) {
            Ok(tally) => {
                sum.written += tally.written;
                sum.refused += tally.refused;
                sum.killed += tally.killed;
            }
            Err(wrong) => panic!("{wrong}"),
        }
    }
    // Where everybody is refused, nothing is shown.
    assert!(sum.written > 0 && sum.refused > 0, "{sum:?}");
}

#[test]
fn a_seed_is_a_history() {
    let log = |seed| {
        let world = World::new(seed);
        history_in(&world, seed).expect("holds");
        world.log()
    };
    for seed in [3, 7, 11] {
        for (one, other) in log(seed).iter().zip(&log(seed)) {
            assert_eq!(one, other, "seed {seed}");
        }
    }
}
