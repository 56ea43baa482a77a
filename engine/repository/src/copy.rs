//! Copying: snapshots of one repository in, the same snapshots in another repository out, with every blob that was missing there.
//!
//! ```text
//! snapshots.rs   which snapshots are missing
//! plan.rs        follows their trees: which blobs are missing, and in which packs they lie
//! transfer.rs    reads each pack once; sends it whole, blob by blob, or encrypted anew
//! here           … all packs durable → index → snapshots
//! ```
//!
//! What arrived and is in an index object is not sent again, so a copy that was interrupted goes on where it was.

mod plan;
mod snapshots;
mod transfer;

use std::collections::HashSet;
use std::sync::Arc;

use crate::backup::Target;
use crate::blobs::BlobReader;
use crate::id::Id;
use crate::index::Index;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::{Snapshot, Snapshots};
use crate::{Error, Result};

use plan::Plan;
use transfer::Transfer;

/// Chooses among the snapshots of the source, oldest first.
pub type Select<'a> = &'a dyn Fn(&[(Id, Snapshot)]) -> Result<HashSet<Id>>;

/// What became of a copy.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// The snapshots that were copied, or would be.
    pub copied: Vec<Copied>,
    /// Chosen snapshots that the target has already.
    pub present: usize,
    /// Chosen snapshots that were not copied, because the source is damaged.
    pub failed: Vec<(Id, Snapshot, Error)>,
    /// Snapshots of the source that cannot be read: nobody knows whether they were meant.
    pub unreadable: Vec<Error>,
    /// What was sent, or would be.
    pub volume: Volume,
}

/// A snapshot that was copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Its id at the source.
    pub id: Id,
    /// The snapshot there.
    pub snapshot: Snapshot,
    /// Its id at the target. None where nothing was to be done in earnest.
    pub copy: Option<Id>,
}

/// How much there is to send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Blobs that the target lacks.
    pub blobs: u64,
    /// Their encrypted bytes.
    pub bytes: u64,
    /// Packs that they lie in.
    pub packs: u64,
    /// Packs among these that become packs of the target as they are.
    pub whole_packs: u64,
}

/// Brings the snapshots that `select` chooses from `source` to `target`. Both keep their own passwords and keys.
///
/// A snapshot that cannot be copied because of damage at the source is in the report, and the others are copied. After an
/// error, the snapshots that were written before it count all the same, each of them whole; the next copy finds these and all that was sent.
pub fn copy(
    source: &Arc<Repository>,
    target: &Arc<Repository>,
    select: Select<'_>,
    progress: &Arc<Progress>,
) -> Result<CopyReport> {
    let _reading = Lock::for_reading(source, progress)?;
    let to = Target::open(Arc::clone(target), progress)?;
    let result = prepare(source, target, to.index(), select, progress)
        .and_then(|prepared| prepared.execute(&to, progress));
    to.stop_uploads();
    result.map_err(|error| {
        // What is durable need not be sent again. A target that is out of reach is not waited for a second time.
        if !to.failure().is_err_and(|failure| failure.is_temporary()) {
            // The copy has failed all the same, so this may.
            let _ = to.checkpoint();
        }
        match error.hint_text() {
            Some(_) => error,
            None => error.hint("run it again: what has arrived is not sent again"),
        }
    })
}

/// What [`copy`] would do. Nothing is sent.
pub fn dry_run(
    source: &Arc<Repository>,
    target: &Arc<Repository>,
    select: Select<'_>,
    progress: &Arc<Progress>,
) -> Result<CopyReport> {
    let _reading = Lock::for_reading(source, progress)?;
    let _comparing = Lock::for_reading(target, progress)?;
    let index = Index::load(target, progress)?;
    let Prepared { plan, report, .. } = prepare(source, target, &index, select, progress)?;
    let copied = plan.snapshots.into_iter().map(|(id, snapshot)| Copied {
        id,
        snapshot,
        copy: None,
    });
    Ok(CopyReport {
        copied: copied.collect(),
        ..report
    })
}

/// A plan, and what is known of the result before it is carried out.
struct Prepared {
    plan: Plan,
    reader: BlobReader,
    report: CopyReport,
}

/// The snapshots are listed before the source's index is read: whatever a snapshot names is in an index that is read after it.
fn prepare(
    source: &Arc<Repository>,
    target: &Arc<Repository>,
    held: &Index,
    select: Select<'_>,
    progress: &Progress,
) -> Result<Prepared> {
    progress.step("comparing snapshots");
    let Snapshots { good, problems } = source.snapshots()?;
    let chosen = select(&good)?;
    let theirs = target.snapshots()?;
    for (_, problem) in &theirs.problems {
        progress.warn(format!(
            "cannot tell whether this is a copy already: {problem}"
        ));
    }
    let wanted: Vec<_> = good
        .into_iter()
        .filter(|(id, _)| chosen.contains(id))
        .collect();
    let count = wanted.len();
    let missing = snapshots::missing(wanted, &theirs.good);
    let mut report = CopyReport {
        present: count - missing.len(),
        unreadable: problems.into_iter().map(|(_, error)| error).collect(),
        ..CopyReport::default()
    };
    let index = match missing.is_empty() {
        true => Index::default(),
        false => Index::load(source, progress)?,
    };
    let reader = BlobReader::new(Arc::clone(source), Arc::new(index));
    progress.step("looking for what is missing");
    // What may be compressed becomes no pack of a repository that knows no compression.
    let may_be_whole =
        have_same_key(source, target) && (target.compresses() || !source.compresses());
    let (plan, failed) = Plan::make(&reader, held, missing, may_be_whole, progress)?;
    report.failed = failed;
    report.volume = plan.volume();
    Ok(Prepared {
        plan,
        reader,
        report,
    })
}

impl Prepared {
    fn execute(mut self, to: &Target, progress: &Progress) -> Result<CopyReport> {
        let explained = |error: Error| {
            let error = to.failure().err().unwrap_or(error);
            error.or_on(format_args!("destination {}", to.repository().name()))
        };
        progress.step(format!("copying to {}", to.repository().name()));
        progress.begin_part();
        progress.expect(
            Some(self.report.volume.bytes),
            Some(self.report.volume.packs),
        );
        let lost = Transfer::new(&self.reader, to, progress)?
            .run(&self.plan)
            .map_err(explained)?;
        progress.step("writing the index");
        to.finish_blobs().map_err(explained)?;
        let (whole, failed) = self.plan.without(&self.reader, &lost, progress)?;
        self.report.failed.extend(failed);
        for (id, snapshot) in whole {
            progress.check_cancelled()?;
            let copy = to
                .write_snapshots(&[snapshots::copy_of(&id, &snapshot)])
                .map_err(explained)?;
            self.report.copied.push(Copied {
                id,
                snapshot,
                copy: copy.first().copied(),
            });
        }
        Ok(self.report)
    }
}

/// With one key for both, what is sealed here opens there. That is so where one repository began as a copy of the other's files.
fn have_same_key(one: &Repository, other: &Repository) -> bool {
    let (one, other) = (one.key(), other.key());
    one.encrypt() == other.encrypt() && one.mac_k() == other.mac_k() && one.mac_r() == other.mac_r()
}
