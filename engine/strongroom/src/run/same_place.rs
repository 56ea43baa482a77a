//! One place under two names is one copy, not two: repositories that were opened in, the same without those that another name stands for already out.
//!
//! Two repositories of one id are either one place, or one was made by copying the files of the other. Folders tell by device and inode. Elsewhere a
//! lock tells: what is written to one place shows at the other only where that is the same.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use strongroom_repository::file::FileType;
use strongroom_repository::{Error, ErrorKind, Lock, Progress, Repository, Result};

use super::open::Opened;

/// What is known of two repositories of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    One,
    Two,
    Unknown,
}

/// Refuses those of `opened` whose folder another name stands for. Nothing is written.
pub(super) fn refuse_twice(opened: Vec<Opened>) -> Vec<Opened> {
    let refuse_one = |first: &Opened, second: &Opened| match places_of(first, second) {
        Some(Places::One) => Some(same_place(&first.name, &second.name)),
        _ => None,
    };
    pairwise(opened, refuse_one)
}

/// As [`refuse_twice`], for whoever writes: where folders do not tell, a lock does. A copy that was made by hand is warned of.
pub(super) fn tell_apart(opened: Vec<Opened>, progress: &Progress) -> Result<Vec<Opened>> {
    let told = pairwise(opened, |first, second| {
        let (one, other) = (
            first.repository.as_ref().ok()?,
            second.repository.as_ref().ok()?,
        );
        let places = match places_of(first, second)? {
            Places::Unknown => probe(one, other),
            known => known,
        };
        match places {
            Places::One => return Some(same_place(&first.name, &second.name)),
            Places::Two => progress.warn(copied_by_hand(&first.name, &second.name)),
            Places::Unknown => {}
        }
        None
    });
    progress.check_cancelled()?;
    Ok(told)
}

/// Fails where both names stand for one place. A copy that was made by hand is warned of.
pub(super) fn ensure_apart(
    one: &Arc<Repository>,
    other: &Arc<Repository>,
    progress: &Progress,
) -> Result<()> {
    if one.id() != other.id() {
        return Ok(());
    }
    match probe(one, other) {
        Places::One => Err(same_place(one.name(), other.name())),
        Places::Two => {
            progress.warn(copied_by_hand(one.name(), other.name()));
            Ok(())
        }
        Places::Unknown => Ok(()),
    }
}

/// Each is compared with those before it that were not refused.
fn pairwise(
    opened: Vec<Opened>,
    mut refuse: impl FnMut(&Opened, &Opened) -> Option<Error>,
) -> Vec<Opened> {
    let mut told: Vec<Opened> = Vec::with_capacity(opened.len());
    for mut next in opened {
        let refusal = told.iter().find_map(|first| refuse(first, &next));
        if let Some(error) = refusal {
            next.repository = Err(error);
        }
        told.push(next);
    }
    told
}

/// Nothing where the ids are different, or one of them could not be opened.
fn places_of(first: &Opened, second: &Opened) -> Option<Places> {
    let (one, other) = (
        first.repository.as_ref().ok()?,
        second.repository.as_ref().ok()?,
    );
    if one.id() != other.id() {
        return None;
    }
    let identities = |opened: &Opened| -> Vec<_> {
        let folders = opened.folders.iter();
        folders.filter_map(|folder| identity(folder)).collect()
    };
    let (one, other) = (identities(first), identities(second));
    // Other numbers may still be one place, mounted twice over a network.
    Some(match !one.is_empty() && one == other {
        true => Places::One,
        false => Places::Unknown,
    })
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(folder).ok()?;
    Some((found.dev(), found.ino()))
}

/// Whether a lock of one shows at the other. Where none can be written nothing is said.
fn probe(one: &Arc<Repository>, other: &Arc<Repository>) -> Places {
    let seen = Lock::shared(one).and_then(|lock| {
        let (here, there) = (one.list(FileType::Lock)?, other.list(FileType::Lock)?);
        let holds = |locks: &[_]| locks.iter().any(|(id, _)| *id == lock.id());
        Ok((holds(&here), holds(&there)))
    });
    match seen {
        Ok((_, true)) => Places::One,
        Ok((true, false)) => Places::Two,
        Ok((false, false)) | Err(_) => Places::Unknown,
    }
}

fn same_place(first: &str, second: &str) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("is the same place as destination {first}: what lies there is one copy, not two"),
    )
    .on(format!("destination {second}"))
    .hint(format!(
        "give {second} a place of its own, or take one of the two names out of the configuration"
    ))
}

fn copied_by_hand(first: &str, second: &str) -> String {
    format!(
        "destinations {first} and {second} are one repository at two places: one was made by copying the files of the other. Each gets its backups; copying the files again would undo those of one of them"
    )
}
