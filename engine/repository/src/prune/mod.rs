//! Prune: space that no snapshot needs is given back. The repository and options in, a plan and its figures out; then the plan is carried
//! out.
//!
//! ```text
//! snapshots → used.rs       one bit for each blob of the index
//!             inventory.rs  what each pack holds, and how much of it is used
//!             plan.rs       which packs stay, go, or are copied without what is unused: a pure decision
//!             repack.rs     used blobs into new packs, verified
//!             execute.rs    new packs → new index → old index gone → old packs gone
//!             sparing.rs    the same without new packs, where the destination is full
//! ```
//!
//! Whenever it is interrupted, everything that a snapshot needs is in a pack that the index names, and the next prune finishes.

mod execute;
mod inventory;
mod keepers;
mod plan;
mod repack;
mod sparing;
mod used;

use std::sync::Arc;
use std::time::Duration;

use crate::blobs::BlobReader;
use crate::file::FileType;
use crate::id::Id;
use crate::index::Index;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::{NOT_UNDERSTOOD, Snapshot};
use crate::{Error, ErrorKind, Result};

use inventory::Inventory;

pub(crate) use execute::remove;

pub use inventory::{PackKind, PackUse, Tally};
pub use plan::{Figures, GRACE, MaxUnused, PackTally, Plan, PruneOptions, plan};

/// What a prune decided, and did unless it was a dry run.
#[derive(Debug, Clone)]
pub struct Pruned {
    /// What goes, what stays, and what is gained.
    pub figures: Figures,
    /// Bytes of new packs. 0 in a dry run.
    pub written_bytes: u64,
}

/// Decides what a prune would do. Needs no lock that keeps others out, so somebody may have changed the repository before it is done.
pub fn dry_run(
    repository: &Arc<Repository>,
    options: &PruneOptions,
    progress: &Progress,
) -> Result<Pruned> {
    let lock = Lock::for_reading(repository, progress)?;
    let (_, plan) = survey(repository, options, lock.as_ref(), progress)?;
    if let Some(lock) = lock {
        lock.ensure_held()?;
    }
    Ok(Pruned {
        figures: plan.figures,
        written_bytes: 0,
    })
}

/// Gives back what no snapshot needs, alone in the repository.
pub fn prune(
    repository: &Arc<Repository>,
    options: &PruneOptions,
    progress: &Progress,
) -> Result<Pruned> {
    let lock = Lock::exclusive(repository)?;
    let pruned = match carry_out(repository, options, &lock, progress) {
        Err(error) if error.kind() == ErrorKind::OutOfSpace => {
            prune_when_full(repository, options, &lock, progress)
                .map_err(|error| repository.without_room(error))?
        }
        pruned => pruned?,
    };
    lock.release()?;
    Ok(pruned)
}

fn carry_out(
    repository: &Arc<Repository>,
    options: &PruneOptions,
    lock: &Lock,
    progress: &Progress,
) -> Result<Pruned> {
    let (inventory, plan) = survey(repository, options, Some(lock), progress)?;
    let written_bytes = execute::execute(&inventory, &plan, lock, progress)?;
    Ok(Pruned {
        figures: plan.figures,
        written_bytes,
    })
}

/// Removes only what nothing is needed of, and what an attempt has left that found no room: packs that it copied. Out come its figures.
fn carry_out_sparingly(
    repository: &Arc<Repository>,
    grace: Duration,
    lock: &Lock,
    progress: &Progress,
) -> Result<Figures> {
    let options = PruneOptions {
        max_unused: MaxUnused::Unlimited,
        max_repack: Some(0),
        grace,
    };
    let (inventory, plan) = survey(repository, &options, Some(lock), progress)?;
    sparing::execute(&inventory, &plan, lock, progress)?;
    Ok(plan.figures)
}

/// Where there was no room for copies or a whole new index: first what can go without, and then, with the room that this has given, the rest.
fn prune_when_full(
    repository: &Arc<Repository>,
    options: &PruneOptions,
    lock: &Lock,
    progress: &Progress,
) -> Result<Pruned> {
    let removed = carry_out_sparingly(repository, options.grace, lock, progress)?;
    let mut pruned = match carry_out(repository, options, lock, progress) {
        Err(error) if error.kind() == ErrorKind::OutOfSpace => {
            progress.warn(format!(
                "{name} is too full to copy what is used out of packs that hold more: only packs that nothing is needed of were removed; prune again once there is room",
                name = repository.name()
            ));
            let figures = carry_out_sparingly(repository, options.grace, lock, progress)?;
            Pruned {
                figures,
                written_bytes: 0,
            }
        }
        pruned => pruned?,
    };
    pruned.figures.add_removed(&removed);
    Ok(pruned)
}

/// Looks at everything and decides. Changes nothing. Our own lock tells what time it is at the destination.
fn survey(
    repository: &Arc<Repository>,
    options: &PruneOptions,
    lock: Option<&Lock>,
    progress: &Progress,
) -> Result<(Inventory, Plan)> {
    // In this order, because in a dry run others may add backups meanwhile: what a snapshot names is in the index that is loaded after it.
    let snapshots = repository.snapshots()?;
    if let Some((id, error)) = snapshots.problems.into_iter().next() {
        // A repair leaves alone what is undamaged.
        let next = match Snapshot::is_undamaged(repository, &id) {
            true => NOT_UNDERSTOOD.to_owned(),
            false => format!(
                "`strongroom repair snapshots {}` drops what cannot be read",
                repository.name()
            ),
        };
        return Err(error.hint(format!(
            "what it needs is not known, so nothing was removed; {next}"
        )));
    }
    let index = Arc::new(Index::load(repository, progress)?);
    let reader = BlobReader::new(Arc::clone(repository), index);
    let used = used::find(&reader, &snapshots.good, progress)?;
    progress.step("listing packs");
    let now = lock.map_or(Ok(None), Lock::stored_at)?;
    let packs = repository.listing(FileType::Pack)?.objects;
    let inventory = Inventory::take(reader, &used, &packs, progress)?;
    let plan = plan(inventory.packs(), inventory.orphans(), now, options)
        .map_err(|error| error.on(format!("repository {}", repository.name())))?;
    Ok((inventory, plan))
}

/// A pack whose blobs are needed cannot be what the index says.
fn unusable(pack: &Id, how: &str) -> Error {
    Error::new(
        ErrorKind::Corrupted,
        format!("pack {} {how}, and backups need it", pack.short()),
    )
    .hint("nothing was removed; `strongroom check` names the backups, `strongroom repair index` and then `strongroom repair snapshots` save what is left")
}
