//! What a restore does with what is there already, as the engine puts it into a plugin's restore options.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Conflict;

/// For a field `conflict` of a plugin's restore options: the engine sets it from `--overwrite` and `--keep-existing`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// Replace it.
    Overwrite,
    /// Leave it as it is.
    KeepExisting,
    /// Fail before anything is written.
    #[default]
    Fail,
}

impl From<OnConflict> for Conflict {
    fn from(conflict: OnConflict) -> Self {
        match conflict {
            OnConflict::Overwrite => Self::Overwrite,
            OnConflict::KeepExisting => Self::KeepExisting,
            OnConflict::Fail => Self::Fail,
        }
    }
}
