//! A system user as whom programs run, when the engine is root and they must not be.

use nix::unistd::{Uid, User};
use strongroom_repository::{Error, ErrorKind, Result};

/// A user of this system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The user of this name, where there is one.
    pub fn find(name: &str) -> Result<Option<Self>> {
        let found = User::from_name(name).map_err(|error| {
            let problem = format!("cannot look up the user {name}: {error}");
            Error::new(ErrorKind::Failed, problem)
        })?;
        Ok(found.map(|user| Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }))
    }

    /// The user that the engine runs as; none where it has no name.
    pub fn own_name() -> Option<String> {
        let user = User::from_uid(Uid::effective()).ok().flatten();
        user.map(|user| user.name)
    }

    /// Whether the engine is root, and can run programs as somebody else.
    pub fn may_choose() -> bool {
        Uid::effective().is_root()
    }

    /// Whether programs that run as this user are root all the same.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether this user gets at what lies in a directory with these owners and mode.
    pub fn may_enter(&self, uid: u32, gid: u32, mode: u32) -> bool {
        let bit = match (uid == self.uid, gid == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_enters_by_its_own_bit() {
        let account = Account {
            name: "postgres".into(),
            uid: 105,
            gid: 110,
        };
        let check = |owners: (u32, u32), mode, expected| {
            let (uid, gid) = owners;
            assert_eq!(account.may_enter(uid, gid, mode), expected, "{mode:o}");
        };
        check((0, 0), 0o755, true);
        check((0, 0), 0o700, false);
        check((0, 110), 0o750, true);
        check((0, 110), 0o701, false);
        check((105, 0), 0o700, true);
        check((105, 110), 0o077, false);
    }

    #[test]
    fn users_are_found_by_name() {
        let root = Account::find("root").expect("a lookup").expect("root");
        assert!(root.is_root());
        let nobody = Account::find("strongroom-no-such-user").expect("a lookup");
        assert_eq!(nobody, None);
    }
}
