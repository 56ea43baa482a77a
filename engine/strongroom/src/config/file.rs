//! Finding and reading the configuration file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use strongroom_repository::{Error, ErrorKind, Result};

use super::document::Document;

/// Where it is looked for when nothing is said, in this order.
const PLACES: [&str; 2] = ["strongroom.toml", "/etc/strongroom/strongroom.toml"];

/// The environment variable that names the file.
pub const VARIABLE: &str = "STRONGROOM_CONFIG";

/// No configuration is larger.
const MAX_BYTES: u64 = 16 << 20;

/// Reads the file that `explicit` names, or else [`VARIABLE`], or else the first that exists of the usual places.
pub fn read(explicit: Option<&Path>) -> Result<Document> {
    read_if_any(explicit)?.ok_or_else(|| {
        let looked = PLACES.map(|place| std::path::absolute(place).unwrap_or(place.into()));
        let looked = looked.map(|place| place.display().to_string());
        Error::new(ErrorKind::InvalidConfig, "no configuration was found").hint(format!(
            "looked for {}; name a file with --config or {VARIABLE}",
            looked.join(" and ")
        ))
    })
}

/// Like [`read`], but `None` where no file is named and there is none in the usual places.
pub fn read_if_any(explicit: Option<&Path>) -> Result<Option<Document>> {
    let Some(path) = find(explicit) else {
        return Ok(None);
    };
    let text = read_bounded(&path).map_err(|error| {
        let what = format!("cannot read the configuration {}", path.display());
        Error::new(ErrorKind::InvalidConfig, Error::io(what, error).message())
            .hint(format!("name another file with --config or {VARIABLE}"))
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        Error::new(ErrorKind::InvalidConfig, "the file is not UTF-8").on(path.display())
    })?;
    Document::parse(&path, text).map(Some)
}

/// Neither waits for a pipe that nobody writes to, nor reads a device that never ends. What a shell substitutes (`--config <(…)`) is a pipe too, which
/// it opens before it names it.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    let is_of_a_shell = kind.is_fifo() && (path.starts_with("/dev") || path.starts_with("/proc"));
    if !kind.is_file() && !kind.is_dir() && !is_of_a_shell {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn find(explicit: Option<&Path>) -> Option<PathBuf> {
    let variable = || {
        std::env::var_os(VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let usual = || PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    explicit
        .map(Path::to_path_buf)
        .or_else(variable)
        .or_else(usual)
}
