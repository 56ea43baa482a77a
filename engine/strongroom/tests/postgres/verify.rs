//! Proving backups on scratch servers: what is good passes, what is not is told, and nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{Ended, Place};
use crate::server::{Server, bin, bin_folder, stand_in};
use crate::{configuration, filled, place};

mod lacks;
mod surroundings;

/// What is verified, with a scratch folder of its own that the server's user can get to.
struct Trial {
    place: Place,
    scratch: tempfile::TempDir,
}

impl Trial {
    /// A source with `config`; `more` is what its job says of verifications.
    fn new(config: &str, more: &str, server: &Server) -> Self {
        let place = place(config, server);
        let scratch = tempfile::tempdir().expect("a folder");
        open_to_all(scratch.path());
        open_to_all(&place.path(""));
        let trial = Self { place, scratch };
        trial.configure(config, more, server);
        trial
    }

    fn configure(&self, config: &str, more: &str, server: &Server) {
        let text = configuration(config, "", server);
        let (folder, scratch) = (bin_folder(), self.scratch.path());
        self.place.configure(&format!(
            "{text}\n[jobs.nightly.verify]\nscratch = {scratch:?}\n{more}\n{}",
            if more.contains("programs") {
                String::new()
            } else {
                format!("programs = [{folder:?}]")
            }
        ));
    }

    /// Verifies the newest backup, which must work, whatever comes of it.
    fn verify(&self, exit: i32) -> Value {
        let ended = self.run();
        assert_eq!(ended.exit, exit, "{}{}", ended.stdout, ended.stderr);
        let verified: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        self.assert_nothing_left();
        verified["sources"][0].clone()
    }

    fn run(&self) -> Ended {
        self.place.run(&["verify", "--json"])
    }

    /// From now on a restore never ends. Out comes the file that is there once one has begun.
    fn have_restores_wait(&self, config: &str, server: &Server) -> PathBuf {
        let (slow, ready) = (self.place.path("slow"), self.place.path("ready"));
        let wait =
            "[ \"$1\" = --version ] && exec $BIN/pg_restore \"$@\"\ntouch $READY; sleep 1000";
        let wait = wait.replace("$BIN", &bin_folder().display().to_string());
        let wait = wait.replace("$READY", &ready.display().to_string());
        stand_in(&slow, "pg_restore", &wait);
        let programs = format!("programs = [{slow:?}, {:?}]", bin_folder());
        self.configure(config, &programs, server);
        ready
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.scratch.path())
            .expect("a folder")
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(working_in(self.scratch.path()), Vec::<PathBuf>::new());
    }
}

/// `subject: detail` of the findings with this verdict.
fn found(verified: &Value, verdict: &str) -> Vec<String> {
    let findings = verified["findings"].as_array().expect("a list");
    let of = findings.iter().filter(|it| it["verdict"] == verdict);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    of.map(|it| format!("{}: {}", text(&it["subject"]), text(&it["detail"])))
        .collect()
}

