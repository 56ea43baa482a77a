//! As whom the programs of a verification run. Database servers refuse to be root, and what a backup holds is no reason to trust it with that.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use strongroom_host::{Account, Capability, Needs};
use strongroom_repository::{Error, ErrorKind, Result};

use super::Settings;

/// Who runs programs where nobody else is named.
const NOBODY: &str = "nobody";

/// The user for `directory` and the programs in it; none for the engine's own.
pub(super) fn choose_account(
    needs: &Needs,
    settings: &Settings,
    is_bundled: bool,
    directory: &Path,
) -> Result<Option<Account>> {
    let runs_programs = needs
        .capabilities
        .iter()
        .any(|it| matches!(it, Capability::Command(_)));
    if !runs_programs {
        return Ok(None);
    }
    if !Account::may_choose() {
        return match &settings.user {
            Some(user) if Account::own_name().as_ref() != Some(user) => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("cannot run programs as {user}: only root can"),
            )
            .hint(format!("remove {}", settings.setting("user")))),
            _ => Ok(None),
        };
    }
    let account = match &settings.user {
        Some(user) => named(user)?.ok_or_else(|| {
            let problem = format!("there is no user {user} on this system");
            Error::new(ErrorKind::InvalidConfig, problem)
                .hint(format!("correct {}", settings.setting("user")))
        })?,
        None => usual(needs, is_bundled)?.ok_or_else(|| {
            let problem = format!("there is no user {NOBODY} to run programs as");
            Error::new(ErrorKind::NotFound, problem)
                .hint(format!("set {}", settings.setting("user")))
        })?,
    };
    if account.is_root() {
        let problem = format!("programs of a verification do not run as {}", account.name);
        return Err(Error::new(ErrorKind::InvalidConfig, problem)
            .hint(format!("correct {}", settings.setting("user"))));
    }
    check_way(&account, settings, directory)?;
    Ok(Some(account))
}

fn named(user: &str) -> Result<Option<Account>> {
    Account::find(user)
}

/// A plugin from elsewhere has no say in whom programs run as, and none has in whether they are root.
fn usual(needs: &Needs, is_bundled: bool) -> Result<Option<Account>> {
    let user = needs.user.as_deref().filter(|_| is_bundled);
    let of_server = user.map(named).transpose()?.flatten();
    match of_server.filter(|it| !it.is_root()) {
        Some(account) => Ok(Some(account)),
        None => named(NOBODY),
    }
}

/// Every directory on the way has to let the user through.
fn check_way(account: &Account, settings: &Settings, directory: &Path) -> Result<()> {
    for above in directory.ancestors().skip(1) {
        let found = above
            .metadata()
            .map_err(|error| Error::io(above.display(), error))?;
        if !account.may_enter(found.uid(), found.gid(), found.mode()) {
            let problem = format!(
                "the user {} cannot get to the scratch directory: {} keeps others out",
                account.name,
                above.display()
            );
            return Err(Error::new(ErrorKind::Denied, problem).hint(format!(
                "name a folder on an open way by --scratch or {}, such as /var/tmp",
                settings.setting("scratch")
            )));
        }
    }
    Ok(())
}
