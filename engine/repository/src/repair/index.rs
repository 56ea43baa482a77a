//! The index made anew: what good index objects say of packs that are there stays, and the other packs are asked themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{finding, header};
use crate::blob::PackedBlob;
use crate::check::Finding;
use crate::file::FileType;
use crate::id::Id;
use crate::index::{IndexFile, IndexPack, IndexWriter};
use crate::lock::Lock;
use crate::pack;
use crate::progress::Progress;
use crate::prune::remove;
use crate::repository::Repository;
use crate::{Result, parallel};

/// Lists that are kept in memory at once, before they are written.
const AT_ONCE: usize = 256;

/// How to go about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct IndexRepairOptions {
    /// Ask every pack, rather than those that no good index object describes.
    pub all: bool,
    /// Only look.
    pub dry_run: bool,
}

/// What was found, and changed unless it was a dry run.
#[derive(Debug, Clone, Default)]
pub struct IndexRepair {
    /// Index objects that cannot be read. They go.
    pub damaged_indexes: Vec<Finding>,
    /// Packs that the index described and that are not there. It forgets them.
    pub missing_packs: Vec<Id>,
    /// Packs that were asked, and could say what they hold.
    pub packs_read: usize,
    /// Packs that could not. They stay where they are, and in the index where a good index object describes a pack of their size. Of a pack
    /// that was cut short the index forgets all, so that the next backup stores again what was in it.
    pub unreadable_packs: Vec<Finding>,
    /// Packs that could not either, while the index is whole and describes every other pack: a run was killed where a store shows halves.
    /// Nothing is lost with them, and a prune removes them.
    pub leftover_packs: Vec<Finding>,
    /// Packs in the new index.
    pub packs: usize,
    /// Blobs in the new index.
    pub blobs: usize,
    /// Whether a new index is needed.
    pub changed: bool,
}

/// Makes the index anew, alone in the repository. Nothing is written where nothing is wrong.
pub fn repair_index(
    repository: &Arc<Repository>,
    options: IndexRepairOptions,
    progress: &Progress,
) -> Result<IndexRepair> {
    let lock = match options.dry_run {
        true => Lock::for_reading(repository, progress)?,
        false => Some(Lock::exclusive(repository)?),
    };
    progress.step("reading the index");
    let files: Vec<Id> = repository
        .list(FileType::Index)?
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    let packs: HashMap<Id, u64> = repository.list(FileType::Pack)?.into_iter().collect();
    let mut repair = Repair {
        repository,
        progress,
        packs,
        described: HashSet::new(),
        mentioned: HashSet::new(),
        has_wrong_size: false,
        has_index: !files.is_empty(),
        done: IndexRepair::default(),
    };
    let good = repair.survey(&files)?;
    let mut asked: Vec<(Id, u64)> = repair
        .packs
        .iter()
        .filter(|(id, _)| options.all || !repair.described.contains(*id))
        .map(|(id, size)| (*id, *size))
        .collect();
    asked.sort_unstable();
    let done = &mut repair.done;
    done.changed = options.all
        || repair.has_wrong_size
        || !done.damaged_indexes.is_empty()
        || !done.missing_packs.is_empty();
    let writing = lock.as_ref().filter(|_| !options.dry_run);
    let mut writer = writing.map(|lock| IndexWriter::new(repository, lock));
    let written = repair.ask(&asked, &mut writer)?;
    repair.done.changed |= !written.is_empty();
    if repair.done.changed {
        repair.keep(&good, &written, &mut writer)?;
        if let (Some(writer), Some(lock)) = (writer, &lock) {
            progress.step("writing the new index");
            let new = writer.finish()?;
            progress.step("removing the old index");
            let old: Vec<Id> = files.into_iter().filter(|id| !new.contains(id)).collect();
            remove(repository, FileType::Index, &old, lock, progress)?;
        }
    }
    if let Some(lock) = lock {
        lock.release()?;
    }
    Ok(repair.done)
}

struct Repair<'a> {
    repository: &'a Repository,
    progress: &'a Progress,
    /// What is there.
    packs: HashMap<Id, u64>,
    /// Packs that a good index object describes, with the right size.
    described: HashSet<Id>,
    /// Packs that are there and that a good index object describes, be it with another size.
    mentioned: HashSet<Id>,
    /// Whether there is one with another size.
    has_wrong_size: bool,
    /// Whether there is any index object.
    has_index: bool,
    done: IndexRepair,
}

