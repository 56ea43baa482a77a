//! From format version 1 to 2: a repository and a way to keep its old config in, the same repository with a config that allows compression out.
//!
//! Nothing else changes: what is there stays as it is and readable, and what is written from now on is compressed. The new config is put
//! over the old one, which a destination does in one step, so that there is a config at every moment.

use std::sync::Arc;

use crate::check::{CheckOptions, survey};
use crate::config::{RepositoryConfig, VERSION};
use crate::destination::{Body, Content, PutOptions};
use crate::lock::Lock;
use crate::progress::Progress;
use crate::repository::{CONFIG_KEY, Repository, cannot_be_written};
use crate::{Error, ErrorKind, Result};

/// What became of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// The format version that it had.
    pub from: u32,
    /// The one that it has now, or would have after a dry run.
    pub to: u32,
}

/// Makes an object durable elsewhere, as it is stored.
pub type Keep<'a> = &'a dyn Fn(&[u8]) -> Result<()>;

impl Upgrade {
    /// Whether there was anything to do.
    pub fn is_needed(&self) -> bool {
        self.from != self.to
    }
}

/// Upgrades `repository`, alone in it, after a check has found nothing wrong. `keep` is given the old config as it is stored, and must have
/// made it durable elsewhere when it returns. Changes nothing without `keep`.
pub fn upgrade(
    repository: &Arc<Repository>,
    keep: Option<Keep<'_>>,
    progress: &Progress,
) -> Result<Upgrade> {
    let upgrade = Upgrade {
        from: repository.config().version,
        to: VERSION,
    };
    if !upgrade.is_needed() {
        return Ok(upgrade);
    }
    let lock = match keep {
        Some(_) => Some(Lock::exclusive(repository)?),
        None => Lock::for_reading(repository, progress)?,
    };
    refuse_damage(repository, progress)?;
    if let (Some(keep), Some(lock)) = (keep, &lock) {
        progress.step("replacing the config");
        replace_config(repository, keep, lock)?;
    }
    lock.map_or(Ok(()), Lock::release)?;
    Ok(upgrade)
}

/// What is wrong must not look as if the upgrade had done it.
fn refuse_damage(repository: &Arc<Repository>, progress: &Progress) -> Result<()> {
    let report = survey(repository, CheckOptions::default(), progress)?;
    let Some(problem) = report.problems.first() else {
        return Ok(());
    };
    let name = repository.name();
    let others = match report.problems.len() {
        1 => String::new(),
        number => format!(", and {} more problems", number - 1),
    };
    let message = format!(
        "repository {name} is damaged, so its format was left as it is: {} {}{others}",
        problem.subject, problem.message
    );
    Err(Error::corrupted(message).hint(format!(
        "`strongroom check {name}` names all of it, and what mends it"
    )))
}

fn replace_config(repository: &Repository, keep: Keep<'_>, lock: &Lock) -> Result<()> {
    let (name, destination) = (repository.name(), repository.destination());
    let at = |error: Error| error.or_on(format_args!("destination {name}"));
    let old = destination.get(CONFIG_KEY, 0, None).map_err(at)?;
    // Somebody may have upgraded it since it was opened.
    if read(repository, &old)? != *repository.config() {
        let message = format!("the config of repository {name} was changed meanwhile");
        return Err(Error::new(ErrorKind::Failed, message).hint("run it again"));
    }
    let new = RepositoryConfig {
        version: VERSION,
        ..repository.config().clone()
    };
    let json = serde_json::to_vec(&new).map_err(cannot_be_written)?;
    keep(&old)?;
    lock.ensure_held()?;
    let options = PutOptions {
        create_only: false,
        content: Content::Metadata,
    };
    let body = Body::of(repository.key().seal(&json));
    destination
        .put(CONFIG_KEY, &body, options)
        .map_err(at)
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::Denied => error.hint(
                "nothing was changed: this destination lets no object be replaced; `strongroom copy` brings the backups to a new repository",
            ),
            _ => error,
        })?;
    match read(
        repository,
        &destination.get(CONFIG_KEY, 0, None).map_err(at)?,
    )? == new
    {
        true => Ok(()),
        false => Err(Error::corrupted(format!(
            "destination {name} does not give back the config that it was given"
        ))),
    }
}

fn read(repository: &Repository, sealed: &[u8]) -> Result<RepositoryConfig> {
    let name = repository.name();
    let json = repository.key().open(sealed).map_err(|error| {
        Error::corrupted(format!(
            "the config of repository {name} is damaged: {}",
            error.message()
        ))
    })?;
    RepositoryConfig::parse(name, &json)
}
