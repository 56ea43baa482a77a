//! Proving files: some of a backup's files, picked at random, are restored, read back from disk and compared with what the backup says of them.
//! Not all at once: a sample of a large volume has to fit where a volume would not.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use crate::blob::BlobType;
use crate::contents::{Contents, Found};
use crate::id::Id;
use crate::metadata::{Metadata, MetadataWriter};
use crate::progress::Progress;
use crate::restore::{RestoreOptions, restore_found};
use crate::source::Conflict;
use crate::target_path::TargetPath;
use crate::target_root::TargetRoot;
use crate::tree::{FileTime, Node, NodeType};
use crate::verification::Sampled;
use crate::{Error, ErrorKind, Result};

/// So much is on disk at a time, and a file more.
const BATCH_BYTES: u64 = 1 << 30;
/// So many files are.
const BATCH_FILES: usize = 10_000;

/// What the directory of a batch is called.
const NAME: &str = "sample";

const MORE_ROOM: &str = "name a scratch directory that has more room, or takes all of these files";

/// How many differences are told. A volume that is damaged all over is known to be by fewer.
const MAX_DIFFERENT: usize = 1000;

/// Restores `percent` of the regular files below `target`, one at least, and compares them. Nothing of it stays there.
pub fn sample(
    contents: &Contents,
    target: &TargetPath,
    percent: f64,
    progress: &Progress,
) -> Result<Sampled> {
    progress.step("choosing files");
    let of_files = count_files(contents, progress)?;
    let mut draw = Draw::new(of_files, percent);
    progress.begin_part();
    progress.expect(None, Some(draw.wanted));
    let mut trial = Trial {
        contents,
        above: target,
        progress,
        sampled: Sampled {
            of_files,
            ..Sampled::default()
        },
        inexact: 0,
    };
    let mut batch = Batch::default();
    for found in contents.walk(contents.root().clone()) {
        progress.check_cancelled()?;
        let found = found?;
        match found.node.node_type {
            NodeType::Dir => batch.enter(found),
            NodeType::File if draw.next()? => batch.add(found),
            _ => {}
        }
        if batch.is_full() {
            trial.run(batch.take())?;
        }
    }
    trial.run(batch.take())?;
    if trial.inexact > 0 {
        progress.warn(format!(
            "mode or time of {} files cannot be held by the scratch directory's file system: they were compared with what it makes of them",
            trial.inexact
        ));
    }
    Ok(trial.sampled)
}

fn count_files(contents: &Contents, progress: &Progress) -> Result<u64> {
    let mut files = 0;
    for found in contents.walk(contents.root().clone()) {
        progress.check_cancelled()?;
        files += u64::from(found?.node.node_type == NodeType::File);
    }
    Ok(files)
}

/// Decides of one item after another whether it is drawn, so that each has the same chance and exactly as many are drawn as were wanted
/// (Knuth, "The Art of Computer Programming", volume 2, algorithm 3.4.2S).
struct Draw {
    left: u64,
    wanted: u64,
}

impl Draw {
    fn new(items: u64, percent: f64) -> Self {
        let share = (items as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64;
        Self {
            left: items,
            wanted: share.max(1).min(items),
        }
    }

    fn next(&mut self) -> Result<bool> {
        let number = getrandom::u64().map_err(|error| {
            let problem = format!("the system gives no random numbers: {error}");
            Error::new(ErrorKind::Failed, problem)
        })?;
        Ok(self.decide(number))
    }

    fn decide(&mut self, number: u64) -> bool {
        let is_drawn = number % self.left.max(1) < self.wanted;
        self.left = self.left.saturating_sub(1);
        self.wanted -= u64::from(is_drawn);
        is_drawn
    }
}

/// Files that are restored together, with the directories on the way to them.
#[derive(Default)]
struct Batch {
    found: Vec<Found>,
    files: usize,
    bytes: u64,
    /// The directories down to where the walk is, and whether each is in the batch.
    above: Vec<(Found, bool)>,
}

impl Batch {
    fn enter(&mut self, mut directory: Found) {
        let is_above = |above: &Found| is_below(&directory.path, &above.path);
        while self.above.last().is_some_and(|(it, _)| !is_above(it)) {
            self.above.pop();
        }
        // Its own mode might keep us out.
        directory.node.set_permissions(0o700);
        self.above.push((directory, false));
    }

    fn add(&mut self, file: Found) {
        while let Some((directory, _)) = self.above.last() {
            match is_below(&file.path, &directory.path) {
                true => break,
                false => drop(self.above.pop()),
            }
        }
        for (directory, is_in) in &mut self.above {
            if !std::mem::replace(is_in, true) {
                self.found.push(Found {
                    path: directory.path.clone(),
                    node: directory.node.clone(),
                });
            }
        }
        self.files += 1;
        self.bytes += file.node.size;
        self.found.push(file);
    }

    fn is_full(&self) -> bool {
        self.files >= BATCH_FILES || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self) -> Vec<Found> {
        (self.files, self.bytes) = (0, 0);
        self.above.iter_mut().for_each(|(_, is_in)| *is_in = false);
        std::mem::take(&mut self.found)
    }
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with(b"/"))
}

struct Trial<'a> {
    contents: &'a Contents,
    above: &'a TargetPath,
    progress: &'a Progress,
    sampled: Sampled,
    /// Files whose mode or time the file system cannot hold.
    inexact: u64,
}

