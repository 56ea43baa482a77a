//! Entries of backups as people and programs see them, printed as they are found: a backup may hold millions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use strongroom_repository::contents::Found;
use strongroom_repository::tree::NodeType;
use strongroom_repository::{ErrorKind, Result, Time};

use crate::app::Context;
use crate::render::style::Style;
use crate::render::text::{clean, clean_bytes};
use crate::render::{size, time};

/// Text is written when there is so much of it.
const CHUNK: usize = 64 * 1024;

/// What was found, or nothing where there is nothing of that name.
pub fn if_any<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Lines of text under headings, or the members of one JSON array.
pub struct Output<'a> {
    context: &'a Context,
    /// The colours.
    pub style: Style,
    /// The person's own time.
    pub zone: TimeZone,
    text: String,
    is_first: bool,
    /// The key of the array, where it is part of an object.
    key: Option<&'static str>,
}

impl<'a> Output<'a> {
    /// Begins an array, or the lines.
    pub fn new(context: &'a Context) -> Self {
        Self {
            context,
            style: context.screen.style(),
            zone: TimeZone::system(),
            text: String::new(),
            is_first: true,
            key: None,
        }
    }

    /// As [`new`](Self::new), with the array as the first member of an object.
    pub fn within(context: &'a Context, key: &'static str) -> Self {
        Self {
            key: Some(key),
            ..Self::new(context)
        }
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.is_first
    }

    /// For people: a line above what follows.
    pub fn heading(&mut self, name: &str) {
        if self.context.screen.is_json() {
            return;
        }
        let gap = if self.is_first { "" } else { "\n" };
        let name = self.style.bold(&clean(name));
        self.text.push_str(&format!("{gap}{name}\n"));
        self.is_first = false;
    }

    /// One entry, as text or as JSON.
    pub fn entry(
        &mut self,
        line: impl FnOnce(&Self) -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<()> {
        if self.context.screen.is_json() {
            let before = match (self.is_first, self.key) {
                (true, None) => "[\n".to_owned(),
                (true, Some(key)) => format!("{{\"{key}\": [\n"),
                (false, _) => ",\n".to_owned(),
            };
            self.text.push_str(&before);
            self.text.push_str(&json().to_string());
        } else {
            let line = line(self);
            self.text.push_str(&line);
        }
        self.is_first = false;
        if self.text.len() < CHUNK {
            return Ok(());
        }
        self.context.screen.result(&std::mem::take(&mut self.text))
    }

    /// Ends it.
    pub fn finish(self) -> Result<()> {
        self.finish_with(String::new, Value::Null)
    }

    /// Ends it with a last line, or with `json` as the member `summary` of the object.
    pub fn finish_with(mut self, line: impl FnOnce() -> String, json: Value) -> Result<()> {
        if !self.context.screen.is_json() {
            self.text.push_str(&line());
            return self.context.screen.result(&self.text);
        }
        let end = match (self.is_first, self.key) {
            (true, None) => "[]\n".to_owned(),
            (false, None) => "\n]\n".to_owned(),
            (true, Some(key)) => format!("{{\"{key}\": [], \"summary\": {json}}}\n"),
            (false, Some(_)) => format!("\n], \"summary\": {json}}}\n"),
        };
        self.text.push_str(&end);
        self.context.screen.result(&self.text)
    }
}

/// `-rw-r--r--  12.0 KiB  2026-03-01 14:05  photos/a.jpg`; a link tells where it leads.
pub fn long_line(found: &Found, zone: &TimeZone) -> String {
    let node = &found.node;
    let bytes = match node.node_type {
        NodeType::File => size::bytes(node.size),
        _ => String::new(),
    };
    let link = match node.node_type {
        NodeType::Symlink => {
            format!(" -> {}", clean_bytes(&node.linktarget))
        }
        _ => String::new(),
    };
    format!(
        "  {}  {bytes:>10}  {:<16}  {}{link}\n",
        mode(node.node_type, node.permissions()),
        time::minute(modified(found).point(), zone),
        shown_path(&found.path, node.node_type),
    )
}

/// A path that cannot steer the terminal. A directory ends with a slash.
pub fn shown_path(path: &[u8], node_type: NodeType) -> String {
    let tail = match node_type {
        NodeType::Dir => "/",
        _ => "",
    };
    format!("{}{tail}", clean_bytes(path))
}

/// An entry for programs.
pub fn to_json(source: &str, found: &Found) -> Value {
    let node = &found.node;
    let is_file = node.node_type == NodeType::File;
    let is_link = node.node_type == NodeType::Symlink;
    let mut entry = json!({
        "source": source,
        "path": String::from_utf8_lossy(&found.path),
        "type": node.node_type.as_str(),
        "mode": format!("{:04o}", node.permissions()),
        "size": is_file.then_some(node.size),
        "modified": modified(found),
        "target": is_link.then(|| String::from_utf8_lossy(&node.linktarget)),
    });
    if std::str::from_utf8(&found.path).is_err() {
        entry["path_base64"] = json!(STANDARD.encode(&found.path));
    }
    entry
}

fn modified(found: &Found) -> Time {
    Time::of_file(found.node.mtime)
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
