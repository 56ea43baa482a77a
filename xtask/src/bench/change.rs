//! A change to 2 % of the files of a data set, and its undoing.
//!
//! In: a data set. Out: the same data set, in which every fiftieth file was edited: bytes put in the middle, bytes added at the end, or bytes replaced
//! in place, in turn. The originals are moved aside and moved back, so that each tool finds the same before and after; also after an interruption.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::dataset::{Dataset, files_below};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::workspace::make_folder;

/// Two of a hundred.
const EVERY: usize = 50;

/// A change that is in force.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    dataset: &'a Dataset,
    /// How many files are changed.
    pub(crate) files: usize,
}

impl<'a> Change<'a> {
    /// Edits every fiftieth file.
    pub(crate) fn apply(dataset: &'a Dataset) -> Result<Self> {
        let paths = dataset.paths()?;
        let chosen: Vec<&PathBuf> = paths.iter().skip(EVERY / 2).step_by(EVERY).collect();
        for (index, path) in chosen.iter().enumerate() {
            let original = aside(dataset, path)?;
            if let Some(folder) = original.parent() {
                make_folder(folder)?;
            }
            fs::rename(path, &original)
                .and_then(|()| edit(&original, path, index))
                .map_err(|error| Error::io("cannot change", path, &error))?;
        }
        Ok(Self {
            dataset,
            files: chosen.len(),
        })
    }

    /// Puts the originals back.
    pub(crate) fn undo(self) -> Result<()> {
        undo(self.dataset)
    }
}

/// Puts back what a change moved aside; does nothing where there is none.
pub(crate) fn undo(dataset: &Dataset) -> Result<()> {
    let aside = dataset.aside();
    if !aside.exists() {
        return Ok(());
    }
    let mut originals = Vec::new();
    files_below(&aside, &mut originals)?;
    for original in originals {
        let name = original.strip_prefix(&aside).unwrap_or(&original);
        let path = dataset.data().join(name);
        fs::rename(&original, &path).map_err(|e| Error::io("cannot put back", &path, &e))?;
    }
    fs::remove_dir_all(&aside).map_err(|e| Error::io("cannot remove", &aside, &e))
}

fn aside(dataset: &Dataset, path: &Path) -> Result<PathBuf> {
    let name = path
        .strip_prefix(dataset.data())
        .map_err(|_| Error::new(format!("{} is not in the data set", path.display())))?;
    Ok(dataset.aside().join(name))
}

/// Writes the edited `original` to `path`; its time of modification becomes now, as with any edit.
fn edit(original: &Path, path: &Path, index: usize) -> std::io::Result<()> {
    let size = original.metadata()?.len();
    let mut random = Random::new(4 << 32 | index as u64);
    let mut source = File::open(original)?;
    let mut file = File::create_new(path)?;
    match index % 3 {
        0 => {
            std::io::copy(&mut std::io::Read::take(&mut source, size / 2), &mut file)?;
            random.write_bytes(&mut file, 200)?;
            std::io::copy(&mut source, &mut file)?;
        }
        1 => {
            std::io::copy(&mut source, &mut file)?;
            random.write_bytes(&mut file, 1_000)?;
        }
        _ => {
            std::io::copy(&mut source, &mut file)?;
            file.seek(SeekFrom::Start(size / 3))?;
            random.write_bytes(&mut file, 4_000.min(size - size / 3))?;
        }
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::dataset::Content;
    use crate::compare;

    #[test]
    fn a_change_touches_two_percent_of_the_files_and_is_undone_to_the_byte() {
        let root = std::env::temp_dir().join(format!("xtask-change-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (dataset, untouched) = (
            Dataset::prepare(&root.join("changed"), Content::Volume, 0.005).unwrap(),
            Dataset::prepare(&root.join("untouched"), Content::Volume, 0.005).unwrap(),
        );
        compare::trees(&untouched.data(), &dataset.data()).unwrap();

        let change = Change::apply(&dataset).unwrap();
        let expected = dataset.files as f64 / 50.0;
        assert!((change.files as f64 - expected).abs() <= 1.0, "{change:?}");
        assert!(compare::trees(&untouched.data(), &dataset.data()).is_err());

        change.undo().unwrap();
        compare::trees(&untouched.data(), &dataset.data()).unwrap();
        undo(&dataset).unwrap();
        fs::remove_dir_all(&root).unwrap();
    }
}
