//! Databases of MariaDB and MySQL: the real program and real servers, from backup to restore.

#[path = "../common/mod.rs"]
mod common;

mod across;
mod failures;
mod files;
mod hostile;
mod kills;
mod lacking;
mod logs;
mod places;
mod restores;
mod rows;
mod settings;
mod tls;
mod verify;

use std::path::Path;

use common::Place;
use common::mysql::{PASSWORD, Server};

/// A row of every type, an object of every kind.
pub const EVERYTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mysql/everything.sql");

/// A server as the source `shop`, another one as `other`, and one destination.
pub fn place(shop: &Server, more: &str, other: Option<&Server>) -> Place {
    let other = other.map(|server| server.source("other", ", writable = true"));
    let place = Place::new(&format!(
        "{}\n{}\n{DESTINATION}",
        shop.source("shop", more),
        other.unwrap_or_default()
    ));
    place.write("mysql.password", PASSWORD);
    place.ok(&["init"]);
    place
}

/// What every configuration here ends with.
pub const DESTINATION: &str = r#"
[destinations.nas]
plugin = "filesystem"
config = { path = "$DIR/nas" }
password = { file = "nas.key" }

[jobs.nightly]
sources = ["shop"]
destinations = ["nas"]
"#;

/// A database with everything in it.
pub fn fill(server: &Server, database: &str) {
    server.sql(&format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"));
    server.run_file(database, Path::new(EVERYTHING));
}

/// How many backups there are.
pub fn backups(place: &Place) -> usize {
    place.json(&["list"]).as_array().map_or(0, Vec::len)
}

/// The kind of the newest backup.
pub fn newest_kind(place: &Place) -> String {
    let list = place.json(&["list"]);
    let newest = list.as_array().and_then(|list| {
        list.iter()
            .max_by_key(|backup| backup["created"].as_str().map(str::to_owned))
    });
    let kind = newest.and_then(|backup| backup["kind"].as_str());
    kind.unwrap_or_default().to_owned()
}
