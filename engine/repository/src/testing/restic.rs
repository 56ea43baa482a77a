//! The real restic, as the second program that reads and writes our repositories.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// One installed restic.
pub struct Restic {
    binary: PathBuf,
}

impl Restic {
    /// Every restic that `STRONGROOM_TEST_RESTIC` lists, separated by `:`, or else the one in `PATH`.
    ///
    /// # Panics
    /// Where there is none: a test that needs it has not passed then.
    pub fn installed() -> Vec<Self> {
        let listed = env::var_os("STRONGROOM_TEST_RESTIC").unwrap_or_default();
        let mut binaries: Vec<PathBuf> = env::split_paths(&listed)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        if binaries.is_empty() {
            let path = env::var_os("PATH").unwrap_or_default();
            binaries.extend(
                env::split_paths(&path)
                    .map(|folder| folder.join("restic"))
                    .find(|binary| binary.is_file()),
            );
        }
        assert!(
            !binaries.is_empty() && binaries.iter().all(|binary| binary.is_file()),
            "no restic at {listed:?} or in PATH: install the Debian package restic"
        );
        binaries.into_iter().map(|binary| Self { binary }).collect()
    }

    /// The program, with repository and password given and nothing else of the user's environment.
    pub fn command(&self, repository: &Path, password: &str) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("RESTIC_") {
                command.env_remove(name);
            }
        }
        command
            .env("RESTIC_REPOSITORY", repository)
            .env("RESTIC_PASSWORD", password)
            .arg("--no-cache")
            .stdin(Stdio::null());
        command
    }

    /// What it prints.
    ///
    /// # Panics
    /// When it fails, with what it says.
    pub fn run(&self, repository: &Path, password: &str, arguments: &[&str]) -> String {
        let output = self.output(repository, password, arguments);
        assert!(
            output.status.success(),
            "{} {arguments:?} failed: {}",
            self.binary.display(),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// What it says when it fails.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn fail(&self, repository: &Path, password: &str, arguments: &[&str]) -> String {
        let output = self.output(repository, password, arguments);
        assert!(
            !output.status.success(),
            "{} {arguments:?} succeeded: {}",
            self.binary.display(),
            text(&output.stdout)
        );
        text(&output.stderr)
    }

    /// What it prints, and how it ends.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn output(&self, repository: &Path, password: &str, arguments: &[&str]) -> Output {
        self.command(repository, password)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