impl Trial<'_> {
    fn run(&mut self, batch: Vec<Found>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.progress.step("restoring a sample");
        let compared: Vec<_> = batch
            .iter()
            .filter(|it| it.node.node_type == NodeType::File)
            .map(|it| (it.path.clone(), it.node.clone()))
            .collect();
        let options = RestoreOptions {
            target: self.above.join(NAME),
            conflict: Conflict::Fail,
            delete_extra: false,
            paths: Vec::new(),
        };
        let report =
            restore_found(self.contents, batch, &options, self.progress).map_err(|error| {
                match error.kind() {
                    ErrorKind::OutOfSpace => error.hint(MORE_ROOM),
                    _ => error,
                }
            })?;
        if let Some(refused) = report.refused.first() {
            // That says nothing of the backup.
            let problem = format!("the sample cannot be written: {}", refused.message);
            return Err(Error::new(ErrorKind::Failed, problem)
                .on(&refused.path)
                .hint(MORE_ROOM));
        }
        let damaged: Vec<_> = report
            .damaged
            .into_iter()
            .map(|it| (it.path, it.message))
            .collect();
        self.progress.step("comparing the sample");
        let target = options.target.open()?;
        for (path, node) in compared {
            self.progress.check_cancelled()?;
            if self.sampled.different.len() >= MAX_DIFFERENT {
                break;
            }
            let shown = String::from_utf8_lossy(&path).into_owned();
            self.sampled.files += 1;
            let known = damaged.iter().find(|(path, _)| *path == shown);
            let difference = match known {
                Some((_, message)) => Some(message.clone()),
                None => {
                    self.sampled.bytes += node.size;
                    let expected = self.expected(&target, &path, &node)?;
                    let (contents, progress) = (self.contents, self.progress);
                    compare(contents, &target, &path, &node, &expected, progress)?
                }
            };
            if let Some(difference) = difference {
                self.sampled.different.push((shown, difference));
            }
        }
        self.above.open()?.remove_all(NAME.as_bytes()).map(drop)
    }

    /// What the backup says of a file's mode and time, or what this file system makes of it if it does the same a second time: it may know no
    /// fractions of a second, or no such year.
    fn expected(&mut self, target: &TargetRoot, path: &[u8], node: &Node) -> Result<Facts> {
        let wanted = Facts::of_node(node);
        let look = || Ok(target.metadata(path)?.map(|found| Facts::of_file(&found)));
        let Some(found) = look()?.filter(|found| *found != wanted) else {
            return Ok(wanted);
        };
        let (directory, name) = target.parent(path)?;
        MetadataWriter::new().apply(directory.as_fd(), name, node)?;
        if look()?.as_ref() != Some(&found) {
            return Ok(wanted);
        }
        self.inexact += 1;
        Ok(found)
    }
}

/// What is compared of a file beside its content.
#[derive(PartialEq)]
struct Facts {
    mode: u32,
    modified: FileTime,
}

impl Facts {
    fn of_node(node: &Node) -> Self {
        Self {
            mode: node.permissions(),
            modified: node.mtime,
        }
    }

    fn of_file(found: &Metadata) -> Self {
        Self {
            mode: found.mode & 0o7777,
            modified: found.mtime,
        }
    }
}

/// What is different between the file at `path` of `target` and what the backup says of it, if anything is.
pub fn compare_file(
    contents: &Contents,
    target: &TargetRoot,
    path: &[u8],
    node: &Node,
    progress: &Progress,
) -> Result<Option<String>> {
    let expected = Facts::of_node(node);
    compare(contents, target, path, node, &expected, progress)
}

fn compare(
    contents: &Contents,
    target: &TargetRoot,
    path: &[u8],
    node: &Node,
    expected: &Facts,
    progress: &Progress,
) -> Result<Option<String>> {
    let Some(found) = target.metadata(path)? else {
        return Ok(Some("was not restored".into()));
    };
    let facts = Facts::of_file(&found);
    let facts = [
        ("type", found.node_type() == NodeType::File),
        ("size", found.size == node.size),
        ("mode", facts.mode == expected.mode),
        ("modification time", facts.modified == expected.modified),
    ];
    if let Some((name, _)) = facts.iter().find(|(_, is_same)| !is_same) {
        return Ok(Some(format!("its {name} is not what the backup says")));
    }
    let file = target.read_file(path)?;
    compare_content(contents, file, node, progress).map_err(|error| error.on(target.display(path)))
}

/// The ids of a file's blobs are hashes of its content.
fn compare_content(
    contents: &Contents,
    mut file: File,
    node: &Node,
    progress: &Progress,
) -> Result<Option<String>> {
    let failed = |error| Error::io("cannot be read back", error);
    let mut offset = 0;
    let mut bytes = Vec::new();
    for id in node.content.iter().flatten() {
        progress.check_cancelled()?;
        let blob = contents.reader().locate(BlobType::Data, id)?.blob;
        bytes.resize(blob.plain_length() as usize, 0);
        file.read_exact(&mut bytes).map_err(failed)?;
        let end = offset + bytes.len();
        if Id::of(&bytes) != *id {
            return Ok(Some(format!(
                "its bytes {offset} to {end} are not what the backup says"
            )));
        }
        offset = end;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `items` are drawn, whatever the numbers are.
    fn check(items: u64, percent: f64, expected: u64) {
        for seed in 0..50 {
            let mut draw = Draw::new(items, percent);
            let numbers = (0..items).map(|at| {
                let id = Id::of(&[seed, at as u8, (at >> 8) as u8]);
                let first = id.as_bytes().first_chunk().expect("8 bytes");
                u64::from_le_bytes(*first)
            });
            let drawn = numbers.filter(|number| draw.decide(*number)).count() as u64;
            assert_eq!(drawn, expected, "{percent} % of {items}");
        }
    }

    #[test]
    fn as_many_are_drawn_as_were_wanted() {
        check(0, 5.0, 0);
        check(1, 5.0, 1);
        check(19, 5.0, 1);
        check(1000, 5.0, 50);
        check(1000, 0.01, 1);
        check(7, 100.0, 7);
    }
}
