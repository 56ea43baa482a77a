//! Secrets: a reference in, the value out, as late as possible. What is handed to a plugin is remembered, so that it can be blotted out of
//! anything that the plugin says.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use strongroom_repository::{Error, ErrorKind, Result};

use super::model::SecretReference;

/// What stands in place of a secret.
pub const HIDDEN: &str = "•••••";

/// Shorter values are not blotted out: they would take half of every message with them, and protect nothing.
const SHORTEST_HIDDEN: usize = 6;

/// Resolves references and remembers what they were.
pub struct Secrets {
    folder: PathBuf,
    known: Mutex<Vec<String>>,
    warn: Box<dyn Fn(String) + Send + Sync>,
}

impl Secrets {
    /// Relative paths count from `folder`; `warn` hears of files that others can read.
    pub fn new(folder: PathBuf, warn: Box<dyn Fn(String) + Send + Sync>) -> Self {
        Self {
            folder,
            known: Mutex::default(),
            warn,
        }
    }

    /// The value behind `reference`, for a plugin: from now on it is blotted out of all that is said.
    pub fn resolve_for_plugin(&self, reference: &SecretReference) -> Result<String> {
        let value = self.resolve(reference)?;
        if let Ok(mut known) = self.known.lock()
            && value.len() >= SHORTEST_HIDDEN
        {
            known.push(value.clone());
            // The longest first: one secret may begin with another.
            known.sort_by_key(|value| std::cmp::Reverse(value.len()));
            known.dedup();
        }
        Ok(value)
    }

    /// The value behind `reference`, for the engine alone. It is not blotted out: the engine says it nowhere, and to blot out a password that
    /// is an ordinary word would give it away. Errors say what failed, and never what was found.
    pub fn resolve(&self, reference: &SecretReference) -> Result<String> {
        let value = match reference {
            SecretReference {
                env: Some(name), ..
            } => from_environment(name)?,
            SecretReference {
                file: Some(path), ..
            } => self.read_file(&self.folder.join(path))?,
            SecretReference {
                command: Some(line),
                ..
            } => from_command(line, &self.folder)?,
            _ => {
                return Err(invalid("the reference names nothing"));
            }
        };
        if value.is_empty() {
            return Err(invalid(format!(
                "the secret from {} is empty",
                describe(reference)
            )));
        }
        Ok(value)
    }

    /// `text` with every value that a plugin was given blotted out.
    pub fn hide(&self, text: &str) -> String {
        let Ok(known) = self.known.lock() else {
            return HIDDEN.into();
        };
        known
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    fn read_file(&self, path: &Path) -> Result<String> {
        let unreadable = |error| {
            let what = format!("cannot read the secret file {}", path.display());
            invalid(Error::io(what, error).message())
                .hint("make it, readable for nobody else, or write another path")
        };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        let bytes = std::fs::read(path).map_err(unreadable)?;
        if metadata.is_file() && metadata.permissions().mode() & 0o004 != 0 {
            (self.warn)(format!(
                "every user of this machine can read the secret file {0}: chmod o-r {0}",
                path.display()
            ));
        }
        text(bytes, || format!("the secret file {}", path.display()))
    }
}

fn from_environment(name: &str) -> Result<String> {
    match std::env::var(name) {
        Ok(value) => Ok(value),
        Err(std::env::VarError::NotPresent) => Err(invalid(format!(
            "the environment variable {name} is not set"
        ))
        .hint("set it where strongroom is started, or name a file or a command instead")),
        Err(std::env::VarError::NotUnicode(_)) => Err(invalid(format!(
            "the environment variable {name} is not UTF-8"
        ))),
    }
}

/// The program may ask the person something: it keeps standard input and error.
fn from_command(line: &[String], folder: &Path) -> Result<String> {
    let [program, arguments @ ..] = line else {
        return Err(invalid("the reference names no program"));
    };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        })
        .stderr(Stdio::inherit())
        .stdin(Stdio::inherit())
        .output()
        .map_err(|error| {
            let what = format!("cannot run the secret's command {program}");
            invalid(Error::io(what, error).message())
                .hint("it is looked up in PATH; an absolute path is surer")
        })?;
    if !output.status.success() {
        return Err(invalid(format!(
            "the secret's command {program} ended with {}",
            output.status
        ))
        .hint("run it by hand to see what it says"));
    }
    text(output.stdout, || {
        format!("the output of the secret's command {program}")
    })
}

fn text(bytes: Vec<u8>, what: impl Fn() -> String) -> Result<String> {
    let mut text =
        String::from_utf8(bytes).map_err(|_| invalid(format!("{} is not UTF-8", what())))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The reference in words, for messages: never a command's arguments.
fn describe(reference: &SecretReference) -> String {
    match (&reference.env, &reference.file, &reference.command) {
        (Some(name), ..) => format!("the environment variable {name}"),
        (_, Some(path), _) => format!("the file {}", path.display()),
        (_, _, Some(line)) => format!(
            "the command {}",
            line.first().map(String::as_str).unwrap_or_default()
        ),
        _ => "nowhere".into(),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn secrets(folder: &Path) -> (Secrets, Arc<Mutex<Vec<String>>>) {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let heard = warnings.clone();
        let warn = Box::new(move |text| heard.lock().expect("not poisoned").push(text));
        (Secrets::new(folder.into(), warn), warnings)
    }

    fn file(path: &str) -> SecretReference {
        SecretReference {
            env: None,
            file: Some(path.into()),
            command: None,
        }
    }

    fn command(line: &[&str]) -> SecretReference {
        SecretReference {
            env: None,
            file: None,
            command: Some(line.iter().map(|&word| word.into()).collect()),
        }
    }

    #[test]
    fn one_newline_at_the_end_of_a_file_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "pass word\n\n").expect("written");
        let (secrets, _) = secrets(folder.path());
        assert_eq!(
            secrets.resolve(&file("key")).expect("readable"),
            "pass word\n"
        );
    }

    #[test]
    fn a_file_that_everyone_can_read_is_warned_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").expect("written");
        let (secrets, warnings) = secrets(folder.path());
        for (mode, expected) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            secrets.resolve(&file("key")).expect("readable");
            assert_eq!(
                warnings.lock().expect("not poisoned").len(),
                expected,
                "{mode:o}"
            );
        }
    }

    #[test]
    fn a_command_that_fails_is_an_error_without_its_arguments_and_output() {
        let folder = tempfile::tempdir().expect("a folder");
        let (secrets, _) = secrets(folder.path());
        let error = secrets
            .resolve(&command(&["sh", "-c", "echo hunter2; exit 3"]))
            .expect_err("it fails");
        assert_eq!(
            error.to_string(),
            "the secret's command sh ended with exit status: 3"
        );
    }

    #[test]
    fn what_a_plugin_was_given_is_blotted_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let (secrets, _) = secrets(folder.path());
        for word in ["hunter2", "hunter22", "in"] {
            let reference = command(&["echo", word]);
            assert_eq!(secrets.resolve_for_plugin(&reference).expect("echo"), word);
        }
        secrets
            .resolve(&command(&["echo", "failed"]))
            .expect("echo");
        assert_eq!(
            secrets.hide("login with hunter22 or hunter2 failed"),
            format!("login with {HIDDEN} or {HIDDEN} failed")
        );
    }

    #[test]
    fn an_empty_secret_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let (secrets, _) = secrets(folder.path());
        let error = secrets.resolve(&command(&["true"])).expect_err("empty");
        assert_eq!(
            error.to_string(),
            "the secret from the command true is empty"
        );
    }
}
