//! A folder with a configuration, and the real program run in it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

pub mod authority;
pub mod mysql;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use strongroom::bundled::{BUILD_HINT, BUNDLED};
use tempfile::TempDir;

/// A temporary folder in which the program runs.
pub struct Place {
    folder: TempDir,
}

/// How a run ended, with the folder's path replaced by `$DIR`.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    pub exit: i32,
}

impl Place {
    /// With `config` as its `strongroom.toml`, in which `$DIR` stands for the folder. The engine's state is shared by all tests, so that
    /// plugins are compiled once.
    pub fn new(config: &str) -> Self {
        assert!(!BUNDLED.is_empty(), "{BUILD_HINT}");
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self { folder };
        place.configure(config);
        place.write("nas.key", "correct horse");
        place
    }

    /// Replaces the configuration.
    pub fn configure(&self, config: &str) {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
        let config = config.replace("$DIR", &self.path("").display().to_string());
        let config = if config.contains("[engine]") {
            config
        } else {
            format!(
                "{config}\n[engine]\nstate = {:?}\n",
                state.display().to_string()
            )
        };
        std::fs::write(self.path("strongroom.toml"), config).expect("written");
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        let folder = self.folder.path();
        if name.is_empty() {
            folder.into()
        } else {
            folder.join(name)
        }
    }

    /// Writes a file that only its owner can read, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    }

    /// The program with these arguments, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("TZ", "UTC");
        command
    }

    /// Runs the program.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.ended(self.command(args).output().expect("the program starts"))
    }

    /// Runs the program, which must succeed; out comes what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.exit, 0, "{args:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Runs the program, which must end with `exit` and say `words`.
    #[track_caller]
    pub fn fails(&self, args: &[&str], exit: i32, words: &str) {
        let ended = self.run(args);
        assert_eq!(ended.exit, exit, "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }

    /// Runs the program with `--json`, which must succeed. Of a stream of events comes the last line.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let mut args = args.to_vec();
        args.push("--json");
        let text = self.ok(&args);
        let text = match args.first() {
            Some(&"backup") => text.lines().last().unwrap_or_default(),
            _ => &text,
        };
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// What a program printed, fit for comparison.
    pub fn ended(&self, output: Output) -> Ended {
        let folder = self.folder.path().display().to_string();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("the program prints UTF-8");
            text.replace(&folder, "$DIR")
        };
        Ended {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            exit: output.status.code().unwrap_or(-1),
        }
    }
}

/// One volume, one folder as destination, one job.
pub const ONE_OF_EACH: &str = r#"
[sources.media]
plugin = "volume"
config = { path = "$DIR/media" }

[destinations.nas]
plugin = "filesystem"
config = { path = "$DIR/nas" }
password = { file = "nas.key" }

[jobs.nightly]
sources = ["media"]
destinations = ["nas"]
"#;

/// Two volumes, two folders as destinations, one job.
pub const TWO_OF_EACH: &str = r#"
[sources.media]
plugin = "volume"
config = { path = "$DIR/media" }

[sources.notes]
plugin = "volume"
config = { path = "$DIR/notes", writable = true }

[destinations.nas]
plugin = "filesystem"
config = { path = "$DIR/nas" }
password = { file = "nas.key" }

[destinations.offsite]
plugin = "filesystem"
config = { path = "$DIR/offsite" }
password = { command = ["echo", "another password"] }

[jobs.nightly]
sources = ["media", "notes"]
destinations = ["nas", "offsite"]
"#;

/// Two volumes and two repositories.
pub fn two_of_each() -> Place {
    let place = Place::new(TWO_OF_EACH);
    place.write("media/a.txt", "a");
    place.write("media/deep/b.bin", vec![7; 3_000_000]);
    place.write("notes/note.md", "# note");
    place.ok(&["init"]);
    place
}

/// The files below a folder with their content.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .expect("a folder")
                    .map(|entry| entry.expect("readable").path()),
            );
        } else {
            let name = path
                .strip_prefix(folder)
                .expect("below")
                .display()
                .to_string();
            // A link that leads nowhere is what it says.
            let content = match path.exists() {
                true => fs::read(&path),
                false => fs::read_link(&path).map(|to| to.into_os_string().into_encoded_bytes()),
            };
            found.insert(name, content.expect("readable"));
        }
    }
    found
}

/// The program as somebody to whom file permissions apply, which they do not to root.
pub fn unprivileged(place: &Place, args: &[&str]) -> Command {
    let plain = place.command(args);
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-dac_override,-dac_read_search", "--"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(place.path(""))
        .env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

/// Says that a part of a test could not be done here, by name, for the summary of a test run.
pub fn skip(name: &str, reason: &str) {
    use std::io::Write;
    eprintln!("skipped {name}: {reason}");
    if let Some(path) = std::env::var_os("STRONGROOM_TEST_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("the file opens"), "{name}: {reason}").expect("written");
    }
}
