//! One run's backup: begun with the repositories that it goes to, fed with sources one after another, and committed as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::directory::store_tree;
use super::manifest::{self, Manifest};
use super::parent::ParentTrees;
use super::pipeline::Pipeline;
use super::sink::{Continued, Gathered, SessionSink, nest};
use super::stats::{Counts, SourceReport, Stats};
use super::storer::Storer;
use super::target::Target;
use crate::blob::BlobType;
use crate::blobs::BlobReader;
use crate::chunker::Chunker;
use crate::contents::Contents;
use crate::id::Id;
use crate::identity::Identity;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::{Snapshot, Summary};
use crate::source::{Attributes, Kind, Parent, Source};
use crate::time::Time;
use crate::tree::{FileTime, Node, NodeType};
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
    run: RunInfo,
    identity: Identity,
    staged: Vec<Staged>,
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
        let targets = repositories
            .into_iter()
            .map(|repository| Target::open(repository, &progress))
            .collect::<Result<_>>()?;
        let pipeline = Pipeline::start(targets, chunker, progress)?;
        Ok(Self {
            pipeline,
            run,
            identity: Identity::current(),
            staged: Vec::new(),
        })
    }

    /// Backs up one source. Its data is sent, but nothing counts before [`commit`](Self::commit).
    pub fn add(&mut self, info: &SourceInfo, source: &mut dyn Source) -> Result<SourceReport> {
        let started = Time::now();
        let stats = Arc::new(Stats::default());
        let parent = match info.kind {
            Kind::Full => None,
            Kind::Incremental => self.find_parent(&info.name)?,
        };
        let shared = &self.pipeline.shared;
        shared.progress.step(format!("backing up {}", info.name));
        let parent_id = parent.as_ref().map(|continued| continued.parent.id.clone());
        if let Some(continued) = &parent {
            expect_as_much_as(continued, &shared.progress);
        }
        let kind = if parent.is_some() {
            Kind::Incremental
        } else {
            Kind::Full
        };
        let sink = SessionSink::new(shared, &stats, parent);
        let outcome = source.backup(kind, &sink);
        let outcome = shared.failure.explain(outcome.and_then(|outcome| {
            shared.check()?;
            Ok(outcome)
        }))?;
        let gathered = sink.finish()?;
        let counts = stats.counts();
        let (unreadable, changed) = stats.problems();
        let mut attributes = gathered.notes.clone();
        attributes.extend(outcome.attributes);
        let report = SourceReport {
            source: info.name.clone(),
            kind: outcome.kind,
            summary: stats.summary(),
            counts,
            unreadable,
            changed,
            attributes,
        };
        let manifest = self.manifest(info, &report, parent_id.as_deref(), &gathered);
        let tree = self.store_root(&info.name, gathered, &manifest, &stats)?;
        let snapshot = self.snapshot(&report, started, parent_id, tree);
        let staged = Staged {
            source: info.name.clone(),
            snapshot,
            counts: stats.counts(),
        };
        self.staged.push(staged);
        Ok(SourceReport {
            summary: stats.summary(),
            counts: stats.counts(),
            ..report
        })
    }

    /// Makes everything durable, in the order that lets a kill at any moment lose at most this run: packs, index, snapshots.
    ///
    /// One result for each destination, in their order; an error where none has the backup.
    pub fn commit(mut self) -> Result<Vec<Committed>> {
        self.pipeline.stop();
        let shared = Arc::clone(&self.pipeline.shared);
        shared.failure.explain(shared.check())?;
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
        match committed
            .iter()
            .find_map(|target| target.snapshots.as_ref().err())
        {
            Some(error) if committed.iter().all(|target| target.snapshots.is_err()) => {
                Err(error.clone())
            }
            _ => Ok(committed),
        }
    }

    fn commit_to(&self, target: &Target, ended: Time) -> Result<Vec<(String, Id)>> {
        let commit = || -> Result<Vec<(String, Id)>> {
            target.finish_blobs()?;
            self.pipeline.shared.progress.check_cancelled()?;
            let write = |staged: &Staged| {
                let snapshot = staged.snapshot_with_summary(ended);
                Ok((staged.source.clone(), target.write_snapshot(&snapshot)?))
            };
            self.staged.iter().map(write).collect()
        };
        commit().map_err(|error| {
            error.or_on(format_args!("destination {}", target.repository().name()))
        })
    }

    /// The newest backup of this source, as the first target has it.
    fn find_parent(&self, source: &str) -> Result<Option<Continued>> {
        let shared = &self.pipeline.shared;
        let Some(target) = shared.targets.first() else {
            return Ok(None);
        };
        let snapshots = target.repository().snapshots()?;
        let newest = snapshots
            .good
            .into_iter()
            .rfind(|(_, snapshot)| snapshot.tag("source") == Some(source));
        let Some((id, snapshot)) = newest else {
            return Ok(None);
        };
        let open = || {
            let reader =
                BlobReader::new(Arc::clone(target.repository()), Arc::clone(target.index()));
            Contents::open(Arc::new(reader), id, &snapshot)
        };
        let contents = match open() {
            Ok(contents) => contents,
            Err(error) => {
                let message = format!("the parent backup {} cannot be used: {error}", id.short());
                shared.progress.warn(message);
                return Ok(None);
            }
        };
        let (attributes, streams) = contents
            .manifest()
            .map_or_else(Default::default, |manifest| {
                let attributes: Attributes = manifest
                    .attributes
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                (attributes, manifest.streams.clone())
            });
        let parent = Parent {
            id: id.to_string(),
            created: snapshot.time.nanoseconds(),
            attributes,
        };
        let root = contents.root().clone();
        let trees = ParentTrees::new(Arc::clone(contents.reader()), shared);
        let figures = snapshot
            .summary
            .map(|summary| (summary.total_bytes_processed, summary.total_files_processed));
        Ok(Some(Continued {
            parent,
            root,
            streams,
            trees,
            figures,
        }))
    }

    fn manifest(
        &self,
        info: &SourceInfo,
        report: &SourceReport,
        parent: Option<&str>,
        gathered: &Gathered,
    ) -> Manifest {
        let attributes: BTreeMap<_, _> = report.attributes.iter().cloned().collect();
        Manifest {
            strongroom: self.run.program.clone(),
            run: self.run.run.clone(),
            job: self.run.job.clone(),
            source: info.name.clone(),
            plugin: info.plugin.clone(),
            plugin_version: info.plugin_version.clone(),
            method: info.method.clone(),
            kind: report.kind,
            trigger: self.run.trigger.clone(),
            note: self.run.note.clone(),
            hostname: self.identity.hostname.clone(),
            parent: parent.map(str::to_owned),
            files: report.summary.files,
            bytes: report.summary.bytes,
            attributes,
            streams: gathered.streams.clone(),
            unreadable: report.unreadable.clone(),
            changed: report.changed.clone(),
            restore_by_hand: format!(
                "restic -r REPOSITORY restore SNAPSHOT --target DIR puts the data below DIR/{}",
                info.name
            ),
        }
    }

    /// Stores the root tree: the source's directory, and the manifest beside it.
    fn store_root(
        &self,
        source: &str,
        gathered: Gathered,
        manifest: &Manifest,
        stats: &Stats,
    ) -> Result<Id> {
        let mut storer = Storer::new(&self.pipeline.shared);
        let mut nodes = vec![source_directory(source, gathered, &mut storer, stats)?];
        nodes.push(manifest_directory(manifest, &mut storer, stats)?);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let tree = store_tree(&nodes, &mut storer, stats);
        storer.leave_packs();
        tree
    }

    fn snapshot(
        &self,
        report: &SourceReport,
        time: Time,
        parent: Option<String>,
        tree: Id,
    ) -> Snapshot {
        let run = &self.run;
        let mut tags = vec![
            format!("job:{}", run.job),
            format!("run:{}", run.run),
            format!("source:{}", report.source),
            format!("kind:{}", report.kind.as_str()),
            format!("trigger:{}", run.trigger),
        ];
        if !report.unreadable.is_empty() {
            tags.push("state:incomplete".into());
        }
        if run.sources > 1 {
            tags.push(format!("run-sources:{}", run.sources));
        }
        tags.extend(run.note.as_ref().map(|note| format!("note:{note}")));
        Snapshot {
            time,
            parent: parent.and_then(|id| id.parse().ok()),
            tree,
            paths: vec![format!("/{}", report.source)],
            hostname: self.identity.hostname.clone(),
            username: self.identity.username.clone(),
            uid: self.identity.uid,
            gid: self.identity.gid,
            excludes: Vec::new(),
            tags,
            original: None,
            program_version: run.program.clone(),
            summary: None,
        }
    }
}

