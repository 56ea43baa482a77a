//! The object `config`: what makes a destination a repository.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::Id;
use crate::polynomial::Polynomial;
use crate::{Error, ErrorKind, Result};

/// The format version of repositories that are made here.
pub const VERSION: u32 = 2;

/// The first format version, which restic made until 0.13: nothing in it is compressed.
pub const UNCOMPRESSED: u32 = 1;

/// The configuration of a repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositoryConfig {
    /// The format version.
    pub version: u32,
    /// Random; tells repositories apart.
    pub id: Id,
    /// What restic cuts with, and what our own chunker's table is derived from. Secret.
    pub chunker_polynomial: Polynomial,
    /// What other programs put there.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl RepositoryConfig {
    /// A configuration with a random id.
    pub fn new(chunker_polynomial: Polynomial) -> Self {
        let mut id = [0; 32];
        crate::crypto::random(&mut id);
        Self {
            version: VERSION,
            id: Id::from_bytes(id),
            chunker_polynomial,
            unknown: Map::new(),
        }
    }

    /// Reads the JSON of the repository `name`, and refuses other versions before it looks at anything else.
    pub fn parse(name: &str, json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |error: serde_json::Error| {
            Error::corrupted(format!(
                "the config of repository {name} cannot be understood: {error}"
            ))
            .hint("get the file 'config' back from a copy of the repository")
        };
        let Version { version } = serde_json::from_slice(json).map_err(damaged)?;
        if !(UNCOMPRESSED..=VERSION).contains(&version) {
            let error = Error::new(
                ErrorKind::Unsupported,
                format!(
                    "repository {name} has format version {version}; this engine reads versions {UNCOMPRESSED} and {VERSION}"
                ),
            );
            return Err(error.hint("a newer strongroom may read it"));
        }
        serde_json::from_slice(json).map_err(damaged)
    }

    /// Whether blobs, index, snapshots and locks may be compressed. Where not, restic would take what is for damaged.
    pub fn compresses(&self) -> bool {
        self.version > UNCOMPRESSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN_BY_RESTIC: &str = r#"{"version":2,"id":"baeae07769acc4c7f959e575916884a7220baec297167c6b3d7fd6a6f39ab84a","chunker_polynomial":"3548c936b338d5"}"#;

    #[test]
    fn restics_config_is_read_and_written_alike() {
        let config = RepositoryConfig::parse("nas", WRITTEN_BY_RESTIC.as_bytes()).expect("is read");
        assert_eq!(
            serde_json::to_string(&config).expect("is written"),
            WRITTEN_BY_RESTIC
        );
    }

    #[test]
    fn unknown_fields_are_kept() {
        let json = WRITTEN_BY_RESTIC.replace('}', r#","future":[1,{"a":null}]}"#);
        let config = RepositoryConfig::parse("nas", json.as_bytes()).expect("is read");
        assert_eq!(serde_json::to_string(&config).expect("is written"), json);
    }

    #[test]
    fn another_version_is_refused_by_number() {
        for version in [0, 3] {
            let json = format!(r#"{{"version":{version},"something":"else"}}"#);
            let error = RepositoryConfig::parse("nas", json.as_bytes()).expect_err("is refused");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(
                error.to_string(),
                format!(
                    "repository nas has format version {version}; this engine reads versions 1 and 2"
                )
            );
            assert_eq!(error.hint_text(), Some("a newer strongroom may read it"));
        }
    }

    #[test]
    fn a_config_that_is_no_json_is_damaged() {
        let error = RepositoryConfig::parse("nas", b"{\"version\":2").expect_err("is refused");
        assert_eq!(error.kind(), ErrorKind::Corrupted);
    }
}
