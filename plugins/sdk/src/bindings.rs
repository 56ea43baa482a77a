//! What wit-bindgen makes of `wit/`. The other modules wrap it; plugins do not need it.
//!
//! The worlds of `wit/worlds.wit` share the export `plugin`, and a crate can hold the bindings of an export once. So there are three
//! smaller worlds here, and an export macro joins two of them: `plugin` and `source` make a `source-plugin`, `plugin` and
//! `destination` a `destination-plugin`.
//!
//! Streams are those of the `wasip2` crate, so that a WASI socket's stream, a program's output and a file of the backup can be
//! spliced into one another.

#![allow(missing_docs, unreachable_pub, clippy::all)]

/// All that is imported, and the export `plugin`.
pub mod plugin {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package strongroom:sdk;
            world plugin {
                include strongroom:plugin/host@0.1.0;
                import strongroom:plugin/sink@0.1.0;
                import strongroom:plugin/feed@0.1.0;
                import strongroom:plugin/object@0.1.0;
                export strongroom:plugin/plugin@0.1.0;
            }
        ",
        world: "strongroom:sdk/plugin",
        generate_all,
        with: {
            "wasi:clocks/wall-clock@0.2.12": wasip2::clocks::wall_clock,
            "wasi:filesystem/types@0.2.12": wasip2::filesystem::types,
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
        },
        additional_type_attributes: {
            "strongroom:plugin/sink@0.1.0/entry": [#[derive(Default, PartialEq, Eq)]],
            "strongroom:plugin/sink@0.1.0/tree": [#[derive(Default, PartialEq, Eq)]],
            "strongroom:plugin/sink@0.1.0/summary": [#[derive(Default, PartialEq, Eq)]],
            "strongroom:plugin/types@0.1.0/capability": [#[derive(PartialEq, Eq)]],
        },
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "strongroom_plugin::bindings::plugin",
    });
}

/// The export `source`.
pub mod source {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package strongroom:sdk;
            world source {
                export strongroom:plugin/source@0.1.0;
            }
        ",
        world: "strongroom:sdk/source",
        generate_all,
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "strongroom:plugin/types@0.1.0": super::plugin::strongroom::plugin::types,
            "strongroom:plugin/sink@0.1.0": super::plugin::strongroom::plugin::sink,
            "strongroom:plugin/feed@0.1.0": super::plugin::strongroom::plugin::feed,
        },
        pub_export_macro: true,
        export_macro_name: "export_source",
        default_bindings_module: "strongroom_plugin::bindings::source",
    });
}

/// The export `destination`.
pub mod destination {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package strongroom:sdk;
            world destination {
                export strongroom:plugin/destination@0.1.0;
            }
        ",
        world: "strongroom:sdk/destination",
        generate_all,
        with: {
            "wasi:clocks/wall-clock@0.2.12": wasip2::clocks::wall_clock,
            "wasi:filesystem/types@0.2.12": wasip2::filesystem::types,
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "strongroom:plugin/types@0.1.0": super::plugin::strongroom::plugin::types,
            "strongroom:plugin/object@0.1.0": super::plugin::strongroom::plugin::object,
        },
        pub_export_macro: true,
        export_macro_name: "export_destination",
        default_bindings_module: "strongroom_plugin::bindings::destination",
    });
}