/// Processes whose working directory lies there.
fn working_in(folder: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let of = processes.map(|it| it.path());
    of.filter(|it| fs::read_link(it.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .collect()
}

fn open_to_all(folder: &Path) {
    let mode = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(folder, mode).expect("a mode");
}

#[test]
fn dumps_are_proven_with_their_rows_and_what_is_asked_of_them() {
    let server = filled();
    server.sql(
        "shop",
        "CREATE TABLE parent (id int); CREATE TABLE heir () INHERITS (parent); \
        INSERT INTO parent SELECT generate_series(1, 3); INSERT INTO heir SELECT generate_series(1, 4); \
        CREATE UNLOGGED TABLE passing (id int); INSERT INTO passing VALUES (1); \
        CREATE TABLE \"odd \"\"name\" (id int); CREATE SCHEMA \"S 2\"; CREATE TABLE \"S 2\".t (id int); \
        CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; \
        CREATE FOREIGN TABLE remote (id int) SERVER far; \
        CREATE TYPE digit AS ENUM ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'); \
        CREATE TABLE digits (digit digit) PARTITION BY HASH (digit); \
        CREATE TABLE digits_0 PARTITION OF digits FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
        CREATE TABLE digits_1 PARTITION OF digits FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
        INSERT INTO digits SELECT (n % 10)::text::digit FROM generate_series(1, 100) n",
    );
    let fast = server.own_place("fast");
    server.sql(
        "postgres",
        &format!("CREATE TABLESPACE fast LOCATION '{fast}'"),
    );
    server.sql(
        "shop",
        "CREATE TABLE there (id int) TABLESPACE fast; INSERT INTO there VALUES (1)",
    );
    let trial = Trial::new(
        "",
        r#"assertions = [{ database = "shop", sql = "select count(*) > 0 from shop.orders" }]"#,
        &server,
    );
    trial.place.ok(&["backup"]);
    let rows = trial.place.ok(&["cat", "latest", "rows.json"]);
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    let shop = rows
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["database"] == "shop");
    let tables = shop.expect("shop")["tables"].as_array().expect("tables");
    let count = |name: &str| {
        let table = tables.iter().find(|table| table["name"] == name);
        table.map_or(Value::Null, |table| table["rows"].clone())
    };
    assert_eq!((count("parent"), count("heir")), (json!(3), json!(4)));
    assert_eq!((count("odd \"name"), count("t")), (json!(0), json!(0)));
    assert_eq!(count("there"), json!(1));
    // A restore may give them to the other partition.
    assert_eq!(count("digits"), json!(100));
    for left_out in ["orders", "passing", "remote", "totals", "digits_0"] {
        assert_eq!(count(left_out), Value::Null, "{left_out}");
    }
    let parts = ["orders_2025", "orders_rest"].map(|it| count(it).as_u64().expect(it));
    assert_eq!(parts.iter().sum::<u64>(), 5000);

    let verified = trial.verify(0);
    assert_eq!(verified["result"], "proven", "{verified}");
    let passed = found(&verified, "passed");
    assert_eq!(
        passed.first().map(String::as_str),
        Some("restore: postgres, shop")
    );
    assert!(passed[1].starts_with("row counts: "), "{passed:?}");
    assert!(passed.contains(&"select count(*) > 0 from shop.orders: true".to_owned()));
    assert_eq!(
        passed.len() + found(&verified, "skipped").len(),
        4,
        "{verified}"
    );
    assert_eq!(trial.place.json(&["list"])[0]["proof"]["result"], "proven");
    assert_eq!(server.sql("shop", "SELECT count(*) FROM there"), "1");
}

#[test]
fn rows_are_counted_in_the_moment_of_the_dump() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE busy");
    server.sql("busy", "CREATE TABLE t (id int, filler text)");
    server.sql(
        "busy",
        "INSERT INTO t SELECT n, repeat('x', 400) FROM generate_series(1, 30000) n",
    );
    let trial = Trial::new(r#"databases = ["busy"]"#, "", &server);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                server.sql(
                    "busy",
                    "INSERT INTO t SELECT n, '' FROM generate_series(1, 7) n",
                );
            }
        });
        let ended = trial.place.run(&["backup"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    });
    let verified = trial.verify(0);
    let passed = found(&verified, "passed");
    assert!(
        passed
            .iter()
            .any(|it| it.starts_with("row counts: 1 table, 3")),
        "{passed:?}"
    );
}

#[test]
fn who_waits_for_a_table_during_a_dump_does_not_stop_it() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE busy");
    server.sql(
        "busy",
        "CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int)",
    );
    let trial = Trial::new(r#"databases = ["busy"]"#, "", &server);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                server.sql("busy", "BEGIN; LOCK TABLE a; COMMIT");
            }
        });
        let exits = [(); 5].map(|()| trial.place.run(&["backup"]).exit);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(exits, [0; 5]);
    });
    trial.verify(0);
}

