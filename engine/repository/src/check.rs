//! Checking a repository: its structure, and on demand every byte of its packs. Findings are data; only what makes looking impossible is an
//! error.

mod sample;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::blob::{BlobType, PackedBlob};
use crate::blobs::BlobReader;
use crate::decode::Decoder;
use crate::file::FileType;
use crate::id::Id;
use crate::index::Index;
use crate::lock::Lock;
use crate::pack;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::snapshot::Snapshots;
use crate::tree::{Node, NodeType, Tree};
use crate::{Result, parallel};

/// How thoroughly to check.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Read this share of the packs, in percent. Without it only sizes are compared.
    pub read_data: Option<f64>,
    /// Where to begin with that: [`CheckReport::read_until`] of the check before, so that checks in a row come to every pack.
    pub read_from: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The object.
    pub subject: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Damage. Empty for a sound repository.
    pub problems: Vec<Finding>,
    /// Harmless leftovers, such as packs of a run that was killed.
    pub notes: Vec<Finding>,
    /// Snapshots whose trees were followed.
    pub snapshots: usize,
    /// Blobs in the index.
    pub blobs: usize,
    /// Packs at the destination.
    pub packs: usize,
    /// Bytes of these packs.
    pub pack_bytes: u64,
    /// Packs that were read in full.
    pub packs_read: usize,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Where the next check that reads a share should go on.
    pub read_until: u64,
}

/// Checks `repository` under a shared lock, where one can be written.
pub fn check(
    repository: &Arc<Repository>,
    options: CheckOptions,
    progress: &Progress,
) -> Result<CheckReport> {
    let lock = Lock::for_reading(repository, progress)?;
    let report = survey(repository, options, progress)?;
    if let Some(lock) = lock {
        lock.ensure_held()?;
    }
    Ok(report)
}

/// Checks `repository`, which its caller has locked.
pub(crate) fn survey(
    repository: &Arc<Repository>,
    options: CheckOptions,
    progress: &Progress,
) -> Result<CheckReport> {
    let mut check = Check::begin(repository, progress)?;
    check.compare_packs()?;
    check.follow_snapshots()?;
    if let Some(percent) = options.read_data {
        check.read_packs(percent, options.read_from)?;
    }
    Ok(check.finish())
}

#[derive(Default)]
struct Seen {
    trees: HashSet<Id>,
    missing: HashSet<Id>,
}

struct Check<'a> {
    repository: &'a Arc<Repository>,
    progress: &'a Progress,
    snapshots: Snapshots,
    index: Arc<Index>,
    /// Sizes of the packs that are there.
    packs: HashMap<Id, u64>,
    report: CheckReport,
}

impl<'a> Check<'a> {
    fn begin(repository: &'a Arc<Repository>, progress: &'a Progress) -> Result<Self> {
        // In this order, because others may add backups meanwhile: what a snapshot names is in the index that is loaded after it.
        let snapshots = repository.snapshots()?;
        let index = Arc::new(Index::load(repository, progress)?);
        progress.step("listing packs");
        let packs: HashMap<Id, u64> = repository.list(FileType::Pack)?.into_iter().collect();
        let report = CheckReport {
            blobs: index.len(),
            packs: packs.len(),
            pack_bytes: packs.values().sum(),
            ..CheckReport::default()
        };
        Ok(Self {
            repository,
            progress,
            snapshots,
            index,
            packs,
            report,
        })
    }

    fn problem(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        let finding = Finding {
            subject: subject.into(),
            message: message.into(),
        };
        self.report.problems.push(finding);
    }

    /// Packs that are missing or of the wrong size, and packs that no index names.
    fn compare_packs(&mut self) -> Result<()> {
        let mut indexed: HashMap<Id, u64> = HashMap::new();
        for pack in self.index.packs() {
            let end = indexed.entry(pack.id).or_default();
            *end = pack.blobs_end.max(*end);
        }
        let mut findings = Vec::new();
        for (id, blobs_end) in &indexed {
            match self.packs.get(id) {
                None => findings.push((*id, "is missing".to_owned())),
                Some(size) if *size <= *blobs_end + pack::TRAILER as u64 => findings.push((
                    *id,
                    format!("is damaged: {size} bytes long, and its blobs alone take {blobs_end}"),
                )),
                Some(_) => {}
            }
        }
        for (id, message) in findings {
            self.problem(format!("pack {}", id.short()), message);
        }
        let orphans: Vec<Id> = self
            .packs
            .keys()
            .filter(|id| !indexed.contains_key(id))
            .copied()
            .collect();
        for id in orphans {
            self.report.notes.push(Finding {
                subject: format!("pack {}", id.short()),
                message: "is in no index: left behind by a run that did not finish, unless an index object is gone; `strongroom prune` removes it".into(),
            });
        }
        Ok(())
    }

