//! `cargo xtask demo`: what a newcomer sees first.
//!
//! In: nothing but the checkout. Out: a folder of sample files is backed up, checked, backed up again after some edits, restored and compared, with the
//! real program and with the stock restic; every command and its output is shown, and said in words.

mod sample;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::compare;
use crate::engine;
use crate::error::{Error, Result};
use crate::packages;
use crate::process;
use crate::workspace::{Workspace, make_folder};

const CONFIGURATION: &str = r#"[engine]
state = "state"                     # caches

[sources.files]
plugin = "volume"
config = { path = "FILES" }

[destinations.vault]
plugin = "filesystem"
config = { path = "VAULT" }
password = { file = "PASSWORD" }

[jobs.everything]
sources = ["files"]
destinations = ["vault"]
"#;

/// Runs the demonstration. `arguments` may be `--keep`, which leaves the files there.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(other) = arguments.iter().find(|argument| *argument != "--keep") {
        return Err(Error::new(format!("cargo xtask demo takes no `{other}`")));
    }
    let demo = Demo {
        strongroom: engine::build(workspace)?,
        restic: packages::installed_restic(workspace),
        folder: std::env::temp_dir().join(format!("strongroom-demo-{}", std::process::id())),
    };
    make_folder(&demo.folder)?;
    demo.show()
        .map_err(|error| error.or_hint(format!("the files are in {}", demo.folder.display())))?;
    if arguments.is_empty() {
        fs::remove_dir_all(&demo.folder)
            .map_err(|e| Error::io("cannot remove", &demo.folder, &e))?;
        tell(
            "The files of this demonstration are removed again; `cargo xtask demo --keep` leaves them there to play with.",
        );
    } else {
        tell(&format!(
            "Everything is still in {}.",
            demo.folder.display()
        ));
    }
    Ok(())
}

struct Demo {
    strongroom: PathBuf,
    restic: Option<PathBuf>,
    /// Where everything happens; the program's working directory.
    folder: PathBuf,
}

impl Demo {
    fn show(&self) -> Result<()> {
        let files = self.folder.join("files");
        self.prepare(&files)?;

        title(2, "A repository");
        tell(
            "`init` makes an encrypted repository at each destination, and shows its recovery key once: the way in, should the password be lost.",
        );
        self.strongroom(&["init"])?;

        title(3, "The first backup");
        self.strongroom(&["backup", "--note", "first"])?;
        tell(
            "Is it sound? With --read-data every byte is read back, decrypted, and compared with its SHA-256.",
        );
        self.strongroom(&["check", "--read-data"])?;

        title(4, "An incremental backup");
        tell("A day goes by:");
        for edit in sample::edit(&files)? {
            println!("   - {edit}");
        }
        println!();
        tell(
            "Only what is new is read and stored; yet every backup stands for itself, and any may be forgotten.",
        );
        self.strongroom(&["backup", "--note", "second"])?;
        self.strongroom(&["list"])?;

        title(5, "The restore");
        tell(
            "`latest` is the second backup. It is restored into a new folder, and compared with the files as they are now.",
        );
        self.strongroom(&["restore", "latest", "--target", "restored"])?;
        self.compare(&files, "restored")?;

        title(6, "Not locked in");
        self.show_restic(&files)?;

        title(7, "What you have seen");
        tell(
            "One file of configuration, a source and a destination that are sandboxed WebAssembly components, two backups, the second an \
             incremental one, a check of every byte, and a restore that is equal to the original: names, modes, times, links, contents.",
        );
        Ok(())
    }

    /// Makes the sample, the password and the configuration.
    fn prepare(&self, files: &Path) -> Result<()> {
        println!("\nStrongroom: a demonstration\n");
        title(1, "Some files, and one file of configuration");
        let sample = sample::make(files)?;
        tell(&format!(
            "In {} there are now {} photos, {} notes, a symbolic link, a file with two names, an empty folder, and names such as `-rf *`. \
             This is the whole configuration, strongroom.toml:",
            files.display(),
            sample.photos,
            sample.notes
        ));
        let (vault, password) = (self.folder.join("vault"), self.folder.join("password"));
        let configuration = CONFIGURATION
            .replace("FILES", &files.to_string_lossy())
            .replace("VAULT", &vault.to_string_lossy())
            .replace("PASSWORD", &password.to_string_lossy())
            .replace("\"state\"", &format!("{:?}", self.folder.join("state")));
        self.write("strongroom.toml", &configuration)?;
        self.write("password", "correct horse battery staple\n")?;
        let password = self.folder.join("password");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600))
            .map_err(|error| Error::io("cannot protect", &password, &error))?;
        indent(&configuration);
        Ok(())
    }

    fn show_restic(&self, files: &Path) -> Result<()> {
        let Some(restic) = &self.restic else {
            tell(
                "The repository is an ordinary restic repository. restic is not installed here; with it, this step would show that.",
            );
            return Ok(());
        };
        tell(
            "The repository is an ordinary restic repository. The stock restic, which knows nothing of us, checks it and restores from it:",
        );
        let common = ["-r", "vault", "--password-file", "password", "--no-cache"];
        let with = |arguments: &[&'static str]| -> Vec<&'static str> {
            common
                .into_iter()
                .chain(arguments.iter().copied())
                .collect()
        };
        self.run(restic, &with(&["check", "--read-data"]))?;
        self.run(
            restic,
            &with(&["restore", "latest", "--target", "restored-by-restic"]),
        )?;
        self.compare(files, "restored-by-restic")
    }

    fn compare(&self, files: &Path, restored: &str) -> Result<()> {
        let root = compare::root_of(files, &self.folder.join(restored))?;
        let compared = compare::trees(files, &root)?;
        tell(&format!(
            "Compared, entry by entry and byte by byte: all {} entries, {:.1} MB, are the same as in {}.",
            compared.entries,
            compared.bytes as f64 / 1e6,
            files.display()
        ));
        Ok(())
    }

    fn strongroom(&self, arguments: &[&str]) -> Result<()> {
        self.run(&self.strongroom, arguments)
    }

    /// Runs a program in the demonstration's folder and shows it as on a terminal. An exit code other than 0 is an error.
    fn run(&self, program: &Path, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .env_remove("STRONGROOM_CONFIG");
        let line = process::line(&command);
        println!("   $ {line}");
        let output = command
            .output()
            .map_err(|e| Error::io("cannot start", program, &e))?;
        indent(&String::from_utf8_lossy(&output.stdout));
        indent(&String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            return Ok(());
        }
        Err(Error::new(format!("`{line}` failed: {}", output.status)))
    }

    fn write(&self, name: impl AsRef<OsStr>, text: &str) -> Result<()> {
        let path = self.folder.join(name.as_ref());
        fs::write(&path, text).map_err(|error| Error::io("cannot write", &path, &error))
    }
}

fn title(number: usize, words: &str) {
    println!("{number}. {words}\n");
}

/// A paragraph, wrapped.
fn tell(words: &str) {
    let mut line = String::new();
    for word in words.split_whitespace() {
        if line.chars().count() + word.chars().count() > 96 {
            println!("   {}", line.trim_end());
            line.clear();
        }
        line.push_str(word);
        line.push(' ');
    }
    println!("   {}\n", line.trim_end());
}

fn indent(text: &str) {
    for line in text.trim_end().lines() {
        println!("   | {line}");
    }
    if !text.trim().is_empty() {
        println!();
    }
}
