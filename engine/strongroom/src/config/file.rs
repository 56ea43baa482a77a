//! Finding and reading the configuration file.

use std::path::{Path, PathBuf};

use strongroom_repository::{Error, ErrorKind, Result};

use super::document::Document;

/// Where it is looked for when nothing is said, in this order.
const PLACES: [&str; 2] = ["strongroom.toml", "/etc/strongroom/strongroom.toml"];

/// The environment variable that names the file.
pub const VARIABLE: &str = "STRONGROOM_CONFIG";

/// Reads the file that `explicit` names, or else [`VARIABLE`], or else the first that exists of the usual places.
pub fn read(explicit: Option<&Path>) -> Result<Document> {
    let path = find(explicit)?;
    let text = std::fs::read(&path).map_err(|error| {
        let reason = Error::io(
            format!("cannot read the configuration {}", path.display()),
            error,
        );
        Error::new(ErrorKind::InvalidConfig, reason.message())
            .hint(format!("name another file with --config or {VARIABLE}"))
    })?;
    let text = String::from_utf8(text).map_err(|_| {
        Error::new(ErrorKind::InvalidConfig, "the file is not UTF-8").on(path.display())
    })?;
    Document::parse(&path, text)
}

fn find(explicit: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = explicit {
        return Ok(path.to_path_buf());
    }
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    PLACES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "no configuration was found").hint(format!(
                "looked for ./{} and {}; name a file with --config or {VARIABLE}",
                PLACES[0], PLACES[1]
            ))
        })
}
