//! Rust types for the WIT in `wit/`, generated at compile time: what the engine offers to plugins and what plugins export.
//!
//! One set of types for both kinds of plugin: [`base`] holds every import and the export that both have; [`source`] and [`destination`]
//! add the export of their kind.

/// All that a plugin may import, and `plugin`, which every plugin exports.
pub(crate) mod base {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package strongroom:engine;
            world base {
                include strongroom:plugin/host@0.1.0;
                import strongroom:plugin/sink@0.1.0;
                import strongroom:plugin/feed@0.1.0;
                import strongroom:plugin/object@0.1.0;
                export strongroom:plugin/plugin@0.1.0;
            }
        ",
        world: "strongroom:engine/base",
        imports: {
            "strongroom:plugin/command.[method]process.wait": async | trappable,
            "strongroom:plugin/tls.connect": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem": wasmtime_wasi::p2::bindings::filesystem,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "strongroom:plugin/command.process": crate::command::Process,
            "strongroom:plugin/object.body": strongroom_repository::destination::Body,
            "strongroom:plugin/object.answer": crate::answer::Answer,
            "strongroom:plugin/sink.sink": crate::sink::SinkHandle,
            "strongroom:plugin/sink.writer": crate::sink::WriterHandle,
            "strongroom:plugin/feed.feed": crate::feed::FeedHandle,
            "strongroom:plugin/feed.reader": crate::feed::ReaderHandle,
        },
    });
}

/// The export of a source plugin.
pub(crate) mod source {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package strongroom:engine;
            world as-source { export strongroom:plugin/source@0.1.0; }
        ",
        world: "strongroom:engine/as-source",
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "strongroom:plugin/types": crate::bindings::base::strongroom::plugin::types,
            "strongroom:plugin/sink": crate::bindings::base::strongroom::plugin::sink,
            "strongroom:plugin/feed": crate::bindings::base::strongroom::plugin::feed,
        },
    });
}

/// The export of a destination plugin.
pub(crate) mod destination {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package strongroom:engine;
            world as-destination { export strongroom:plugin/destination@0.1.0; }
        ",
        world: "strongroom:engine/as-destination",
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "strongroom:plugin/types": crate::bindings::base::strongroom::plugin::types,
            "strongroom:plugin/object": crate::bindings::base::strongroom::plugin::object,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem": wasmtime_wasi::p2::bindings::filesystem,
        },
    });
}

pub(crate) use base::strongroom::plugin as imports;
