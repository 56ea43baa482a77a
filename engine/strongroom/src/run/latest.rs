//! Which backup is meant: a name as a person writes it and the backups in, one of them out, with what there is to say about it.

use std::collections::BTreeSet;

use strongroom_repository::{Error, ErrorKind, Progress, Result, Time};

use super::backups::Backup;
use super::id::{LATEST, MIN_PREFIX};

const SHOWS: &str = "`strongroom list` shows the backups";

/// Which backups `latest` may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Any.
    Any,
    /// One that holds this source.
    Source(&'a str),
    /// One that a job made, which a plugin can take back; of this source, if one is named.
    Ours(Option<&'a str>),
}

/// Whose backup `latest` is: hosts that back up to one repository each have a history of their own.
#[derive(Debug, Clone)]
pub struct Whose {
    /// This host.
    here: String,
    /// What a person asked for.
    asked: Option<String>,
    /// Whether another host's will do where this one has none: a machine that takes the place of a lost one has made no backup yet.
    may_be_others: bool,
}

impl Whose {
    /// Of the host that was asked for; else of this one, or of any where it has none.
    pub fn new(here: String, asked: Option<&str>) -> Self {
        Self {
            here,
            asked: asked.map(str::to_owned),
            may_be_others: true,
        }
    }

    /// Never another one's than was asked for, or this host's.
    pub fn strictly(self) -> Self {
        Self {
            may_be_others: false,
            ..self
        }
    }

    fn host(&self) -> &str {
        self.asked.as_deref().unwrap_or(&self.here)
    }

    /// That there is none, which hosts have some, and how to name them.
    fn none(&self, wanted: Wanted<'_>, backups: &[Backup]) -> Error {
        let others = hosts(backups.iter().filter(|it| wanted.includes(it)));
        if others.is_empty() {
            return Error::new(ErrorKind::NotFound, wanted.none_yet()).hint(SHOWS);
        }
        let message = format!("{} by host {}", wanted.none_yet(), self.host());
        Error::new(ErrorKind::NotFound, message).hint(format!(
            "there are some by {}: name one with --host, or a backup by its id",
            others.join(", ")
        ))
    }
}

/// Who made these, each once.
fn hosts<'a>(backups: impl Iterator<Item = &'a Backup>) -> Vec<&'a str> {
    let hosts: BTreeSet<&str> = backups.map(|it| it.host.as_str()).collect();
    hosts.into_iter().collect()
}

impl<'a> From<Option<&'a str>> for Wanted<'a> {
    fn from(source: Option<&'a str>) -> Self {
        source.map_or(Self::Any, Self::Source)
    }
}

impl Wanted<'_> {
    fn includes(self, backup: &Backup) -> bool {
        match self {
            Self::Any => true,
            Self::Source(source) => backup.holds(source),
            Self::Ours(source) => {
                backup.job.is_some() && source.is_none_or(|source| backup.holds(source))
            }
        }
    }

    fn none_yet(self) -> String {
        match self {
            Self::Any => "there is no backup yet".into(),
            Self::Ours(None) => "there is no backup yet that strongroom made".into(),
            Self::Source(source) | Self::Ours(Some(source)) => {
                format!("there is no backup of {source} yet")
            }
        }
    }
}

/// The backup that `name` means: `latest`, or the first digits of its id or of one of its snapshots. What there is to say goes to `progress`.
pub fn find<'a, 'w>(
    backups: &'a [Backup],
    name: &str,
    wanted: impl Into<Wanted<'w>>,
    whose: &Whose,
    progress: &Progress,
) -> Result<&'a Backup> {
    if name != LATEST {
        return by_digits(backups, name).and_then(|found| made_by(found, whose));
    }
    let wanted = wanted.into();
    let of_host: Vec<&Backup> = backups
        .iter()
        .filter(|it| it.host == whose.host())
        .collect();
    let has_some = of_host.iter().any(|it| wanted.includes(it));
    let is_strict = whose.asked.is_some() || !whose.may_be_others;
    let backups: Vec<&Backup> = match (has_some, is_strict) {
        (true, _) => of_host,
        (false, true) => return Err(whose.none(wanted, backups)),
        (false, false) => backups.iter().collect(),
    };
    let (found, passed_over) = latest(&backups, wanted, Time::now())?;
    if found.host != whose.host() {
        tell_host(found, &backups, wanted, whose, progress);
    }
    if !passed_over.is_empty() {
        let ids: Vec<&str> = passed_over.iter().map(|it| it.short_id()).collect();
        let carry = match passed_over.as_slice() {
            [_] => "carries a time that has not come",
            _ => "carry times that have not come",
        };
        progress.warn(format!(
            "{} {carry}, by a clock that was wrong: the latest backup is taken to be {}; name another by its id",
            ids.join(", "),
            found.short_id()
        ));
    } else if found.created.is_to_come(Time::now()) {
        progress.warn(format!(
            "the latest backup {} carries a time that has not come: see whether the clock of this machine is right",
            found.short_id()
        ));
    }
    if matches!(wanted, Wanted::Ours(_))
        && let Some(newest) = backups.last().copied()
        && newest.job.is_none()
        && newest.created > found.created
    {
        progress.warn(format!(
            "restic made the latest backup {}, and no plugin knows what it holds: the latest that strongroom made is {}",
            newest.short_id(),
            found.short_id()
        ));
    }
    Ok(found)
}

