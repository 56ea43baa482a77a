//! The whole cluster with its log: any backup of a series comes back alone, at any moment that it reaches.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Place, files};
use crate::server::{PASSWORD, Server, bin};
use crate::{assert_same, backups, configuration, filled, place, source};

const PHYSICAL: &str = r#"method = "physical""#;

const TIMELINE: &str = "SELECT timeline_id FROM pg_control_checkpoint()";

/// A place where the cluster is backed up as a whole. The servers' user may look into it.
fn physical_place(server: &Server) -> Place {
    let place = place(PHYSICAL, server);
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o711)).expect("mode");
    place
}

/// Restores into a new directory, and starts a server there.
fn restored(place: &Place, server: &Server, backup: &str, name: &str, more: &[&str]) -> Server {
    Server::start_on(&restored_files(place, server, backup, name, more))
}

fn restored_files(
    place: &Place,
    server: &Server,
    backup: &str,
    name: &str,
    more: &[&str],
) -> PathBuf {
    let config = format!(r#"{PHYSICAL}, restore_directory = "$DIR/{name}""#);
    place.configure(&configuration(
        PHYSICAL,
        &source("new", &config, server),
        server,
    ));
    let mut args = vec!["restore", backup, "--to", "new"];
    args.extend(more);
    let told = place.ok(&args);
    assert!(told.contains("chown -R postgres"), "{told}");
    place.path(name)
}

/// The server's time, as `--until` takes it.
fn now(server: &Server) -> String {
    server.sql(
        "postgres",
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    )
}

fn id(backup: &serde_json::Value) -> &str {
    backup["id"].as_str().expect("an id")
}

#[test]
fn a_cluster_comes_back_from_its_files_alone() {
    let server = filled();
    // Of an unlogged table nothing comes back but its definition.
    server.sql("shop", "TRUNCATE shop.cache");
    make_tablespace(&server, "spot");
    server.sql(
        "shop",
        "CREATE TABLE apart TABLESPACE spot AS SELECT n FROM generate_series(1, 1000) n",
    );
    let place = physical_place(&server);
    let backup = place.json(&["backup"]);
    assert_eq!(
        (&backup["kind"], &backup["state"]),
        (&"full".into(), &"complete".into()),
        "{backup}"
    );
    let (dump, apart) = (server.dump("shop"), "SELECT sum(n) FROM shop.apart");

    let data = restored_files(&place, &server, "latest", "restored", &[]);
    // PostgreSQL's own judge, before a server has touched anything.
    let verified = Command::new(bin("pg_verifybackup"))
        .arg(&data)
        .output()
        .expect("it starts");
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let new = Server::start_on(&data);
    assert_same(&new.dump("shop"), &dump);
    assert_eq!(new.sql("shop", apart), server.sql("shop", apart));
    assert_eq!(
        new.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_database WHERE checksum_failures > 0"
        ),
        "0"
    );
    assert_eq!(new.sql("postgres", TIMELINE), "2", "a history of its own");

    place.fails(&["restore", "latest", "--to", "new"], 1, "is not empty");
}

fn make_tablespace(server: &Server, name: &str) {
    let folder = server.own_place(name);
    server.sql(
        "postgres",
        &format!("CREATE TABLESPACE {name} LOCATION '{folder}'"),
    );
}

