//! Proving backups on scratch servers: what is good passes, what is not is told, and nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::Place;
use crate::common::mysql::{Family, Server};
use crate::failures::with_dump_program;
use crate::{fill, newest_kind, place};

/// What is verified, with a scratch folder of its own that the server's user can get to.
struct Trial {
    place: Place,
    scratch: TempDir,
}

impl Trial {
    /// `more` is what the job says of verifications.
    fn new(place: Place, family: &Family, more: &str) -> Self {
        let scratch = tempfile::tempdir().expect("a folder");
        for folder in [scratch.path(), &place.path("")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o1777)).expect("a mode");
        }
        let text = fs::read_to_string(place.path("strongroom.toml")).expect("readable");
        let programs = [&family.server, &family.client].map(|it| it.parent().expect("in a folder"));
        place.configure(&format!(
            "{text}\n[jobs.nightly.verify]\nscratch = {:?}\nprograms = {programs:?}\n{more}\n",
            scratch.path()
        ));
        Self { place, scratch }
    }

    /// Verifies the newest backup; out comes what was found, a line for each.
    fn verify(&self, exit: i32) -> Vec<String> {
        let ended = self.place.run(&["verify", "--json"]);
        assert_eq!(ended.exit, exit, "{}{}", ended.stdout, ended.stderr);
        let left = fs::read_dir(self.scratch.path()).expect("a folder");
        assert_eq!(left.count(), 0);
        let verified: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let findings = verified["sources"][0]["findings"].as_array();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let line = |it: &Value| {
            let [verdict, subject, detail] =
                ["verdict", "subject", "detail"].map(|key| text(&it[key]));
            format!("{verdict} {subject}: {detail}")
        };
        let findings: Vec<_> = findings.expect("a list").iter().map(line).collect();
        assert!(!working_in(self.scratch.path()), "a server goes on");
        findings
    }
}

/// Whether a process works in the folder.
fn working_in(folder: &Path) -> bool {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .map(|it| it.path().join("cwd"))
        .any(|it| fs::read_link(it).is_ok_and(|cwd| cwd.starts_with(folder)))
}

#[track_caller]
fn assert_has(findings: &[String], expected: &[&str]) {
    for expected in expected {
        let is_there = findings.iter().any(|it| it.starts_with(expected));
        assert!(is_there, "{expected} in {findings:#?}");
    }
}

#[track_caller]
fn assert_none(findings: &[String], verdict: &str) {
    let is_there = findings.iter().any(|it| it.starts_with(verdict));
    assert!(!is_there, "{findings:#?}");
}

fn with_orders(family: &Family) -> Server {
    let shop = family.start();
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB; \
         INSERT INTO shop.orders VALUES (1), (2), (3)",
    );
    shop
}

fn dumps_are_proven(family: &Family) {
    let mut shop = family.start();
    fill(&shop, "shop");
    fill(&shop, "blog");
    shop.sql("CREATE USER 'clerk'@'%' IDENTIFIED BY 'c'; GRANT SELECT ON shop.* TO 'clerk'@'%'");
    let asked = r#"assertions = [{ database = "shop", sql = "SELECT COUNT(*) > 0 FROM types" }, { database = "blog", sql = "SELECT twice(21) = 42" }]"#;
    let trial = Trial::new(place(&shop, "", None), family, asked);
    trial.place.ok(&["backup"]);
    // The live server has nothing to do with it.
    shop.kill();
    let findings = trial.verify(0);
    assert_has(
        &findings,
        &[
            "passed restore: blog, shop",
            "passed row counts: ",
            "passed CHECK TABLE EXTENDED: ",
            "passed SELECT COUNT(*) > 0 FROM types: true",
            "passed SELECT twice(21) = 42: true",
        ],
    );
    assert_none(&findings, "failed");
}

#[test]
fn dumps_of_mariadb_are_proven() {
    dumps_are_proven(&Family::mariadb());
}

#[test]
fn dumps_of_mysql_are_proven() {
    if let Some(family) = Family::mysql("dumps of MySQL are proven") {
        dumps_are_proven(&family);
    }
}

fn the_log_is_replayed(family: &Family) {
    let shop = with_orders(family);
    let more = ", databases = [\"shop\"]";
    let asked = r#"assertions = ["SELECT SUM(id) = 15 FROM orders"]"#;
    let trial = Trial::new(place(&shop, more, None), family, asked);
    trial.place.ok(&["backup"]);
    shop.sql("INSERT INTO shop.orders VALUES (4)");
    shop.sql("FLUSH BINARY LOGS; INSERT INTO shop.orders VALUES (5)");
    trial.place.ok(&["backup"]);
    assert_eq!(newest_kind(&trial.place), "incremental");
    let findings = trial.verify(0);
    assert_has(
        &findings,
        &[
            "passed row counts: 1 table, 3 rows as at the backup",
            "passed binary log: replayed up to ",
            "passed SELECT SUM(id) = 15 FROM orders: true",
        ],
    );
    assert_none(&findings, "failed");
}

#[test]
fn the_log_of_mariadb_is_replayed_to_its_end() {
    the_log_is_replayed(&Family::mariadb());
}

#[test]
fn the_log_of_mysql_is_replayed_to_its_end() {
    if let Some(family) = Family::mysql("the log of MySQL is replayed") {
        the_log_is_replayed(&family);
    }
}

