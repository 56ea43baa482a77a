//! What a plugin says of itself, and what it may ask for.

/// One thing that a plugin may touch. What is required and allowed is granted.
pub use crate::bindings::plugin::strongroom::plugin::types::Capability;

/// What a plugin says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// The name that configurations use: lower case, one word.
    pub name: &'static str,
    /// `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One phrase, lower case, without a full stop.
    pub summary: &'static str,
    /// An open set, such as `incremental`, `restore`, `verify`, `create-only`, `retention`.
    pub features: &'static [&'static str],
}