#[test]
fn a_false_answer_and_rows_that_did_not_come_back_are_told() {
    let server = filled();
    let trial = Trial::new(
        r#"databases = ["shop"]"#,
        r#"assertions = ["select count(*) = 0 from shop.orders", "select 1 / 0 = 1", "select true"]"#,
        &server,
    );
    // A pg_dump that loses rows, and says nothing.
    let real = bin("pg_dump").display().to_string();
    let lossy = stand_in(
        &trial.place.path("lossy"),
        "pg_dump",
        &format!(
            "[ \"$1\" = --version ] && exec {real} \"$@\"\nexec {real} --exclude-table-data=shop.orders_2025 \"$@\""
        ),
    );
    let text = fs::read_to_string(trial.place.path("strongroom.toml")).expect("read");
    let lossy_text = text.replace(&format!("\"{real}\""), &format!("{lossy:?}"));
    fs::write(trial.place.path("strongroom.toml"), lossy_text).expect("written");
    trial.place.ok(&["backup"]);

    let expected = server.sql("shop", "SELECT count(*) FROM shop.orders_2025");
    let verified = trial.verify(1);
    assert_eq!(verified["result"], "failed");
    assert_eq!(
        found(&verified, "failed"),
        [
            format!("rows of shop.shop.orders_2025: {expected} expected, 0 found"),
            "select count(*) = 0 from shop.orders: false".into(),
            "select 1 / 0 = 1: division by zero (SQLSTATE 22012)".into(),
        ]
    );
    let listed = trial.place.ok(&["list"]);
    assert!(listed.trim_end().ends_with("failed"), "{listed}");
    assert!(trial.place.ok(&["show", "latest"]).contains("0 found"));
}

#[test]
fn without_counts_they_are_skipped_and_a_dump_that_does_not_load_is_told() {
    let server = filled();
    let trial = Trial::new(r#"databases = ["shop"], count_rows = false"#, "", &server);
    trial.place.ok(&["backup"]);
    let verified = trial.verify(0);
    let skipped = "row counts: none were noted at the backup".to_owned();
    assert!(found(&verified, "skipped").contains(&skipped), "{verified}");

    // A pg_dump that ends too early, and says nothing.
    let real = bin("pg_dump").display().to_string();
    let short = stand_in(
        &trial.place.path("short"),
        "pg_dump",
        &format!("[ \"$1\" = --version ] && exec {real} \"$@\"\n{real} \"$@\" | head -c 200000"),
    );
    let text = fs::read_to_string(trial.place.path("strongroom.toml")).expect("read");
    let text = text.replace(&format!("\"{real}\""), &format!("{short:?}"));
    fs::write(trial.place.path("strongroom.toml"), text).expect("written");
    trial.place.ok(&["backup"]);
    let failed = found(&trial.verify(1), "failed");
    assert!(failed[0].starts_with("restore of shop: "), "{failed:?}");
}

#[test]
fn a_cluster_and_its_log_are_proven() {
    let server = filled();
    let assertion = |rows: u32| {
        format!(
            r#"assertions = [{{ database = "shop", sql = "select count(*) = {rows} from added" }}]"#
        )
    };
    let physical = r#"method = "physical""#;
    let trial = Trial::new(physical, &assertion(5), &server);
    server.sql("shop", "CREATE TABLE added AS SELECT generate_series(1, 5)");
    trial.place.ok(&["backup"]);
    let verified = trial.verify(0);
    assert_eq!(verified["result"], "proven", "{verified}");
    assert!(found(&verified, "passed").len() >= 4, "{verified}");

    server.sql("shop", "INSERT INTO added VALUES (6)");
    assert_eq!(trial.place.json(&["backup"])["kind"], "incremental");
    trial.configure(physical, &assertion(6), &server);
    let passed = found(&trial.verify(0), "passed");
    assert!(
        passed.iter().any(|it| it.starts_with("end of the log: ")),
        "{passed:?}"
    );
}

#[test]
fn a_damaged_page_of_a_cluster_without_checksums_is_found() {
    let mut server = filled();
    server.disable_checksums();
    let file = server.sql(
        "shop",
        "CHECKPOINT; SELECT pg_relation_filepath('shop.customers')",
    );
    server.damage(&file, 3);
    let trial = Trial::new(r#"method = "physical""#, "", &server);
    trial.place.ok(&["backup"]);
    let verified = trial.verify(1);
    let failed = found(&verified, "failed");
    assert!(failed[0].contains("customers"), "{verified}");
    let skipped = "pg_checksums: the cluster has no page checksums".to_owned();
    assert!(found(&verified, "skipped").contains(&skipped), "{verified}");
}
