//! `show --files`: what each source of a backup holds, in the words that `restore --path` takes. Entries are printed as they are read:
//! a backup may hold millions.

use jiff::tz::TimeZone;
use serde_json::json;
use strongroom_repository::contents::Found;
use strongroom_repository::restore::Selection;
use strongroom_repository::tree::NodeType;
use strongroom_repository::{Error, ErrorKind, Result, Time};

use crate::app::Context;
use crate::render::style::Style;
use crate::render::text::clean;
use crate::render::{size, time};
use crate::run::backups::Backup;
use crate::run::survey::Survey;

/// Text is written when there is so much of it.
const CHUNK: usize = 64 * 1024;

/// Prints the entries of all sources at or below `paths`, or all entries where there are none.
pub fn list_files(
    survey: &Survey,
    backup: &Backup,
    paths: &[String],
    context: &Context,
) -> Result<()> {
    let selection = Selection::new(paths);
    let mut missing = selection.wanted();
    let mut out = Output::new(context);
    for source in &backup.sources {
        // What was printed cannot be taken back, so a copy that turns out to be damaged ends it.
        let (reading, ()) = survey.read(source, &context.progress, |_| Ok(()))?;
        out.source(&source.source);
        let contents = &reading.contents;
        for found in contents.walk_selected(contents.root().clone(), &selection) {
            context.progress.check_cancelled()?;
            let found = found?;
            missing.retain(|path| path.as_bytes() != found.path);
            // The directories on the way to what is selected are not asked for.
            if !found.path.is_empty() && selection.includes(&found.path) {
                out.entry(&source.source, &found)?;
            }
        }
    }
    out.finish()?;
    match missing.first() {
        None => Ok(()),
        Some(path) => Err(Error::new(
            ErrorKind::NotFound,
            format!("no '{path}' in backup {}", backup.short_id()),
        )
        .hint("paths are relative to the source: leave out --path to see them all")),
    }
}

/// Lines of text, or the members of one JSON array.
struct Output<'a> {
    context: &'a Context,
    zone: TimeZone,
    style: Style,
    text: String,
    is_first: bool,
}

impl<'a> Output<'a> {
    fn new(context: &'a Context) -> Self {
        Self {
            context,
            zone: TimeZone::system(),
            style: context.screen.style(),
            text: String::new(),
            is_first: true,
        }
    }

    fn source(&mut self, name: &str) {
        if self.context.screen.is_json() {
            return;
        }
        let gap = if self.is_first { "" } else { "\n" };
        let name = self.style.bold(&clean(name));
        self.text.push_str(&format!("{gap}{name}\n"));
        self.is_first = false;
    }

    fn entry(&mut self, source: &str, found: &Found) -> Result<()> {
        if self.context.screen.is_json() {
            self.text
                .push_str(if self.is_first { "[\n" } else { ",\n" });
            self.text.push_str(&to_json(source, found));
            self.is_first = false;
        } else {
            self.text.push_str(&line(found, &self.zone));
        }
        if self.text.len() < CHUNK {
            return Ok(());
        }
        self.context.screen.result(&std::mem::take(&mut self.text))
    }

    fn finish(mut self) -> Result<()> {
        if self.context.screen.is_json() {
            self.text
                .push_str(if self.is_first { "[]\n" } else { "\n]\n" });
        }
        self.context.screen.result(&self.text)
    }
}

/// `-rw-r--r--  12.0 KiB  2026-03-01 14:05  photos/a.jpg`; a directory ends with a slash, and a link tells where it leads.
fn line(found: &Found, zone: &TimeZone) -> String {
    let node = &found.node;
    let bytes = match node.node_type {
        NodeType::File => size::bytes(node.size),
        _ => String::new(),
    };
    let path = String::from_utf8_lossy(&found.path);
    let tail = match node.node_type {
        NodeType::Dir => "/".to_owned(),
        NodeType::Symlink => format!(" -> {}", String::from_utf8_lossy(&node.linktarget)),
        _ => String::new(),
    };
    format!(
        "  {}  {bytes:>10}  {:<16}  {}\n",
        mode(node.node_type, node.permissions()),
        time::minute(modified(found).point(), zone),
        clean(&format!("{path}{tail}"))
    )
}

fn to_json(source: &str, found: &Found) -> String {
    let node = &found.node;
    let is_file = node.node_type == NodeType::File;
    let is_link = node.node_type == NodeType::Symlink;
    json!({
        "source": source,
        "path": String::from_utf8_lossy(&found.path),
        "type": node.node_type.as_str(),
        "mode": format!("{:04o}", node.permissions()),
        "size": is_file.then_some(node.size),
        "modified": modified(found),
        "target": is_link.then(|| String::from_utf8_lossy(&node.linktarget)),
    })
    .to_string()
}

fn modified(found: &Found) -> Time {
    Time::from_nanoseconds(found.node.mtime.as_nanoseconds())
}

/// As `ls -l` shows it.
fn mode(node_type: NodeType, permissions: u32) -> String {
    let kind = match node_type {
        NodeType::File | NodeType::Irregular => '-',
        NodeType::Dir => 'd',
        NodeType::Symlink => 'l',
        NodeType::Dev => 'b',
        NodeType::CharDev => 'c',
        NodeType::Fifo => 'p',
        NodeType::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = permissions >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (permissions & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_shown_as_ls_shows_it() {
        assert_eq!(mode(NodeType::File, 0o644), "-rw-r--r--");
        assert_eq!(mode(NodeType::Dir, 0o1777), "drwxrwxrwt");
        assert_eq!(mode(NodeType::File, 0o4655), "-rwSr-xr-x");
        assert_eq!(mode(NodeType::Symlink, 0o777), "lrwxrwxrwx");
    }
}