#[test]
fn a_dump_of_a_database_that_was_dropped_is_proven_and_no_assertion_goes_to_it() {
    let family = Family::mariadb();
    let shop = with_orders(&family);
    fill(&shop, "blog");
    let asked = r#"assertions = ["SELECT COUNT(*) > 0 FROM types"]"#;
    let trial = Trial::new(place(&shop, "", None), &family, asked);
    trial.place.ok(&["backup"]);
    shop.sql("DROP DATABASE shop");
    trial.place.ok(&["backup"]);
    let findings = trial.verify(0);
    assert_none(&findings, "failed");
    assert_has(
        &findings,
        &[
            "passed restore: blog, shop",
            "passed binary log: replayed up to ",
            "passed SELECT COUNT(*) > 0 FROM types: true",
        ],
    );
}

#[test]
fn what_tables_of_mariadb_remember_of_their_rows_is_proven_and_comes_back() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    shop.sql(
        "CREATE DATABASE shop; USE shop; \
         CREATE TABLE prices (id INT, price INT) ENGINE=InnoDB WITH SYSTEM VERSIONING; \
         INSERT INTO prices VALUES (1, 10), (2, 20); UPDATE prices SET price = 11 WHERE id = 1; DELETE FROM prices WHERE id = 2",
    );
    let asked = r#"assertions = ["SELECT COUNT(*) = 4 FROM prices FOR SYSTEM_TIME ALL"]"#;
    let more = ", databases = [\"shop\"]";
    let trial = Trial::new(place(&shop, more, Some(&other)), &family, asked);
    trial.place.ok(&["backup"]);
    shop.sql("UPDATE shop.prices SET price = 12 WHERE id = 1");
    trial.place.ok(&["backup"]);
    assert_eq!(newest_kind(&trial.place), "incremental");
    let findings = trial.verify(0);
    assert_none(&findings, "failed");
    assert_has(&findings, &["passed row counts: 1 table, 1 row as at"]);
    trial.place.ok(&["restore", "latest", "--to", "other"]);
    let all =
        "SELECT *, row_start, row_end FROM shop.prices FOR SYSTEM_TIME ALL ORDER BY 1, 2, 3, 4";
    assert_eq!(other.sql(all), shop.sql(all));

    shop.sql(
        "CREATE TABLE shop.precise (id INT PRIMARY KEY, a BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, \
         b BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (a, b)) ENGINE=InnoDB WITH SYSTEM VERSIONING",
    );
    let shown = trial.place.ok(&["source", "check", "shop"]);
    assert!(shown.contains("the history of tables of shop"), "{shown}");
    trial.place.ok(&["backup", "--full"]);
}

#[test]
fn rows_that_a_dump_lacks_are_told_and_an_answer_that_is_not_true() {
    let family = Family::mariadb();
    let shop = with_orders(&family);
    let lossy = with_dump_program(&shop, "REAL \"$@\" | sed '/^INSERT INTO .orders./,/;$/d'");
    let asked = r#"assertions = [{ database = "shop", sql = "SELECT COUNT(*) > 0 FROM orders" }, { database = "crm", sql = "SELECT 1" }]"#;
    let trial = Trial::new(lossy, &family, asked);
    trial.place.ok(&["backup"]);
    let findings = trial.verify(1);
    assert_has(
        &findings,
        &[
            "passed restore: shop",
            "failed rows of shop.orders: 3 expected, 0 found",
            "failed SELECT COUNT(*) > 0 FROM orders: false",
            "failed SELECT 1: the backup has no database crm",
        ],
    );
}

#[test]
fn a_dump_that_cannot_be_restored_is_told() {
    let family = Family::mariadb();
    let shop = with_orders(&family);
    let wrong = with_dump_program(&shop, "REAL \"$@\"; echo 'THIS IS NO SQL;'");
    let trial = Trial::new(wrong, &family, "");
    trial.place.ok(&["backup"]);
    let findings = trial.verify(1);
    assert_has(&findings, &["failed restore of shop: "]);
}

#[test]
fn rows_that_were_not_counted_are_not_compared() {
    let family = Family::mariadb();
    let shop = with_orders(&family);
    shop.sql("CREATE TABLE shop.notes (id INT) ENGINE=MyISAM; INSERT INTO shop.notes VALUES (1)");
    let trial = Trial::new(place(&shop, "", None), &family, "");
    trial.place.ok(&["backup"]);
    let findings = trial.verify(0);
    assert_has(
        &findings,
        &[
            "passed row counts: 1 table, 3 rows as at the backup",
            "skipped rows of shop.notes: not compared: its engine is MyISAM",
        ],
    );
    let none = place(&shop, ", count_rows = false", None);
    let trial = Trial::new(none, &family, "");
    trial.place.ok(&["backup"]);
    assert_has(
        &trial.verify(0),
        &["skipped rows of shop: not compared: they were not counted"],
    );
}

#[test]
fn a_scratch_server_without_the_key_of_a_table_proves_nothing_and_blames_nobody() {
    let family = Family::mariadb();
    let keys = tempfile::tempdir().expect("a folder");
    fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let file = keys.path().join("keys");
    fs::write(&file, format!("1;{}\n", "0123456789abcdef".repeat(4))).expect("written");
    let shop = family.start_with(&[
        "--log-bin=log",
        "--binlog-format=ROW",
        "--server-id=1",
        "--plugin-load-add=file_key_management",
        &format!("--file-key-management-filename={}", file.display()),
    ]);
    shop.sql("CREATE DATABASE sealed; CREATE TABLE sealed.t (id INT PRIMARY KEY) ENGINE=InnoDB ENCRYPTED=YES");
    shop.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE=InnoDB");
    let trial = Trial::new(place(&shop, "", None), &family, "");
    trial.place.ok(&["backup"]);
    let findings = trial.verify(0);
    let about = |text: &str| findings.iter().any(|line| line.starts_with(text));
    assert!(about("skipped restore of sealed: "), "{findings:?}");
    assert!(about("passed restore: shop"), "{findings:?}");
    assert!(!about("failed"), "{findings:?}");
}
