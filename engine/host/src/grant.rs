//! Granting: what a plugin requires for its configuration, cut down to what the operator allows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_repository::target_path::TargetPath;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::allow::Allow;
use crate::capability::{Capability, normalise};
use crate::convert;
use crate::ground::Custody;
use crate::preopen::Writable;
use crate::programs::programs;
use crate::running::Running;

/// What one source or destination may touch. Made by [`grant`].
#[derive(Debug, Clone)]
pub struct Grants {
    pub(crate) section: String,
    pub(crate) allow: Allow,
    pub(crate) capabilities: Vec<Capability>,
    /// Where the granted programs lie, by name; `None` for one that was not found.
    pub(crate) programs: BTreeMap<String, Option<PathBuf>>,
    /// How programs of a verification are kept.
    pub(crate) custody: Option<Arc<Custody>>,
    /// Whether a folder that may be written is made where it is missing: for what is to go there, never for what is to be read.
    pub(crate) makes_folders: bool,
    /// What helps where a program is missing, but for installing it.
    pub(crate) missing_program: String,
}

/// Intersects what is `required` with what is allowed.
///
/// `section` is the table of the configuration, such as `sources.media`. Where `allow` is absent, a bundled plugin gets what its
/// configuration names and any other plugin nothing. Something required and not allowed is an error of kind `denied`, whose hint is the
/// complete `allow` line for the section.
pub fn grant(
    section: &str,
    required: &[Capability],
    allow: Option<&Allow>,
    bundled: bool,
) -> Result<Grants> {
    let subject = subject(section);
    for capability in required {
        capability
            .validate()
            .map_err(|error| error.on(format!("{subject}: required")))?;
    }
    let allow = match allow {
        Some(allow) => allow.clone(),
        None if bundled => allow_all(required),
        None => Allow::default(),
    };

    let mut missing = Vec::new();
    for capability in required {
        let allowed = capability
            .is_allowed_by(&allow)
            .map_err(|error| error.on(format!("{subject}: allow")))?;
        if !allowed {
            missing.push(capability);
        }
    }
    let grants = Grants {
        section: section.to_owned(),
        programs: programs(required, &allow),
        allow,
        capabilities: required.to_vec(),
        custody: None,
        makes_folders: true,
        missing_program: format!("name its path in `allow.command` of [{section}]"),
    };
    if missing.is_empty() {
        Ok(grants)
    } else {
        Err(grants.denial(&missing).on(subject))
    }
}

impl Grants {
    /// No capability at all.
    pub fn none(section: &str) -> Self {
        Self {
            section: section.to_owned(),
            allow: Allow::default(),
            capabilities: Vec::new(),
            programs: BTreeMap::new(),
            custody: None,
            makes_folders: true,
            missing_program: String::new(),
        }
    }

    /// What was granted.
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// The same for whoever only reads: a folder that is missing stays so.
    pub(crate) fn for_reading(&self) -> Self {
        Self {
            makes_folders: false,
            ..self.clone()
        }
    }

    /// How many programs of a verification run.
    pub fn running(&self) -> Running {
        let custody = self.custody.as_ref();
        custody.map(|it| it.running.clone()).unwrap_or_default()
    }

    /// The directory that `root` names, symbolic links resolved, if it lies within one that may be read.
    pub(crate) fn readable(&self, root: &str) -> Result<PathBuf> {
        let real = resolve(root)?;
        let granted = self
            .capabilities
            .iter()
            .filter_map(|capability| match capability {
                Capability::Read(path) | Capability::Write(path) => Some(path),
                _ => None,
            });
        for directory in granted {
            // A granted path means the directory that it names now; one that is gone covers nothing.
            if resolve(directory).is_ok_and(|directory| real.starts_with(directory)) {
                return Ok(real);
            }
        }
        Err(self.denied(Capability::Read(root.to_owned())))
    }

    /// The directory that `target` names, symbolic links resolved, if it lies within one that may be written. It need not exist. `writable` are those
    /// that were granted, as they were opened.
    pub(crate) fn writable(&self, target: &str, writable: &[Writable]) -> Result<TargetPath> {
        let real = resolve(target)?;
        let found = writable
            .iter()
            .find_map(|directory| directory.target(&real));
        found.ok_or_else(|| self.denied(Capability::Write(target.to_owned())))
    }

    /// The error for using `capability` without a grant. Every ungranted interface answers with it.
    pub(crate) fn denied(&self, capability: Capability) -> Error {
        self.denial(&[&capability])
    }

    /// The error for looking up a name that no grant names. It does not tell which port was meant.
    pub(crate) fn denied_name(&self, name: &str) -> Error {
        let mut allow = self.allow.clone();
        allow.add(&Capability::Connect(format!("{name}:PORT")));
        let what = format!("is not allowed to look up {name}");
        Error::new(ErrorKind::Denied, what).hint(self.allow_hint(&allow))
    }

    /// The path of a granted program.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        match self.programs.get(name) {
            Some(Some(path)) => Ok(path.clone()),
            Some(None) => Err(Error::new(
                ErrorKind::NotFound,
                format!("cannot run {name}: it is in no folder of PATH"),
            )
            .hint(format!("install it, or {}", self.missing_program))),
            None => Err(self.denied(Capability::Command(convert::tidy(name)))),
        }
    }

    pub(crate) fn denial(&self, missing: &[&Capability]) -> Error {
        let mut allow = self.allow.clone();
        missing.iter().for_each(|capability| allow.add(capability));
        let what: Vec<String> = missing.iter().map(ToString::to_string).collect();
        Error::new(
            ErrorKind::Denied,
            format!("is not allowed to {}", what.join(", ")),
        )
        .hint(self.allow_hint(&allow))
    }

    fn allow_hint(&self, allow: &Allow) -> String {
        let (section, line) = (&self.section, allow.to_toml_line());
        format!("if it should be, set in [{section}]: {line}")
    }
}

