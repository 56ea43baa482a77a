//! What a backup of a directory tree leaves out: gitignore patterns in, yes or no for a path out.

mod glob;

use glob::Glob;

use crate::source::Tree;
use crate::{Error, ErrorKind, Result};

/// The first bytes of a valid `CACHEDIR.TAG` (bford.info/cachedir).
pub(crate) const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Its name.
pub(crate) const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

/// The rules of one tree.
#[derive(Debug, Default)]
pub struct Exclude {
    patterns: Vec<Pattern>,
    markers: Vec<Vec<u8>>,
    caches: bool,
}

impl Exclude {
    /// Reads the rules of `tree`. A pattern that could never match as its author meant it fails with [`ErrorKind::InvalidConfig`].
    pub fn new(tree: &Tree) -> Result<Self> {
        let mut patterns = Vec::new();
        for text in &tree.exclude {
            patterns.extend(Pattern::parse(text)?);
        }
        for marker in &tree.exclude_if_present {
            if marker.is_empty() || marker.contains('/') {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!(
                        "'{}' in exclude_if_present is no file name",
                        marker.escape_debug()
                    ),
                ));
            }
        }
        Ok(Self {
            patterns,
            markers: tree
                .exclude_if_present
                .iter()
                .map(|marker| marker.as_bytes().to_vec())
                .collect(),
            caches: tree.exclude_caches,
        })
    }

    /// Whether the patterns leave out `path`, relative to the tree's root. The last pattern that matches decides. What lies in an
    /// excluded directory is never asked about, so nothing there can be included again, as in git.
    pub fn excludes(&self, path: &[u8], is_directory: bool) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        self.patterns
            .iter()
            .rev()
            .find(|pattern| pattern.matcher.matches(path, name, is_directory))
            .is_some_and(|pattern| !pattern.negated)
    }

    /// Whether there are patterns at all.
    pub(crate) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether a file can leave out the directory that holds it.
    pub(crate) fn has_markers(&self) -> bool {
        self.caches || !self.markers.is_empty()
    }

    /// Whether a file of that name leaves out the directory that holds it.
    pub(crate) fn is_marker(&self, name: &[u8]) -> bool {
        self.markers.iter().any(|marker| marker == name)
    }

    /// Whether a file of that name may do so, if it holds [`CACHE_SIGNATURE`].
    pub(crate) fn may_mark_cache(&self, name: &[u8]) -> bool {
        self.caches && name == CACHE_TAG
    }
}

#[derive(Debug)]
struct Pattern {
    matcher: Matcher,
    negated: bool,
}

impl Pattern {
    /// `None` for an empty line or a comment.
    fn parse(text: &str) -> Result<Option<Self>> {
        let rest = without_trailing_spaces(text.as_bytes());
        if rest.is_empty() || rest.starts_with(b"#") {
            return Ok(None);
        }
        let (negated, rest) = match rest.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let matcher = Matcher::parse(rest).map_err(|reason| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("exclude pattern '{}': {reason}", text.escape_debug()),
            )
            .hint("the syntax is that of .gitignore; a backslash makes the next character literal")
        })?;
        Ok(Some(Self { matcher, negated }))
    }
}

/// What one pattern matches.
#[derive(Debug)]
pub(crate) struct Matcher {
    glob: Glob,
    directories_only: bool,
    /// Compared with the whole path rather than the name alone.
    anchored: bool,
}

impl Matcher {
    /// The error says what is wrong.
    pub(crate) fn parse(pattern: &[u8]) -> Result<Self, String> {
        let (directories_only, rest) = match pattern.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let anchored = rest.contains(&b'/');
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        Ok(Self {
            glob: Glob::parse(rest)?,
            directories_only,
            anchored,
        })
    }

    /// Whether paths are compared rather than names.
    pub(crate) fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// Whether it matches `path`, the last component of which is `name`.
    pub(crate) fn matches(&self, path: &[u8], name: &[u8], is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        self.glob.matches(if self.anchored { path } else { name })
    }
}

/// A trailing space counts only after a backslash.
fn without_trailing_spaces(mut text: &[u8]) -> &[u8] {
    while let Some(shorter) = text.strip_suffix(b" ") {
        let backslashes = shorter
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if backslashes % 2 == 1 {
            break;
        }
        text = shorter;
    }
    text
}

#[cfg(test)]
mod tests;
