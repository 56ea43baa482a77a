//! What the tests of this crate share: a native source over a folder, and the real `restic`.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod dying;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_repository::backup::{BackupSession, Committed, RunInfo, SourceInfo, SourceReport};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::contents::Contents;
use strongroom_repository::destination::Destination;
use strongroom_repository::index::Index;
use strongroom_repository::restore::RestoreOptions;
use strongroom_repository::source::{
    Attributes, Begun, Conflict, Entry, Feed, Kind, Outcome, RestoreRequest, Sink, Source, Tree,
};
pub use strongroom_repository::testing::noise;
use strongroom_repository::testing::{DirectoryDestination, MemoryDestination, Restic};
use strongroom_repository::{InitOptions, Progress, Repository, Result};

pub const PASSWORD: &str = "correct horse";

/// Backs up a folder as the volume plugin does.
pub struct Folder(pub Tree);

impl Folder {
    pub fn new(root: &Path) -> Self {
        Self(Tree {
            root: root.into(),
            ..Tree::default()
        })
    }
}

impl Source for Folder {
    fn check(&mut self) -> Result<Attributes> {
        Ok(Vec::new())
    }

    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome> {
        sink.tree("", &self.0)?;
        Ok(Outcome {
            kind,
            attributes: Vec::new(),
        })
    }

    fn restore(&mut self, _: &RestoreRequest, _: &dyn Feed) -> Result<Attributes> {
        unreachable!("restored natively")
    }
}

/// A source that does what it is told.
pub struct Scripted<F>(pub F);

impl<F: FnMut(&dyn Sink) -> Result<()> + Send> Source for Scripted<F> {
    fn check(&mut self) -> Result<Attributes> {
        Ok(Vec::new())
    }

    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome> {
        (self.0)(sink).map(|()| Outcome {
            kind,
            attributes: Vec::new(),
        })
    }

    fn restore(&mut self, _: &RestoreRequest, _: &dyn Feed) -> Result<Attributes> {
        unreachable!("not restored")
    }
}

/// A file of which only its path is known.
pub fn entry(path: &str) -> Entry {
    Entry {
        path: path.into(),
        ..Entry::default()
    }
}

/// Writes a whole file.
pub fn write(sink: &dyn Sink, path: &str, content: &[u8]) -> Result<()> {
    match sink.file(entry(path))? {
        Begun::Unchanged => Ok(()),
        Begun::Write(mut writer) => {
            writer.write(content)?;
            writer.finish().map(drop)
        }
    }
}

/// A repository in a temporary folder.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub repository: Arc<Repository>,
}

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let destination = Self::destination(folder.path());
        let options = InitOptions {
            password: PASSWORD,
            ..InitOptions::default()
        };
        let repository = Arc::new(Repository::init(destination, options).expect("a repository"));
        std::fs::create_dir(folder.path().join("data")).expect("a folder");
        Self { folder, repository }
    }

    /// A repository that `restic` made.
    pub fn made_by(restic: &Restic) -> Self {
        Self::made_with(restic, &[])
    }

    /// One of the first format version, as restic made them until 0.13.
    pub fn of_version_1(restic: &Restic) -> Self {
        Self::made_with(restic, &["--repository-version", "1"])
    }

    fn made_with(restic: &Restic, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("data")).expect("a folder");
        let init = [&["init"], options].concat();
        restic.run(&folder.path().join("repository"), PASSWORD, &init);
        let destination = Self::destination(folder.path());
        let repository = Repository::open(destination, PASSWORD).expect("opens");
        Self {
            repository: Arc::new(repository),
            folder,
        }
    }

    fn destination(folder: &Path) -> Arc<dyn Destination> {
        Arc::new(DirectoryDestination::new("nas", folder.join("repository")))
    }

    /// Opens it anew, as another process would.
    pub fn reopen(&self) -> Arc<Repository> {
        let destination = Self::destination(self.folder.path());
        Arc::new(Repository::open(destination, PASSWORD).expect("opens"))
    }

    /// What the newest snapshot holds, read as another process would.
    pub fn latest(&self) -> Result<Contents> {
        latest(self.reopen())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn backup(&self) -> (SourceReport, Vec<Committed>) {
        self.try_backup(&mut Folder::new(&self.data()), Kind::Incremental)
            .expect("a backup")
    }

    pub fn try_backup(
        &self,
        source: &mut dyn Source,
        kind: Kind,
    ) -> Result<(SourceReport, Vec<Committed>)> {
        backup_to(vec![self.reopen()], source, kind)
    }

    /// Runs the stock restic on the repository and returns what it printed; it must succeed.
    pub fn restic(&self, restic: &Restic, arguments: &[&str]) -> String {
        restic.run(&self.path("repository"), PASSWORD, arguments)
    }

    /// What restic prints of a file in the latest snapshot.
    pub fn dumped(&self, restic: &Restic, path: &str) -> Vec<u8> {
        restic
            .output(
                &self.path("repository"),
                PASSWORD,
                &["dump", "latest", path],
            )
            .stdout
    }
}

/// A new repository in memory.
pub fn in_memory(name: &str) -> (Arc<MemoryDestination>, Arc<Repository>) {
    let destination = Arc::new(MemoryDestination::new(name));
    let options = InitOptions {
        password: PASSWORD,
        ..InitOptions::default()
    };
    let repository = Repository::init(destination.clone(), options).expect("made");
    (destination, Arc::new(repository))
}

/// What the newest snapshot holds.
pub fn latest(repository: Arc<Repository>) -> Result<Contents> {
    let index = Arc::new(Index::load(&repository, &Progress::default())?);
    let (id, snapshot) = repository.snapshots()?.find("latest")?.clone();
    Contents::open(Arc::new(BlobReader::new(repository, index)), id, &snapshot)
}

/// All of it, to a target that must not be there yet.
pub fn everything_to(target: &Path) -> RestoreOptions {
    RestoreOptions {
        target: target.into(),
        conflict: Conflict::Fail,
        delete_extra: false,
        paths: Vec::new(),
    }
}

pub fn backup_to(
    repositories: Vec<Arc<Repository>>,
    source: &mut dyn Source,
    kind: Kind,
) -> Result<(SourceReport, Vec<Committed>)> {
    let run = RunInfo {
        run: "7k3m9x2p4q".into(),
        job: "nightly".into(),
        trigger: "on-demand".into(),
        note: Some("first, of many".into()),
        sources: 1,
        program: "strongroom test".into(),
    };
    let info = SourceInfo {
        name: "media".into(),
        plugin: "volume".into(),
        plugin_version: "0.1.0".into(),
        method: None,
        kind,
    };
    let mut session = BackupSession::begin(repositories, run, Arc::new(Progress::default()))?;
    let report = session.add(&info, source)?;
    Ok((report, session.commit()?))
}
