//! What a backup lacks: it is told before, named in the result, and not called complete or proven.

use crate::common::Place;
use crate::common::mysql::{Family, PASSWORD, Server};
use crate::failures::with_dump_program;
use crate::{newest_kind, place};

/// The server as a source for an account that may do only this.
fn place_for(shop: &Server, grants: &[&str]) -> Place {
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    shop.sql(&format!("CREATE USER few@'%' IDENTIFIED BY '{password}'"));
    for grant in grants {
        shop.sql(&format!("GRANT {grant} TO few@'%'"));
    }
    let place = place(shop, "", None);
    let config = std::fs::read_to_string(place.path("strongroom.toml")).expect("read");
    place.configure(&config.replace("user = \"backup\"", "user = \"few\""));
    place
}

/// What the page of the plugin lists for backups.
const DOCUMENTED: [&str; 2] = [
    "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.*",
    "BINLOG MONITOR, REPLICATION SLAVE ON *.*",
];

#[test]
fn a_table_that_the_user_may_not_read_is_named_and_the_backup_is_incomplete() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1); \
         CREATE TABLE shop.secret (a INT); INSERT INTO shop.secret VALUES (1); \
         CREATE TABLE shop.half (a INT, b INT); INSERT INTO shop.half VALUES (1, 2)",
    );
    let grants = [
        "LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON shop.*",
        "BINLOG MONITOR, REPLICATION SLAVE ON *.*",
        "SELECT ON shop.t",
        "SELECT (a) ON shop.half",
    ];
    let place = place_for(&shop, &grants);
    let checked = place.ok(&["source", "check", "shop"]);
    assert!(checked.contains("rows of table shop.secret"), "{checked}");
    // The second one, too, which could keep the dump.
    for _ in 0..2 {
        let ended = place.run(&["backup"]);
        assert_eq!(ended.exit, 3, "{}", ended.stderr);
        for table in ["shop.secret", "shop.half"] {
            assert!(ended.stderr.contains(table), "{}", ended.stderr);
        }
        let shown = place.ok(&["show", "latest"]);
        assert!(
            shown.contains("incomplete") && shown.contains("shop.secret"),
            "{shown}"
        );
    }
    let dump = place.ok(&["cat", "latest", "shop.sql"]);
    assert!(dump.contains("CREATE TABLE `half`"), "{dump}");
    assert!(
        !dump.contains("INSERT INTO `half`"),
        "half a row is none: {dump}"
    );
    let other = Family::mariadb().start();
    place.ok(&["restore", "latest", "--target", "out"]);
    other.sql("CREATE DATABASE shop");
    other.run_file("shop", &place.path("out/shop/shop.sql"));
}

#[test]
fn a_view_that_uses_a_function_is_in_the_backup_of_who_may_not_execute_it() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1); USE shop; \
         CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a + 1; \
         CREATE VIEW z AS SELECT f(id) AS n FROM t; CREATE VIEW a AS SELECT n FROM z",
    );
    let place = place_for(&shop, &DOCUMENTED);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    place.ok(&["restore", "latest", "--target", "out"]);
    other.sql("CREATE DATABASE shop");
    other.run_file("shop", &place.path("out/shop/shop.sql"));
    assert_eq!(other.sql("SELECT n FROM shop.a"), "2");
}

#[test]
fn a_view_of_what_is_gone_is_named_and_the_rest_is_backed_up() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE gone (a INT); CREATE VIEW v AS SELECT a FROM gone; DROP TABLE gone; \
         CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)",
    );
    let place = place_for(&shop, &DOCUMENTED);
    for kind in ["full", "incremental"] {
        let ended = place.run(&["backup"]);
        assert_eq!(ended.exit, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains("view shop.v"), "{}", ended.stderr);
        assert_eq!(newest_kind(&place), kind);
    }
    let dump = place.ok(&["cat", "latest", "shop.sql"]);
    assert!(dump.contains("INSERT INTO `t`"), "{dump}");
}

