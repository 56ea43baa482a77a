//! `cat`: one file of a backup to standard output. What is written was verified, piece by piece.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::json;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::source::Reader;
use strongroom_repository::tree::{Node, NodeType};
use strongroom_repository::{Error, ErrorKind, Result};

use super::entries::if_any;
use super::host::HostArg;
use super::list::tell_problems;
use super::show_files::no_such_path;
use crate::app::Context;
use crate::exit::Exit;
use crate::render::progress::{Display, Shown};
use crate::run::backups::{Backup, BackupSource};
use crate::run::latest::find;
use crate::run::path::meant;
use crate::run::survey::{Reading, Survey, not_found_at};

/// Arguments of `cat`.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The backup's id, its first 4 digits or more, or `latest`
    backup: String,
    /// The file, relative to the source
    path: OsString,
    /// The source that it is in, where several have it
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only from this destination [default: the first one that can be read]
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
    /// Whose backup `latest` is
    #[command(flatten)]
    host: HostArg,
}

/// Bytes that are written at once: a multiple of three, so that base64 pieces join.
const PIECE: usize = 3 * 256 * 1024;

/// Runs `cat`.
pub fn run(args: &CatArgs, context: &Context) -> Result<Exit> {
    let engine = context.engine()?;
    let display = Display::begin(&context.screen, &context.progress, Shown::People);
    let from = args.from.as_deref();
    let survey = Survey::take(&engine, from, &context.progress)?;
    let backup = find(
        &survey.backups,
        &args.backup,
        args.source.as_deref(),
        &args.host.whose(&engine),
        &context.progress,
    )
    .map_err(|error| not_found_at(from, error))?;
    let sources = backup.chosen(args.source.as_deref())?;
    let file = look(&survey, backup, &sources, &args.path, context)?;
    drop(display);
    let contents = Arc::clone(&file.reading.contents);
    let path = meant(&contents, &args.path);
    let feed = SnapshotFeed::new(contents, Vec::new(), Arc::clone(&context.progress));
    let written = feed
        .open_at(&path)
        .and_then(|reader| match context.screen.is_json() {
            true => write_json(&file, &path, reader, context),
            false => write(reader, context),
        });
    written.map_err(|error| match file.reading.better_copy(&error) {
        Some(other) => {
            let hint = format!("{other} has a copy too: add --from {other}");
            error.hint(hint)
        }
        None => error,
    })?;
    // The file was had: another destination's trouble is told, and is no trouble of this one.
    tell_problems(&survey, context);
    Ok(Exit::Done)
}

/// A file of a backup.
struct Chosen<'a> {
    source: &'a str,
    reading: Reading,
    node: Node,
}

/// The only one of `sources` that has the file.
fn look<'a>(
    survey: &Survey,
    backup: &Backup,
    sources: &[&'a BackupSource],
    path: &OsStr,
    context: &Context,
) -> Result<Chosen<'a>> {
    let mut chosen: Vec<Chosen<'a>> = Vec::new();
    for &source in sources {
        let (reading, node) = survey.read(source, &context.progress, |reading| {
            if_any(reading.contents.find(meant(&reading.contents, path)))
        })?;
        chosen.extend(node.map(|node| Chosen {
            source: &source.source,
            reading,
            node,
        }));
    }
    if chosen.len() > 1 {
        let names: Vec<_> = chosen.iter().map(|chosen| chosen.source).collect();
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "'{}' is in {} sources of this backup",
                path.display(),
                names.len()
            ),
        )
        .hint(format!("choose with --source: {}", names.join(", "))));
    }
    let only = chosen.pop().ok_or_else(|| no_such_path(path, backup))?;
    match only.node.node_type {
        NodeType::File => Ok(only),
        other => {
            let what = match other {
                NodeType::Dir => "a folder",
                NodeType::Symlink => "a symbolic link",
                _ => "a special file",
            };
            let id = backup.short_id();
            let path = path.display();
            Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("'{path}' is {what}, not a file with content"),
            )
            .hint(format!("`strongroom ls --long {id} '{path}'` shows it")))
        }
    }
}

fn write(mut reader: Box<dyn Reader>, context: &Context) -> Result<()> {
    loop {
        let bytes = reader.read(PIECE)?;
        // Who reads the beginning only, as `head` does, has had enough.
        if bytes.is_empty() || !context.screen.content(&bytes)? {
            return Ok(());
        }
    }
}

/// Programs get the content in base64, because JSON cannot hold any bytes.
fn write_json(
    file: &Chosen<'_>,
    path: &[u8],
    mut reader: Box<dyn Reader>,
    context: &Context,
) -> Result<()> {
    let path = String::from_utf8_lossy(path);
    let head = json!({"source": file.source, "path": path, "size": file.node.size}).to_string();
    let head = head.strip_suffix('}').unwrap_or(&head);
    let mut text = format!("{head},\"content\":\"");
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let bytes = reader.read(PIECE - piece.len())?;
        piece.extend_from_slice(&bytes);
        if bytes.is_empty() || piece.len() == PIECE {
            STANDARD.encode_string(&piece, &mut text);
            piece.clear();
            if bytes.is_empty() {
                text.push_str("\"}\n");
            }
            if !context.screen.content(text.as_bytes())? || bytes.is_empty() {
                return Ok(());
            }
            text.clear();
        }
    }
}
