//! The content of one file of a backup: each piece verified before it is written.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use strongroom_repository::contents::Contents;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::source::Reader;
use strongroom_repository::{Error, Progress, Result};

/// Bytes that are asked for at once. Pieces come as they were stored, and are rarely larger.
const PIECE: usize = 8 << 20;

/// Writes the file `path` of `contents` to `out`.
pub(super) fn write_dump(
    contents: &Arc<Contents>,
    path: &[u8],
    mut out: &File,
    progress: &Arc<Progress>,
) -> Result<()> {
    let shown = String::from_utf8_lossy(path);
    progress.step(format!("writing {shown}"));
    let feed = SnapshotFeed::new(Arc::clone(contents), Vec::new(), Arc::clone(progress));
    let mut reader: Box<dyn Reader> = feed.open_at(path)?;
    loop {
        let bytes = reader.read(PIECE)?;
        if bytes.is_empty() {
            progress.advance(0, 1);
            return Ok(());
        }
        out.write_all(&bytes)
            .map_err(|error| Error::io(format!("cannot write {shown}"), error))?;
    }
}
