//! The name of a value inside a document: a JSON Pointer (RFC 6901), shown to people as `jobs.nightly.sources[0]`.

use std::fmt;

/// A JSON Pointer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub fn root() -> Self {
        Self::default()
    }

    /// From the text of a pointer, relative to `self`.
    #[must_use]
    pub fn join(&self, pointer: &str) -> Self {
        Self(format!("{}{pointer}", self.0))
    }

    /// The value of `key` in this table.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!(
            "{}/{}",
            self.0,
            key.replace('~', "~0").replace('/', "~1")
        ))
    }

    /// An element of this array.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }

    /// The table or array around it, or `None` for the whole document.
    pub fn parent(&self) -> Option<Self> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.into()))
    }

    /// The last key or index, unescaped.
    pub fn last(&self) -> Option<String> {
        self.segments().pop()
    }

    /// Keys and indexes from the outside in, unescaped.
    pub fn segments(&self) -> Vec<String> {
        self.0
            .split('/')
            .skip(1)
            .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
            .collect()
    }

    /// As RFC 6901 writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments().iter().enumerate() {
            if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
                write!(f, "[{segment}]")?;
            } else {
                let dot = if position == 0 { "" } else { "." };
                write!(f, "{dot}{segment}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reads_like_a_toml_key() {
        let pointer = Pointer::root()
            .key("jobs")
            .key("a/b~")
            .key("sources")
            .index(2);
        assert_eq!(pointer.as_str(), "/jobs/a~1b~0/sources/2");
        assert_eq!(pointer.to_string(), "jobs.a/b~.sources[2]");
        assert_eq!(pointer.last().as_deref(), Some("2"));
        assert_eq!(
            pointer.parent().and_then(|parent| parent.last()).as_deref(),
            Some("sources")
        );
    }
}
