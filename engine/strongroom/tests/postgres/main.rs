//! PostgreSQL, backed up and restored by the real program with real servers.

#[path = "../common/mod.rs"]
mod common;

mod adversity;
mod elsewhere;
mod files;
mod hostile;
mod left_out;
mod logical;
mod logins;
mod physical;
mod server;
mod swaps;
mod verify;

use std::path::Path;

use common::Place;
use server::{PASSWORD, Server, bin_folder};

/// A place with the source `db`, which is the server, and a source for each of `others`.
fn place(config: &str, server: &Server) -> Place {
    let place = Place::new(&configuration(config, "", server));
    place.write("pg.key", PASSWORD);
    place.ok(&["init"]);
    place
}

/// The source `db` with `config` beside how to reach the server, and `more` tables.
fn configuration(config: &str, more: &str, server: &Server) -> String {
    let source = source("db", config, server);
    format!(
        r#"
{source}
{more}

[destinations.nas]
plugin = "filesystem"
config = {{ path = "$DIR/nas" }}
password = {{ file = "nas.key" }}

[jobs.nightly]
sources = ["db"]
destinations = ["nas"]
"#
    )
}

/// A source that is a server.
fn source(name: &str, config: &str, server: &Server) -> String {
    source_with_programs(name, config, server, &bin_folder())
}

/// The same, by the programs of `folder`.
fn source_with_programs(name: &str, config: &str, server: &Server, folder: &Path) -> String {
    let port = server.port;
    let folder = folder.display();
    let comma = if config.is_empty() { "" } else { ", " };
    format!(
        r#"
[sources.{name}]
plugin = "postgres"
config = {{ host = "127.0.0.1", port = {port}, password = {{ file = "pg.key" }}{comma}{config} }}
allow = {{ connect = ["127.0.0.1:{port}"], write = ["$DIR"], command = ["{folder}/pg_dump", "{folder}/pg_dumpall", "{folder}/pg_restore"] }}
"#
    )
}

/// A server with something of everything in the database `shop`.
fn filled() -> Server {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE ROLE clerk LOGIN PASSWORD 'clerk''s'; CREATE DATABASE shop",
    );
    server.sql(
        "postgres",
        "ALTER DATABASE shop SET search_path = shop, public",
    );
    server.script(
        "shop",
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/postgres.sql"),
    );
    server
}

/// How many backups there are.
fn backups(place: &Place) -> usize {
    place.json(&["list"]).as_array().expect("a list").len()
}

/// Two dumps are the same; else the first line that is not.
#[track_caller]
fn assert_same(restored: &str, original: &str) {
    let differs = restored
        .lines()
        .zip(original.lines())
        .find(|(restored, original)| restored != original);
    assert_eq!(differs, None);
    assert_eq!(restored.len(), original.len());
}
