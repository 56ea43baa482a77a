//! Where something is to be written, and what must not lie around it: files of a restore among the objects of a repository would be taken for
//! some, or replace them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_host::Capability;
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use crate::config::Section;
use crate::engine::Engine;

/// Fails where `folder` is, or lies in, the directory of a destination. Warns where it lies in that of a source, whose next backup will hold it.
pub fn check_folder(engine: &Engine, folder: &Path, progress: &Arc<Progress>) -> Result<()> {
    refuse_repositories(engine, folder)?;
    let around = around(folder);
    let config = engine.config();
    for name in config.names(Section::Sources) {
        let is_around = |path: &Path| around.iter().skip(1).any(|it| is_same(it, path));
        if directories(engine, Section::Sources, &name).any(|path| is_around(&path)) {
            progress.warn(format!(
                "{} lies in the source {name}: its next backup will hold what is written there",
                folder.display()
            ));
        }
    }
    Ok(())
}

/// As [`check_folder`], for all directories that the source `name` may write to.
pub fn check_source(engine: &Engine, name: &str) -> Result<()> {
    let required = engine.requirements(Section::Sources, name)?;
    for (capability, _) in required {
        if let Capability::Write(path) = capability {
            refuse_repositories(engine, Path::new(&path))?;
        }
    }
    Ok(())
}

fn refuse_repositories(engine: &Engine, folder: &Path) -> Result<()> {
    let around = around(folder);
    for name in engine.config().names(Section::Destinations) {
        for path in directories(engine, Section::Destinations, &name) {
            if around.iter().any(|it| is_same(it, &path)) {
                let problem = format!("lies in the repository of destination {name}");
                return Err(Error::new(ErrorKind::InvalidConfig, problem)
                    .on(folder.display())
                    .hint(format!("choose a folder outside of {}", path.display())));
            }
        }
    }
    Ok(())
}

/// What a plugin reads and writes on this host. A problem of one that is not used here is none of ours.
fn directories(engine: &Engine, section: Section, name: &str) -> impl Iterator<Item = PathBuf> {
    let required = engine.requirements(section, name).unwrap_or_default();
    required.into_iter().filter_map(|(it, _)| match it {
        Capability::Read(path) | Capability::Write(path) => Some(path.into()),
        _ => None,
    })
}

/// `folder` and those that it lies in, as far as they exist, whatever links lead there. Only if all of it exists is it the first one.
fn around(folder: &Path) -> Vec<PathBuf> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut missing = false;
    for above in folder.ancestors() {
        if let Ok(real) = above.canonicalize() {
            let first = missing.then(|| real.join("?"));
            let found = real.ancestors().map(Path::to_owned);
            return first.into_iter().chain(found).collect();
        }
        missing = true;
    }
    vec![folder]
}

/// By what they are rather than by how they are called.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