#[test]
fn routines_and_events_that_the_user_may_not_see_do_not_end_the_backup() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE t (id INT PRIMARY KEY); CREATE PROCEDURE p() SELECT 1",
    );
    let place = place_for(
        &shop,
        &["SELECT, LOCK TABLES, SHOW VIEW, EXECUTE ON shop.*"],
    );
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("routines of shop"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("events of shop"), "{}", ended.stderr);
}

#[test]
fn numbers_that_a_dump_rounds_are_warned_of_and_others_are_not() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.fine (f FLOAT); INSERT INTO shop.fine VALUES (1.5), (0.1), (NULL); \
         CREATE TABLE shop.rounded (f FLOAT); INSERT INTO shop.rounded VALUES (16777216)",
    );
    let place = place(&shop, "", None);
    for _ in 0..2 {
        let ended = place.run(&["backup"]);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("shop.rounded: a dump rounds"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("shop.fine"), "{}", ended.stderr);
    }
}

#[test]
fn what_the_dump_program_says_is_kept_though_it_is_content() {
    let shop = Family::mariadb().start();
    shop.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)");
    let place = with_dump_program(
        &shop,
        "echo 'Warning: something is odd' >&2; exec REAL \"$@\"",
    );
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("something is odd"),
        "{}",
        ended.stderr
    );
    let shown = place.ok(&["show", "latest"]);
    assert!(shown.contains("something is odd"), "{shown}");
}

#[test]
fn a_server_that_cuts_answers_off_is_refused() {
    let shop = Family::mariadb().start();
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT); INSERT INTO shop.t VALUES (1), (2)",
    );
    let place = place_for(&shop, &DOCUMENTED);
    shop.sql("SET GLOBAL init_connect = 'SET sql_select_limit = 1'");
    place.fails(&["backup"], 1, "sql_select_limit of 1");
    shop.sql("SET GLOBAL init_connect = ''; SET GLOBAL sql_select_limit = 1");
    place.fails(&["source", "check", "shop"], 1, "sql_select_limit of 1");
    shop.sql("SET GLOBAL sql_select_limit = DEFAULT");
    place.ok(&["backup"]);
}

#[test]
fn a_change_that_is_too_long_for_the_dump_program_costs_only_the_place_in_the_log() {
    let log = ["--log-bin=log", "--binlog-format=ROW", "--server-id=1"];
    let shop = Family::mariadb().start_with(&[&log[..], &["--max-allowed-packet=16M"]].concat());
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.big (id INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB; \
         INSERT INTO shop.big VALUES (1, REPEAT('x', 9000000)); UPDATE shop.big SET b = REPEAT('y', 9000000)",
    );
    let place = place(&shop, "", None);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("FLUSH BINARY LOGS"),
        "{}",
        ended.stderr
    );
    shop.sql("FLUSH BINARY LOGS");
    place.ok(&["backup"]);
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
}

#[test]
fn a_backup_says_in_words_from_when_and_until_when_it_can_be_restored() {
    let shop = Family::mariadb().start();
    shop.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)");
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    place.ok(&["backup"]);
    let shown = place.ok(&["show", "latest"]);
    let line = shown.lines().find(|line| line.contains("reaches"));
    assert!(
        line.is_some_and(|line| line.contains("UTC") && line.contains(" 20")),
        "{shown}"
    );
}

#[test]
fn a_server_without_databases_where_there_were_some_makes_no_backup() {
    let shop = Family::mariadb().start();
    shop.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)");
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    shop.sql("DROP DATABASE shop");
    for kind in ["--full", "--incremental"] {
        place.fails(
            &["backup", kind],
            1,
            "nothing is left of what there was: backup ",
        );
    }
    place.ok(&["backup", "--full", "--allow-empty"]);
    // From here on that is what there is.
    place.ok(&["backup"]);
    shop.sql("CREATE DATABASE shop");
    place.ok(&["backup"]);
}
