//! A folder like anybody's, and a few edits to it.
//!
//! In: an empty folder. Out: photos that nothing compresses, notes, a symbolic link, a file with two names, an empty file and an empty folder, private
//! files, and names that break scripts.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::{Error, Result};
use crate::random::{Random, Words};

const PHOTOS: u64 = 24;
const NOTES: u64 = 300;

/// What the sample holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) photos: u64,
    pub(crate) notes: u64,
}

/// Makes the sample in `root`.
pub(crate) fn make(root: &Path) -> Result<Sample> {
    fill(root).map_err(|error| Error::io("cannot make sample files in", root, &error))?;
    Ok(Sample {
        photos: PHOTOS,
        notes: NOTES,
    })
}

/// Edits the sample as people do in a day: a photo comes, a note goes, one is renamed, one is edited. Out comes a line for each.
pub(crate) fn edit(root: &Path) -> Result<Vec<&'static str>> {
    change(root).map_err(|error| Error::io("cannot edit sample files in", root, &error))?;
    Ok(vec![
        "a new photo, photos/2025/IMG_9001.jpg",
        "a line more in notes/00/note 000.txt",
        "notes/01/note 001.txt is gone",
        "notes/02/note 002.txt is now called notes/kept.txt",
    ])
}

fn fill(root: &Path) -> std::io::Result<()> {
    let words = Words::new();
    for index in 0..PHOTOS {
        let mut random = Random::new(index);
        let folder = root.join(format!("photos/{}", 2023 + index % 3));
        let size = random.size_between(3e5, 3e6);
        write(&folder, OsStr::new(&format!("IMG_{index:04}.jpg")), |out| {
            random.write_bytes(out, size)
        })?;
    }
    for index in 0..NOTES {
        let mut random = Random::new(1_000 + index);
        let folder = root.join(format!("notes/{:02}", index % 20));
        let size = random.size_between(300.0, 30_000.0);
        let name = format!("note {index:03}.txt");
        write(&folder, OsStr::new(&name), |out| {
            words.write_text(&mut random, out, size)
        })?;
    }

    let odd = root.join("odd names");
    let names: [&[u8]; 6] = [
        b"-rf *",
        b"line\nbreak",
        "Füße, naïve café, 写真.txt".as_bytes(),
        b"not UTF-8: \xff\xfe",
        b" spaces at both ends ",
        b"\"quotes\" and $(commands)",
    ];
    for name in names {
        write(&odd, OsStr::from_bytes(name), |out| out.write_all(name))?;
    }
    fs::create_dir_all(root.join("empty folder"))?;
    write(root, OsStr::new("empty file"), |_| Ok(()))?;
    write(root, OsStr::new("private.txt"), |out| {
        out.write_all(b"for my eyes only\n")
    })?;
    fs::set_permissions(root.join("private.txt"), fs::Permissions::from_mode(0o600))?;
    symlink("photos/2025", root.join("latest photos"))?;
    fs::hard_link(
        root.join("photos/2023/IMG_0000.jpg"),
        root.join("cover.jpg"),
    )
}

fn change(root: &Path) -> std::io::Result<()> {
    let notes = root.join("notes");
    write(
        &root.join("photos/2025"),
        OsStr::new("IMG_9001.jpg"),
        |out| Random::new(9_001).write_bytes(out, 1_500_000),
    )?;
    File::options()
        .append(true)
        .open(notes.join("00/note 000.txt"))?
        .write_all(b"\nPS: buy milk.\n")?;
    fs::remove_file(notes.join("01/note 001.txt"))?;
    fs::rename(notes.join("02/note 002.txt"), notes.join("kept.txt"))
}

fn write(
    folder: &Path,
    name: &OsStr,
    content: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut out = BufWriter::new(File::create(folder.join(name))?);
    content(&mut out)?;
    out.flush()
}
