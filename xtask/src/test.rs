//! Every test: of the workspace, its documentation, and the plugins, with the real programs that they need.
//!
//! In: arguments for `cargo test`. Out: its output, what had to be skipped, and as the last line `N passed, N failed, N skipped`.
//!
//! Tests find programs through the environment: `STRONGROOM_TEST_RESTIC` holds the paths of every restic, separated by `:`, oldest first;
//! `STRONGROOM_TEST_MYSQL` the folder of an unpacked MySQL, and `STRONGROOM_TEST_MARIADB` that of a MariaDB of a newer series. A test
//! that cannot do an optional part of its work here appends a line with its name and the reason to the file `STRONGROOM_TEST_SKIPPED`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use crate::error::{Error, Result};
use crate::packages;
use crate::plugins;
use crate::process;
use crate::workspace::{Workspace, say};

/// Runs every test, or what `arguments` choose. A failed test is the exit code 1, not an error.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    plugins::build(workspace)?;
    plugins::build_guests(workspace)?;
    let programs = packages::for_tests(workspace)?;
    let restic = env::join_paths(programs.restic.iter().map(|restic| &restic.path))
        .map_err(|error| Error::new(format!("cannot pass on where restic is: {error}")))?;
    for restic in &programs.restic {
        say(&format!(
            "testing with restic {} ({})",
            restic.version,
            restic.path.display()
        ));
    }
    let skipped_file = workspace.target_folder("xtask")?.join("skipped");
    fs::write(&skipped_file, "").map_err(|e| Error::io("cannot write", &skipped_file, &e))?;

    let chosen = Chosen::of(arguments, &plugins::packages(workspace)?);
    let mut total = Total::default();
    let mut failed = Vec::new();
    if let Some(arguments) = &chosen.workspace {
        let mut cargo = workspace.cargo();
        cargo
            .args(["test", "--no-fail-fast"])
            .args(arguments)
            .env("STRONGROOM_TEST_RESTIC", &restic)
            .env("STRONGROOM_TEST_SKIPPED", &skipped_file);
        if let Some(mysql) = &programs.mysql {
            cargo.env("STRONGROOM_TEST_MYSQL", mysql);
        }
        if let Some(mariadb) = &programs.newer_mariadb {
            cargo.env("STRONGROOM_TEST_MARIADB", mariadb);
        }
        say("cargo test, of the workspace");
        if !test(&mut cargo, &mut total)? {
            failed.push("the workspace");
        }
    }
    // The plugins are a workspace of their own; their tests run on the host.
    if let Some(arguments) = &chosen.plugins {
        let mut cargo = workspace.cargo();
        cargo
            .current_dir(workspace.root().join("plugins"))
            .args(["test", "--no-fail-fast", "--target-dir"])
            .arg(plugins::build_folder(workspace))
            .args(arguments);
        say("cargo test, of the plugins");
        if !test(&mut cargo, &mut total)? {
            failed.push("the plugins");
        }
    }

    let mut skipped = programs.missing;
    let noted = fs::read_to_string(&skipped_file).unwrap_or_default();
    skipped.extend(noted.lines().map(str::to_owned));
    println!();
    for line in &skipped {
        println!("skipped: {line}");
    }
    for tests in &failed {
        println!("failed: cargo test, of {tests}");
    }
    total.skipped += skipped.len();
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How many tests there were.
#[derive(Debug, Default, PartialEq)]
struct Total {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Total {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`; any other line
    /// counts nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = result.split_once(". ") else {
            return;
        };
        for count in counts.split("; ") {
            let (number, what) = count.split_once(' ').unwrap_or((count, ""));
            let number: usize = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Runs one `cargo test`, passes its output on and counts its results; whether it succeeded.
fn test(cargo: &mut Command, total: &mut Total) -> Result<bool> {
    let line = process::line(cargo);
    let failed = |error: &std::io::Error| Error::new(format!("`{line}`: {error}"));
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(|error| failed(&error))?;
    let output = child
        .stdout
        .take()
        .ok_or_else(|| Error::new("cargo test has no output"))?;
    let mut ours = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| failed(&error))?;
        total.add(&String::from_utf8_lossy(&line));
        // Whoever reads us may have gone; the tests run to their end all the same.
        let _ = ours.write_all(&line).and_then(|()| ours.write_all(b"\n"));
    }
    Ok(child.wait().map_err(|error| failed(&error))?.success())
}

/// The arguments for `cargo test` in each of the two workspaces; none where nothing in it was asked for.
#[derive(Debug, PartialEq)]
struct Chosen {
    workspace: Option<Vec<String>>,
    plugins: Option<Vec<String>>,
}

impl Chosen {
    /// Every `-p NAME` goes to the workspace that has the package, `plugins` being the names of the plugins'; everything else goes to both.
    /// `--test NAME` alone goes to the engine's: cargo fails where no package has a test program of that name, and plugins have none.
    fn of(arguments: &[String], plugins: &BTreeSet<String>) -> Self {
        let mut common = Vec::new();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut names_program = false;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                common.push(argument.clone());
                common.extend(rest.by_ref().cloned());
            } else if let Some(name) = package_in(argument) {
                let name = match name {
                    "" => rest.next().map_or("", String::as_str),
                    name => name,
                };
                let packages = if plugins.contains(name) {
                    &mut theirs
                } else {
                    &mut ours
                };
                packages.push(format!("--package={name}"));
            } else {
                names_program |= argument == "--test" || argument.starts_with("--test=");
                common.push(argument.clone());
            }
        }
        if ours.is_empty() && theirs.is_empty() {
            ours.push("--workspace".to_owned());
            if !names_program {
                theirs.push("--workspace".to_owned());
            }
        }
        let with_common = |packages: Vec<String>| {
            (!packages.is_empty()).then(|| packages.into_iter().chain(common.clone()).collect())
        };
        Self {
            workspace: with_common(ours),
            plugins: with_common(theirs),
        }
    }
}

/// What an argument chooses: empty where the name is the next argument, none where it chooses nothing.
fn package_in(argument: &str) -> Option<&str> {
    let name = argument
        .strip_prefix("--package")
        .or_else(|| argument.strip_prefix("-p"))?;
    match (name.strip_prefix('='), argument.starts_with("--")) {
        (Some(name), _) => Some(name),
        (None, true) => name.is_empty().then_some(name),
        (None, false) => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_every_test_program_are_added_up() {
        let mut total = Total::default();
        for line in [
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.23s",
        ] {
            total.add(line);
        }
        assert_eq!(
            total,
            Total {
                passed: 13,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_package_is_looked_for_in_the_workspace_that_has_it() {
        #[track_caller]
        fn check(arguments: &str, workspace: Option<&str>, plugins: Option<&str>) {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            let known = BTreeSet::from(["volume".to_owned()]);
            let arguments: Vec<String> = words(arguments);
            let chosen = Chosen {
                workspace: workspace.map(words),
                plugins: plugins.map(words),
            };
            assert_eq!(Chosen::of(&arguments, &known), chosen, "{arguments:?}");
        }
        let all = "--workspace a_test -- -p volume";
        check("a_test -- -p volume", Some(all), Some(all));
        check("-p xtask a_test", Some("--package=xtask a_test"), None);
        check("--test cli", Some("--workspace --test cli"), None);
        check(
            "-pvolume --test cli",
            None,
            Some("--package=volume --test cli"),
        );
        check(
            "-- --test cli",
            Some("--workspace -- --test cli"),
            Some("--workspace -- --test cli"),
        );
        check("--package=volume", None, Some("--package=volume"));
        check(
            "-pvolume -- --nocapture",
            None,
            Some("--package=volume -- --nocapture"),
        );
        check(
            "--package volume -p=xtask --release",
            Some("--package=xtask --release"),
            Some("--package=volume --release"),
        );
        check(
            "--packages",
            Some("--workspace --packages"),
            Some("--workspace --packages"),
        );
    }
}
