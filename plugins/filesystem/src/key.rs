//! Keys that are safe to be used as paths below the destination's directory.

use strongroom_plugin::{Error, ErrorKind, Result};

/// A key whose parts are all plain names. Names with a leading dot are ours and the file system's own (`.tmp`, `.nfs0001`, `..`): no
/// object has one, and no listing shows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    /// Refuses whatever could name something outside, or nothing.
    pub(crate) fn parse(key: &'a str) -> Result<Self> {
        let is_name = |part: &str| !part.is_empty() && !part.starts_with('.');
        if key.contains('\0') || !key.split('/').all(is_name) {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{key:?} is no key for a file"),
            ));
        }
        Ok(Self(key))
    }

    /// The path, relative to the destination's directory.
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    /// The directory that the file lies in; empty for the destination's own.
    pub(crate) fn parent(self) -> &'a str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_below_the_directory() {
        for good in ["config", "data/ab/abcd", "README-RESTORE.txt", "a b/ü"] {
            assert!(Key::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "data/",
            "data//x",
            "..",
            "data/../../x",
            ".",
            "data/./x",
            ".tmp/x",
            "data/.x",
            "a\0b",
        ] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parent_is_the_key_without_its_name() {
        let check = |key: &str, parent: &str| {
            assert_eq!(Key::parse(key).expect("a good key").parent(), parent);
        };
        check("config", "");
        check("data/ab/abcd", "data/ab");
    }
}
