//! The backup in the making, as the guest sees it: `strongroom:plugin/sink` over the repository's [`Sink`].
//!
//! An error of `file`, `tree` or a writer fails the run even if the guest goes on: what it meant to back up is not there. After a failed
//! `carry` it may still write the content itself.

use strongroom_repository::source::{Begun, Sink};
use strongroom_repository::{Error, ErrorKind, Result};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynOutputStream;

use crate::bindings::imports::{sink, types};
use crate::convert;
use crate::lent::Lent;
use crate::sandbox::{Sandbox, unfinished};
use crate::streams::{SharedWriter, WriterOutput};

/// Behind the guest's `sink`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SinkHandle(Lent<dyn Sink>);

/// Behind the guest's `writer`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct WriterHandle {
    path: String,
    writer: SharedWriter,
    body_taken: bool,
}

type Answer<T> = wasmtime::Result<std::result::Result<T, types::Error>>;

impl SinkHandle {
    pub(crate) fn new(sink: Lent<dyn Sink>) -> Self {
        Self(sink)
    }

    fn with<R>(&self, use_it: impl FnOnce(&(dyn Sink + 'static)) -> R) -> wasmtime::Result<R> {
        self.0
            .with(use_it)
            .ok_or_else(|| wasmtime::Error::msg("the backup of this sink is over"))
    }
}

impl sink::Host for Sandbox {}

impl sink::HostSink for Sandbox {
    fn parent(&mut self, this: Resource<SinkHandle>) -> wasmtime::Result<Option<sink::Parent>> {
        let parent = self.table.get(&this)?.with(|sink| sink.parent())?;
        Ok(parent.map(convert::parent))
    }

    fn file(&mut self, this: Resource<SinkHandle>, entry: sink::Entry) -> Answer<sink::Begun> {
        let path = entry.path.clone();
        let entry = convert::entry_from_guest(entry);
        match self.table.get(&this)?.with(|sink| sink.file(entry))? {
            Ok(Begun::Unchanged) => Ok(Ok(sink::Begun::Unchanged)),
            Ok(Begun::Write(writer)) => {
                let writer = self.table.push(WriterHandle {
                    path: path.clone(),
                    writer: SharedWriter::new(writer),
                    body_taken: false,
                })?;
                self.unfinished.insert(writer.rep(), path);
                Ok(Ok(sink::Begun::Write(writer)))
            }
            Err(error) => Ok(Err(self.fail(error))),
        }
    }

    fn tree(
        &mut self,
        this: Resource<SinkHandle>,
        path: String,
        tree: sink::Tree,
    ) -> Answer<sink::Summary> {
        let root = match self.grants.readable(&tree.root) {
            Ok(root) => root,
            Err(error) => return Ok(Err(self.fail(error))),
        };
        let tree = convert::tree(tree, root);
        let walked = self
            .table
            .get(&this)?
            .with(|sink| sink.tree(&path, &tree))?;
        Ok(self.summary_or_fail(walked))
    }

    fn carry(&mut self, this: Resource<SinkHandle>, path: String) -> Answer<sink::Summary> {
        let carried = self.table.get(&this)?.with(|sink| sink.carry(&path))?;
        Ok(carried
            .map(convert::summary)
            .map_err(|error| convert::error_to_guest(&error)))
    }

    fn note(
        &mut self,
        this: Resource<SinkHandle>,
        key: String,
        value: String,
    ) -> wasmtime::Result<()> {
        self.table.get(&this)?.with(|sink| sink.note(&key, &value))
    }

    fn missing(
        &mut self,
        this: Resource<SinkHandle>,
        subject: String,
        reason: String,
    ) -> wasmtime::Result<()> {
        let (subject, reason) = (convert::tidy(&subject), convert::tidy(&reason));
        self.table
            .get(&this)?
            .with(|sink| sink.missing(&subject, &reason))
    }

    fn drop(&mut self, this: Resource<SinkHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl sink::HostWriter for Sandbox {
    fn write(&mut self, this: Resource<WriterHandle>, bytes: Vec<u8>) -> Answer<()> {
        let handle = self.table.get(&this)?;
        let written = handle.writer.write(&bytes);
        let written = written.unwrap_or_else(|| Err(handle.failure()));
        Ok(written.map_err(|error| self.fail(error)))
    }

    fn body(&mut self, this: Resource<WriterHandle>) -> Answer<Resource<DynOutputStream>> {
        let handle = self.table.get_mut(&this)?;
        if handle.body_taken {
            let error = handle.misuse("the body was taken already");
            return Ok(Err(convert::error_to_guest(&error)));
        }
        handle.body_taken = true;
        let stream: DynOutputStream = Box::new(WriterOutput::new(handle.writer.clone()));
        Ok(Ok(self.table.push(stream)?))
    }

    fn crc32c(&mut self, this: Resource<WriterHandle>) -> Answer<u32> {
        let handle = self.table.get(&this)?;
        let crc32c = handle.writer.crc32c().ok_or_else(|| handle.failure());
        Ok(crc32c.map_err(|error| self.fail(error)))
    }

    fn finish(&mut self, this: Resource<WriterHandle>) -> Answer<sink::Summary> {
        self.unfinished.remove(&this.rep());
        let handle = self.table.delete(this)?;
        let finished = if handle.writer.is_streaming() {
            Err(handle.misuse("finished while the body was still open"))
        } else {
            match handle.writer.take() {
                Some(writer) => writer.finish(),
                None => Err(handle.failure()),
            }
        };
        Ok(self.summary_or_fail(finished))
    }

    fn drop(&mut self, this: Resource<WriterHandle>) -> wasmtime::Result<()> {
        let dropped = self.unfinished.remove(&this.rep());
        let handle = self.table.delete(this)?;
        if let Some(path) = dropped {
            let error = handle
                .writer
                .take_failure()
                .unwrap_or_else(|| unfinished(&path));
            self.fail(error);
        }
        Ok(())
    }
}

impl WriterHandle {
    /// Why there is no writing any more.
    fn failure(&self) -> Error {
        self.writer
            .take_failure()
            .unwrap_or_else(|| self.misuse("went on after an error"))
    }

    fn misuse(&self, what: &str) -> Error {
        let path = convert::tidy(&self.path);
        Error::new(ErrorKind::Failed, format!("writing '{path}': {what}"))
    }
}

impl Sandbox {
    fn summary_or_fail(
        &mut self,
        result: Result<strongroom_repository::source::Summary>,
    ) -> std::result::Result<sink::Summary, types::Error> {
        result
            .map(convert::summary)
            .map_err(|error| self.fail(error))
    }
}
