//! The folder that is backed up, and how it changes.
//!
//! In: a folder and random numbers. Out: the same folder with a few files more, fewer or otherwise. It stays at some dozen files and a few MB, so
//! that a thousand operations take minutes.

use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::random::{Random, Words};

/// More files than that are not kept.
const MOST_FILES: u64 = 80;

/// Changes a few things.
pub(super) fn change(folder: &Path, random: &mut Random, words: &Words) -> std::io::Result<()> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.sort();
    for _ in 0..1 + random.below(6) {
        let chosen = match files.len() as u64 {
            0 => None,
            count => files.get(random.below(count) as usize).cloned(),
        };
        let is_full = random.below(MOST_FILES) < files.len() as u64;
        match (chosen, random.below(10)) {
            (Some(file), _) if is_full => {
                fs::remove_file(&file)?;
                files.retain(|other| *other != file);
            }
            (Some(file), 0) => {
                let mode = [0o600, 0o644, 0o755][random.below(3) as usize];
                if file.is_file() {
                    fs::set_permissions(&file, Permissions::from_mode(mode))?;
                }
            }
            (Some(file), 1) => {
                let to = new_path(folder, random)?;
                fs::rename(&file, &to)?;
                files.retain(|other| *other != file);
                files.push(to);
            }
            (Some(file), 2 | 3) if file.is_file() => edit(&file, random)?,
            (Some(file), 4) => {
                let link = new_path(folder, random)?;
                symlink(&file, &link)?;
                files.push(link);
            }
            _ => files.push(write(folder, random, words)?),
        }
    }
    Ok(())
}

/// A name that was not there; folders on the way are made.
fn new_path(folder: &Path, random: &mut Random) -> std::io::Result<PathBuf> {
    let mut path = folder.to_path_buf();
    for _ in 0..random.below(4) {
        path.push(format!("folder {}", random.below(3)));
    }
    fs::create_dir_all(&path)?;
    path.push(format!("file-{:016x}", random.next()));
    Ok(path)
}

fn write(folder: &Path, random: &mut Random, words: &Words) -> std::io::Result<PathBuf> {
    let path = new_path(folder, random)?;
    let mut file = File::create(&path)?;
    match random.below(3) {
        0 => {
            let size = random.size_between(1e3, 3e6);
            random.write_bytes(&mut file, size)?;
        }
        1 => {
            let size = random.size_between(1e2, 1e5);
            words.write_text(random, &mut file, size)?;
        }
        _ => {
            let size = random.below(3);
            random.write_bytes(&mut file, size)?;
        }
    }
    Ok(path)
}

fn edit(path: &Path, random: &mut Random) -> std::io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(random.below(size + 1)))?;
    let length = random.below(5_000);
    random.write_bytes(&mut file, length)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
