//! What goes wrong: no backup comes of it, and the message says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use crate::common::Place;
use crate::common::mysql::{Family, Server};
use crate::{DESTINATION, backups, fill, place};

/// A table that takes a dump some seconds.
fn fill_much(server: &Server, database: &str) {
    server.sql(&format!(
        "CREATE DATABASE {database}; CREATE TABLE {database}.much (id INT PRIMARY KEY AUTO_INCREMENT, t LONGTEXT) ENGINE=InnoDB; \
         INSERT INTO {database}.much (t) VALUES (REPEAT(MD5(1), 30000))"
    ));
    for _ in 0..7 {
        server.sql(&format!(
            "INSERT INTO {database}.much (t) SELECT REPEAT(MD5(RAND()), 30000) FROM {database}.much"
        ));
    }
}

/// The backup fails with this in its message, and is none.
fn check_fails(place: &Place, parts: &[&str]) {
    let before = backups(place);
    let ended = place.run(&["backup", "--full"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert_eq!(backups(place), before);
}

#[test]
fn a_wrong_password_or_no_server_is_told_and_the_password_is_not() {
    let mut shop = Family::mariadb().start();
    let place = place(&shop, "", None);
    place.write("mysql.password", "hunter2");
    check_fails(
        &place,
        &[
            "Access denied",
            "error 1045, SQLSTATE 28000",
            "hint: check `user`",
        ],
    );
    let ended = place.run(&["backup", "--verbose"]);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    shop.kill();
    check_fails(&place, &["connection refused"]);
}

#[test]
fn a_database_that_is_named_and_not_there_is_told() {
    let shop = Family::mariadb().start();
    let place = place(&shop, ", databases = [\"shop\"]", None);
    check_fails(&place, &["there is no database `shop`"]);
}

#[test]
fn the_other_family_is_refused_with_what_to_write() {
    let shop = Family::mariadb().start();
    let config = shop
        .source("shop", "")
        .replace("server = \"mariadb\"", "server = \"mysql\"");
    let config = config.replace("command = [", "command = [\"mysqldump\", ");
    let place = Place::new(&format!("{config}\n{DESTINATION}"));
    place.write("mysql.password", crate::common::mysql::PASSWORD);
    place.ok(&["init"]);
    check_fails(&place, &["is MariaDB 10", "set `server = \"mariadb\"`"]);
}

/// A dump program that does as the real one until something happens.
pub(crate) fn with_dump_program(shop: &Server, script: &str) -> Place {
    let real = shop.family.dump.display().to_string();
    let config = shop.source("shop", "").replace(&real, "$DIR/mariadb-dump");
    let place = Place::new(&format!("{config}\n{DESTINATION}"));
    place.write("mysql.password", crate::common::mysql::PASSWORD);
    let script =
        format!("#!/bin/sh\ncase \"$*\" in *--version*) exec {real} \"$@\";; esac\n{script}\n");
    place.write("mariadb-dump", script.replace("REAL", &real));
    let program = place.path("mariadb-dump");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("mode");
    place.ok(&["init"]);
    place
}

#[test]
fn a_dump_program_that_fails_at_its_last_byte_makes_no_backup() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    let after_all = "REAL \"$@\" || exit; echo 'it was all in vain' >&2; exit 3";
    let place = with_dump_program(&shop, after_all);
    check_fails(
        &place,
        &[
            "mariadb-dump exited with code 3: it was all in vain",
            "database shop",
        ],
    );
    let half = with_dump_program(&shop, "REAL \"$@\" | head -c 3000; kill -9 $$");
    check_fails(&half, &["mariadb-dump was ended by signal 9"]);
}

#[test]
fn a_server_that_dies_during_the_dump_makes_no_backup_and_the_next_one_is_fine() {
    let mut shop = Family::mariadb().start();
    fill_much(&shop, "shop");
    let place = place(&shop, "", None);
    let backup = place.command(&["backup"]).stderr(Stdio::piped()).spawn();
    std::thread::sleep(Duration::from_millis(1000));
    shop.kill();
    let ended = place.ended(backup.expect("starts").wait_with_output().expect("ends"));
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert_eq!(backups(&place), 0);
    shop.begin();
    place.ok(&["backup"]);
    assert_eq!(backups(&place), 1);
}

/// Dump programs of this server, by process number.
pub(crate) fn dumps(server: &Server) -> Vec<String> {
    let port = format!("--port={}", server.port);
    let processes = fs::read_dir("/proc").expect("there is /proc");
    let found = processes.flatten().filter_map(|process| {
        let line = fs::read_to_string(process.path().join("cmdline")).ok()?;
        let mut words = line.split('\0');
        let is_dump = words.next()?.ends_with("mariadb-dump") && words.any(|word| word == port);
        is_dump.then(|| process.file_name().to_string_lossy().into_owned())
    });
    found.collect()
}

#[test]
fn a_database_that_is_dropped_half_way_makes_no_backup() {
    let shop = Family::mariadb().start();
    fill_much(&shop, "a");
    fill(&shop, "zoo");
    let place = place(&shop, "", None);
    let mut backup = place.command(&["backup"]);
    let backup = backup.stderr(Stdio::piped()).spawn().expect("starts");
    while dumps(&shop).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    shop.sql("DROP DATABASE zoo");
    let ended = place.ended(backup.wait_with_output().expect("ends"));
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    let said = "Unknown database 'zoo'";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(backups(&place), 0);
}

#[test]
fn passwords_are_in_no_programs_arguments() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    let place = with_dump_program(&shop, "echo \"$@\" > $0.arguments\nexec REAL \"$@\"");
    place.ok(&["backup"]);
    let arguments = fs::read_to_string(place.path("mariadb-dump.arguments")).expect("written");
    assert!(arguments.contains("--user=backup"), "{arguments}");
    assert!(!arguments.contains("secret"), "{arguments}");
}

#[test]
fn a_restore_that_fails_says_what_the_client_said() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    fill(&shop, "shop");
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    other.sql("SET GLOBAL read_only = 1; REVOKE ALL ON *.* FROM backup@'%'; GRANT SELECT, CREATE ON *.* TO backup@'%'");
    let ended = place.run(&["restore", "latest", "--to", "other"]);
    assert_eq!(ended.exit, 1);
    assert!(
        ended.stderr.contains("ERROR") || ended.stderr.contains("the server says"),
        "{}",
        ended.stderr
    );
}

/// A server that resolves no names passes over accounts of named hosts, and says that it does not know them.
#[test]
fn an_account_that_the_server_passes_over_is_left_out_and_the_others_stay() {
    let mut shop = Family::mariadb().start_with(&["--skip-name-resolve"]);
    shop.sql(
        "CREATE USER clerk@'%' IDENTIFIED BY 'x'; CREATE USER clerk@'db.example.net' IDENTIFIED BY 'x'; FLUSH TABLES",
    );
    // It passes over them when it reads its table.
    shop.kill();
    shop.begin();
    let place = place(&shop, "", None);
    let ended = place.run(&["backup", "--verbose"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let warning = "account 'clerk'@'db.example.net' is left out";
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);
    let users = place.ok(&["cat", "latest", "users.sql", "--source", "shop"]);
    assert!(users.contains("'clerk'@'%'"), "{users}");
    assert!(!users.contains("db.example.net"), "{users}");
}