impl Staged {
    fn snapshot_with_summary(&self, ended: Time) -> Snapshot {
        let counts = &self.counts;
        let summary = Summary {
            backup_start: self.snapshot.time,
            backup_end: ended,
            files_new: counts.files_new,
            files_changed: counts.files_changed,
            files_unmodified: counts.files_unmodified,
            dirs_new: counts.dirs_new,
            dirs_changed: counts.dirs_changed,
            dirs_unmodified: counts.dirs_unmodified,
            data_blobs: counts.data_blobs,
            tree_blobs: counts.tree_blobs,
            data_added: counts.data_added,
            data_added_packed: counts.data_added_packed,
            total_files_processed: counts.files,
            total_bytes_processed: counts.bytes,
        };
        Snapshot {
            summary: Some(summary),
            ..self.snapshot.clone()
        }
    }
}

/// The work will be about that of the last time.
fn expect_as_much_as(continued: &Continued, progress: &Progress) {
    if let Some((bytes, files)) = continued.figures {
        progress.expect(Some(bytes), Some(files));
    }
}

/// The source's directory: what it delivered as its root, or its files nested below a plain directory.
fn source_directory(
    source: &str,
    mut gathered: Gathered,
    storer: &mut Storer,
    stats: &Stats,
) -> Result<Node> {
    if let Some(root) = gathered.nodes.remove("") {
        if !gathered.nodes.is_empty() {
            return Err(Error::new(
                ErrorKind::Failed,
                "delivered both a tree as its root and other files",
            )
            .on(format!("source {source}")));
        }
        if root.node_type != NodeType::Dir {
            return Err(Error::new(ErrorKind::Failed, "its root is no directory").on(source));
        }
        return Ok(Node {
            name: source.into(),
            ..root
        });
    }
    let nodes = nest(gathered.nodes, &mut |nodes| {
        store_tree(nodes, storer, stats)
    })?;
    let mut directory = own_directory(source);
    directory.subtree = Some(store_tree(&nodes, storer, stats)?);
    Ok(directory)
}

