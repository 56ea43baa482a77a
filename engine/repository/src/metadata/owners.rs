//! Names of users and groups by their numbers, asked of the system once each.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use nix::unistd::{Gid, Group, Uid, User};

/// Remembers names, and that there is none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Names,
    groups: Names,
}

impl Owners {
    /// The user's name, empty if it has none.
    pub(super) fn user(&self, uid: u32) -> Arc<str> {
        self.users.get(uid, |uid| {
            let user = User::from_uid(Uid::from_raw(uid)).ok()??;
            Some(user.name)
        })
    }

    /// The group's name, empty if it has none.
    pub(super) fn group(&self, gid: u32) -> Arc<str> {
        self.groups.get(gid, |gid| {
            let group = Group::from_gid(Gid::from_raw(gid)).ok()??;
            Some(group.name)
        })
    }
}

#[derive(Debug, Default)]
struct Names(RwLock<HashMap<u32, Arc<str>>>);

impl Names {
    fn get(&self, number: u32, ask: impl Fn(u32) -> Option<String>) -> Arc<str> {
        if let Ok(names) = self.0.read()
            && let Some(name) = names.get(&number)
        {
            return Arc::clone(name);
        }
        let name: Arc<str> = ask(number).unwrap_or_default().into();
        if let Ok(mut names) = self.0.write() {
            names.insert(number, Arc::clone(&name));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_name_is_an_empty_name() {
        let owners = Owners::default();
        for _ in 0..2 {
            assert_eq!(&*owners.user(0), "root");
            assert_eq!(&*owners.group(0), "root");
            assert_eq!(&*owners.user(3_999_999_999), "");
            assert_eq!(&*owners.group(3_999_999_999), "");
        }
    }
}
