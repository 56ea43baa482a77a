//! The plugins inside the engine's binary, so that one file is a whole installation.

/// A plugin that came with the engine.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    /// As in `plugin = "…"`.
    pub name: &'static str,
    /// The component's bytes.
    pub component: &'static [u8],
}

/// All of them, by name. Empty where the engine was built before its plugins were.
pub const BUNDLED: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// What to do where there are none.
pub const BUILD_HINT: &str =
    "this engine was built without its plugins: run `cargo xtask plugins` and build it again";
