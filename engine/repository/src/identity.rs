//! Who writes: the names and numbers of host and user that restic notes in snapshots, locks and keys.

use nix::unistd::{Gid, Uid, User};

/// The host and user of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The host's name.
    pub hostname: String,
    /// The user's name, or its number where the system knows no name.
    pub username: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl Identity {
    /// Asks the system.
    pub fn current() -> Self {
        let uid = Uid::current();
        Self {
            hostname: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            username: match User::from_uid(uid) {
                Ok(Some(user)) => user.name,
                _ => uid.to_string(),
            },
            uid: uid.as_raw(),
            gid: Gid::current().as_raw(),
        }
    }
}
