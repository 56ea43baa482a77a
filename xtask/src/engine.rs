//! The engine's program, built for release with the plugins in it.

use std::path::PathBuf;

use crate::error::Result;
use crate::plugins;
use crate::process;
use crate::workspace::{Workspace, say};

/// Builds it; out comes its path.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    plugins::build(workspace)?;
    say("building strongroom (a few minutes the first time)");
    process::run(workspace.cargo().args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "strongroom",
    ]))?;
    Ok(workspace.target("release/strongroom"))
}
