//! Carrying out a plan that copies nothing, where there is hardly any room: what frees space at once comes first, and no more than one index
//! object is written before an old one goes.
//!
//! ```text
//! packs that no index names → for each index object, the smallest first: without what goes → old one gone → packs gone that none names any more
//! ```

use std::collections::{HashMap, HashSet};

use super::execute::remove;
use super::inventory::Inventory;
use super::plan::Plan;
use crate::file::FileType;
use crate::id::Id;
use crate::index::IndexFile;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::{ErrorKind, Result};

/// Removes what `plan` says, under `lock`. Whenever it is interrupted, every pack that an index object names is there, but for those that
/// were gone before.
pub(super) fn execute(
    inventory: &Inventory,
    plan: &Plan,
    lock: &Lock,
    progress: &Progress,
) -> Result<()> {
    let repository = inventory.reader().repository();
    progress.step("removing packs");
    remove(repository, FileType::Pack, &plan.orphans, lock, progress)?;
    let ids = |numbers: &[usize]| -> HashSet<Id> {
        let packs = numbers.iter().filter_map(|at| inventory.packs().get(*at));
        packs.map(|pack| pack.id).collect()
    };
    let unneeded = ids(&plan.remove);
    let mut sparing = Sparing {
        repository,
        lock,
        progress,
        forgotten: ids(&plan.gone).union(&unneeded).copied().collect(),
        unneeded,
        namings: HashMap::new(),
    };
    let mut waiting = sparing.survey(inventory.reader().index().files())?;
    // What there was no room for is tried again as long as something else is removed.
    loop {
        let (mut full, before) = (None, waiting.len());
        let mut still_waiting = Vec::new();
        for id in waiting {
            match sparing.rewrite(&id) {
                Err(error) if error.kind() == ErrorKind::OutOfSpace => {
                    full = Some(error);
                    still_waiting.push(id);
                }
                result => result?,
            }
        }
        match full {
            None => return Ok(()),
            Some(error) if still_waiting.len() == before => return Err(error),
            Some(_) => waiting = still_waiting,
        }
    }
}

struct Sparing<'a> {
    repository: &'a Repository,
    lock: &'a Lock,
    progress: &'a Progress,
    /// Packs that the index is to forget.
    forgotten: HashSet<Id>,
    /// Those of them that are there.
    unneeded: HashSet<Id>,
    /// How many index objects name each of the packs that are to be forgotten.
    namings: HashMap<Id, usize>,
}

impl Sparing<'_> {
    /// The index objects that name what is to be forgotten, the smallest first.
    fn survey(&mut self, files: &[Id]) -> Result<Vec<Id>> {
        let listed = self.repository.list(FileType::Index)?;
        let sizes: HashMap<Id, u64> = listed.into_iter().collect();
        let mut naming = Vec::new();
        for id in files {
            self.progress.check_cancelled()?;
            let named = self.named(&self.load(id)?);
            if !named.is_empty() {
                naming.push((sizes.get(id).copied().unwrap_or(0), *id));
            }
            for pack in named {
                *self.namings.entry(pack).or_default() += 1;
            }
        }
        naming.sort_unstable();
        Ok(naming.into_iter().map(|(_, id)| id).collect())
    }

    fn load(&self, id: &Id) -> Result<IndexFile> {
        self.repository.load_json(FileType::Index, id)
    }

    fn named(&self, file: &IndexFile) -> HashSet<Id> {
        let packs = file.packs.iter().map(|pack| pack.id);
        packs.filter(|id| self.forgotten.contains(id)).collect()
    }

    /// Replaces an index object by one without what is to be forgotten, and removes the packs that none names any more.
    fn rewrite(&mut self, id: &Id) -> Result<()> {
        self.progress.check_cancelled()?;
        let file = self.load(id)?;
        let named = self.named(&file);
        let (forgotten, kept) = file
            .packs
            .into_iter()
            .partition(|pack| named.contains(&pack.id));
        let file = |packs| IndexFile {
            supersedes: Vec::new(),
            packs,
        };
        let (forgotten, file) = (file(forgotten), file(kept));
        self.lock.ensure_held()?;
        if !file.packs.is_empty() {
            let save = || self.repository.save_json(FileType::Index, &file);
            self.repository.with_reserve(save)?;
        }
        self.repository.delete(FileType::Index, id)?;
        if let Err(error) = self.lock.ensure_held() {
            // Somebody may have passed our lock over, and rely on what it said.
            let _ = self.repository.save_json(FileType::Index, &forgotten);
            return Err(error);
        }
        let mut free = Vec::new();
        for pack in named {
            let left = self.namings.entry(pack).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 && self.unneeded.contains(&pack) {
                free.push(pack);
            }
        }
        remove(
            self.repository,
            FileType::Pack,
            &free,
            self.lock,
            self.progress,
        )
    }
}