/// `sources.media` is `source media` to people.
fn subject(section: &str) -> String {
    match section.split_once('.') {
        Some(("sources", name)) => format!("source {name}"),
        Some(("destinations", name)) => format!("destination {name}"),
        _ => section.to_owned(),
    }
}

fn allow_all(required: &[Capability]) -> Allow {
    let mut allow = Allow::default();
    required.iter().for_each(|capability| allow.add(capability));
    allow
}

/// What `path` names now.
fn resolve(path: &str) -> Result<PathBuf> {
    real_path(&normalise(path)?).map_err(|error| Error::io(format!("cannot open {path}"), error))
}

/// Resolves symbolic links in the part of `path` that exists.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A dangling link is no missing directory: what is written there would land where the link points.
            if path.symlink_metadata().is_ok() {
                return Err(error);
            }
            match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) => Ok(real_path(parent)?.join(name)),
                _ => Err(error),
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::WasiCtxBuilder;

    use super::*;
    use crate::preopen::open_granted;

    fn read(path: &str) -> Capability {
        Capability::Read(path.into())
    }

    fn check_error(result: Result<impl std::fmt::Debug>, message: &str, hint: &str) {
        let error = result.expect_err("should be refused");
        assert_eq!(
            (error.to_string().as_str(), error.hint_text().unwrap_or("")),
            (message, hint)
        );
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_the_line_that_allows_it() {
        let allow = Allow {
            read: vec!["/srv/music".into()],
            ..Allow::default()
        };
        let required = [
            read("/srv/music/live"),
            read("/srv/media"),
            Capability::Connect("db:5432".into()),
        ];
        check_error(
            grant("sources.media", &required, Some(&allow), true),
            "source media: is not allowed to read /srv/media, connect to db:5432",
            r#"if it should be, set in [sources.media]: allow = { read = ["/srv/music", "/srv/media"], connect = ["db:5432"] }"#,
        );
    }

    #[test]
    fn an_absent_allow_means_all_for_a_bundled_plugin_and_nothing_for_another() {
        let required = [read("/srv/media")];
        let granted = grant("sources.media", &required, None, true).expect("bundled");
        assert_eq!(granted.capabilities(), required);
        check_error(
            grant("sources.media", &required, None, false),
            "source media: is not allowed to read /srv/media",
            r#"if it should be, set in [sources.media]: allow = { read = ["/srv/media"] }"#,
        );
    }

    #[test]
    fn what_is_allowed_and_not_required_is_not_granted() {
        let allow = Allow {
            read: vec!["/".into()],
            ..Allow::default()
        };
        let granted =
            grant("sources.media", &[read("/srv")], Some(&allow), false).expect("granted");
        assert_eq!(granted.capabilities(), [read("/srv")]);
    }

    #[test]
    fn a_requirement_or_an_entry_that_makes_no_sense_is_named() {
        check_error(
            grant("destinations.nas", &[read("/a/../b")], None, true),
            "destination nas: required: '/a/../b' contains '..'",
            "",
        );
        let allow = Allow {
            write: vec!["backups".into()],
            ..Allow::default()
        };
        check_error(
            grant("destinations.nas", &[read("/a")], Some(&allow), true),
            "destination nas: allow: 'backups' is no absolute path",
            "",
        );
    }

    #[test]
    fn a_link_out_of_a_granted_directory_is_no_way_out() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("granted")).expect("folder");
        std::fs::create_dir(path("secret")).expect("folder");
        std::os::unix::fs::symlink(path("secret"), path("granted/out")).expect("link");
        std::os::unix::fs::symlink(path("granted"), path("alias")).expect("link");
        std::os::unix::fs::symlink(path("nowhere"), path("granted/dangling")).expect("link");

        let required = [Capability::Write(path("alias"))];
        let grants = grant("sources.media", &required, None, true).expect("granted");
        let opened = open_granted(&mut WasiCtxBuilder::new(), &grants).expect("opened");
        let writable = |name: &str| grants.writable(&path(name), &opened);
        assert!(grants.readable(&path("granted")).is_ok());
        assert!(writable("alias/new/deep").is_ok());
        for outside in ["granted/out", "granted/out/new", "secret", ""] {
            let error = writable(outside).expect_err(outside);
            assert_eq!(error.kind(), ErrorKind::Denied, "for {outside}");
            let error = grants.readable(&path(outside)).expect_err(outside);
            assert_eq!(error.kind(), ErrorKind::Denied, "for {outside}");
        }
        let error = writable("granted/dangling").expect_err("dangling");
        assert_eq!(error.kind(), ErrorKind::NotFound);

        // What its name leads to later was not granted.
        std::fs::rename(path("granted"), path("moved")).expect("moved");
        std::os::unix::fs::symlink(path("secret"), path("granted")).expect("link");
        for target in ["granted", "granted/new", "alias/new"] {
            let error = writable(target).expect_err(target);
            assert_eq!(error.kind(), ErrorKind::Denied, "for {target}");
        }
    }
}
