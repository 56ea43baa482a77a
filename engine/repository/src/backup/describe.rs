//! How a backup describes itself: the manifest inside it, and the snapshot with its tags.

use super::manifest::Manifest;
use super::session::{RunInfo, SourceInfo};
use super::sink::Gathered;
use super::stats::{Counts, SourceReport};
use crate::id::Id;
use crate::identity::Identity;
use crate::loss::ACCEPTED;
use crate::snapshot::{INCOMPLETE, Snapshot, Summary};
use crate::time::Time;

/// What describes one source of a run.
pub(crate) struct Description<'a> {
    pub(crate) run: &'a RunInfo,
    pub(crate) identity: &'a Identity,
    pub(crate) report: &'a SourceReport,
    /// The snapshot that was continued.
    pub(crate) parent: Option<&'a str>,
    /// Whether it holds next to nothing of what the one before held, and is meant to.
    pub(crate) is_loss_accepted: bool,
}

impl Description<'_> {
    /// `.strongroom/manifest.json`.
    pub(crate) fn manifest(&self, info: &SourceInfo, gathered: &Gathered) -> Manifest {
        let Self { run, report, .. } = self;
        Manifest {
            strongroom: run.program.clone(),
            run: run.run.clone(),
            job: run.job.clone(),
            source: info.name.clone(),
            plugin: info.plugin.clone(),
            plugin_version: info.plugin_version.clone(),
            method: info.method.clone(),
            kind: report.kind,
            trigger: run.trigger.clone(),
            note: run.note.clone(),
            hostname: self.identity.hostname.clone(),
            parent: self.parent.map(str::to_owned),
            files: report.summary.files,
            bytes: report.summary.bytes,
            attributes: report.attributes.iter().cloned().collect(),
            streams: gathered.streams.clone(),
            unreadable: report.unreadable.clone(),
            missing: report.missing.clone(),
            warnings: gathered.warnings.clone(),
            changed: report.changed.clone(),
            folders: gathered.folders.clone(),
            restore_by_hand: format!(
                "restic -r REPOSITORY restore SNAPSHOT --target DIR puts the data below DIR/{}",
                info.name
            ),
        }
    }

    /// The snapshot, before its figures are known.
    pub(crate) fn snapshot(&self, time: Time, tree: Id) -> Snapshot {
        let run = self.run;
        let mut tags = vec![
            format!("job:{}", run.job),
            format!("run:{}", run.run),
            format!("source:{}", self.report.source),
            format!("kind:{}", self.report.kind.as_str()),
            format!("trigger:{}", run.trigger),
        ];
        if self.report.is_incomplete() {
            tags.push(INCOMPLETE.into());
        }
        if self.is_loss_accepted {
            tags.push(ACCEPTED.into());
        }
        if run.sources > 1 {
            tags.push(format!("run-sources:{}", run.sources));
        }
        tags.extend(run.note.as_ref().map(|note| format!("note:{note}")));
        Snapshot {
            time,
            parent: self.parent.and_then(|id| id.parse().ok()),
            tree,
            paths: vec![format!("/{}", self.report.source)],
            hostname: self.identity.hostname.clone(),
            username: self.identity.username.clone(),
            uid: self.identity.uid,
            gid: self.identity.gid,
            excludes: Vec::new(),
            tags,
            original: None,
            program_version: run.program.clone(),
            summary: None,
            unknown: Default::default(),
        }
    }
}

/// The figures of a snapshot, in restic's words.
pub(crate) fn summary(counts: &Counts, started: Time, ended: Time) -> Summary {
    Summary {
        backup_start: Some(started),
        backup_end: Some(ended),
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
        unknown: Default::default(),
    }
}
