//! `--overwrite`: new databases in place of old ones, all at one moment, whatever happens on the way.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::Place;
use crate::server::{PASSWORD, Server, bin, pass_on, stand_in};
use crate::{configuration, place, source_with_programs};

const OVERWRITE: &[&str] = &["restore", "latest", "--to", "db", "--overwrite"];

/// A server with the databases `a` and `b`, of which a backup has `old` where they have `new`.
fn two_databases() -> (Server, Place) {
    let server = Server::start();
    for name in ["a", "b"] {
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
        server.sql(
            name,
            "CREATE TABLE t AS SELECT 'old' AS a; CREATE TABLE much AS SELECT n, md5(n::text) FROM generate_series(1, 60000) n; CREATE INDEX ON much (n)",
        );
    }
    let place = place(r#"databases = ["a", "b"]"#, &server);
    place.ok(&["backup"]);
    change(&server);
    (server, place)
}

fn change(server: &Server) {
    for name in ["a", "b"] {
        server.sql(name, "UPDATE t SET a = 'new'");
    }
}

/// What both hold, which must be the same.
#[track_caller]
fn held(server: &Server) -> String {
    let of = |name| server.sql(name, "SELECT t.a, count(*) FROM t, much GROUP BY 1");
    let (a, b) = (of("a"), of("b"));
    assert_eq!(a, b);
    a
}

fn databases(server: &Server) -> String {
    server.sql(
        "postgres",
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate",
    )
}

#[test]
fn sessions_that_come_back_at_once_are_in_nobody_s_way() {
    let (server, place) = two_databases();
    let come_back = format!(
        "while :; do {} -X -q -h 127.0.0.1 -p {} -U postgres -d a -c 'SELECT pg_sleep(100)' >/dev/null 2>&1; done",
        bin("psql").display(),
        server.port
    );
    let mut loud = Command::new("bash")
        .args(["-c", &come_back])
        .env("PGPASSWORD", PASSWORD)
        .process_group(0)
        .spawn()
        .expect("bash starts");
    sleep(Duration::from_secs(1));
    let ended = place.run(OVERWRITE);
    let group = format!("-{}", loud.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = loud.wait();
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(held(&server), "old|60000");
    assert_eq!(databases(&server), "a b postgres");
}

#[test]
fn several_databases_are_replaced_together_or_not_at_all() {
    let (server, place) = two_databases();
    let folder = place.path("broken");
    let real = bin("");
    pass_on(&folder, &["pg_dump", "pg_dumpall"]);
    stand_in(
        &folder,
        "pg_restore",
        &format!(
            "case \"$*\" in *b.restoring*--section=post-data*) echo 'pg_restore: error: it broke' >&2; exit 1;; esac\nexec {}/pg_restore \"$@\"",
            real.display()
        ),
    );
    place.configure(&configuration(
        "",
        &source_with_programs("broken", "", &server, &folder),
        &server,
    ));
    place.fails(
        &["restore", "latest", "--to", "broken", "--overwrite"],
        1,
        "database b: pg_restore exited with code 1: pg_restore: error: it broke",
    );
    assert_eq!(held(&server), "new|60000");
    assert_eq!(databases(&server), "a b postgres");
}

#[test]
fn a_prepared_transaction_is_told_before_anything_is_done() {
    let mut server = Server::start();
    server.set("max_prepared_transactions", "2");
    server.sql("postgres", "CREATE DATABASE a");
    server.sql("a", "CREATE TABLE t AS SELECT 'old' AS a");
    let place = place(r#"databases = ["a"]"#, &server);
    place.ok(&["backup"]);
    server.sql(
        "a",
        "BEGIN; INSERT INTO t VALUES ('x'); PREPARE TRANSACTION 'it''s'",
    );
    let ended = place.run(OVERWRITE);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    for words in [
        "database a has prepared transactions, and cannot be replaced: 'it''s'",
        "hint: end each of them in a: COMMIT PREPARED 'it''s', or ROLLBACK PREPARED 'it''s'",
    ] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert_eq!(databases(&server), "a postgres");
    server.sql("a", "ROLLBACK PREPARED 'it''s'");
    place.ok(OVERWRITE);
}

#[test]
fn a_database_that_is_closed_and_a_template_is_replaced_like_any_other() {
    let (server, place) = two_databases();
    server.sql(
        "postgres",
        "ALTER DATABASE a IS_TEMPLATE true; ALTER DATABASE b ALLOW_CONNECTIONS false",
    );
    place.ok(OVERWRITE);
    assert_eq!(held(&server), "old|60000");
    assert_eq!(databases(&server), "a b postgres");
}

#[test]
fn what_somebody_else_calls_like_ours_is_left_alone() {
    let (server, place) = two_databases();
    for name in ["a.restoring", "b.before-restore"] {
        server.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        server.sql(name, "CREATE TABLE precious AS SELECT 1 AS a");
    }
    place.ok(OVERWRITE);
    assert_eq!(held(&server), "old|60000");
    assert_eq!(
        databases(&server),
        "a a.restoring b b.before-restore postgres"
    );
    server.sql("a.restoring", "SELECT a FROM precious");
}

/// As long as one is at work at the server, another one waits a while and then says so.
#[test]
fn two_restores_of_one_database_do_not_meet() {
    let (server, place) = two_databases();
    let mut other = server
        .client("psql")
        .args(["-X", "-q", "-d", "postgres", "-c"])
        .arg("SELECT pg_advisory_lock(1937011315, hashtext('a')); SELECT pg_sleep(600)")
        .spawn()
        .expect("psql starts");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let begun = Instant::now();
    while server.sql("postgres", locks) == "0" {
        assert!(begun.elapsed() < Duration::from_secs(60), "no lock");
        sleep(Duration::from_millis(20));
    }
    place.fails(OVERWRITE, 1, "another restore of database a is under way");
    assert_eq!(held(&server), "new|60000");
    let _ = other.kill();
    let _ = other.wait();
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
    place.ok(OVERWRITE);
    assert_eq!(held(&server), "old|60000");
    assert_eq!(databases(&server), "a b postgres");
}

/// At any moment both databases are there and whole, and of the same time.
#[test]
fn a_restore_that_is_killed_changes_nothing_or_everything_and_the_next_one_tidies_up() {
    let (server, place) = two_databases();
    let begun = Instant::now();
    place.ok(OVERWRITE);
    let whole = begun.elapsed();
    let (mut replaced, mut found) = (0, 0);
    for round in 0..12_u32 {
        change(&server);
        let mut engine = place
            .command(OVERWRITE)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        sleep(whole * (round + 1) / 12);
        engine.kill().expect("it is ours");
        let _ = engine.wait();
        let now = held(&server);
        assert!(["old|60000", "new|60000"].contains(&&*now), "{now}");
        replaced += u32::from(now.starts_with("old"));
        let is_left = databases(&server) != "a b postgres";
        let again = place.run(OVERWRITE);
        assert_eq!(again.exit, 0, "round {round}: {}", again.stderr);
        assert_eq!(held(&server), "old|60000");
        assert_eq!(
            databases(&server),
            "a b postgres",
            "round {round}: {}",
            again.stderr
        );
        if is_left {
            assert!(again.stderr.contains("it is dropped"), "{}", again.stderr);
            found += 1;
        }
    }
    assert!(found > 0, "no kill left anything, {replaced} came too late");
}
