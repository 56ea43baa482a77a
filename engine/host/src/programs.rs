//! Where programs lie: in go required names and the operator's table or folders, out come paths.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::allow::Allow;
use crate::capability::{Capability, program_of};

/// Where each required program lies, now: a later change of `PATH` changes nothing.
pub(crate) fn programs(
    required: &[Capability],
    allow: &Allow,
) -> BTreeMap<String, Option<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = required.iter().filter_map(|capability| match capability {
        Capability::Command(name) => Some(name),
        _ => None,
    });
    names
        .map(|name| (name.clone(), program_path(name, allow, &path)))
        .collect()
}

/// The path that the operator gave, or the first in the folders of `path`.
fn program_path(name: &str, allow: &Allow, path: &OsStr) -> Option<PathBuf> {
    let entry = allow
        .command
        .iter()
        .find(|entry| program_of(entry) == name)?;
    if entry.starts_with('/') {
        return Some(entry.into());
    }
    in_folders(name, &split(path))
}

/// The first of these folders that has a program of this name.
pub(crate) fn in_folders(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let mut paths = folders.iter().map(|folder| folder.join(name));
    paths.find(|path| is_executable(path))
}

/// The first of these folders that has all of these programs.
pub(crate) fn together<'a>(names: &[&str], folders: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let has_all = |folder: &&PathBuf| names.iter().all(|name| is_executable(&folder.join(name)));
    folders.iter().find(has_all)
}

/// `first`, the folders of PATH, and those of servers, which are not in everybody's.
pub(crate) fn search_path(first: &[PathBuf]) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let first = first.iter().filter(|folder| folder.is_absolute()).cloned();
    first.chain(split(&path)).chain(servers).collect()
}

fn split(path: &OsStr) -> Vec<PathBuf> {
    let folders = std::env::split_paths(path);
    folders.filter(|folder| folder.is_absolute()).collect()
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_one_that_the_operator_named_or_the_first_in_path() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        for (file, mode) in [("a/psql", 0o644), ("b/psql", 0o755), ("c/psql", 0o755)] {
            std::fs::create_dir(path(file).parent().expect("parent")).expect("folder");
            std::fs::write(path(file), "").expect("file");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path(file), mode).expect("chmod");
        }
        let variable = std::env::join_paths(["bin".into(), path("a"), path("b"), path("c")]);
        let variable = variable.expect("PATH");
        let check = |allowed: &str, expected: Option<PathBuf>| {
            let allow = Allow {
                command: vec!["other".into(), allowed.into()],
                ..Allow::default()
            };
            assert_eq!(
                program_path("psql", &allow, &variable),
                expected,
                "for {allowed}"
            );
        };
        check("psql", Some(path("b/psql")));
        check("/opt/pg/bin/psql", Some("/opt/pg/bin/psql".into()));
        check("pg_dump", None);
    }
}
