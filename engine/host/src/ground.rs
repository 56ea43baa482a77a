//! The ground of a verification: its scratch directory and port, the programs that it may run, and as whom. In goes what a plugin needs to verify a
//! backup, out come [`Grants`] that reach nothing else: neither what the source is granted, nor anything of the host beside programs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_repository::verification::Scratch;
use strongroom_repository::{Error, ErrorKind, Result};

use crate::account::Account;
use crate::allow::Allow;
use crate::capability::{Capability, normalise, program_of};
use crate::grant::Grants;
use crate::handover::hand_over;
use crate::programs::{in_folders, search_path, together};
use crate::running::Running;

/// What a plugin says it needs to verify a backup.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Directories at or below the scratch directory, 127.0.0.1 with its port, and programs.
    pub capabilities: Vec<Capability>,
    /// Folders to look for the programs in, best first.
    pub folders: Vec<PathBuf>,
    /// The system user that such a server commonly runs as.
    pub user: Option<String>,
}

/// What the engine and the operator bring.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The table of the source, such as `sources.shop`.
    pub section: String,
    /// What the source's table allows: its programs count here too.
    pub allow: Option<Allow>,
    /// Whether the plugin came with the engine.
    pub is_bundled: bool,
    /// Where.
    pub scratch: Scratch,
    /// Folders whose programs the operator lets it run.
    pub folders: Vec<PathBuf>,
    /// Where the operator sets these folders, for hints: `programs of [jobs.nightly.verify]`.
    pub folders_setting: String,
    /// As whom programs run; none for the engine's own user.
    pub account: Option<Account>,
}

/// As whom the programs of a verification run, and how many do.
#[derive(Debug)]
pub(crate) struct Custody {
    directory: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) running: Running,
}

impl Custody {
    /// What the plugin wrote meanwhile is for the program too.
    pub(crate) fn hand_over(&self) -> Result<()> {
        match &self.account {
            Some(account) => hand_over(&self.directory, account),
            None => Ok(()),
        }
    }
}

impl Ground {
    /// Grants what is needed, all of which must be of this ground.
    pub fn grant(&self, needs: &Needs) -> Result<Grants> {
        let on = |error: Error| error.on(self.section.replacen("sources.", "source ", 1));
        for capability in &needs.capabilities {
            self.check(capability).map_err(on)?;
        }
        let (programs, denied) = self.programs(needs);
        let grants = Grants {
            section: self.section.clone(),
            allow: self.allow.clone().unwrap_or_default(),
            capabilities: needs.capabilities.clone(),
            programs,
            makes_folders: true,
            custody: Some(Arc::new(Custody {
                directory: self.scratch.directory.clone(),
                account: self.account.clone(),
                running: Running::default(),
            })),
            missing_program: format!("name its folder in {}", self.folders_setting),
        };
        match denied.iter().collect::<Vec<_>>().as_slice() {
            [] => Ok(grants),
            denied => Err(on(grants.denial(denied))),
        }
    }