fn manifest_directory(manifest: &Manifest, storer: &mut Storer, stats: &Stats) -> Result<Node> {
    let mut json = serde_json::to_vec_pretty(manifest).map_err(|error| {
        Error::new(
            ErrorKind::Failed,
            format!("the manifest cannot be written: {error}"),
        )
    })?;
    json.push(b'\n');
    let mut file = Node::new(manifest::FILE, NodeType::File);
    file.set_permissions(0o600);
    (file.mtime, file.atime, file.ctime) = (FileTime::now(), FileTime::now(), FileTime::now());
    file.size = json.len() as u64;
    // A manifest that names millions of files is cut like any other content.
    let pieces = json.chunks(crate::chunker::MAX_SIZE);
    file.content = Some(
        pieces
            .map(|piece| storer.store(BlobType::Data, piece, stats))
            .collect::<Result<_>>()?,
    );
    let mut directory = own_directory(manifest::DIRECTORY);
    directory.subtree = Some(store_tree(&[file], storer, stats)?);
    Ok(directory)
}

fn own_directory(name: &str) -> Node {
    let mut directory = Node::new(name, NodeType::Dir);
    directory.set_permissions(0o700);
    let now = FileTime::now();
    (directory.mtime, directory.atime, directory.ctime) = (now, now, now);
    directory
}
