//! What it takes to verify a backup: its attributes in, programs and where they may lie out.

use strongroom_plugin::{Attributes, Error, ErrorKind, Needs, Result, Scratch};

use super::{Method, attribute, method};
use crate::server::Version;

/// How many newer versions a dump may be restored with: those that were not released yet do no harm.
const NEWER: u32 = 10;

/// For a backup with these attributes.
pub(crate) fn needs(backup: &Attributes, scratch: &Scratch) -> Result<Needs> {
    let oldest = oldest(backup)?;
    let (programs, newest): (&[&str], _) = match method(backup)? {
        Method::Logical => (
            &["initdb", "postgres", "pg_restore", "pg_amcheck"],
            oldest + NEWER,
        ),
        // A cluster's files are those of one major version.
        Method::Physical => (&["postgres", "pg_checksums", "pg_amcheck"], oldest),
    };
    let folders = (oldest..=newest).flat_map(|major| {
        // Debian's, and those of the project's own packages for Red Hat.
        [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/usr/pgsql-{major}/bin"),
        ]
    });
    Ok(Needs {
        folders: folders.collect(),
        // As nobody: what is restored may run whatever its owners wrote, and whoever is `postgres` on a machine has all of the server there.
        ..Needs::of(scratch).server(scratch).programs(programs)
    })
}

/// The oldest major version that understands the backup: that of the server, or of a pg_dump that was newer.
pub(super) fn oldest(backup: &Attributes) -> Result<u32> {
    let major = |name: &str| {
        let text = attribute(backup, name)?;
        let text = text.strip_prefix("PostgreSQL ").unwrap_or(text);
        Version::parse(text).map(|version| version.major)
    };
    let majors = [major("server"), major("pg_dump")];
    majors.into_iter().flatten().max().ok_or_else(|| {
        let problem = "the backup does not say which version of PostgreSQL it is of";
        Error::new(ErrorKind::Unsupported, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attributes: &[(&str, &str)], count: usize, first: &str, programs: usize) {
        let attributes: Attributes = attributes
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        let scratch = Scratch {
            directory: "/scratch".into(),
            port: 6432,
        };
        let needs = needs(&attributes, &scratch).expect("they can be told");
        assert_eq!(needs.folders.len(), count);
        assert_eq!(needs.folders.first().map(String::as_str), Some(first));
        assert_eq!(needs.capabilities.len(), programs + 2);
    }

    #[test]
    fn a_dump_takes_the_same_version_or_a_newer_one_and_a_cluster_its_own() {
        let server = ("server", "PostgreSQL 15.14");
        let debian = "/usr/lib/postgresql/15/bin";
        check(&[("method", "logical"), server], 22, debian, 4);
        check(&[("method", "physical"), server], 2, debian, 3);
        let newer = "/usr/lib/postgresql/17/bin";
        check(
            &[("method", "logical"), server, ("pg_dump", "17.2")],
            22,
            newer,
            4,
        );
    }
}
