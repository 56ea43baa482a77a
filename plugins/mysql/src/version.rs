//! Versions of servers and programs: what they say of themselves comes in, family and number go out.

use std::fmt;

use crate::config::Kind;

/// Of which family, and how new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) kind: Kind,
    pub(crate) number: (u16, u16, u16),
}

impl Version {
    /// From a server's `@@version`, such as `10.11.6-MariaDB-log` or `8.0.36`, or what a program prints for `--version`, such as
    /// `mariadb-dump  Ver 10.19 Distrib 10.11.6-MariaDB, for …` or `mysqldump  Ver 8.0.36 for Linux …`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        if text.contains("MariaDB") || text.contains("mariadb") {
            // Programs name the version of their protocol first; the word with three numbers is the one that counts.
            let number = text.split_whitespace().find_map(|word| number(word, 3))?;
            return Some(Self {
                kind: Kind::Mariadb,
                number,
            });
        }
        let number = text.split_whitespace().find_map(|word| number(word, 2))?;
        Some(Self {
            kind: Kind::Mysql,
            number,
        })
    }

    /// Major and minor number, which is what a release is known by.
    pub(crate) fn release(&self) -> (u16, u16) {
        (self.number.0, self.number.1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.number;
        write!(f, "{} {major}.{minor}.{patch}", self.kind)
    }
}

/// The numbers that a word begins with, if there are so many of them.
fn number(word: &str, at_least: usize) -> Option<(u16, u16, u16)> {
    let end = word
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(word.len());
    let numbers: Vec<u16> = word
        .get(..end)?
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect();
    match *numbers {
        [major, minor, patch, ..] => Some((major, minor, patch)),
        [major, minor] if at_least <= 2 => Some((major, minor, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_programs_tell_what_they_are() {
        let check = |text: &str, expected: &str| {
            let found = Version::find(text).map(|version| version.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        };
        check("10.11.19-MariaDB-0+deb12u1-log", "MariaDB 10.11.19");
        check("11.8.2-MariaDB", "MariaDB 11.8.2");
        check("8.0.36-0ubuntu0.22.04.1", "MySQL 8.0.36");
        check("9.7.4-2", "MySQL 9.7.4");
        check(
            "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
            "MariaDB 10.11.19",
        );
        check(
            "mariadb-dump from 11.8.9-MariaDB, client 10.19 for debian-linux-gnu (x86_64)",
            "MariaDB 11.8.9",
        );
        check(
            "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
            "MariaDB 10.11.19",
        );
        check(
            "mysqldump  Ver 9.7.4-2 for Linux on x86_64 ((Debian))",
            "MySQL 9.7.4",
        );
        check("mysqldump  Ver 8.4 for Linux", "MySQL 8.4.0");
        assert_eq!(Version::find("no number here"), None);
    }
}
