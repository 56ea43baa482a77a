//! The engine without plugins, as a program: `engine/repository/examples/native`.

use std::path::PathBuf;

use crate::error::Result;
use crate::process;
use crate::workspace::{Workspace, say};

/// Builds it for release; out comes its path.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    say("building the engine without plugins");
    process::run(workspace.cargo().args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "strongroom-repository",
        "--example",
        "native",
    ]))?;
    Ok(workspace.target("release/examples/native"))
}