impl Repair<'_> {
    /// Reads all index objects, and returns those that are good.
    fn survey(&mut self, files: &[Id]) -> Result<Vec<Id>> {
        let mut good = Vec::new();
        let mut missing = HashSet::new();
        for id in files {
            self.progress.check_cancelled()?;
            match self.repository.load_json::<IndexFile>(FileType::Index, id) {
                Ok(file) => {
                    good.push(*id);
                    for pack in file.packs {
                        match self.packs.get(&pack.id) {
                            None => {
                                missing.insert(pack.id);
                            }
                            Some(size) => {
                                self.mentioned.insert(pack.id);
                                if described_size(&pack) == *size {
                                    self.described.insert(pack.id);
                                } else {
                                    self.has_wrong_size = true;
                                }
                            }
                        }
                    }
                }
                Err(error) if error.is_damage() => {
                    let subject = format!("index {}", id.short());
                    self.done.damaged_indexes.push(finding(subject, &error));
                }
                Err(error) => return Err(error),
            }
        }
        self.done.missing_packs = missing.into_iter().collect();
        self.done.missing_packs.sort_unstable();
        Ok(good)
    }

    /// Asks packs what they hold, and writes that. Returns those that could say.
    fn ask(
        &mut self,
        packs: &[(Id, u64)],
        writer: &mut Option<IndexWriter<'_>>,
    ) -> Result<HashSet<Id>> {
        self.progress.step("asking packs what they hold");
        self.progress.begin_part();
        self.progress.expect(None, Some(packs.len() as u64));
        let threads = self.repository.destination().parallelism();
        let mut written = HashSet::new();
        for some in packs.chunks(AT_ONCE) {
            let lists = parallel::map(threads, some, |(id, size)| {
                self.progress.check_cancelled()?;
                let list = match header::read(self.repository, id, *size) {
                    Err(error) if !error.is_damage() => return Err(error),
                    list => list,
                };
                self.progress.advance(0, 1);
                Ok((*id, list))
            })?;
            for (id, list) in lists {
                match list {
                    Ok(blobs) => {
                        self.add(IndexPack::new(id, &blobs), writer)?;
                        written.insert(id);
                    }
                    Err(error) => {
                        let found = finding(format!("pack {}", id.short()), &error);
                        match self.mentioned.contains(&id) {
                            true => self.done.unreadable_packs.push(found),
                            false => self.done.leftover_packs.push(found),
                        }
                    }
                }
            }
        }
        self.done.packs_read = written.len();
        // Where an index object may have described them that is gone or damaged, something may be lost with them.
        let whole_index = self.has_index && self.done.damaged_indexes.is_empty();
        if !(whole_index && written.is_empty()) {
            let unknown = std::mem::take(&mut self.done.leftover_packs);
            self.done.unreadable_packs.extend(unknown);
        }
        Ok(written)
    }

    /// Writes what good index objects say of the packs that were not asked, or could not say.
    fn keep(
        &mut self,
        good: &[Id],
        written: &HashSet<Id>,
        writer: &mut Option<IndexWriter<'_>>,
    ) -> Result<()> {
        let mut written = written.clone();
        for id in good {
            self.progress.check_cancelled()?;
            let file: IndexFile = self.repository.load_json(FileType::Index, id)?;
            for pack in file.packs {
                let is_right = self.packs.get(&pack.id) == Some(&described_size(&pack));
                if is_right && written.insert(pack.id) {
                    self.add(pack, writer)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, pack: IndexPack, writer: &mut Option<IndexWriter<'_>>) -> Result<()> {
        self.done.packs += 1;
        self.done.blobs += pack.blobs.len();
        match writer {
            Some(writer) => writer.add(pack),
            None => Ok(()),
        }
    }
}

/// How long a pack is that holds this and nothing else.
fn described_size(pack: &IndexPack) -> u64 {
    let blobs: Vec<PackedBlob> = pack.blobs.iter().map(|blob| (*blob).into()).collect();
    let content: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    content + pack::header_size(&blobs) as u64
}
