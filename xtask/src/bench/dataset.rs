//! The folders that benchmarks back up, which are the same on every machine.
//!
//! In: a folder, a kind and a scale. Out: `data/` in a folder named after kind, generator's version and scale. It is made once and kept. The scale
//! changes how many files there are, and how large the largest.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::random::{Random, Words};
use crate::workspace::{make_folder, say};

/// Changes whenever other files come out: a data set of another version is not taken for this one.
const GENERATOR: u32 = 1;

const PHOTOS: u64 = 720;
const FILMS: [u64; 3] = [120_000_000, 150_000_000, 210_000_000];
const TEXTS: u64 = 22_000;
const COPIES_OF_PHOTOS: u64 = 60;
const COPIES_OF_TEXTS: u64 = 700;
const DUMP_BYTES: u64 = 280_000_000;
const MAILS: u64 = 210_000;
const PICTURES: u64 = 90_000;

/// What a data set is like, at scale 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Content {
    /// About 3 GB in 23,500 files. Two thirds of the bytes are photos and films that nothing compresses; the rest are 22,000 small texts, two
    /// dumps of a database, and copies of some of those files.
    Volume,
    /// 1.7 GB in 300,000 small files: a store of mails, and the small pictures of a web site.
    Many,
}

impl Content {
    fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Many => "many",
        }
    }

    /// What kind of bytes there are.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Volume => "two thirds of it incompressible",
            Self::Many => "half of it mails, half small pictures",
        }
    }
}

/// A data set that lies complete on disk.
#[derive(Debug)]
pub(crate) struct Dataset {
    folder: PathBuf,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Dataset {
    /// Finds the data set of this scale in `folder`, or makes it.
    pub(crate) fn prepare(folder: &Path, content: Content, scale: f64) -> Result<Self> {
        let folder = folder.join(format!("{}-v{GENERATOR}-scale{scale}", content.name()));
        // The mark is written last: a data set without it was interrupted.
        let mark = folder.join("complete");
        if let Some(dataset) = fs::read_to_string(&mark)
            .ok()
            .and_then(|text| Self::read(&folder, &text))
        {
            return Ok(dataset);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| Error::io("cannot remove", &folder, &e))?;
        }
        say(&format!("making the data set in {}", folder.display()));
        let mut writer = Writer::new(folder.join("data"));
        match content {
            Content::Volume => writer.write_volume(scale)?,
            Content::Many => writer.write_many(scale)?,
        }
        let text = format!("{} files\n{} bytes\n", writer.files, writer.bytes);
        fs::write(&mark, text).map_err(|e| Error::io("cannot write", &mark, &e))?;
        Ok(Self {
            folder,
            files: writer.files,
            bytes: writer.bytes,
        })
    }

    fn read(folder: &Path, mark: &str) -> Option<Self> {
        let mut numbers = mark
            .lines()
            .map(|line| line.split(' ').next()?.parse().ok());
        Some(Self {
            folder: folder.to_path_buf(),
            files: numbers.next()??,
            bytes: numbers.next()??,
        })
    }

    /// The root of the volume.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A folder beside the data, for what is put aside.
    pub(crate) fn aside(&self) -> PathBuf {
        self.folder.join("aside")
    }

    /// Every file of the data, in order of its path.
    pub(crate) fn paths(&self) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        files_below(&self.data(), &mut paths)?;
        paths.sort();
        Ok(paths)
    }

    /// Reads every byte once, so that every tool finds the files in memory.
    pub(crate) fn warm(&self) -> Result<()> {
        self.paths()?.iter().try_for_each(|path| warm(path))
    }
}

/// Reads a file once, so that every tool finds it in memory.
pub(crate) fn warm(path: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut file = File::open(path).map_err(|e| Error::io("cannot open", path, &e))?;
    while file
        .read(&mut buffer)
        .map_err(|e| Error::io("cannot read", path, &e))?
        > 0
    {}
    Ok(())
}

/// Every file below `folder` that is no folder, in no order.
pub(crate) fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io("cannot read", folder, &e))?;
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

struct Writer {
    root: PathBuf,
    words: Words,
    files: u64,
    bytes: u64,
}

impl Writer {
    fn new(root: PathBuf) -> Self {
        Self {
            root,
            words: Words::new(),
            files: 0,
            bytes: 0,
        }
    }

