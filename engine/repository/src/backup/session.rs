//! One run's backup: begun with the repositories that it goes to, fed with sources one after another, and committed as a whole.

use std::sync::Arc;

use super::describe::{Description, summary};
use super::expected::{Delivered, Expected, Verdict};
use super::own::{OwnFolder, OwnFolders};
use super::parent::Continued;
use super::past::{Earlier, Reference, held};
use super::pipeline::Pipeline;
use super::root::store_root;
use super::sink::{Gathered, SessionSink};
use super::stats::{Counts, SourceReport, Stats};
use super::storer::Storer;
use super::target::Target;
use crate::chunker::Chunker;
use crate::id::Id;
use crate::identity::Identity;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::{MISSING_SOURCE, Snapshot};
use crate::source::{Kind, Source};
use crate::time::Time;
use crate::{Error, ErrorKind, Result};

/// What a run is.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The run's id, which all its snapshots share.
    pub run: String,
    /// The job.
    pub job: String,
    /// What started it: `scheduled` or `on-demand`.
    pub trigger: String,
    /// What the user wrote.
    pub note: Option<String>,
    /// How many sources it will have.
    pub sources: usize,
    /// The program and its version, for snapshots.
    pub program: String,
}

/// What one source of the run is.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    /// The operator's name for it.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// The plugin's version.
    pub plugin_version: String,
    /// How a database is read.
    pub method: Option<String>,
    /// What is asked for. The first backup is a full one whatever this says.
    pub kind: Kind,
}

/// A backup that is under way. Dropped before [`commit`](Self::commit), it leaves nothing that counts as a backup.
pub struct BackupSession {
    pipeline: Pipeline,
    /// Stores manifests and root trees.
    storer: Storer,
    /// Destinations that could not be used from the beginning.
    refused: Vec<(String, Error)>,
    run: RunInfo,
    identity: Identity,
    staged: Vec<Staged>,
    /// Sources of the run that are not in it.
    lacking: Vec<String>,
}

/// A source whose data is on its way, and whose snapshot waits for the commit.
struct Staged {
    source: String,
    snapshot: Snapshot,
    counts: Counts,
}

/// What became of a backup at one destination.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The destination.
    pub target: String,
    /// The snapshot of each source, in the order in which they were added; or why this destination has none.
    pub snapshots: Result<Vec<(String, Id)>>,
}

