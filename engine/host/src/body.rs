//! The object that a destination is asked to keep, as the guest sees it: `strongroom:plugin/object`.

use bytes::Bytes;
use strongroom_repository::destination::Body;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynInputStream;

use crate::bindings::imports::object;
use crate::sandbox::Sandbox;
use crate::streams::BytesInput;

impl object::Host for Sandbox {}

impl object::HostBody for Sandbox {
    fn size(&mut self, body: Resource<Body>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&body)?.bytes().len() as u64)
    }

    fn sha256(&mut self, body: Resource<Body>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&body)?.sha256().as_bytes().to_vec())
    }

    fn read(
        &mut self,
        body: Resource<Body>,
        offset: u64,
        length: u64,
    ) -> wasmtime::Result<Vec<u8>> {
        let rest = from(self.table.get(&body)?, offset);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(rest.slice(..rest.len().min(length)).to_vec())
    }

    fn open(
        &mut self,
        body: Resource<Body>,
        offset: u64,
    ) -> wasmtime::Result<Resource<DynInputStream>> {
        let rest = from(self.table.get(&body)?, offset);
        let stream: DynInputStream = Box::new(BytesInput::new(rest));
        Ok(self.table.push(stream)?)
    }

    fn drop(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.table.delete(body)?;
        Ok(())
    }
}

/// Empty from the end on.
fn from(body: &Body, offset: u64) -> Bytes {
    let bytes = body.bytes();
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    bytes.slice(bytes.len().min(offset)..)
}
