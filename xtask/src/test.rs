//! Every test: of the workspace, its documentation, and the plugins, with the real programs that they need.
//!
//! In: arguments for `cargo test`. Out: its output, what had to be skipped, and as the last line `N passed, N failed, N skipped`.
//!
//! Tests find programs through the environment: `STRONGROOM_TEST_RESTIC` holds the paths of every restic, separated by `:`, oldest first. A test
//! that cannot do an optional part of its work here appends a line with its name and the reason to the file `STRONGROOM_TEST_SKIPPED`.

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

    let chosen = chooses_packages(arguments);
    let mut total = Total::default();
    let mut failed = Vec::new();
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--no-fail-fast"]);
    if !chosen {
        cargo.arg("--workspace");
    }
    cargo
        .args(arguments)
        .env("STRONGROOM_TEST_RESTIC", &restic)
        .env("STRONGROOM_TEST_SKIPPED", &skipped_file);
    say("cargo test, of the workspace");
    if !test(&mut cargo, &mut total)? {
        failed.push("the workspace");
    }
    // The plugins are a workspace of their own; their tests run on the host.
    if !chosen {
        let mut cargo = workspace.cargo();
        cargo
            .current_dir(workspace.root().join("plugins"))
            .args(["test", "--workspace", "--no-fail-fast", "--target-dir"])
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

fn chooses_packages(arguments: &[String]) -> bool {
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    ours.into_iter()
        .any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
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
    fn only_a_package_before_the_dashes_chooses_packages() {
        #[track_caller]
        fn check(arguments: &[&str], chosen: bool) {
            let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
            assert_eq!(chooses_packages(&arguments), chosen, "{arguments:?}");
        }
        check(&[], false);
        check(&["a_test", "--", "-p"], false);
        check(&["-p", "xtask"], true);
        check(&["--package=xtask"], true);
    }
}
