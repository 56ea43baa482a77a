//! What the documents say to type is typed: README.md, the examples, and the README-RESTORE.txt that lies in each repository.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Place;
use strongroom_repository::testing::{Restic, assert_same_files};

const README: &str = include_str!("../../../README.md");

/// The top of the checkout.
fn checkout() -> PathBuf {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    engine.and_then(Path::parent).expect("two above").into()
}

/// The blocks of a language in a part of README.md that a heading begins.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let (_, part) = README.split_once(heading).expect("the heading is there");
    let part = part.split("\n## ").next().unwrap_or_default();
    let fence = format!("```{language}\n");
    part.split(&fence)
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// What stands behind each `$` of README's first configuration, in order. `folder` takes the place of `/tmp/first`.
fn commands(folder: &str) -> Vec<String> {
    let blocks = blocks("## A first real configuration", "console");
    let lines = blocks.iter().flat_map(|block| block.lines());
    lines
        .map(|line| line.strip_prefix("$ ").expect("every line is a command"))
        .map(|line| line.replace("/tmp/first", folder))
        .collect()
}

/// Lets a shell run `script` in `folder`, the program being in its `PATH`. Out comes what it printed.
fn shell(folder: &Path, script: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_strongroom"));
    let path = std::env::var("PATH").expect("a PATH");
    let program = program.parent().expect("in a folder").display();
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder)
        .env_remove("STRONGROOM_CONFIG")
        .env("PATH", format!("{program}:{path}"))
        .output()
        .expect("sh runs");
    assert!(
        output.status.success(),
        "{script}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// README's first steps, as far as they need nothing but us, in a folder of their own.
fn first_steps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let first = folder.path().display().to_string();
    let [config] = &blocks("## A first real configuration", "toml")[..] else {
        panic!("README shows one configuration")
    };
    // Plugins are compiled once for all tests.
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
    let config = config
        .replace("/tmp/first/state", &state.display().to_string())
        .replace("/tmp/first", &first);
    fs::write(folder.path().join("strongroom.toml"), config).expect("written");

    let commands = commands(&first);
    let ours: Vec<&str> = commands
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("install "))
        .take_while(|line| !line.contains("RESTIC_"))
        .collect();
    for verb in [
        "mkdir", "cp", "init", "backup", "list", "check", "restore", "download", "forget", "copy",
    ] {
        let named = |line: &&str| line.split_whitespace().take(2).any(|word| word == verb);
        assert!(ours.iter().any(named), "README does not say {verb}");
    }
    let printed = shell(&checkout(), &ours.join("\n"));
    assert!(printed.contains("first"), "{printed}");
    folder
}

#[test]
fn the_first_steps_of_the_readme_work_as_they_stand() {
    let folder = first_steps();
    let path = |name: &str| folder.path().join(name);
    assert_same_files(&path("photos"), &path("out/photos"));
    let downloads = fs::read_dir(path("downloads")).expect("a folder");
    let names: Vec<_> = downloads
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn the_restic_commands_of_the_readme_work_as_they_stand() {
    let folder = first_steps();
    for restic in Restic::installed() {
        let commands = commands(&folder.path().display().to_string());
        let theirs: Vec<String> = commands
            .into_iter()
            .skip_while(|line| !line.contains("RESTIC_"))
            .collect();
        let bin = tempfile::tempdir().expect("a folder");
        let program = restic.command(Path::new(""), "").get_program().to_owned();
        std::os::unix::fs::symlink(program, bin.path().join("restic")).expect("linked");
        let script = format!(
            "export PATH={}:$PATH RESTIC_CACHE_DIR={}\n{}",
            bin.path().display(),
            bin.path().join("cache").display(),
            theirs.join("\n")
        );
        let printed = shell(folder.path(), &script);
        assert!(printed.ends_with("identical\n"), "{printed}");
        fs::remove_dir_all(folder.path().join("restic")).expect("removed");
    }
}

#[test]
fn every_configuration_that_we_show_is_right() {
    let readme = blocks("## A first real configuration", "toml");
    let mut shown: Vec<(String, String)> = readme
        .into_iter()
        .map(|text| ("README.md".to_owned(), text))
        .collect();
    for example in fs::read_dir(checkout().join("examples")).expect("examples") {
        let path = example.expect("an entry").path().join("strongroom.toml");
        let text = fs::read_to_string(&path).expect("each example has a configuration");
        shown.push((path.display().to_string(), text));
    }
    assert!(shown.len() > 1, "README.md and an example at least");
    for (name, text) in shown {
        let place = Place::new("");
        // What they back up and where they put it lies below /tmp, each in a folder that the text names.
        let text = text
            .replace("/tmp/first", "$DIR")
            .replace("/tmp/strongroom-example", "$DIR");
        assert!(!text.contains("/tmp/"), "{name}: a folder is not replaced");
        place.configure(&text);
        for folder in ["photos", "docs", "backups", "offsite"] {
            fs::create_dir(place.path(folder)).expect("a folder");
        }
        place.write("password", "try me");
        let output = place
            .command(&["config", "check"])
            .env("STRONGROOM_PASSWORD", "try me")
            .output()
            .expect("the program starts");
        let ended = place.ended(output);
        assert_eq!(ended.exit, 0, "{name}: {}", ended.stderr);
    }
}

#[test]
fn every_restic_does_what_the_readme_in_the_repository_says() {
    let folder = first_steps();
    let repository = folder.path().join("backups");
    let text = fs::read_to_string(repository.join("README-RESTORE.txt")).expect("it is there");
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("restic -r THIS-PLACE "))
        // The command ends where two spaces begin the explanation.
        .map(|line| line.split("  ").next().unwrap_or_default())
        .collect();
    let verbs: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(verbs, ["snapshots", "restore", "dump"], "{text}");

    let password = fs::read_to_string(folder.path().join("password")).expect("a password");
    for (number, restic) in Restic::installed().into_iter().enumerate() {
        let run = |arguments: &[&str]| restic.run(&repository, password.trim_end(), arguments);
        let mut snapshot = String::new();
        let target = folder.path().join(format!("restored {number}"));
        for line in &lines {
            let arguments: Vec<String> = line
                .split(' ')
                .map(|word| match word {
                    "SNAPSHOT-ID" => snapshot.clone(),
                    "DIRECTORY" => target.display().to_string(),
                    word => word.to_owned(),
                })
                .collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let printed = run(&arguments);
            match arguments[0] {
                // The id is the first word of the one line that has our tags' job.
                "snapshots" => {
                    let ids = printed.lines().filter_map(|line| line.split(' ').next());
                    let is_id = |word: &&str| {
                        word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
                    };
                    let mut ids = ids.filter(is_id);
                    ids.next()
                        .expect("a backup is listed")
                        .clone_into(&mut snapshot);
                }
                "restore" => {
                    assert_same_files(&folder.path().join("photos"), &target.join("photos"));
                }
                _ => {
                    let manifest: serde_json::Value =
                        serde_json::from_str(&printed).expect("the manifest is JSON");
                    assert!(printed.contains("volume"), "{manifest}");
                }
            }
        }
    }
}