    fn check(&self, capability: &Capability) -> Result<()> {
        capability.validate()?;
        let is_ours = match capability {
            Capability::Read(path) | Capability::Write(path) => {
                normalise(path)?.starts_with(&self.scratch.directory)
            }
            Capability::Connect(address) => *address == format!("127.0.0.1:{}", self.scratch.port),
            Capability::Http(_) => false,
            Capability::Command(_) => true,
        };
        match is_ours {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Denied,
                format!("is not allowed to {capability} in a verification"),
            )
            .hint("a verification has its scratch directory, its port and programs")),
        }
    }

    /// Where each program lies, and which are not allowed. A program is allowed by name, as any other; or because the operator names the folder that
    /// it lies in; or because the plugin is bundled and nothing is said.
    fn programs(&self, needs: &Needs) -> (BTreeMap<String, Option<PathBuf>>, Vec<Capability>) {
        let commands = needs.capabilities.iter();
        let names: Vec<&str> = commands.filter_map(Capability::program).collect();
        let trusts_all = self.is_bundled && self.allow.is_none();
        let entry = |name: &str| {
            let mut entries = self.allow.iter().flat_map(|allow| &allow.command);
            entries.find(|entry| program_of(entry) == name)
        };
        // Nobody knows what lies where a plugin from elsewhere would look.
        let theirs = self.is_bundled.then_some(needs.folders.as_slice());
        let others = search_path(theirs.unwrap_or_default());
        let (mut programs, mut denied) = (BTreeMap::new(), Vec::new());
        for name in &names {
            let path = match (in_folders(name, &self.folders), entry(name)) {
                (Some(path), _) => Some(path),
                (None, Some(entry)) if entry.starts_with('/') => Some(entry.into()),
                (None, None) if !trusts_all => {
                    denied.push(Capability::Command((*name).to_owned()));
                    None
                }
                // Of several versions, that which is there as a whole.
                _ => match together(&names, &others) {
                    Some(folder) => Some(folder.join(name)),
                    None => in_folders(name, &others),
                },
            };
            programs.insert((*name).to_owned(), path);
        }
        (programs, denied)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn ground(scratch: &str) -> Ground {
        Ground {
            section: "sources.shop".into(),
            allow: None,
            is_bundled: true,
            scratch: Scratch {
                directory: scratch.into(),
                port: 6432,
            },
            folders: Vec::new(),
            folders_setting: "`programs` of [jobs.nightly.verify]".into(),
            account: None,
        }
    }

    fn needs(capabilities: &[Capability], folders: &[PathBuf]) -> Needs {
        Needs {
            capabilities: capabilities.to_vec(),
            folders: folders.to_vec(),
            user: None,
        }
    }

    #[test]
    fn a_verification_reaches_its_scratch_directory_and_its_port_and_nothing_else() {
        let check = |capability: Capability, expected: Option<&str>| {
            let granted = ground("/scratch/a").grant(&needs(&[capability], &[]));
            let message = granted.err().map(|error| error.to_string());
            assert_eq!(message.as_deref(), expected);
        };
        check(Capability::Write("/scratch/a/data".into()), None);
        check(Capability::Read("/scratch/a".into()), None);
        check(Capability::Connect("127.0.0.1:6432".into()), None);
        let denied = "source shop: is not allowed to write to /scratch/ab in a verification";
        check(Capability::Write("/scratch/ab".into()), Some(denied));
        let denied = "source shop: is not allowed to read / in a verification";
        check(Capability::Read("/".into()), Some(denied));
        let denied = "source shop: is not allowed to connect to 127.0.0.1:5432 in a verification";
        check(Capability::Connect("127.0.0.1:5432".into()), Some(denied));
        let denied = "source shop: '/scratch/a/../b' contains '..'";
        check(Capability::Write("/scratch/a/../b".into()), Some(denied));
    }

    #[test]
    fn programs_come_from_the_operators_folders_then_from_one_that_has_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for program in ["own/initdb", "old/initdb", "new/initdb", "new/postgres"] {
            program_at(&path(program));
        }
        let commands = ["initdb", "postgres", "strongroom-nothing"];
        let commands = |count| {
            let names = commands.iter().take(count);
            let commands = names.map(|name| Capability::Command((*name).to_owned()));
            needs(&commands.collect::<Vec<_>>(), &[path("old"), path("new")])
        };
        let check = |ground: &Ground, count, expected: &[Option<&str>]| {
            let grants = ground.grant(&commands(count)).expect("granted");
            let found: Vec<_> = grants.programs.values().cloned().collect();
            let expected = expected.iter().map(|it| it.map(path));
            assert_eq!(found, expected.collect::<Vec<_>>());
        };
        let mut ground = ground("/scratch");
        check(&ground, 2, &[Some("new/initdb"), Some("new/postgres")]);
        check(
            &ground,
            3,
            &[Some("old/initdb"), Some("new/postgres"), None],
        );
        ground.folders = vec![path("own")];
        check(&ground, 2, &[Some("own/initdb"), Some("new/postgres")]);

        let grants = ground.grant(&commands(3)).expect("granted");
        let error = grants.program("strongroom-nothing").expect_err("missing");
        assert_eq!(
            (error.to_string().as_str(), error.hint_text()),
            (
                "cannot run strongroom-nothing: it is in no folder of PATH",
                Some("install it, or name its folder in `programs` of [jobs.nightly.verify]")
            )
        );
    }

    #[test]
    fn a_plugin_from_elsewhere_has_no_say_in_where_programs_lie() {
        let folder = tempfile::tempdir().expect("a folder");
        program_at(&folder.path().join("strongroom-own"));
        let command = Capability::Command("strongroom-own".into());
        let needs = needs(&[command], &[folder.path().to_owned()]);
        let mut ground = ground("/scratch");
        ground.allow = Some(Allow {
            command: vec!["strongroom-own".into()],
            ..Allow::default()
        });
        let is_found = |ground: &Ground| {
            let grants = ground.grant(&needs).expect("granted");
            grants.program("strongroom-own").is_ok()
        };
        assert!(is_found(&ground));
        ground.is_bundled = false;
        assert!(!is_found(&ground));
    }

    #[test]
    fn with_a_table_of_what_is_allowed_a_program_must_be_in_it_or_in_a_named_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        program_at(&folder.path().join("own/initdb"));
        let mut ground = ground("/scratch");
        ground.allow = Some(Allow {
            command: vec!["/opt/postgres".into()],
            ..Allow::default()
        });
        let commands = ["initdb", "postgres"].map(|name| Capability::Command(name.into()));
        let error = ground.grant(&needs(&commands, &[])).expect_err("denied");
        assert_eq!(
            (error.to_string().as_str(), error.hint_text()),
            (
                "source shop: is not allowed to run initdb",
                Some(
                    r#"if it should be, set in [sources.shop]: allow = { command = ["/opt/postgres", "initdb"] }"#
                )
            )
        );
        ground.folders = vec![folder.path().join("own")];
        let grants = ground.grant(&needs(&commands, &[])).expect("granted");
        assert_eq!(
            grants.program("postgres").ok(),
            Some("/opt/postgres".into())
        );
    }

    fn program_at(path: &Path) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, "").expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("a mode");
    }
}
