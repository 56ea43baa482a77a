//! What lies at the destinations: every backup, and what could not be read. There is no catalog yet, so the repositories themselves are asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_repository::{Error, Progress, Repository, Result};

use super::backups::{Backup, BackupSource, Copy, group};
use super::open::{each, open_all};
use crate::engine::Engine;

/// The backups at the destinations.
pub struct Survey {
    /// Oldest first.
    pub backups: Vec<Backup>,
    /// Destinations and snapshots that could not be read: the list may lack something.
    pub problems: Vec<Error>,
    /// Those that could be opened.
    pub repositories: BTreeMap<String, Arc<Repository>>,
}

impl Survey {
    /// Asks all configured destinations. Fails where none of them can be read.
    pub fn take(engine: &Engine, progress: &Arc<Progress>) -> Result<Self> {
        let destinations = engine.destinations(&[], progress)?;
        let opened = open_all(&destinations, progress);
        progress.step("reading snapshots");
        let results = each(&opened, |opened| match &opened.repository {
            Ok(repository) => Ok(Some((Arc::clone(repository), repository.snapshots()?))),
            Err(_) => Ok(None),
        });
        let mut problems = Vec::new();
        let mut repositories = BTreeMap::new();
        let mut lists = Vec::new();
        for (opened, result) in opened.into_iter().zip(results) {
            if let Err(error) = opened.repository {
                problems.push(error);
                continue;
            }
            match result {
                Err(error) => problems.push(error),
                Ok(None) => {}
                Ok(Some((repository, snapshots))) => {
                    problems.extend(snapshots.problems.into_iter().map(|(_, error)| error));
                    repositories.insert(opened.name.clone(), repository);
                    lists.push((opened.name, snapshots.good));
                }
            }
        }
        if repositories.is_empty()
            && let Some(first) = problems.pop()
        {
            return Err(first);
        }
        progress.check_cancelled()?;
        Ok(Self {
            backups: group(lists),
            problems,
            repositories,
        })
    }

    /// The first copy of a source whose repository is open.
    pub fn copy<'a>(&self, source: &'a BackupSource) -> Option<(&'a Copy, &Arc<Repository>)> {
        source
            .copies
            .iter()
            .find_map(|copy| Some((copy, self.repositories.get(&copy.destination)?)))
    }
}
