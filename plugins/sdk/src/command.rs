//! Programs that the operator allowed by name. They run outside the sandbox, under a `command` capability.

use crate::bindings::plugin::strongroom::plugin::command;
use crate::stream::{Input, Output};
use crate::{Error, ErrorKind, Result};

/// How a program ended.
pub use command::Exit;

/// A program to run. Its environment is empty but for what [`env`](Self::env) adds.
#[derive(Debug, Clone)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Command {
    /// `program` is the name that was required as `Capability::Command`.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds an argument. Other users of the host may see it: no secrets here.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it.
    pub fn spawn(self) -> Result<Process> {
        let raw = command::spawn(&self.program, &self.arguments, &self.environment)?;
        Ok(Process {
            program: self.program,
            raw,
        })
    }
}

/// A program that runs.
pub struct Process {
    program: String,
    raw: command::Process,
}

impl Process {
    /// Its standard input, once. Dropping it closes it.
    pub fn stdin(&mut self) -> Option<Output> {
        self.raw.stdin().map(Output::new)
    }

    /// Its standard output, once.
    pub fn stdout(&mut self) -> Option<Input> {
        self.raw.stdout().map(Input::new)
    }

    /// Waits for its end, whatever that is.
    pub fn wait(&mut self) -> Result<Exit> {
        Ok(self.raw.wait()?)
    }

    /// Waits for its end. Anything but exit code 0 is an error that repeats the last line it wrote to standard error.
    pub fn success(mut self) -> Result<()> {
        let exit = self.wait()?;
        if exit.code == 0 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Failed,
            failure_message(&self.program, &exit),
        ))
    }
}

fn failure_message(program: &str, exit: &Exit) -> String {
    let last_line = exit.stderr.lines().rfind(|line| !line.trim().is_empty());
    match last_line {
        Some(line) => format!("{program} exited with code {}: {}", exit.code, line.trim()),
        None => format!("{program} exited with code {}", exit.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_reported_with_its_last_words() {
        let check = |stderr: &str, expected: &str| {
            let exit = Exit {
                code: 1,
                stderr: stderr.into(),
            };
            assert_eq!(failure_message("pg_dump", &exit), expected);
        };
        check("", "pg_dump exited with code 1");
        check(
            "connecting\n  no such database \n\n",
            "pg_dump exited with code 1: no such database",
        );
    }
}
