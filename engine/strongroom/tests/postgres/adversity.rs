//! What goes wrong on the way: there is no backup then, the reason is told, and the next run is fine.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Ended, Place};
use crate::server::{PASSWORD, Server, bin_folder, stand_in};
use crate::{backups, configuration, place, source, source_with_programs};

/// A backup that fails, with `words`, and leaves nothing that counts.
fn fails(place: &Place, words: &[&str]) -> Ended {
    let before = backups(place);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains(PASSWORD), "{}", ended.stderr);
    assert_eq!(backups(place), before);
    ended
}

/// A database that takes a while to dump.
fn large(server: &Server) {
    server.sql("postgres", "CREATE DATABASE large");
    server.sql("large", "CREATE TABLE t AS SELECT n, md5(n::text) || repeat(md5((n + 1)::text), 20) AS a FROM generate_series(1, 300000) n");
}

#[test]
fn whoever_is_not_let_in_is_told_why() {
    let server = Server::start();
    let place = place("", &server);
    place.write("pg.key", "wrong");
    fails(
        &place,
        &[
            "password authentication failed for user \"postgres\"",
            "28P01",
        ],
    );
    place.write("pg.key", PASSWORD);
    place.configure(&configuration(r#"user = "nobody""#, "", &server));
    fails(&place, &["nobody"]);
    place.configure(&configuration(r#"database = "sales""#, "", &server));
    fails(&place, &["database \"sales\" does not exist"]);
    place.configure(&configuration(r#"tls = "require""#, "", &server));
    fails(&place, &["the server does not speak TLS"]);
    place.configure(&configuration("", "", &server));
    place.ok(&["backup"]);
}

#[test]
fn a_server_that_is_not_there_is_no_backup() {
    let mut server = Server::start();
    let place = place("", &server);
    server.stop();
    fails(&place, &[&format!("127.0.0.1:{}", server.port)]);
    server.restart();
    place.ok(&["backup"]);
}

#[test]
fn a_table_that_may_not_be_read_fails_the_backup_with_the_words_of_pg_dump() {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE TABLE secret (a int); CREATE ROLE backup LOGIN PASSWORD 'b'",
    );
    let place = place(r#"user = "backup""#, &server);
    place.write("pg.key", "b");
    fails(
        &place,
        &[
            "database postgres",
            "pg_dump",
            "permission denied for table secret",
        ],
    );
    server.sql("postgres", "GRANT SELECT ON secret TO backup");
    place.ok(&["backup"]);
}

#[test]
fn a_program_older_than_the_server_is_refused() {
    let server = Server::start();
    let place = place("", &server);
    let folder = place.path("old");
    for program in ["pg_dump", "pg_dumpall", "pg_restore"] {
        stand_in(&folder, program, "echo 'pg_dump (PostgreSQL) 9.6.24'");
    }
    let config = configuration("", "", &server);
    let old = source_with_programs("db", "", &server, &folder);
    place.configure(&config.replace(&source("db", "", &server), &old));
    let ended = fails(&place, &["pg_dump 9.6.24 is older than the server"]);
    assert!(
        ended
            .stderr
            .contains("install the client programs of PostgreSQL"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_dump_that_stops_half_way_is_no_backup_whatever_its_exit_looks_like() {
    let server = Server::start();
    let place = place("", &server);
    let folder = place.path("half");
    let real = bin_folder().display().to_string();
    stand_in(
        &folder,
        "pg_dumpall",
        &format!("exec {real}/pg_dumpall \"$@\""),
    );
    stand_in(&folder, "pg_restore", "exit 1");
    let config = configuration("", "", &server);
    let half = source_with_programs("db", "", &server, &folder);
    place.configure(&config.replace(&source("db", "", &server), &half));
    let is_version = format!("[ \"$1\" = --version ] && exec {real}/pg_dump --version");
    stand_in(
        &folder,
        "pg_dump",
        &format!(
            "{is_version}\n{real}/pg_dump \"$@\" | head -c 700\necho 'pg_dump: error: out of paper' >&2\nexit 3"
        ),
    );
    fails(
        &place,
        &["pg_dump: error: out of paper", "exited with code 3"],
    );
    stand_in(
        &folder,
        "pg_dump",
        &format!("{is_version}\n{real}/pg_dump \"$@\" | head -c 700\nkill -KILL $$"),
    );
    fails(
        &place,
        &["database postgres", "pg_dump was ended by signal 9"],
    );
    place.configure(&config);
    place.ok(&["backup"]);
}

#[test]
fn a_database_that_is_dropped_half_way_is_no_backup() {
    let server = Server::start();
    large(&server);
    server.sql("postgres", "CREATE DATABASE zebra");
    let place = place(r#"databases = ["large", "zebra"]"#, &server);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_dump(&server, "large");
            server.sql("postgres", "DROP DATABASE zebra");
        });
        fails(&place, &["database zebra", "does not exist"]);
    });
    place.configure(&configuration(r#"databases = ["large"]"#, "", &server));
    place.ok(&["backup"]);
}

#[test]
fn a_killed_server_program_or_engine_leaves_no_backup_and_the_next_run_is_fine() {
    let mut server = Server::start();
    large(&server);
    let place = place(r#"databases = ["large"]"#, &server);
    let mut failed = 0;
    for round in 0..9_u64 {
        let before = backups(&place);
        let mut engine = place
            .command(&["backup"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        wait_for_dump(&server, "large");
        sleep(Duration::from_millis(round / 3 * 40));
        match round % 3 {
            0 => server.kill(),
            1 => kill_children(engine.id()),
            _ => engine.kill().expect("it is ours"),
        }
        let ended = place.ended(engine.wait_with_output().expect("it ends"));
        if round % 3 == 0 {
            server.restart();
        }
        // Whatever was killed may just have come to its end: then there is a backup, and otherwise none. An engine that was killed cannot tell.
        failed += u32::from(ended.exit != 0);
        let made = backups(&place) - before;
        let is_told = ended.exit == -1 || made == usize::from(ended.exit == 0);
        assert!(is_told, "round {round}: {made} made: {}", ended.stderr);
    }
    assert!(failed >= 5, "only {failed} of 9 runs were hit");
    place.ok(&["backup"]);
    place.ok(&["check", "--read-data"]);
    place.ok(&[
        "restore",
        "latest",
        "--to",
        "db",
        "--option",
        "rename.large=copy",
    ]);
    let sum = "SELECT count(*), md5(string_agg(a, '' ORDER BY n)) FROM t";
    assert_eq!(server.sql("copy", sum), server.sql("large", sum));
}

fn wait_for_dump(server: &Server, database: &str) {
    let copying = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'COPY %'"
    );
    for _ in 0..600 {
        if server.sql("postgres", &copying) != "0" {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("pg_dump does not begin");
}

fn kill_children(parent: u32) {
    let mut command = Command::new("pkill");
    command.args(["-KILL", "-P", &parent.to_string()]);
    assert!(
        command.status().expect("pkill starts").success(),
        "there was no program to kill"
    );
}
