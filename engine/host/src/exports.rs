//! Looks at what a component imports and exports: which kind of plugin it is, and which version of the ABI it was built for.

use strongroom_repository::{Error, ErrorKind, Result};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::plugin::PluginKind;

/// The version of `strongroom:plugin` that this engine speaks.
pub const ABI_VERSION: &str = "0.1.0";

const PACKAGE: &str = "strongroom:plugin/";

/// Source or destination; or an error for one that was built for another version or lacks an export.
pub(crate) fn kind_of(engine: &Engine, component: &Component) -> Result<PluginKind> {
    let ty = component.component_type();
    let exports: Vec<(&str, &str)> = ty
        .exports(engine)
        .filter_map(|(name, _)| interface(name))
        .collect();
    let imports = ty.imports(engine);
    for (_, version) in imports
        .filter_map(|(name, _)| interface(name))
        .chain(exports.iter().copied())
    {
        if !is_spoken(version) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("was built for plugin ABI {version}; this engine speaks {ABI_VERSION}"),
            )
            .hint("get the plugin for this version of the engine, or the engine that it was built for"));
        }
    }
    let has = |wanted: &str| exports.iter().any(|(interface, _)| *interface == wanted);
    let kind = match (has("source"), has("destination")) {
        (true, false) => PluginKind::Source,
        (false, true) => PluginKind::Destination,
        (false, false) => {
            return Err(lacks(&format!("{PACKAGE}source or {PACKAGE}destination")));
        }
        (true, true) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "exports both a source and a destination",
            )
            .hint("build a component for each"));
        }
    };
    if has("plugin") {
        Ok(kind)
    } else {
        Err(lacks(&format!("{PACKAGE}plugin")))
    }
}

fn lacks(export: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("does not export {export}@{ABI_VERSION}"),
    )
    .hint("it is a component, but no plugin of this engine: see the guide for plugin authors")
}

/// `strongroom:plugin/sink@0.1.0` is `("sink", "0.1.0")`.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

/// Within 0.1, functions may be added: an older plugin finds all that it knows.
fn is_spoken(version: &str) -> bool {
    let parse = |version: &str| -> Option<Vec<u32>> {
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    match (parse(version).as_deref(), parse(ABI_VERSION).as_deref()) {
        (Some([major, minor, patch]), Some([our_major, our_minor, our_patch])) => {
            (major, minor) == (our_major, our_minor) && patch <= our_patch
        }
        _ => false,
    }
}
