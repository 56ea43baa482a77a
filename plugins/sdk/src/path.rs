//! A directory or file of the host, as a configuration names it.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

use crate::Capability;

/// An absolute path on the host, without `.`, `..` and doubled or closing slashes.
///
/// A plugin sees the host's paths as they are, as far as they were granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath(String);

impl HostPath {
    /// For `std::fs`.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// For capabilities and messages.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What reading it as a file requires: its folder, because only folders can be granted.
    pub fn read_as_file(&self) -> Capability {
        let folder = self.as_path().parent().unwrap_or(self.as_path());
        Capability::Read(folder.display().to_string())
    }
}

impl AsRef<Path> for HostPath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<&str> for HostPath {
    type Error = String;

    fn try_from(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!("`{path}` is not an absolute path"));
        }
        if path.contains('\0') {
            return Err("the path holds a NUL character".into());
        }
        let parts = || path.split('/').filter(|part| !matches!(*part, "" | "."));
        if parts().any(|part| part == "..") {
            return Err(format!("`{path}` must not contain `..`"));
        }
        Ok(Self(match parts().collect::<Vec<_>>().join("/") {
            root if root.is_empty() => "/".into(),
            rest => format!("/{rest}"),
        }))
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::try_from(text.as_str()).map_err(D::Error::custom)
    }
}

impl JsonSchema for HostPath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HostPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^/" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<&str, &str>) {
        let parsed = HostPath::try_from(path);
        let parsed = parsed.as_ref().map(HostPath::as_str);
        assert_eq!(parsed.map_err(String::as_str), expected);
    }

    #[test]
    fn a_path_is_absolute_and_tidy() {
        check("/srv/media", Ok("/srv/media"));
        check("/srv//media/./", Ok("/srv/media"));
        check("/", Ok("/"));
        check("media", Err("`media` is not an absolute path"));
        check("", Err("`` is not an absolute path"));
        check("/srv/../etc", Err("`/srv/../etc` must not contain `..`"));
        check("/srv\0", Err("the path holds a NUL character"));
    }

    #[test]
    fn a_file_is_read_through_its_folder() {
        let check = |file: &str, expected: &str| {
            let path = HostPath::try_from(file).expect("a good path");
            match path.read_as_file() {
                Capability::Read(folder) => assert_eq!(folder, expected),
                other => panic!("{other:?}"),
            }
        };
        check("/etc/ssl/ca.pem", "/etc/ssl");
        check("/ca.pem", "/");
    }
}