/// The log says where a tablespace is made. A server that replays it would write there, where the other one has its files.
#[test]
fn a_tablespace_that_is_new_makes_the_next_backup_a_full_one_that_can_be_continued() {
    let server = Server::start();
    make_tablespace(&server, "first");
    let place = physical_place(&server);
    place.ok(&["backup"]);
    assert_eq!(place.json(&["backup"])["kind"], "incremental");
    make_tablespace(&server, "second");
    for name in ["first", "second"] {
        server.sql(
            "postgres",
            &format!("CREATE TABLE in_{name} TABLESPACE {name} AS SELECT 1 AS n"),
        );
    }
    place.fails(
        &["backup"],
        0,
        "a full backup is made: tablespace second was made since the last one",
    );
    for name in ["first", "second"] {
        server.sql("postgres", &format!("INSERT INTO in_{name} VALUES (2)"));
    }
    for _ in 0..2 {
        assert_eq!(place.json(&["backup"])["kind"], "incremental");
    }
    let new = restored(&place, &server, "latest", "restored", &[]);
    let sum = "SELECT (SELECT sum(n) FROM in_first), (SELECT sum(n) FROM in_second)";
    new.sql("postgres", "INSERT INTO in_second VALUES (100)");
    assert_eq!(new.sql("postgres", sum), "3|103");
    assert_eq!(server.sql("postgres", sum), "3|3");
}

#[test]
fn what_a_standby_gave_comes_back_as_it_was_and_follows_nobody() {
    let server = Server::start();
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let standby = server.standby();
    let place = physical_place(&standby);
    place.ok(&["backup"]);
    server.sql("postgres", "INSERT INTO t VALUES (2)");
    let new = restored(&place, &standby, "latest", "restored", &[]);
    let state = "SELECT pg_is_in_recovery(), string_agg(a::text, ' ' ORDER BY a) FROM t";
    assert_eq!(new.sql("postgres", state), "f|1");
    assert_eq!(new.sql("postgres", TIMELINE), "2");
}

/// What the original does for itself, a copy of it must not do a second time.
#[test]
fn a_restored_cluster_is_on_its_own_until_it_is_told_otherwise() {
    let mut server = Server::start();
    let archive = server.own_place("archive");
    server.set("archive_command", &format!("cp %p {archive}/%f"));
    server.set("archive_mode", "on");
    // It would lead a server that is started on the copy to the original.
    let data = server.data().display().to_string();
    server.set("data_directory", &data);
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "SET client_min_messages = error; CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = 's')",
    );
    server.sql("shop", "ALTER SUBSCRIPTION s ENABLE");
    server.sql(
        "shop",
        "SET synchronous_commit = local; CREATE TABLE t AS SELECT 1 AS a",
    );
    server.sql(
        "shop",
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
    );
    let place = physical_place(&server);
    place.ok(&["backup"]);
    server.kill();
    let archived = files(archive.as_ref());

    let config = format!(r#"{PHYSICAL}, restore_directory = "$DIR/restored""#);
    place.configure(&configuration(
        PHYSICAL,
        &source("new", &config, &server),
        &server,
    ));
    let told = place.ok(&["restore", "latest", "--to", "new"]);
    assert!(
        told.contains("turned off: archiving, subscriptions"),
        "{told}"
    );
    let mut new = Server::start_on(&place.path("restored"));
    let directory = new.sql("postgres", "SHOW data_directory");
    assert_eq!(directory, place.path("restored").display().to_string());
    assert_eq!(new.sql("postgres", "SHOW archive_mode"), "off");
    // This one would wait for ever.
    new.sql("shop", "INSERT INTO t VALUES (2)");
    new.sql("postgres", "SELECT pg_switch_wal(); CHECKPOINT");
    let workers = "SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL";
    assert_eq!(new.sql("shop", workers), "0");
    assert_eq!(files(archive.as_ref()).len(), archived.len());
    // And takes up its own archive when it is told to.
    new.sql("postgres", "ALTER SYSTEM RESET archive_mode");
    new.stop();
    new.restart();
    assert_eq!(new.sql("postgres", "SHOW archive_mode"), "on");
}

