//! Dumps and the log as files: what `download` writes and what stock restic prints, read by the server family's own programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use strongroom_repository::testing::Restic;

use crate::common::Place;
use crate::common::mysql::Family;
use crate::{fill, newest_kind, place};

/// The paths that a download says it has written.
fn download(place: &Place, arguments: &[&str]) -> Vec<String> {
    let downloaded = place.json(arguments);
    let files = downloaded["files"].as_array().expect("a list");
    let path = |file: &serde_json::Value| file["path"].as_str().expect("a path").to_owned();
    files.iter().map(path).collect()
}

/// What restic prints of the newest snapshot.
fn printed(restic: &Restic, place: &Place, path: &str) -> Vec<u8> {
    let arguments = ["dump", "latest", path];
    let output = restic.output(&place.path("nas"), "correct horse", &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output.stdout
}

fn the_stock_client_loads_a_dump(family: &Family) {
    let (shop, other) = (family.start(), family.start());
    fill(&shop, "shop");
    let place = place(&shop, ", databases = [\"shop\"]", None);
    place.ok(&["backup"]);
    let written = download(&place, &["download", "latest", "--output", "dl"]);
    let [dump, users] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert!(
        dump.ends_with("/shop.sql") && users.ends_with("/users.sql"),
        "{written:?}"
    );
    other.sql("CREATE DATABASE shop CHARACTER SET utf8mb4");
    other.run_file("shop", &place.path(dump));
    assert_eq!(other.content("shop"), shop.content("shop"));

    let dump = fs::read(place.path(dump)).expect("readable");
    for restic in Restic::installed() {
        let text = printed(&restic, &place, "/shop/shop.sql");
        assert!(text == dump);
        place.write("printed.sql", text);
        other.sql("DROP DATABASE shop; CREATE DATABASE shop CHARACTER SET utf8mb4");
        other.run_file("shop", &place.path("printed.sql"));
        assert_eq!(other.content("shop"), shop.content("shop"));
    }
}

#[test]
fn mariadb_loads_the_dump_that_is_downloaded_and_the_one_that_restic_prints() {
    the_stock_client_loads_a_dump(&Family::mariadb());
}

#[test]
fn mysql_loads_the_dump_that_is_downloaded_and_the_one_that_restic_prints() {
    if let Some(family) = Family::mysql("the stock mysql loads a dump") {
        the_stock_client_loads_a_dump(&family);
    }
}

#[test]
fn one_dump_alone_comes_as_the_file_that_it_is() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    let place = place(&shop, ", databases = [\"shop\"], users = false", None);
    place.ok(&["backup"]);
    let written = download(&place, &["download", "latest", "--output", "dl"]);
    let [dump] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert!(
        dump.starts_with("dl/shop-") && dump.ends_with("-shop.sql"),
        "{dump}"
    );
    shop.sql("CREATE DATABASE again CHARACTER SET utf8mb4");
    shop.run_file("again", &place.path(dump));
    assert_eq!(shop.content("again"), shop.content("shop"));
}

/// The log as text, which has every row that was written.
fn read_log(family: &Family, file: &Path) -> String {
    let output = Command::new(&family.log)
        .args(["--no-defaults", "--verbose"])
        .arg(file)
        .output()
        .expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn the_stock_program_reads_the_log(family: &Family) {
    let shop = family.start();
    fill(&shop, "shop");
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    shop.sql("CREATE TABLE shop.late (word VARCHAR(30)) ENGINE=InnoDB");
    shop.sql("INSERT INTO shop.late VALUES ('only in the log')");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");

    let written = download(&place, &["download", "latest", "--output", "dl"]);
    let log = written
        .iter()
        .rfind(|path| path.contains("/binlog/"))
        .expect("a file of the log");
    let text = read_log(family, &place.path(log));
    assert!(text.contains("only in the log"), "{text}");
    let (_, name) = log.rsplit_once('/').expect("in a folder");
    for restic in Restic::installed() {
        place.write(
            "printed.log",
            printed(&restic, &place, &format!("/shop/binlog/{name}")),
        );
        assert_eq!(read_log(family, &place.path("printed.log")), text);
    }
}

#[test]
fn mariadb_binlog_reads_the_log_that_is_downloaded_and_the_one_that_restic_prints() {
    the_stock_program_reads_the_log(&Family::mariadb());
}

#[test]
fn mysqlbinlog_reads_the_log_that_is_downloaded_and_the_one_that_restic_prints() {
    if let Some(family) = Family::mysql("the stock mysqlbinlog reads the log") {
        the_stock_program_reads_the_log(&family);
    }
}
