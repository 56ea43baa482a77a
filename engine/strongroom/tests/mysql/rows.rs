//! How many rows a dump has: counted where it can be proven, and not otherwise.

use serde_json::{Value, json};

use crate::common::Place;
use crate::common::mysql::{Family, Server};
use crate::failures::with_dump_program;
use crate::place;

/// What the newest backup notes of the dump of `shop`.
pub(crate) fn noted_dump(place: &Place) -> Value {
    let shown = place.json(&["show", "latest"]);
    let noted = &shown["sources"][0]["manifest"]["attributes"]["dump shop.sql"];
    serde_json::from_str(noted.as_str().expect("a dump is noted")).expect("JSON")
}

fn noted(place: &Place) -> Value {
    noted_dump(place)["rows"].clone()
}

/// A line of shell that has the server run a statement.
pub(crate) fn in_shell(shop: &Server, sql: &str) -> String {
    let client = shop.client(&["--execute", sql]);
    let words = std::iter::once(client.get_program()).chain(client.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
    format!("MYSQL_PWD= {}", words.join(" "))
}

fn with_tables(family: &Family) -> Server {
    let shop = family.start();
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB; \
         CREATE TABLE shop.empty (id INT PRIMARY KEY) ENGINE=InnoDB; \
         CREATE TABLE shop.notes (id INT PRIMARY KEY) ENGINE=MyISAM; \
         CREATE VIEW shop.latest AS SELECT MAX(id) FROM shop.orders; \
         INSERT INTO shop.orders VALUES (1), (2), (3)",
    );
    shop
}

fn rows_are_counted(family: &Family) {
    let shop = with_tables(family);
    let place = place(&shop, ", databases = [\"shop\"]", None);
    place.ok(&["backup"]);
    let rows = noted(&place);
    assert_eq!(rows["tables"], json!({"empty": 0, "orders": 3}), "{rows}");
    let unknown = rows["unknown"]["notes"].as_str().expect("a reason");
    assert!(unknown.contains("MyISAM"), "{rows}");
    assert_eq!(rows["unknown"].as_object().map(|it| it.len()), Some(1));
}

#[test]
fn rows_of_a_mariadb_that_is_left_alone_are_counted() {
    rows_are_counted(&Family::mariadb());
}

#[test]
fn rows_of_a_mysql_that_is_left_alone_are_counted() {
    if let Some(family) = Family::mysql("rows of MySQL") {
        rows_are_counted(&family);
    }
}

#[test]
fn rows_are_not_counted_where_something_was_written_just_before_the_dump() {
    let shop = with_tables(&Family::mariadb());
    let insert = in_shell(&shop, "INSERT INTO shop.orders VALUES (4)");
    let script = format!("{insert} || exit 7\nexec REAL \"$@\"");
    let place = with_dump_program(&shop, &script);
    place.ok(&["backup"]);
    let rows = noted(&place);
    let why = json!({"*": "the server was written to just then"});
    assert_eq!(rows, json!({"unknown": why}));
}

#[test]
fn rows_are_not_counted_where_that_is_not_wanted() {
    let shop = with_tables(&Family::mariadb());
    let more = ", databases = [\"shop\"], count_rows = false";
    let place = place(&shop, more, None);
    place.ok(&["backup"]);
    assert_eq!(noted(&place), Value::Null);
}
