//! The operator's `allow` table, and the line that it is in the configuration.

use serde::{Deserialize, Serialize};

use crate::capability::Capability;

/// The `allow` table of a source or a destination in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Host directories that may be read, with all below them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// Host directories that may be read and changed, with all below them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    /// `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<String>,
    /// `scheme://authority`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Bare names, or absolute paths whose last part is the name that the plugin uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

impl Allow {
    /// Adds what `capability` needs, unless it stands there.
    pub(crate) fn add(&mut self, capability: &Capability) {
        let (list, entry) = match capability {
            Capability::Read(path) => (&mut self.read, path),
            Capability::Write(path) => (&mut self.write, path),
            Capability::Connect(address) => (&mut self.connect, address),
            Capability::Http(origin) => (&mut self.http, origin),
            Capability::Command(name) => (&mut self.command, name),
        };
        if !list.contains(entry) {
            list.push(entry.clone());
        }
    }

    /// The line for the configuration file: `allow = { read = ["/srv/media"] }`.
    pub fn to_toml_line(&self) -> String {
        let lists = [
            ("read", &self.read),
            ("write", &self.write),
            ("connect", &self.connect),
            ("http", &self.http),
            ("command", &self.command),
        ];
        let entries: Vec<String> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(key, list)| {
                let items: Vec<String> = list.iter().map(|item| toml_string(item)).collect();
                format!("{key} = [{}]", items.join(", "))
            })
            .collect();
        format!("allow = {{ {} }}", entries.join(", "))
    }
}

/// A TOML basic string. Its escapes are those of JSON but for DEL, which TOML wants escaped too.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toml_line_escapes_what_it_must() {
        let allow = Allow {
            read: vec!["/srv/\"a\"\\b\u{7f}\n".into()],
            ..Allow::default()
        };
        assert_eq!(
            allow.to_toml_line(),
            r#"allow = { read = ["/srv/\"a\"\\b\u007F\n"] }"#
        );
    }
}
