//! Interfaces that a plugin may import and this version of the engine does not carry out yet. They link, and answer with an error that says
//! what to grant or that it is not there.

use strongroom_repository::{Error, ErrorKind};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use crate::bindings::imports::{command, tls, types};
use crate::capability::Capability;
use crate::convert;
use crate::sandbox::Sandbox;

/// There is none: `spawn` never makes one.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Process {}

impl command::Host for Sandbox {
    fn spawn(
        &mut self,
        program: String,
        _args: Vec<String>,
        _env: Vec<(String, String)>,
    ) -> wasmtime::Result<Result<Resource<Process>, types::Error>> {
        let program = convert::tidy(&program);
        let capability = Capability::Command(program.clone());
        let error = if self.grants.holds(&capability) {
            Error::new(
                ErrorKind::Unsupported,
                format!("cannot run {program}: this version of the engine runs no programs"),
            )
        } else {
            self.grants.denied(capability)
        };
        Ok(Err(convert::error_to_guest(&error)))
    }
}

impl command::HostProcess for Sandbox {
    fn stdin(
        &mut self,
        process: Resource<Process>,
    ) -> wasmtime::Result<Option<Resource<DynOutputStream>>> {
        match *self.table.get(&process)? {}
    }

    fn stdout(
        &mut self,
        process: Resource<Process>,
    ) -> wasmtime::Result<Option<Resource<DynInputStream>>> {
        match *self.table.get(&process)? {}
    }

    fn wait(
        &mut self,
        process: Resource<Process>,
    ) -> wasmtime::Result<Result<command::Exit, types::Error>> {
        match *self.table.get(&process)? {}
    }

    fn drop(&mut self, process: Resource<Process>) -> wasmtime::Result<()> {
        self.table.delete(process)?;
        Ok(())
    }
}

impl tls::Host for Sandbox {
    fn connect(
        &mut self,
        options: tls::Options,
        input: Resource<DynInputStream>,
        output: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Result<(Resource<DynInputStream>, Resource<DynOutputStream>), types::Error>>
    {
        self.table.delete(input)?;
        self.table.delete(output)?;
        let error = Error::new(
            ErrorKind::Unsupported,
            format!(
                "cannot speak TLS with {}: this version of the engine offers none",
                convert::tidy(&options.server_name)
            ),
        );
        Ok(Err(convert::error_to_guest(&error)))
    }
}
