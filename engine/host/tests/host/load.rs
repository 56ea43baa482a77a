//! Loading: what a file must be, what a plugin says of itself, what it may touch while it does.

use std::time::Duration;

use strongroom_host::{Allow, Capability, Limits, PluginKind, grant};
use strongroom_repository::{ErrorKind, Id};

use crate::common::{DESTINATION, SOURCE, host, limits, patched, refused, words};

fn check_refused(component: &[u8], message: &str, hint: Option<&str>) {
    let error = refused(host(limits()).load("odd", component));
    assert_eq!(words(&error), (message.to_owned(), hint));
}

const BUILD: Option<&str> = Some(
    "build it for the target wasm32-wasip2, or turn a module into a component with `wasm-tools component new`",
);

#[test]
fn a_file_that_is_no_component_is_named_for_what_it_is() {
    check_refused(
        b"",
        "plugin odd: is an empty file",
        Some("copy or download it again"),
    );
    check_refused(
        b"#!/bin/sh\necho no",
        "plugin odd: is no WebAssembly component",
        BUILD,
    );
    check_refused(b"\0asm", "plugin odd: is no WebAssembly component", BUILD);
    check_refused(
        &wat::parse_str("(module)").expect("module"),
        "plugin odd: is a core WebAssembly module, not a component",
        BUILD,
    );
}

#[test]
fn a_component_that_is_cut_off_or_damaged_is_refused() {
    let half = &SOURCE[..SOURCE.len() / 2];
    let error = refused(host(limits()).load("odd", half));
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let message = error.to_string();
    assert!(
        message.starts_with("plugin odd: is no valid component: section"),
        "{message}"
    );
    assert_eq!(
        error.hint_text(),
        Some("the file may be damaged, or use a feature of WebAssembly that is not supported")
    );
}

#[test]
fn a_component_that_lacks_an_export_is_told_which() {
    let hint =
        Some("it is a component, but no plugin of this engine: see the guide for plugin authors");
    check_refused(
        &wat::parse_str("(component)").expect("component"),
        "plugin odd: does not export strongroom:plugin/source or strongroom:plugin/destination@0.1.0",
        hint,
    );
    check_refused(
        &patched(
            &SOURCE,
            "strongroom:plugin/plugin@",
            "strongroom:plugin/plagin@",
        ),
        "plugin odd: does not export strongroom:plugin/plugin@0.1.0",
        hint,
    );
}

#[test]
fn a_component_for_another_abi_version_is_told_both_versions() {
    let hint =
        Some("get the plugin for this version of the engine, or the engine that it was built for");
    for interface in ["types", "sink", "source"] {
        let mut newer = SOURCE.clone();
        let name = format!("strongroom:plugin/{interface}@0.1.0");
        newer = patched(&newer, &name, &name.replace("0.1.0", "0.2.0"));
        check_refused(
            &newer,
            "plugin odd: was built for plugin ABI 0.2.0; this engine speaks 0.1.0",
            hint,
        );
    }
}

#[test]
fn a_describe_that_misbehaves_is_an_error_with_a_name() {
    let describe = |how: &str| {
        patched(
            &SOURCE,
            "rogue describe: normal",
            &format!("rogue describe: {how}"),
        )
    };
    let fault = Some("this is a fault of the plugin: report it to its author");
    check_refused(
        &describe("panics"),
        "plugin odd: panicked in describe: asked to describe itself (rogue-source/src/lib.rs:…)",
        fault,
    );
    check_refused(
        &describe("babble"),
        "plugin odd: its config-schema is no JSON object: expected value at line 1 column 1",
        fault,
    );
    let hasty = host(Limits {
        describe_deadline: Duration::from_millis(200),
        ..limits()
    });
    let error = refused(hasty.load("odd", &describe("spins!")));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "plugin odd: was not done with describe after 0.2 s"
    );
}

#[test]
fn a_plugin_says_what_it_is() {
    let host = host(limits());
    let plugin = host.load("odd", &SOURCE).expect("source");
    let info = plugin.info();
    assert_eq!(plugin.name(), "odd");
    assert_eq!(
        (
            info.name.as_str(),
            info.version.as_str(),
            info.summary.as_str()
        ),
        ("rogue", "1.2.3", "does what it should not")
    );
    assert_eq!(info.config_schema, r#"{"type":"object"}"#);
    assert_eq!(info.features, ["restore"]);
    assert_eq!(info.kind, PluginKind::Source);
    assert_eq!(info.sha256, Id::of(&SOURCE));

    let other = host.load("keeper", &DESTINATION).expect("destination");
    assert_eq!(other.info().kind, PluginKind::Destination);
    let grants = grant("sources.x", &[], None, true).expect("granted");
    let error = refused(other.source("x", "{}", grants, Default::default()));
    assert_eq!(
        error.to_string(),
        "source x: plugin keeper is a destination plugin"
    );
}

#[test]
fn requirements_follow_the_configuration() {
    let plugin = host(limits()).load("odd", &SOURCE).expect("source");
    let requirements = |config: &str| plugin.requirements(config);
    assert_eq!(requirements("{}").expect("none"), []);
    assert_eq!(
        requirements(r#"{"need": {"read": "/srv", "connect": "db:5432", "command": "psql"}}"#)
            .expect("some"),
        [
            Capability::Read("/srv".into()),
            Capability::Connect("db:5432".into()),
            Capability::Command("psql".into()),
        ]
    );
    let error = refused(requirements("nonsense"));
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(
        error.to_string(),
        "plugin odd: config: expected ident at line 1 column 2"
    );
}

#[test]
fn the_allow_table_knows_its_keys() {
    let allow: Allow =
        serde_json::from_str(r#"{"read": ["/srv"], "command": ["psql"]}"#).expect("allow");
    assert_eq!(
        allow.to_toml_line(),
        r#"allow = { read = ["/srv"], command = ["psql"] }"#
    );
    assert!(serde_json::from_str::<Allow>(r#"{"reed": ["/srv"]}"#).is_err());
}
