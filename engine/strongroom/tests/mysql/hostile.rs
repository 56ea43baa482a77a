//! Names, texts and accounts that were made to be run by others: nothing of them is, at a backup, a restore or a replay.

use crate::common::mysql::{Family, Server};
use crate::failures::with_dump_program;
use crate::place;

/// What every such name would have others do.
const EVIL: &str = "CREATE USER evil@'%';GRANT ALL ON *.* TO evil@'%';#";

fn is_safe(server: &Server) {
    let found = server.sql("SELECT COUNT(*) FROM mysql.user WHERE User = 'evil'");
    assert_eq!(found, "0", "somebody ran it");
}

#[test]
fn a_line_end_in_the_name_of_a_table_has_nothing_run() {
    let shop = Family::mariadb().start();
    let table = format!("`t\n{EVIL}`");
    shop.sql(&format!(
        "CREATE DATABASE app; CREATE TABLE app.other (a INT); CREATE TABLE app.{table} (a INT); INSERT INTO app.other VALUES (1)"
    ));
    let place = place(&shop, ", writable = true", None);
    place.ok(&["backup"]);
    shop.sql(&format!(
        "INSERT INTO app.{table} VALUES (1); INSERT INTO app.other VALUES (2)"
    ));
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("control character"),
        "{}",
        ended.stderr
    );
    place.ok(&["restore", "latest", "--to", "shop", "--overwrite"]);
    is_safe(&shop);
    assert_eq!(shop.sql(&format!("SELECT a FROM app.{table}")), "1");
    assert_eq!(shop.sql("SELECT COUNT(*) FROM app.other"), "2");
}

/// As backups hold it whose dumps were not made anew.
#[test]
fn changes_of_a_table_whose_name_came_and_went_are_not_run() {
    let shop = Family::mariadb().start();
    let table = format!("`t\n{EVIL}`");
    shop.sql("CREATE DATABASE app; CREATE TABLE app.other (a INT)");
    let place = place(&shop, ", writable = true", None);
    place.ok(&["backup"]);
    shop.sql(&format!(
        "CREATE TABLE app.{table} (a INT); INSERT INTO app.{table} VALUES (1); DROP TABLE app.{table}; INSERT INTO app.other VALUES (2)"
    ));
    place.ok(&["backup"]);
    place.run(&["restore", "latest", "--to", "shop", "--overwrite"]);
    is_safe(&shop);
}

#[test]
fn a_line_end_in_the_name_of_an_account_has_nothing_run_and_the_account_comes_back() {
    let shop = Family::mariadb().start();
    let account = format!("`x\n{EVIL}`@`10.0.0.1`");
    shop.sql(&format!(
        "CREATE DATABASE app; CREATE TABLE app.t (a INT); CREATE USER {account} IDENTIFIED BY 'x'; GRANT SELECT ON app.* TO {account}"
    ));
    let place = place(&shop, ", writable = true", None);
    place.ok(&["backup"]);
    shop.sql(&format!("DROP USER {account}"));
    place.ok(&["restore", "latest", "--to", "shop", "--overwrite"]);
    is_safe(&shop);
    let grants = shop.sql(&format!("SHOW GRANTS FOR {account}"));
    assert!(grants.contains("SELECT ON `app`.*"), "{grants}");
    // As a person would load them.
    place.ok(&["restore", "latest", "--target", "out"]);
    shop.sql(&format!("DROP USER {account}"));
    shop.run_file("app", &place.path("out/shop/users.sql"));
    is_safe(&shop);
}

#[test]
fn an_account_with_a_backslash_in_its_name_comes_back() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE app; CREATE TABLE app.t (a INT); CREATE USER `CORP\\john`@'%' IDENTIFIED BY 'x'; \
         CREATE ROLE `r\\'1`; GRANT SELECT ON app.* TO `r\\'1`; GRANT `r\\'1` TO `CORP\\john`@'%'; CREATE USER ''@'10.0.0.1'",
    );
    // What the server would have backslashes be must not matter.
    for mode in ["", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"] {
        shop.sql(&format!("SET GLOBAL sql_mode = '{mode}'"));
        let place = place(&shop, ", writable = true", None);
        place.ok(&["backup"]);
        shop.sql("DROP USER `CORP\\john`@'%'; DROP ROLE `r\\'1`");
        place.ok(&["restore", "latest", "--to", "shop", "--overwrite"]);
        let grants = shop.sql("SHOW GRANTS FOR `CORP\\john`@'%'");
        assert_eq!(grants.lines().count(), 2, "{mode}: {grants}");
    }
}

#[test]
fn a_database_that_no_client_loads_safely_is_named_and_the_others_are_backed_up() {
    let shop = Family::mariadb().start();
    shop.sql("CREATE DATABASE good; CREATE TABLE good.t (a INT); CREATE DATABASE `bad\nEVIL`; CREATE DATABASE app");
    shop.sql("USE app; SET NAMES gbk; CREATE PROCEDURE trap() SELECT ';;'");
    let place = place(&shop, "", None);
    let checked = place.ok(&["source", "check", "shop"]);
    assert!(checked.contains("procedure trap"), "{checked}");
    for arguments in [&["backup", "--full"][..], &["backup"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.exit, 3, "{}", ended.stderr);
        for part in ["database app", "procedure trap", "database bad\\nEVIL"] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
        let files = place.ok(&["show", "latest", "--files"]);
        assert!(
            files.contains("good.sql") && !files.contains("app.sql"),
            "{files}"
        );
    }
}

#[test]
fn a_name_with_a_quote_or_a_backslash_is_backed_up_and_its_events_are_named() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE `it's`; CREATE TABLE `it's`.t (a INT); INSERT INTO `it's`.t VALUES (1); \
         CREATE DATABASE `a\\b`; CREATE TABLE `a\\b`.t (a INT); \
         CREATE EVENT `a\\b`.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    );
    let place = place(&shop, ", writable = true", None);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("events of a\\\\b"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("it's"), "{}", ended.stderr);
    shop.sql("DROP DATABASE `it's`");
    place.ok(&["restore", "latest", "--to", "shop", "--overwrite"]);
    assert_eq!(shop.sql("SELECT a FROM `it's`.t"), "1");
}

#[test]
fn a_dump_with_lines_that_no_dump_program_writes_is_not_loaded() {
    let shop = Family::mariadb().start();
    shop.sql("CREATE DATABASE app; CREATE TABLE app.t (a INT)");
    let check = |line: &str| {
        let script = format!("REAL \"$@\"\nprintf '%b' '{line}'");
        let place = with_dump_program(&shop, &script);
        place.ok(&["backup", "--full"]);
        let config = std::fs::read_to_string(place.path("strongroom.toml")).expect("read");
        place.configure(&config.replace(
            "{ file = \"mysql.password\" }",
            "{ file = \"mysql.password\" }, writable = true",
        ));
        let ended = place.run(&["restore", "latest", "--to", "shop", "--overwrite"]);
        assert_eq!(ended.exit, 1, "{line}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("the client would run"),
            "{line}: {}",
            ended.stderr
        );
        is_safe(&shop);
    };
    check("-- Table structure for table `t\\nCREATE USER evil;#`\\n");
    check("CREATE USER evil;\\n");
    check("DELIMITER //\\nCREATE USER evil //\\n");
}
