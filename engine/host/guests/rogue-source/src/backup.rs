//! What `backup` can be told to do.

use std::path::Path;
use std::time::Duration;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::io::streams::{InputStream, StreamError};

use crate::exports::strongroom::plugin::source::Attributes;
use crate::strongroom::plugin::sink::{Begun, Entry, Sink, Tree, Writer};
use crate::strongroom::plugin::types::{Error, ErrorKind};
use crate::strongroom::plugin::{log, progress};
use crate::{Config, failed};

pub(crate) fn backup(config: &Config, sink: &Sink) -> Result<Attributes, Error> {
    let path = config.text("path");
    match config.text("mode") {
        "write" => {
            let writer = begin(sink, "a.txt")?;
            writer.write(b"hello ")?;
            let half = writer.crc32c()?;
            writer.write(b"world")?;
            let checksums = format!("{half:08x} {:08x}", writer.crc32c()?);
            let summary = Writer::finish(writer)?;
            sink.note("bytes", &summary.bytes.to_string());
            sink.note("checksums", &checksums);
            if let Some(parent) = sink.parent() {
                let carried = sink.carry("old.txt")?;
                return Ok(vec![
                    ("parent".into(), parent.id),
                    ("carried".into(), carried.bytes.to_string()),
                ]);
            }
        }
        "splice" => {
            let writer = begin(sink, "spliced")?;
            let output = writer.body()?;
            let input = open_file(path)?;
            let mut bytes = 0;
            loop {
                match output.blocking_splice(&input, 1 << 20) {
                    Ok(count) => bytes += count,
                    Err(StreamError::Closed) => break,
                    Err(error) => return Err(failed(error)),
                }
            }
            drop(output);
            Writer::finish(writer)?;
            return Ok(vec![("bytes".into(), bytes.to_string())]);
        }
        "lack" => {
            log::emit(log::Level::Info, "all is well", &[]);
            log::emit(log::Level::Warn, "one\u{1b}[31m is left out", &[]);
            sink.missing("table\u{7} secret", "no right to read it");
            let writer = begin(sink, "a.txt")?;
            Writer::finish(writer)?;
        }
        "drop" => {
            let writer = begin(sink, "half.txt")?;
            writer.write(b"half")?;
            drop(writer);
        }
        "leak" => {
            let writer = begin(sink, "leaked.txt")?;
            writer.write(b"half")?;
            std::mem::forget(writer);
        }
        "finish with open body" => {
            let writer = begin(sink, "open.txt")?;
            let output = writer.body()?;
            let _ = Writer::finish(writer);
            drop(output);
        }
        "tree" => drop(sink.tree("", &tree(path))?),
        "swallow a denial" => drop(sink.tree("", &tree(path))),
        "swallow an error" => {
            let writer = begin(sink, "swallowed.txt")?;
            let _ = writer.write(b"fail");
            drop(writer);
        }
        "pass an error on" => {
            let writer = begin(sink, "passed.txt")?;
            writer.write(b"fail")?;
        }
        "heed cancel" => loop {
            std::thread::sleep(Duration::from_millis(5));
            if progress::cancelled() {
                return Err(Error {
                    kind: ErrorKind::Cancelled,
                    message: "cancelled".into(),
                    hint: None,
                });
            }
        },
        "sleep through cancel" => std::thread::sleep(Duration::from_secs(1 << 30)),
        "spin through cancel" => loop {
            std::hint::black_box(progress::cancelled());
        },
        "panic" => {
            let writer = begin(sink, "panicked.txt")?;
            writer.write(b"half")?;
            panic!("in the middle");
        }
        _ => {}
    }
    Ok(Vec::new())
}

fn begin(sink: &Sink, path: &str) -> Result<Writer, Error> {
    let entry = Entry {
        path: path.into(),
        size: None,
        modified: Some(1_700_000_000_000_000_000),
        mode: Some(0o640),
        fingerprint: None,
    };
    match sink.file(&entry)? {
        Begun::Write(writer) => Ok(writer),
        Begun::Unchanged => Err(failed("nothing to write")),
    }
}

fn tree(root: &str) -> Tree {
    Tree {
        root: root.into(),
        exclude: vec!["*.tmp".into()],
        exclude_if_present: Vec::new(),
        exclude_caches: true,
        one_file_system: false,
    }
}

/// Opens a file in a granted directory as a stream of the engine.
fn open_file(path: &str) -> Result<InputStream, Error> {
    let parent = Path::new(path).parent();
    let (directory, _) = get_directories()
        .into_iter()
        .find(|(_, granted)| parent == Some(Path::new(granted)))
        .ok_or_else(|| failed("no such directory was granted"))?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let flags = (
        PathFlags::empty(),
        OpenFlags::empty(),
        DescriptorFlags::READ,
    );
    directory
        .open_at(flags.0, name, flags.1, flags.2)
        .and_then(|file| file.read_via_stream(0))
        .map_err(failed)
}
