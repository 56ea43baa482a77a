//! Programs for guests: `strongroom:plugin/command` over what the operator allowed by name.

use std::path::Path;

use strongroom_repository::{Error, ErrorKind};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, Pollable, StreamError};

use crate::bindings::imports::{command, types};
use crate::convert;
use crate::environment;
use crate::ground::Custody;
use crate::pipe::{PipeInput, PipeOutput};
use crate::program::{Ending, Order, Program};
use crate::sandbox::Sandbox;

/// Behind the guest's `process`. Dropping it ends the program.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Process {
    name: String,
    program: Program,
}

impl command::Host for Sandbox {
    fn spawn(
        &mut self,
        program: String,
        args: Vec<String>,
        env: Vec<(String, String)>,
    ) -> wasmtime::Result<Result<Resource<Process>, types::Error>> {
        match self.start(&program, &args, &env) {
            Ok(process) => Ok(Ok(self.table.push(process)?)),
            Err(error) => Ok(Err(convert::error_to_guest(&error))),
        }
    }
}

impl Sandbox {
    fn start(
        &self,
        name: &str,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Process, Error> {
        let path = self.grants.program(name)?;
        let about = |error: Error| error.on(format!("cannot run {name}"));
        check_arguments(arguments)
            .and_then(|()| environment::check(environment))
            .map_err(about)?;
        let place = self.programs.take().map_err(about)?;
        let custody = self.grants.custody.as_deref();
        custody.map_or(Ok(()), Custody::hand_over).map_err(about)?;
        let order = Order {
            path: &path,
            arguments,
            environment,
            account: custody.and_then(|it| it.account.as_ref()),
            place,
            counted: custody.map(|it| it.running.enter()),
        };
        let program = Program::start(order, self.watch.clone())
            .map_err(|error| about(not_started(&path, error)))?;
        Ok(Process {
            name: name.to_owned(),
            program,
        })
    }
}

impl command::HostProcess for Sandbox {
    fn stdin(
        &mut self,
        process: Resource<Process>,
    ) -> wasmtime::Result<Option<Resource<DynOutputStream>>> {
        let Some(pipe) = self.table.get_mut(&process)?.program.stdin.take() else {
            return Ok(None);
        };
        let stream: DynOutputStream = Box::new(PipeOutput::new(pipe)?);
        Ok(Some(self.table.push(stream)?))
    }

    fn stdout(
        &mut self,
        process: Resource<Process>,
    ) -> wasmtime::Result<Option<Resource<DynInputStream>>> {
        let Some(pipe) = self.table.get_mut(&process)?.program.stdout.take() else {
            return Ok(None);
        };
        let stream: DynInputStream = Box::new(PipeInput::new(pipe)?);
        Ok(Some(self.table.push(stream)?))
    }

    async fn wait(
        &mut self,
        process: Resource<Process>,
    ) -> wasmtime::Result<Result<command::Exit, types::Error>> {
        let process = self.table.get_mut(&process)?;
        // Nobody will write to it, and nobody will read what it writes: neither must keep it from its end.
        drop(process.program.stdin.take());
        let unread = process.program.stdout.take();
        let discarding = unread.map(|pipe| wasmtime_wasi::runtime::spawn(discard(pipe)));
        let ending = process.program.ending().await;
        drop(discarding);
        Ok(match ending {
            Some(ending) => Ok(exit(ending)),
            None => {
                let what = format!("lost sight of {}", process.name);
                Err(convert::error_to_guest(&Error::new(
                    ErrorKind::Failed,
                    what,
                )))
            }
        })
    }

    fn ended(&mut self, process: Resource<Process>) -> wasmtime::Result<Option<command::Exit>> {
        let ending = self.table.get(&process)?.program.ended();
        Ok(ending.map(exit))
    }

    fn drop(&mut self, process: Resource<Process>) -> wasmtime::Result<()> {
        self.table.delete(process)?;
        Ok(())
    }
}

fn exit(ending: Ending) -> command::Exit {
    command::Exit {
        code: ending.code,
        stderr: ending.stderr,
    }
}

async fn discard(pipe: std::os::fd::OwnedFd) {
    use wasmtime_wasi::p2::InputStream;
    let Ok(mut input) = PipeInput::new(pipe) else {
        return;
    };
    loop {
        input.ready().await;
        if let Err(StreamError::Closed | StreamError::LastOperationFailed(_)) =
            input.read(usize::MAX)
        {
            return;
        }
    }
}

/// What the system would refuse.
fn check_arguments(arguments: &[String]) -> Result<(), Error> {
    match arguments.iter().any(|argument| argument.contains('\0')) {
        true => Err(Error::new(
            ErrorKind::InvalidConfig,
            "an argument contains a zero byte",
        )),
        false => Ok(()),
    }
}

fn not_started(path: &Path, error: std::io::Error) -> Error {
    let kind = error.kind();
    let error = Error::io(path.display(), error);
    match kind {
        std::io::ErrorKind::NotFound => error.hint("install it, or correct its path in `allow`"),
        std::io::ErrorKind::PermissionDenied => error.hint("make it executable for this user"),
        _ => error,
    }
}
