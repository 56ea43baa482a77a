//! Settings of the whole server that a restore needs otherwise: they are changed for it, and put back at its end.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::Place;
use crate::common::mysql::{Family, Server};
use crate::place;

const SMALL: &str = "--max-allowed-packet=16M";

fn settings(server: &Server) -> String {
    server.sql("SELECT @@global.max_allowed_packet, @@global.event_scheduler")
}

fn with_log(family: &Family, more: &[&str]) -> Server {
    let log = ["--log-bin=log", "--binlog-format=ROW", "--server-id=1"];
    family.start_with(&[&log[..], more].concat())
}

fn large_rows_come_back(family: &Family) {
    let shop = with_log(family, &[SMALL]);
    let other = with_log(family, &[SMALL, "--event-scheduler=ON"]);
    let before = settings(&other);
    assert_eq!(before, "16777216\tON");
    let add = "INSERT INTO shop.big (b) VALUES (REPEAT('x', 9000000))";
    shop.sql(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.big (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB; {add}"
    ));
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    shop.sql(add);
    shop.sql("UPDATE shop.big SET b = REPEAT('y', 9000000) WHERE id = 1");
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--to", "other"]);
    let content = |server: &Server| server.sql("SELECT id, SHA2(b, 256) FROM shop.big ORDER BY id");
    assert_eq!(content(&other), content(&shop));
    assert_eq!(settings(&other), before);
}

#[test]
fn rows_of_more_than_half_a_packet_come_back_to_mariadb() {
    large_rows_come_back(&Family::mariadb());
}

#[test]
fn rows_of_more_than_half_a_packet_come_back_to_mysql() {
    if let Some(family) = Family::mysql("large rows of MySQL") {
        large_rows_come_back(&family);
    }
}

/// A database with an event that empties its table as soon as it runs, and changes that need its rows.
fn with_event(family: &Family) -> Server {
    let shop = with_log(family, &["--event-scheduler=OFF"]);
    shop.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.words (id INT PRIMARY KEY, word TEXT) ENGINE=InnoDB; \
         INSERT INTO shop.words VALUES (1, 'first'); USE shop; \
         CREATE EVENT sweep ON SCHEDULE EVERY 1 SECOND DO DELETE FROM words",
    );
    shop
}

fn events_stand_still_during_a_replay(family: &Family) {
    let shop = with_event(family);
    let other = with_log(family, &["--event-scheduler=ON"]);
    let before = settings(&other);
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    shop.sql("UPDATE shop.words SET word = 'second'");
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(settings(&other), before);

    // It ends in the midst of the replay.
    shop.sql("SET sql_log_bin = 0; INSERT INTO shop.words VALUES (2, 'unlogged'); SET sql_log_bin = 1; DELETE FROM shop.words WHERE id = 2");
    place.ok(&["backup"]);
    let rename = "rename.shop=shop_2";
    let ended = place.run(&["restore", "latest", "--to", "other", "--option", rename]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert_eq!(settings(&other), before);
}

#[test]
fn events_of_mariadb_stand_still_during_a_replay() {
    events_stand_still_during_a_replay(&Family::mariadb());
}

#[test]
fn events_of_mysql_stand_still_during_a_replay() {
    if let Some(family) = Family::mysql("events of MySQL") {
        events_stand_still_during_a_replay(&family);
    }
}

#[test]
fn what_the_user_may_not_set_is_told() {
    let family = Family::mariadb();
    let shop = with_event(&family);
    let other = with_log(&family, &[SMALL, "--event-scheduler=ON"]);
    other.sql("REVOKE SUPER ON *.* FROM backup@'%'");
    let place = place(&shop, ", users = false", Some(&other));
    shop.sql("DROP EVENT shop.sweep");
    place.ok(&["backup"]);
    shop.sql("UPDATE shop.words SET word = 'second'");
    place.ok(&["backup"]);
    let ended = place.run(&["restore", "latest", "--to", "other", "--verbose"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    for statement in [
        "SET GLOBAL max_allowed_packet = 1073741824",
        "SET GLOBAL event_scheduler = OFF",
    ] {
        assert!(ended.stderr.contains(statement), "{}", ended.stderr);
    }
}

/// A database whose restore takes seconds, a small one, and a server with settings of its own.
fn much() -> (Server, Server, Place) {
    let family = Family::mariadb();
    let shop = with_event(&family);
    let other = with_log(&family, &[SMALL, "--event-scheduler=ON"]);
    shop.sql(
        "DROP EVENT shop.sweep; CREATE TABLE shop.much (t LONGTEXT) ENGINE=InnoDB; \
         CREATE DATABASE blog; CREATE TABLE blog.words (id INT PRIMARY KEY) ENGINE=InnoDB",
    );
    for _ in 0..150 {
        shop.sql("INSERT INTO shop.much VALUES (REPEAT(MD5(RAND()), 30000))");
    }
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    shop.sql("UPDATE shop.words SET word = 'second'; INSERT INTO blog.words VALUES (1)");
    place.ok(&["backup"]);
    (shop, other, place)
}

/// A restore that has changed settings.
fn begun(other: &Server, place: &Place, arguments: &[&str]) -> Child {
    let before = settings(other);
    let mut restore = place
        .command(&[&["restore", "latest", "--to", "other"][..], arguments].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    while settings(other) == before {
        assert!(restore.try_wait().expect("asked").is_none(), "it was done");
        std::thread::sleep(Duration::from_millis(5));
    }
    restore
}

fn note(other: &Server) -> String {
    other.sql("SHOW TABLES FROM mysql LIKE 'strongroom%'")
}

#[test]
fn a_restore_that_is_cancelled_puts_settings_back() {
    let (_shop, other, place) = much();
    let before = settings(&other);
    let mut restore = begun(&other, &place, &[]);
    let id = restore.id().to_string();
    let status = Command::new("kill").args(["-INT", &id]).status();
    assert!(status.expect("kill starts").success());
    assert!(!restore.wait().expect("ended").success());
    assert_eq!((settings(&other), note(&other)), (before, String::new()));
}

#[test]
fn settings_of_a_restore_that_was_killed_are_put_back_by_the_next_one() {
    let (_shop, other, place) = much();
    let before = settings(&other);
    let mut restore = begun(&other, &place, &[]);
    restore.kill().expect("killed");
    restore.wait().expect("ended");
    assert_ne!(settings(&other), before);
    assert_eq!(note(&other), "strongroom_restore");
    place.ok(&["restore", "latest", "--to", "other", "--overwrite"]);
    assert_eq!((settings(&other), note(&other)), (before, String::new()));

    // What somebody has set since stays.
    let mut restore = begun(&other, &place, &["--overwrite"]);
    restore.kill().expect("killed");
    restore.wait().expect("ended");
    other.sql("SET GLOBAL max_allowed_packet = 33554432");
    place.ok(&["restore", "latest", "--to", "other", "--overwrite"]);
    assert_eq!(settings(&other), "33554432\tON");
}

#[test]
fn of_two_restores_at_once_the_last_one_puts_settings_back() {
    let (_shop, other, place) = much();
    let before = settings(&other);
    let mut first = begun(&other, &place, &["--path", "shop.sql"]);
    let during = settings(&other);
    place.ok(&["restore", "latest", "--to", "other", "--path", "blog.sql"]);
    assert!(first.try_wait().expect("asked").is_none(), "it was done");
    assert_eq!(settings(&other), during);
    assert!(first.wait().expect("ended").success());
    assert_eq!((settings(&other), note(&other)), (before, String::new()));
}