#[test]
fn every_backup_of_a_series_comes_back_alone_after_the_others_are_gone() {
    let server = Server::start();
    server.sql("postgres", "CREATE TABLE t (n int)");
    let place = physical_place(&server);
    let mut made = Vec::new();
    for round in 0..4 {
        server.sql(
            "postgres",
            &format!("INSERT INTO t SELECT {round} FROM generate_series(1, 50000)"),
        );
        made.push(place.json(&["backup"]));
    }
    let kinds: Vec<_> = made
        .iter()
        .map(|it| it["kind"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(kinds, ["full", "incremental", "incremental", "incremental"]);
    let new_bytes = |at: usize| {
        made[at]["sources"][0]["new_bytes"]
            .as_u64()
            .expect("a figure")
    };
    assert!(
        new_bytes(1) < new_bytes(0),
        "{} {}",
        new_bytes(1),
        new_bytes(0)
    );

    for at in [0, 1, 3] {
        place.ok(&["forget", "--backup", id(&made[at]), "--force"]);
    }
    place.ok(&["prune"]);
    place.ok(&["check", "--read-data"]);
    assert_eq!(backups(&place), 1);
    let new = restored(&place, &server, "latest", "restored", &[]);
    assert_eq!(
        new.sql("postgres", "SELECT count(*), max(n) FROM t"),
        "150000|2"
    );
}

#[test]
fn a_restore_comes_back_to_the_moment_before_the_mistake() {
    let server = filled();
    let place = physical_place(&server);
    place.ok(&["backup"]);
    server.sql("shop", "CREATE TABLE orders_2026 AS SELECT 1 AS a");
    place.ok(&["backup"]);
    server.sql("shop", "INSERT INTO orders_2026 VALUES (2)");
    sleep(Duration::from_millis(50));
    let before = now(&server);
    let lsn = server.sql("shop", "SELECT pg_current_wal_insert_lsn()");
    sleep(Duration::from_millis(50));
    server.sql("shop", "DROP TABLE orders_2026");
    let last = place.json(&["backup"]);
    assert_eq!(last["kind"], "incremental", "{last}");

    let rows = "SELECT string_agg(a::text, ' ' ORDER BY a) FROM shop.orders_2026";
    let at_time = restored(&place, &server, "latest", "time", &["--until", &before]);
    assert_eq!(at_time.sql("shop", rows), "1 2");
    let option = format!("until_lsn={lsn}");
    let at_lsn = restored(&place, &server, "latest", "lsn", &["--option", &option]);
    assert_eq!(at_lsn.sql("shop", rows), "1 2");
    let at_end = restored(&place, &server, "latest", "end", &[]);
    assert!(at_end.try_sql("shop", rows).is_err());
    // Ready for work, on a history of its own.
    at_time.sql("shop", "INSERT INTO shop.orders_2026 VALUES (3)");
    assert_eq!(at_time.sql("shop", TIMELINE), "2");
    // The last position that the backup shows is that of the log's end, where no record begins.
    let shown = place.json(&["show", "latest"]);
    let end = shown["sources"][0]["manifest"]["attributes"]["log end"].as_str();
    let option = format!("until_lsn={}", end.expect("it is noted"));
    let at_last = restored(&place, &server, "latest", "last", &["--option", &option]);
    assert!(at_last.try_sql("shop", rows).is_err());

    for out_of_reach in ["2001-01-01T00:00:00Z", "2101-01-01T00:00:00Z"] {
        let config = format!(r#"{PHYSICAL}, restore_directory = "$DIR/never""#);
        place.configure(&configuration(
            PHYSICAL,
            &source("new", &config, &server),
            &server,
        ));
        place.fails(
            &["restore", "latest", "--to", "new", "--until", out_of_reach],
            1,
            "the backup does not reach",
        );
        assert!(files(&place.path("never")).is_empty());
    }
}

#[test]
fn a_moment_shortly_before_the_last_backup_is_reached_on_a_quiet_server() {
    let server = Server::start();
    let place = physical_place(&server);
    place.ok(&["backup"]);
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let moment = now(&server);
    place.ok(&["backup"]);
    let new = restored(&place, &server, "latest", "restored", &["--until", &moment]);
    assert_eq!(new.sql("postgres", "SELECT a FROM t"), "1");
}

#[test]
fn a_cluster_that_is_written_to_comes_back_whole() {
    let server = Server::start();
    let pgbench = |args: &[&str]| {
        let mut command = server.client("pgbench");
        command
            .args(args)
            .args(["-q", "postgres"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    assert!(
        pgbench(&["-i", "-s", "3"])
            .status()
            .expect("pgbench starts")
            .success()
    );
    let place = physical_place(&server);
    let mut load = server
        .client("pgbench")
        .args(["-c", "2", "-T", "60", "postgres"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pgbench starts");
    for _ in 0..3 {
        sleep(Duration::from_millis(300));
        place.ok(&["backup"]);
    }
    let _ = load.kill();
    let _ = load.wait();
    let new = restored(&place, &server, "latest", "restored", &[]);
    // What pgbench keeps true in every transaction.
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), \
        (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history), \
        (SELECT count(*) > 0 FROM pgbench_history)";
    assert_eq!(new.sql("postgres", sums), "t|t|t");
    let amcheck = new
        .client("pg_amcheck")
        .args(["--install-missing", "--heapallindexed", "postgres"])
        .output()
        .expect("it starts");
    assert!(
        amcheck.status.success(),
        "{}",
        String::from_utf8_lossy(&amcheck.stdout)
    );
}

#[test]
fn log_that_is_gone_makes_the_next_backup_a_full_one_that_says_why() {
    let server = Server::start();
    let place = physical_place(&server);
    place.ok(&["backup"]);
    server.sql("postgres", "SELECT pg_drop_replication_slot('strongroom')");
    for _ in 0..3 {
        server.sql("postgres", "CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000); DROP TABLE t; SELECT pg_switch_wal()");
        server.sql("postgres", "CHECKPOINT");
    }
    server.sql("postgres", "CHECKPOINT");
    server.sql(
        "postgres",
        "SELECT pg_create_physical_replication_slot('strongroom', true)",
    );
    place.fails(
        &["backup"],
        0,
        "a full backup is made: the server no longer has its log",
    );
    server.sql("postgres", "SELECT pg_drop_replication_slot('strongroom')");
    place.fails(
        &["backup"],
        0,
        "a full backup is made: the replication slot strongroom is gone",
    );
    let list = place.json(&["list"]);
    let kinds: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["kind"].clone())
        .collect();
    assert_eq!(kinds, ["full", "full", "full"]);
    let told = place.json(&["source", "check", "db"]);
    assert!(
        told["attributes"]["slot"]
            .as_str()
            .is_some_and(|it| it.contains("keeps")),
        "{told}"
    );
    assert_eq!(place.json(&["backup"])["kind"], "incremental");
}

/// A server that was restored has a history of its own, and remembers where its recovery was to end.
#[test]
fn a_cluster_that_was_restored_is_begun_afresh_and_comes_back_as_it_is() {
    let server = Server::start();
    let place = physical_place(&server);
    place.ok(&["backup"]);
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    let lsn = server.sql("postgres", "SELECT pg_current_wal_insert_lsn()");
    place.ok(&["backup"]);
    let option = format!("until_lsn={lsn}");
    let second = restored(&place, &server, "latest", "second", &["--option", &option]);
    second.sql("postgres", "INSERT INTO t VALUES (2)");

    place.configure(&configuration(PHYSICAL, "", &second));
    place.fails(&["backup"], 0, "the cluster went from timeline 1 to 2");
    second.sql("postgres", "INSERT INTO t VALUES (3)");
    let moment = now(&second);
    sleep(Duration::from_millis(50));
    second.sql("postgres", "INSERT INTO t VALUES (4)");
    let last = place.json(&["backup"]);
    assert_eq!(last["kind"], "incremental", "{last}");
    let rows = "SELECT string_agg(a::text, ' ' ORDER BY a) FROM t";
    let at_end = restored(&place, &second, "latest", "end", &[]);
    assert_eq!(at_end.sql("postgres", rows), "1 2 3 4");
    let at_time = restored(&place, &second, "latest", "time", &["--until", &moment]);
    assert_eq!(at_time.sql("postgres", rows), "1 2 3");
}

#[test]
fn another_cluster_is_begun_afresh() {
    let (server, other) = (Server::start(), Server::start());
    let place = physical_place(&server);
    place.ok(&["backup"]);
    place.configure(&configuration(PHYSICAL, "", &other));
    place.fails(&["backup"], 0, "the backup before is of another cluster");
}

#[test]
fn a_page_that_is_damaged_on_the_servers_disk_fails_the_backup() {
    let mut server = Server::start();
    server.sql(
        "postgres",
        "CREATE TABLE t AS SELECT n FROM generate_series(1, 10000) n",
    );
    let file = server.sql("postgres", "SELECT pg_relation_filepath('t')");
    let place = physical_place(&server);
    server.stop();
    let path = server.data().join(file);
    let table = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("the table");
    table.write_all_at(b"damage", 8192 + 4000).expect("written");
    server.restart();
    place.fails(&["backup"], 1, "checksum");
    assert_eq!(backups(&place), 0);
}

#[test]
fn a_killed_server_or_engine_leaves_no_backup_and_the_next_run_is_fine() {
    let mut server = filled();
    let place = physical_place(&server);
    for round in 0..6_u64 {
        let before = backups(&place);
        let mut engine = place
            .command(&["backup"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // Late enough to have begun, early enough not to have ended.
        wait_for_walsender(&server);
        sleep(Duration::from_millis(round * 30));
        match round % 2 {
            0 => server.kill(),
            _ => engine.kill().expect("it is ours"),
        }
        let ended = place.ended(engine.wait_with_output().expect("it ends"));
        if round % 2 == 0 {
            server.restart();
        }
        // Whatever was killed may just have come to its end: then there is a backup, and otherwise none. An engine that was killed cannot tell.
        let made = backups(&place) - before;
        let is_told = ended.exit == -1 || made == usize::from(ended.exit == 0);
        assert!(is_told, "round {round}: {made} made: {}", ended.stderr);
    }
    place.ok(&["backup", "--full"]);
    place.ok(&["check", "--read-data"]);
    let dump = server.dump("shop");
    let new = restored(&place, &server, "latest", "restored", &[]);
    assert_same(&new.dump("shop"), &dump);
}

#[test]
fn a_role_that_may_not_replicate_is_told_what_it_needs() {
    let server = Server::start();
    server.sql("postgres", "CREATE ROLE backup LOGIN PASSWORD 'b'");
    let place = physical_place(&server);
    place.configure(&configuration(
        &format!(r#"{PHYSICAL}, user = "backup""#),
        "",
        &server,
    ));
    place.write("pg.key", "b");
    place.fails(
        &["source", "check", "db"],
        1,
        "ALTER ROLE \"backup\" REPLICATION",
    );

    server.sql(
        "postgres",
        "ALTER ROLE backup REPLICATION; GRANT EXECUTE ON FUNCTION pg_switch_wal() TO backup",
    );
    let told = place.json(&["source", "check", "db"]);
    assert_eq!(told["attributes"]["replication"], "allowed", "{told}");
    assert!(
        told["attributes"]["page checksums"]
            .as_str()
            .is_some_and(|it| it.starts_with("on")),
        "{told}"
    );
    place.ok(&["backup"]);
    assert_eq!(place.json(&["backup"])["kind"], "incremental");
    place.write("pg.key", PASSWORD);
}

fn wait_for_walsender(server: &Server) {
    for _ in 0..600 {
        let found = server.try_sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'",
        );
        if found.is_ok_and(|count| count != "0") {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("no backup begins");
}