impl BackupSession {
    /// Locks the repositories, loads what they hold, and starts the pipeline. All must share one polynomial for chunks to be found again.
    ///
    /// A repository that cannot be used fails by itself, as [`commit`](Self::commit) tells; the backup goes to the others.
    pub fn begin(
        repositories: Vec<Arc<Repository>>,
        run: RunInfo,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let first = repositories.first().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                "a backup needs at least one destination",
            )
        })?;
        let chunker = Chunker::new(first.polynomial());
        let mut targets = Vec::new();
        let mut refused: Vec<(String, Error)> = Vec::new();
        for repository in repositories {
            let name = repository.name().to_owned();
            match Target::open(repository, &progress) {
                Ok(target) => targets.push(target),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    let error = error.or_on(format_args!("destination {name}"));
                    refused.push((name, error));
                }
            }
        }
        if targets.is_empty()
            && let Some((_, error)) = refused.pop()
        {
            return Err(error);
        }
        let pipeline = Pipeline::start(targets, chunker, progress)?;
        Ok(Self {
            storer: Storer::new(&pipeline.shared),
            pipeline,
            refused,
            run,
            identity: Identity::current(),
            staged: Vec::new(),
            lacking: Vec::new(),
        })
    }

    /// Backs up one source. Its data is sent, but nothing counts before [`commit`](Self::commit).
    ///
    /// An error is the source's own as long as [`check`](Self::check) succeeds: nothing of it will count, others may be added, and their snapshots
    /// name the one that is missing.
    pub fn add(&mut self, info: &SourceInfo, source: &mut dyn Source) -> Result<SourceReport> {
        self.add_expecting(info, &Expected::default(), source)
    }

    /// As [`add`](Self::add). What does not meet what is expected is an error of the source.
    pub fn add_expecting(
        &mut self,
        info: &SourceInfo,
        expected: &Expected,
        source: &mut dyn Source,
    ) -> Result<SourceReport> {
        self.check()?;
        let added = self.add_source(info, expected, source);
        if added.is_err() {
            self.lack(&info.name);
        }
        added
    }

    /// Fails once nothing more can come of this backup: it was cancelled, or no destination is left.
    pub fn check(&self) -> Result<()> {
        let shared = &self.pipeline.shared;
        shared.failure.explain(shared.check())
    }

    /// Names the folders that are left out of whatever is walked. Only the first call counts.
    pub fn leave_out(&mut self, folders: Vec<OwnFolder>) {
        let _ = self.pipeline.shared.own.set(OwnFolders::new(folders));
    }

    /// The host's name in the snapshots, where it is not the system's: backups of one name are one history.
    pub fn made_by(&mut self, hostname: &str) {
        hostname.clone_into(&mut self.identity.hostname);
    }

    /// Says of a source of the run that it could not even be begun.
    pub fn lack(&mut self, source: &str) {
        self.lacking.push(source.to_owned());
    }

    /// Whether there is nothing to be committed.
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    fn add_source(
        &mut self,
        info: &SourceInfo,
        expected: &Expected,
        source: &mut dyn Source,
    ) -> Result<SourceReport> {
        let started = Time::now();
        let stats = Arc::new(Stats::default());
        let shared = Arc::clone(&self.pipeline.shared);
        shared.progress.begin_part();
        shared.progress.step(format!("backing up {}", info.name));
        let earlier = Earlier::find(&shared, &self.run, info, &self.identity.hostname)?;
        let parent = match info.kind {
            Kind::Full => None,
            Kind::Incremental => Continued::find(&shared, info, &earlier),
        };
        let reference = earlier.reference(info, parent.as_ref()).map(Arc::new);
        let kind = match &parent {
            None => Kind::Full,
            Some(continued) => {
                continued.expect_as_much(&shared.progress);
                Kind::Incremental
            }
        };
        let parent_id = parent.as_ref().map(|continued| continued.parent.id.clone());
        let sink =
            SessionSink::new(&shared, &stats, parent).expecting(reference.as_ref(), expected);
        let outcome = source.backup(kind, &sink);
        let outcome = shared.failure.explain(outcome.and_then(|outcome| {
            shared.check()?;
            Ok(outcome)
        }))?;
        let gathered = sink.finish()?;
        let mut report = stats.report(&info.name, outcome.kind);
        report.missing = gathered.missing.clone();
        report.attributes = gathered.notes.clone();
        report.attributes.extend(outcome.attributes);
        let verdict = self.judge(expected, &report, &gathered, reference.as_deref())?;
        let description = Description {
            run: &self.run,
            identity: &self.identity,
            report: &report,
            parent: parent_id.as_deref(),
            is_loss_accepted: verdict == Verdict::Accepted,
        };
        let manifest = description.manifest(info, &gathered);
        let tree = store_root(gathered, &manifest, &mut self.storer, &stats)?;
        let snapshot = description.snapshot(started, tree);
        (report.summary, report.counts) = (stats.summary(), stats.counts());
        self.staged.push(Staged {
            source: info.name.clone(),
            snapshot,
            counts: report.counts,
        });
        Ok(report)
    }

    /// Whether what the source delivered is what it was, or meant to be.
    fn judge(
        &self,
        expected: &Expected,
        report: &SourceReport,
        gathered: &Gathered,
        before: Option<&Reference>,
    ) -> Result<Verdict> {
        let was_mounted = |path: &str| {
            let folder = before.and_then(|before| before.noted.folder(path));
            folder.is_some_and(|folder| folder.is_mount_point == Some(true))
        };
        let no_mounts = gathered
            .folders
            .iter()
            .filter(|folder| folder.is_mount_point == Some(false) && was_mounted(&folder.path));
        let delivered = Delivered {
            source: &report.source,
            job: &self.run.job,
            report,
            holds: held(&report.attributes),
            no_mounts: no_mounts.map(|folder| folder.root.clone()).collect(),
            unmounted: gathered.unmounted.clone(),
        };
        let verdict = expected.judge(&delivered, before)?;
        if verdict == Verdict::Empty {
            self.pipeline.shared.progress.warn(format!(
                "{0} holds no files: if that is as it should be, set `allow_empty = true` in [sources.{0}]",
                report.source
            ));
        }
        Ok(verdict)
    }

    /// Makes everything durable, in the order that lets a kill at any moment lose at most this run: packs, index, snapshots.
    ///
    /// One result for each destination; an error where none has the backup.
    pub fn commit(mut self) -> Result<Vec<Committed>> {
        self.pipeline.stop();
        let finished = self.storer.finish();
        let shared = Arc::clone(&self.pipeline.shared);
        shared.failure.explain(finished.and(shared.check()))?;
        shared.progress.step("writing the index");
        let ended = Time::now();
        let committed: Vec<Committed> = shared
            .targets
            .iter()
            .map(|target| Committed {
                target: target.repository().name().to_owned(),
                snapshots: self.commit_to(target, ended),
            })
            .collect();
        if committed.iter().all(|target| target.snapshots.is_err())
            && let Some(Err(error)) = committed.first().map(|target| &target.snapshots)
        {
            return Err(error.clone());
        }
        let refused = self.refused.into_iter().map(|(target, error)| Committed {
            target,
            snapshots: Err(error),
        });
        Ok(committed.into_iter().chain(refused).collect())
    }

    fn commit_to(&self, target: &Target, ended: Time) -> Result<Vec<(String, Id)>> {
        let commit = || -> Result<Vec<(String, Id)>> {
            target.finish_blobs()?;
            self.pipeline.shared.progress.check_cancelled()?;
            let snapshot = |staged: &Staged| {
                let mut snapshot = Snapshot {
                    summary: Some(summary(&staged.counts, staged.snapshot.time, ended)),
                    ..staged.snapshot.clone()
                };
                let lacking = self.lacking.iter();
                snapshot
                    .tags
                    .extend(lacking.map(|name| format!("{MISSING_SOURCE}:{name}")));
                snapshot
            };
            let snapshots: Vec<Snapshot> = self.staged.iter().map(snapshot).collect();
            let ids = target.write_snapshots(&snapshots)?;
            let sources = self.staged.iter().map(|staged| staged.source.clone());
            let written = sources.zip(ids).collect();
            target.repository().keep_reserve();
            Ok(written)
        };
        commit().map_err(|error| {
            error.or_on(format_args!("destination {}", target.repository().name()))
        })
    }
}