/// The newest that is wanted, of those whose time has come if there are any; and newer ones that were passed over because theirs has not.
fn latest<'a>(
    backups: &[&'a Backup],
    wanted: Wanted<'_>,
    now: Time,
) -> Result<(&'a Backup, Vec<&'a Backup>)> {
    let newest_first = backups
        .iter()
        .rev()
        .copied()
        .filter(|it| wanted.includes(it));
    let (future, past): (Vec<_>, Vec<_>) =
        newest_first.partition(|backup| backup.created.is_to_come(now));
    match (past.first(), future.first()) {
        (Some(newest), _) => Ok((newest, future)),
        (None, Some(newest)) => Ok((newest, Vec::new())),
        (None, None) => wrong(ErrorKind::NotFound, wanted.none_yet()),
    }
}

/// Says that the latest backup is another host's, and of which hosts there are others.
fn tell_host(
    found: &Backup,
    backups: &[&Backup],
    wanted: Wanted<'_>,
    whose: &Whose,
    progress: &Progress,
) {
    let of_others = backups.iter().copied();
    let of_others = of_others.filter(|it| wanted.includes(it) && it.host != found.host);
    let others = match hosts(of_others).as_slice() {
        [] => String::new(),
        others => format!(
            "; there are some by {} too: name one with --host",
            others.join(", ")
        ),
    };
    progress.warn(format!(
        "there is no backup by this host, {}: the latest is taken to be {}, by {}{others}",
        whose.host(),
        found.short_id(),
        found.host
    ));
}

/// A backup that was named by its id, where it is of the host that was asked for as well.
fn made_by<'a>(found: &'a Backup, whose: &Whose) -> Result<&'a Backup> {
    match &whose.asked {
        Some(asked) if *asked != found.host => wrong(
            ErrorKind::InvalidConfig,
            format!(
                "backup {} was made by host {}, not {asked}",
                found.short_id(),
                found.host
            ),
        ),
        _ => Ok(found),
    }
}

fn by_digits<'a>(backups: &'a [Backup], name: &str) -> Result<&'a Backup> {
    if name.chars().count() < MIN_PREFIX {
        return wrong(
            ErrorKind::InvalidConfig,
            format!("'{name}' is too short to name a backup: give {MIN_PREFIX} digits or more"),
        );
    }
    let wanted = name.to_ascii_lowercase();
    let matching: Vec<&Backup> = backups
        .iter()
        .filter(|backup| backup.id.starts_with(&wanted) || has_snapshot(backup, &wanted))
        .collect();
    match matching.as_slice() {
        [only] => Ok(only),
        [] => wrong(ErrorKind::NotFound, format!("there is no backup '{name}'")),
        several => {
            let ids: Vec<&str> = several.iter().map(|backup| backup.short_id()).collect();
            Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("'{name}' names {} backups", several.len()),
            )
            .hint(format!("give more digits: {}", ids.join(", "))))
        }
    }
}

fn wrong<T>(kind: ErrorKind, message: String) -> Result<T> {
    Err(Error::new(kind, message).hint(SHOWS))
}

fn has_snapshot(backup: &Backup, prefix: &str) -> bool {
    backup
        .sources
        .iter()
        .flat_map(|source| &source.copies)
        .any(|copy| copy.id.to_string().starts_with(prefix))
}
