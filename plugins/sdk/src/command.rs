//! Programs that the operator allowed by name. They run outside the sandbox, under a `command` capability.

use crate::bindings::plugin::strongroom::plugin::command;
use crate::stream::{Input, Output, splice};
use crate::{Error, ErrorKind, Result, Summary, Writer};

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

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment. Few are passed on (see the guide), and any other is `denied` when the program starts.
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

/// A program that runs. Dropping it ends the program and all that it started.
pub struct Process {
    program: String,
    raw: command::Process,
}

impl Process {
    /// Its standard input, once. Dropping it closes it.
    ///
    /// A program that ended early makes writing fail. [`explain`](Self::explain) says why it did.
    pub fn stdin(&mut self) -> Option<Output> {
        self.raw.stdin().map(Output::new)
    }

    /// Its standard output, once.
    pub fn stdout(&mut self) -> Option<Input> {
        self.raw.stdout().map(Input::new)
    }

    /// Waits for its end, whatever that is. Output that was taken has to be read before: the program waits for that.
    pub fn wait(&mut self) -> Result<Exit> {
        Ok(self.raw.wait()?)
    }

    /// How it ended, if it has. Does not wait, and leaves its streams alone: for a server that is held open.
    pub fn ended(&self) -> Option<Exit> {
        self.raw.ended()
    }

    /// Waits for its end. Anything but exit code 0 is an error that repeats the last line it wrote to standard error.
    pub fn success(mut self) -> Result<()> {
        let program = std::mem::take(&mut self.program);
        self.wait()?
            .success_or(|how| Error::new(ErrorKind::Failed, format!("{program} {how}")))
    }

    /// Makes a file of the backup of its standard output, inside the engine, and finishes it only when the program succeeded.
    pub fn into_file(mut self, mut writer: Writer) -> Result<Summary> {
        if let Some(mut stdout) = self.stdout() {
            let mut body = writer.body()?;
            splice(&mut stdout, &mut body)?;
        }
        self.success()?;
        writer.finish()
    }

    /// Why writing to it or reading from it failed: its own reason if it ended without success, else `error`.
    ///
    /// Drop its streams before, so that it can end.
    pub fn explain(self, error: Error) -> Error {
        self.success().err().unwrap_or(error)
    }
}

impl Exit {
    /// An error unless the exit code is 0. `error` is handed what happened, to be put after the program's name: `exited with code 1: no such
    /// database`, with the last line that it wrote to standard error.
    pub fn success_or(&self, error: impl FnOnce(String) -> Error) -> Result<()> {
        match self.code {
            0 => Ok(()),
            _ => Err(error(self.describe())),
        }
    }

    /// How it ended, to be put after the program's name: `exited with code 1`, or `was ended by signal 9`.
    pub fn manner(&self) -> String {
        match self.code {
            signal @ ..0 => format!("was ended by signal {}", signal.unsigned_abs()),
            code => format!("exited with code {code}"),
        }
    }

    fn describe(&self) -> String {
        let how = self.manner();
        match self.stderr.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("{how}: {}", line.trim()),
            None => how,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_reported_with_its_last_words() {
        let check = |code: i32, stderr: &str, expected: &str| {
            let exit = Exit {
                code,
                stderr: stderr.into(),
            };
            let error = exit.success_or(|how| Error::new(ErrorKind::Failed, how));
            assert_eq!(error.expect_err("failed").message(), expected);
        };
        check(1, "", "exited with code 1");
        check(
            1,
            "connecting\n  no such database \n\n",
            "exited with code 1: no such database",
        );
        check(-9, "busy\n", "was ended by signal 9: busy");
    }

    #[test]
    fn only_code_0_is_success() {
        let exit = Exit {
            code: 0,
            stderr: "a warning\n".into(),
        };
        assert_eq!(
            exit.success_or(|how| Error::new(ErrorKind::Failed, how)),
            Ok(())
        );
    }
}
