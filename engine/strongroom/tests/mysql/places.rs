//! Settings of the place that a backup comes from or goes to: whatever they are, the same comes back.

use crate::common::mysql::Family;
use crate::{newest_kind, place};

#[test]
fn tables_that_were_made_under_looser_rules_come_back() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    let columns: Vec<String> = (0..190).map(|it| format!("c{it} VARCHAR(255)")).collect();
    let wide = |name: &str| {
        format!(
            "SET innodb_strict_mode = OFF; CREATE TABLE shop.{name} (id INT PRIMARY KEY, {}) CHARACTER SET latin1; \
             INSERT INTO shop.{name} (id) VALUES (1)",
            columns.join(",")
        )
    };
    shop.sql(&format!("CREATE DATABASE shop; {}", wide("big")));
    shop.sql(
        "CREATE TABLE shop.checked (i INT CHECK (i > 0)); SET check_constraint_checks = OFF; INSERT INTO shop.checked VALUES (-1)",
    );
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    shop.sql(&wide("bigger"));
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(other.content("shop"), shop.content("shop"));
}

#[test]
fn a_table_comes_back_as_it_was_whatever_the_servers_defaults() {
    let family = Family::mariadb();
    let log = ["--log-bin=log", "--binlog-format=ROW", "--server-id=1"];
    let shop = family.start_with(
        &[
            &log[..],
            &[
                "--default-storage-engine=Aria",
                "--explicit-defaults-for-timestamp=OFF",
            ],
        ]
        .concat(),
    );
    let other = family.start_with(
        &[
            &log[..],
            &[
                "--enforce-storage-engine=InnoDB",
                "--explicit-defaults-for-timestamp=OFF",
                "--autocommit=0",
                "--max-statement-time=1",
                "--wait-timeout=2",
                "--innodb-compression-default=ON",
                "--character-set-server=latin1",
            ],
        ]
        .concat(),
    );
    other
        .sql("SET GLOBAL sql_safe_updates = ON; SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'");
    shop.sql(
        "SET explicit_defaults_for_timestamp = ON; CREATE DATABASE shop; CREATE TABLE shop.plain (a TIMESTAMP NOT NULL) ENGINE=MyISAM; \
         CREATE TABLE shop.rows (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB; INSERT INTO shop.rows VALUES (1, 'it''s \\\\ \"x\"')",
    );
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    shop.sql("CREATE TABLE shop.aria (i INT); INSERT INTO shop.rows VALUES (2, 'b\\\\')");
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(other.content("shop"), shop.content("shop"));
}

#[test]
fn a_table_that_draws_from_a_sequence_comes_back() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    shop.sql(
        "CREATE DATABASE shop; USE shop; CREATE SEQUENCE s; CREATE TABLE t (id INT DEFAULT NEXT VALUE FOR s PRIMARY KEY, a INT); \
         INSERT INTO t (a) VALUES (1), (2)",
    );
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    shop.sql("INSERT INTO shop.t (a) VALUES (3); CREATE TABLE shop.u (id INT DEFAULT NEXT VALUE FOR shop.s)");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(other.sql("SELECT COUNT(*) FROM shop.t"), "3");
    other.sql("INSERT INTO shop.t (a) VALUES (4)");
}

const FOLDS: &str = "--lower-case-table-names=1";

#[test]
fn names_in_any_capitals_come_back_to_a_server_that_does_not_mind() {
    let family = Family::mariadb();
    let log = [
        "--log-bin=log",
        "--binlog-format=ROW",
        "--server-id=1",
        FOLDS,
    ];
    let (shop, minds) = (family.start_with(&log), family.start());
    shop.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE Orders (Id INT PRIMARY KEY); CREATE VIEW VOrders AS SELECT * FROM ORDERS; \
         CREATE TRIGGER Tr BEFORE INSERT ON Orders FOR EACH ROW SET NEW.Id = NEW.Id",
    );
    let backed_up = place(&shop, ", writable = true", Some(&minds));
    backed_up.ok(&["backup"]);
    shop.sql("USE mysql; CREATE TABLE SHOP.NewT (a INT); INSERT INTO Shop.newt VALUES (5)");
    backed_up.ok(&["backup"]);
    assert_eq!(newest_kind(&backed_up), "incremental");
    backed_up.ok(&[
        "restore",
        "latest",
        "--to",
        "shop",
        "--option",
        "rename.shop=shop_2",
    ]);
    assert_eq!(shop.sql("SELECT a FROM shop_2.newt"), "5");
    let refused = backed_up.run(&["restore", "latest", "--to", "other"]);
    assert_eq!(refused.exit, 1);
    assert!(
        refused.stderr.contains("lower_case_table_names"),
        "{}",
        refused.stderr
    );
    assert_eq!(minds.sql("SHOW DATABASES LIKE 'shop'"), "");
}

#[test]
fn tables_that_would_be_the_same_are_refused_and_none_is_lost_silently() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start_with(&[FOLDS]));
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.Orders (i INT); CREATE TABLE shop.orders (i INT); INSERT INTO shop.Orders VALUES (1)",
    );
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    let refused = place.run(&["restore", "latest", "--to", "other"]);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    let said = "the tables Orders and orders are the same to this server";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
}

#[test]
fn rights_on_what_comes_with_the_databases_come_back() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    shop.sql(
        "CREATE DATABASE g; CREATE TABLE g.t (id INT, s INT); CREATE FUNCTION g.f() RETURNS INT DETERMINISTIC RETURN 1; \
         CREATE ROLE reader; GRANT SELECT ON g.t TO reader; \
         CREATE USER rep@'%' IDENTIFIED BY 'r'; GRANT SELECT ON g.t TO rep@'%'; GRANT EXECUTE ON FUNCTION g.f TO rep@'%'; \
         CREATE USER col@'%' IDENTIFIED BY 'r'; GRANT SELECT (id) ON g.t TO col@'%'; GRANT reader TO col@'%'",
    );
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--to", "other"]);
    for account in ["rep@'%'", "col@'%'", "reader"] {
        let sql = format!("SHOW GRANTS FOR {account}");
        assert_eq!(other.sql(&sql), shop.sql(&sql), "{account}");
    }

    // What a restore that was killed leaves is told by the next one.
    other.sql("REVOKE SELECT ON g.t FROM rep@'%'");
    let ended = place.run(&[
        "restore",
        "latest",
        "--to",
        "other",
        "--overwrite",
        "--verbose",
    ]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let said = "account 'rep'@'%' exists and is left as it is, without rights that the backup has: GRANT SELECT ON `g`.`t`";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);

    // Without their table they are named.
    other.sql("DROP DATABASE g; DROP USER rep@'%'");
    let ended = place.run(&[
        "restore",
        "latest",
        "--to",
        "other",
        "--option",
        "rename.g=g_2",
    ]);
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("rights of 'rep'@'%'"),
        "{}",
        ended.stderr
    );
}