    /// Every tree of every snapshot must be readable, and every blob that it names be in the index.
    fn follow_snapshots(&mut self) -> Result<()> {
        self.progress.step("checking snapshots and trees");
        let snapshots = std::mem::take(&mut self.snapshots);
        for (id, error) in snapshots.problems {
            self.problem(format!("snapshot {}", id.short()), error.message());
        }
        self.report.snapshots = snapshots.good.len();
        let reader = BlobReader::new(Arc::clone(self.repository), Arc::clone(&self.index));
        // What several snapshots share is looked at once, and named with the first of them.
        let mut seen = Seen::default();
        for (id, snapshot) in &snapshots.good {
            let name = format!("snapshot {}", id.short());
            let mut open = vec![(snapshot.tree, String::new())];
            while let Some((tree, path)) = open.pop() {
                self.progress.check_cancelled()?;
                if !seen.trees.insert(tree) {
                    continue;
                }
                match reader.tree(&tree) {
                    Ok(tree) => self.follow_tree(&name, &path, tree, &mut seen, &mut open),
                    Err(error) if error.is_damage() => {
                        let place = if path.is_empty() { "/" } else { &path };
                        self.problem(&name, format!("{place}: {}", error.message()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn follow_tree(
        &mut self,
        snapshot: &str,
        path: &str,
        tree: Tree,
        seen: &mut Seen,
        open: &mut Vec<(Id, String)>,
    ) {
        for node in tree.nodes {
            let path = format!("{path}/{}", String::from_utf8_lossy(&node.name));
            for blob in node.content.iter().flatten() {
                let known = self.index.contains(BlobType::Data, blob);
                if !known && seen.missing.insert(*blob) {
                    let message = format!("{path}: data blob {} is missing", blob.short());
                    self.problem(snapshot, message);
                }
            }
            if let Some(length) = self.content_length(&node)
                && length != node.size
            {
                let message = format!("{path}: {length} bytes where {} are expected", node.size);
                self.problem(snapshot, message);
            }
            match (node.node_type, node.subtree) {
                (NodeType::Dir, Some(subtree)) => open.push((subtree, path)),
                (NodeType::Dir, None) => {
                    self.problem(snapshot, format!("{path}: directory without a tree"));
                }
                _ => {}
            }
        }
    }

    /// Bytes of a file's blobs; `None` where one is missing, which is a finding of its own, and for what is no file.
    fn content_length(&self, node: &Node) -> Option<u64> {
        let blobs = node.content.iter().flatten();
        let lengths = blobs.map(|id| self.index.get(BlobType::Data, id).map(|it| it.blob));
        (node.node_type == NodeType::File)
            .then(|| {
                lengths
                    .map(|blob| blob.map(|it| u64::from(it.plain_length())))
                    .sum()
            })
            .flatten()
    }

    /// Reads packs in full: their name, their header, and every blob.
    fn read_packs(&mut self, percent: f64, from: u64) -> Result<()> {
        self.progress.step("reading packs");
        let mut packs: Vec<(Id, u64)> = self.packs.iter().map(|(id, size)| (*id, *size)).collect();
        packs.sort_unstable();
        (packs, self.report.read_until) = sample::choose(packs, percent, from);
        let bytes = packs.iter().map(|(_, size)| size).sum();
        self.progress.begin_part();
        self.progress.expect(Some(bytes), Some(packs.len() as u64));
        let indexed = self.blobs_by_pack();
        let findings = Mutex::new(Vec::new());
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        parallel::for_each(threads, &packs, |(id, size)| {
            self.progress.check_cancelled()?;
            let blobs = indexed.get(id).map(Vec::as_slice).unwrap_or_default();
            let problems = self.read_pack(id, *size, blobs)?;
            let named = problems.into_iter().map(|message| (*id, message));
            findings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(named);
            self.progress.advance(*size, 1);
            Ok(())
        })?;
        for (id, message) in findings.into_inner().unwrap_or_default() {
            let subject = format!("pack {}", id.short());
            // What no index names, no backup needs, or it is a finding that the backup lacks it.
            match indexed.contains_key(&id) {
                true => self.problem(subject, message),
                false => self.report.notes.push(Finding { subject, message }),
            }
        }
        self.report.packs_read = packs.len();
        self.report.bytes_read = bytes;
        Ok(())
    }

    /// Every place of every blob: one that lies in two packs is looked at in both.
    fn blobs_by_pack(&self) -> HashMap<Id, Vec<PackedBlob>> {
        let mut packs: HashMap<Id, Vec<PackedBlob>> = HashMap::new();
        for location in self.index.places() {
            packs.entry(location.pack).or_default().push(location.blob);
        }
        packs
    }

    /// What is wrong with one pack. `indexed` are the blobs for which the index names it.
    fn read_pack(&self, id: &Id, size: u64, indexed: &[PackedBlob]) -> Result<Vec<String>> {
        let key = FileType::Pack.key(id);
        let bytes = match self.repository.destination().get(&key, 0, Some(size)) {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => return Ok(vec![error.message().to_owned()]),
            Err(error) => return Err(error),
        };
        let mut problems = Vec::new();
        if Id::of(&bytes) != *id {
            problems.push("is damaged: its content does not match its name".to_owned());
        }
        let master_key = self.repository.key();
        let listed = pack::header_length(&bytes, size).and_then(|length| {
            let end = bytes.len().saturating_sub(pack::TRAILER);
            let header = bytes
                .get(end.saturating_sub(length)..end)
                .unwrap_or_default();
            pack::parse_header(master_key, header, size)
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                problems.push(error.message().to_owned());
                Vec::new()
            }
        };
        let mut decoder = Decoder::new()?;
        let differing = indexed.iter().filter(|blob| !listed.contains(blob));
        for blob in listed.iter().chain(differing) {
            if let Err(error) = decoder.decode_from(master_key, blob, &bytes, 0) {
                let kind = blob.blob_type.as_str();
                let others = self.index.elsewhere(blob.blob_type, &blob.id, id);
                let other = others.first().map(|other| other.pack.short());
                problems.push(format!(
                    "{kind} blob {} {}{}",
                    blob.id.short(),
                    error.message(),
                    other.map_or(String::new(), |pack| format!("; pack {pack} holds it too"))
                ));
            }
        }
        Ok(problems)
    }

    fn finish(mut self) -> CheckReport {
        self.report.problems.sort();
        self.report.notes.sort();
        self.report
    }
}
