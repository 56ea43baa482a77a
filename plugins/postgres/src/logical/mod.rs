//! Databases as dumps: `NAME.dump` for each, `globals.sql` for what belongs to none, `databases.json` for how each was made,
//! `rows.json` for how many rows each table had.

pub(crate) mod backup;
mod beside;
mod conversation;
mod failures;
mod fill;
pub(crate) mod gaps;
pub(crate) mod globals;
mod lobby;
mod make;
mod plan;
mod properties;
pub(crate) mod restore;
pub(crate) mod rows;
mod statements;
mod swap;

use std::io::{Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strongroom_plugin::{Context, Entry, Error, ErrorKind, Feed, Result, Sink};

use crate::server::Database;

const GLOBALS: &str = "globals.sql";
const DATABASES: &str = "databases.json";

/// One line of `databases.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dumped {
    /// Where its dump is.
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) database: Database,
}

/// Keeps a list beside the dumps.
fn write_list<T: Serialize>(path: &str, list: &[T], sink: &Sink) -> Result<()> {
    let mut writer = sink.write(&Entry::at(path))?;
    serde_json::to_writer_pretty(&mut writer, list).map_err(std::io::Error::from)?;
    writer.write_all(b"\n")?;
    writer.finish()?;
    Ok(())
}

/// A list that was kept so.
fn read_list<T: DeserializeOwned>(path: &str, feed: &Feed) -> Result<Vec<T>> {
    let text = read_text(path, feed)?;
    serde_json::from_str(&text).map_err(|error| {
        let problem = format!("{path} is not understood: {error}");
        Error::new(ErrorKind::Corrupted, problem)
    })
}

fn read_text(path: &str, feed: &Feed) -> Result<String> {
    let mut text = String::new();
    feed.open(path)?.read_to_string(&mut text).on(path)?;
    Ok(text)
}