    fn write_volume(&mut self, scale: f64) -> Result<()> {
        let scaled = |count: u64| ((count as f64 * scale) as u64).max(1);
        let photo = |index: u64| {
            format!(
                "photos/{}/{:02}/IMG_{index:05}.jpg",
                2010 + index % 12,
                1 + index % 7
            )
        };
        for index in 0..scaled(PHOTOS) {
            self.bytes_file(&photo(index), index, |random| random.size_between(2e5, 8e6))?;
        }
        for (index, size) in FILMS.into_iter().enumerate() {
            self.bytes_file(
                &format!("films/film-{index}.mp4"),
                1 << 32 | index as u64,
                |_| scaled(size),
            )?;
        }
        let text = |index: u64| {
            format!(
                "documents/{:02}/{:02}/note {index:05}.txt",
                index % 40,
                index / 40 % 20
            )
        };
        for index in 0..scaled(TEXTS) {
            self.text_file(&text(index), 2 << 32 | index, (500.0, 60_000.0))?;
        }
        for name in ["orders", "returns"] {
            self.dump(
                &format!("dumps/{name}.sql"),
                name.len() as u64,
                scaled(DUMP_BYTES),
            )?;
        }
        for index in 0..scaled(COPIES_OF_PHOTOS) {
            self.copy(
                &photo(index * 7 % scaled(PHOTOS)),
                &format!("copies/photos/best of {index:03}.jpg"),
            )?;
        }
        for index in 0..scaled(COPIES_OF_TEXTS) {
            let name = format!("copies/documents/{:02}/old note {index:04}.txt", index % 10);
            self.copy(&text(index * 23 % scaled(TEXTS)), &name)?;
        }
        Ok(())
    }

    fn write_many(&mut self, scale: f64) -> Result<()> {
        let scaled = |count: u64| ((count as f64 * scale) as u64).max(1);
        for index in 0..scaled(MAILS) {
            let (mailbox, folder) = (index % 40, index / 40 % 20);
            let name = format!("mail/user{mailbox:02}/folder{folder:02}/cur/{index:06}.eml");
            self.text_file(&name, 5 << 32 | index, (400.0, 12_000.0))?;
        }
        for index in 0..scaled(PICTURES) {
            let (year, month) = (2015 + index % 10, 1 + index / 10 % 12);
            let name = format!("files/styles/{year}-{month:02}/picture-{index:05}.jpg");
            self.bytes_file(&name, 6 << 32 | index, |random| {
                random.size_between(1_000.0, 40_000.0)
            })?;
        }
        Ok(())
    }

    fn bytes_file(
        &mut self,
        name: &str,
        seed: u64,
        size: impl Fn(&mut Random) -> u64,
    ) -> Result<()> {
        self.file(name, |_, out| {
            let mut random = Random::new(seed);
            let size = size(&mut random);
            random.write_bytes(out, size)
        })
    }

    fn text_file(&mut self, name: &str, seed: u64, (least, most): (f64, f64)) -> Result<()> {
        self.file(name, |words, out| {
            let mut random = Random::new(seed);
            let size = random.size_between(least, most);
            words.write_text(&mut random, out, size)
        })
    }

    fn dump(&mut self, name: &str, seed: u64, size: u64) -> Result<()> {
        self.file(name, |words, out| {
            words.write_rows(&mut Random::new(3 << 32 | seed), out, size)
        })
    }

    fn copy(&mut self, from: &str, name: &str) -> Result<()> {
        let from = self.root.join(from);
        self.file(name, |_, out| {
            std::io::copy(&mut File::open(&from)?, out).map(drop)
        })
    }

    /// Writes a file with a time of modification that depends on nothing but its number.
    fn file(
        &mut self,
        name: &str,
        write: impl Fn(&Words, &mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<()> {
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let modified = SystemTime::UNIX_EPOCH
            + Duration::from_millis(1_500_000_000_000 + self.files * 997_003);
        let written = File::create(&path).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 18, file);
            write(&self.words, &mut out)?;
            out.flush()?;
            out.get_ref().set_modified(modified)?;
            Ok(out.get_ref().metadata()?.len())
        });
        self.bytes += written.map_err(|error| Error::io("cannot write", &path, &error))?;
        self.files += 1;
        Ok(())
    }
}
