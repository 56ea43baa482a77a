//! Imports that this engine has never heard of. They link, and a guest that calls one is told which.

use std::fmt;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError};

use crate::sandbox::Sandbox;

/// What the linker holds. It finds compatible versions of these by itself, and a stand-in would hide them.
const KNOWN: [&str; 7] = [
    "strongroom:plugin/",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Ends a guest that called `interface#function`.
#[derive(Debug)]
pub(crate) struct UnknownImport(String);

impl fmt::Display for UnknownImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        write!(
            f,
            "called {name}, which this version of the engine does not offer"
        )
    }
}

impl std::error::Error for UnknownImport {}

/// Defines everything that `component` imports and the linker does not know.
pub(crate) fn stand_in(
    linker: &mut Linker<Sandbox>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        if is_known(name) {
            continue;
        }
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                let mut interface = linker.instance(name)?;
                for (item, export) in instance.exports(engine) {
                    define(&mut interface, &format!("{name}#{item}"), item, &export.ty)?;
                }
            }
            item => define(&mut linker.root(), name, name, &item)?,
        }
    }
    Ok(())
}

fn is_known(interface: &str) -> bool {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    KNOWN.iter().any(|known| name.starts_with(known))
        && (!name.starts_with("wasi:") || version.starts_with("0.2."))
}

fn define(
    interface: &mut LinkerInstance<'_, Sandbox>,
    full_name: &str,
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => {
            let full_name = full_name.to_owned();
            interface.func_new(name, move |_, _, _, _| {
                Err(UnknownImport(full_name.clone()).into())
            })
        }
        ComponentItem::Resource(_) => {
            // An interface that passes streams on calls them by their own names.
            let ty = match name {
                "input-stream" => ResourceType::host::<DynInputStream>(),
                "output-stream" => ResourceType::host::<DynOutputStream>(),
                "pollable" => ResourceType::host::<DynPollable>(),
                "io-error" => ResourceType::host::<IoError>(),
                _ => ResourceType::host::<UnknownImport>(),
            };
            interface.resource(name, ty, |_, _| Ok(()))
        }
        _ => Ok(()),
    }
}
