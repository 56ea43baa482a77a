//! What `strongroom backup` and `restore` have the engine do, without plugins between: a folder, or standard input, in; the same out.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use strongroom_repository::backup::{BackupSession, RunInfo, SourceInfo};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::index::Index;
use strongroom_repository::restore::{RestoreOptions, restore_tree};
use strongroom_repository::source::{
    Attributes, Begun, Conflict, Entry, Feed, Kind, Outcome, RestoreRequest, Sink, Source, Tree,
};
use strongroom_repository::{
    Error, ErrorKind, FileType, Lock, Progress, Repository, Result, Snapshot,
};

/// The one file of a backup of standard input.
const STREAM: &str = "stdin";
/// How much of a stream is handed on at once.
const PIECE: usize = 1 << 20;

/// Backs up a folder, as the plugin `volume` has it done.
pub(crate) fn backup(repository: Arc<Repository>, folder: &str) -> Result<()> {
    let tree = Tree {
        root: folder.into(),
        ..Tree::default()
    };
    run(repository, &mut Native(Input::Folder(tree)))
}

/// Backs up standard input as one file, as the plugin of a database would.
pub(crate) fn write(repository: Arc<Repository>) -> Result<()> {
    run(repository, &mut Native(Input::Stream))
}

/// Restores the newest backup of a folder.
pub(crate) fn restore(repository: Arc<Repository>, target: &str) -> Result<()> {
    let progress = Progress::default();
    let (_lock, contents) = newest(&repository, &progress)?;
    let options = RestoreOptions {
        target: Path::new(target).into(),
        conflict: Conflict::Fail,
        delete_extra: false,
        paths: Vec::new(),
    };
    restore_tree(&contents, contents.root().clone(), &options, &progress).map(drop)
}

/// Writes the newest backup of standard input to standard output.
pub(crate) fn read(repository: Arc<Repository>) -> Result<()> {
    let progress = Arc::new(Progress::default());
    let (_lock, contents) = newest(&repository, &progress)?;
    let feed = SnapshotFeed::new(Arc::new(contents), Vec::new(), progress);
    let mut stream = feed.open(STREAM)?;
    let mut output = std::io::stdout().lock();
    loop {
        let piece = stream.read(PIECE)?;
        if piece.is_empty() {
            return output.flush().map_err(|error| Error::io("stdout", error));
        }
        output
            .write_all(&piece)
            .map_err(|error| Error::io("stdout", error))?;
    }
}

fn run(repository: Arc<Repository>, source: &mut Native) -> Result<()> {
    let run = RunInfo {
        run: "benchmark".into(),
        job: "benchmark".into(),
        trigger: "on-demand".into(),
        note: None,
        sources: 1,
        program: "strongroom, without plugins".into(),
    };
    let info = SourceInfo {
        name: "native".into(),
        plugin: "native".into(),
        plugin_version: env!("CARGO_PKG_VERSION").into(),
        method: None,
        kind: Kind::Incremental,
    };
    let mut session = BackupSession::begin(vec![repository], run, Arc::new(Progress::default()))?;
    session.add(&info, source)?;
    for target in session.commit()? {
        target.snapshots?;
    }
    Ok(())
}

fn newest(repository: &Arc<Repository>, progress: &Progress) -> Result<(Option<Lock>, Contents)> {
    let lock = Lock::for_reading(repository, progress)?;
    let mut newest: Option<(strongroom_repository::Id, Snapshot)> = None;
    for (id, _) in repository.list(FileType::Snapshot)? {
        let snapshot = Snapshot::load(repository, &id)?;
        if newest
            .as_ref()
            .is_none_or(|(_, best)| best.time < snapshot.time)
        {
            newest = Some((id, snapshot));
        }
    }
    let (id, snapshot) =
        newest.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no backup"))?;
    let index = Arc::new(Index::load(repository, progress)?);
    let reader = Arc::new(BlobReader::new(Arc::clone(repository), index));
    Ok((lock, Contents::open(reader, id, &snapshot)?))
}

struct Native(Input);

enum Input {
    Folder(Tree),
    Stream,
}

impl Source for Native {
    fn check(&mut self) -> Result<Attributes> {
        Ok(Vec::new())
    }

    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome> {
        match &self.0 {
            Input::Folder(tree) => {
                sink.tree("", tree)?;
            }
            Input::Stream => stream(sink)?,
        }
        Ok(Outcome {
            kind,
            attributes: Vec::new(),
        })
    }

    fn restore(&mut self, _: &RestoreRequest, _: &dyn Feed) -> Result<Attributes> {
        Err(Error::new(ErrorKind::Unsupported, "restored natively"))
    }
}

fn stream(sink: &dyn Sink) -> Result<()> {
    let entry = Entry {
        path: STREAM.into(),
        ..Entry::default()
    };
    let Begun::Write(mut writer) = sink.file(entry)? else {
        return Ok(());
    };
    let mut input = std::io::stdin().lock();
    let mut piece = vec![0; PIECE];
    loop {
        let length = input
            .read(&mut piece)
            .map_err(|error| Error::io("stdin", error))?;
        if length == 0 {
            return writer.finish().map(drop);
        }
        writer.write(piece.get(..length).unwrap_or_default())?;
    }
}
