//! Fields that a writer left out, or wrote as `null`: both mean Go's zero value to restic, so they do here.
//!
//! What opens or names something must be there; everything that only tells people something need not be, because rustic, old versions of
//! restic and hands leave it out.

use serde::{Deserialize, Deserializer};

/// For a field with `#[serde(default)]`: `null` is the default, too.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
