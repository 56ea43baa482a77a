//! Backups that are continued by the binary log: what they hold, what they restore to, and when they start afresh.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::common::Place;
use crate::common::mysql::{Family, Server};
use crate::failures::with_dump_program;
use crate::rows::{in_shell, noted_dump};
use crate::{fill, newest_kind, place};

fn add(server: &Server, database: &str, word: &str) {
    server.sql(&format!(
        "INSERT INTO {database}.words (word) VALUES ('{word}')"
    ));
}

fn words(server: &Server, database: &str) -> String {
    let sql = format!("SELECT word FROM {database}.words ORDER BY id");
    server.sql(&sql).replace('\n', " ")
}

fn with_words(family: &Family, options: &[&str]) -> Server {
    let all: Vec<&str> = ["--log-bin=log", "--server-id=1"]
        .iter()
        .chain(options)
        .copied()
        .collect();
    let server = family.start_with(&all);
    for database in ["shop", "blog"] {
        server.sql(&format!(
            "CREATE DATABASE {database}; CREATE TABLE {database}.words (id INT AUTO_INCREMENT PRIMARY KEY, word TEXT) ENGINE=InnoDB"
        ));
        add(&server, database, "first");
    }
    server
}

/// The server's own clock, and a second in which nothing happens on both sides of it.
pub(crate) fn moment(server: &Server) -> String {
    std::thread::sleep(Duration::from_millis(2100));
    let moment = server.sql("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%H:%i:%sZ')");
    std::thread::sleep(Duration::from_millis(2100));
    moment
}

fn ids(place: &Place) -> Vec<String> {
    let list = place.json(&["list"]);
    let mut backups: Vec<(String, String)> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|backup| {
            let text = |key: &str| backup[key].as_str().expect("text").to_owned();
            (text("created"), text("id"))
        })
        .collect();
    backups.sort();
    backups.into_iter().map(|(_, id)| id).collect()
}

fn any_moment_of_a_series_comes_back(family: &Family) {
    let shop = with_words(family, &["--binlog-format=ROW"]);
    let other = family.start();
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "full");
    add(&shop, "shop", "second");
    add(&shop, "blog", "beside");
    shop.sql("USE shop; ALTER TABLE words ADD COLUMN more INT DEFAULT 5");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");

    add(&shop, "shop", "third");
    let before = moment(&shop);
    add(&shop, "shop", "mistake");
    shop.sql("FLUSH BINARY LOGS; DELETE FROM shop.words WHERE word = 'first'; FLUSH BINARY LOGS");
    let after = moment(&shop);
    shop.sql("DROP TABLE shop.words");
    fill(&shop, "late");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");

    let restore = |until: &str| {
        let mut arguments = vec!["restore", "latest", "--to", "other", "--overwrite"];
        if !until.is_empty() {
            arguments.extend(["--until", until]);
        }
        place.run(&arguments)
    };
    // A database that is younger than the moment is in nobody's way.
    let ended = restore(&before);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(words(&other, "shop"), "first second third");
    assert_eq!(other.sql("SHOW DATABASES LIKE 'late'"), "");
    let older = |until: &str, more: &[&str]| {
        let arguments = [
            "restore",
            "latest",
            "--to",
            "other",
            "--overwrite",
            "--until",
            until,
        ];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        place.ok(&arguments);
    };
    older(&before, &["--path", "shop.sql", "--path", "blog.sql"]);
    assert_eq!(words(&other, "shop"), "first second third");
    assert_eq!(words(&other, "blog"), "first beside");
    assert_eq!(other.sql("SELECT SUM(more) FROM shop.words"), "15");

    older(
        &after,
        &["--path", "shop.sql", "--option", "rename.shop=shop_2"],
    );
    assert_eq!(words(&other, "shop_2"), "second third mistake");
    assert_eq!(words(&other, "shop"), "first second third");

    assert_eq!(restore("").exit, 0);
    assert_eq!(other.sql("SHOW TABLES FROM shop"), "");
    assert_eq!(words(&other, "blog"), "first beside");
    assert_eq!(other.content("late"), shop.content("late"));
}

#[test]
fn any_moment_of_a_series_of_mariadb_comes_back() {
    any_moment_of_a_series_comes_back(&Family::mariadb());
}

#[test]
fn any_moment_of_a_series_of_a_newer_mariadb_comes_back() {
    if let Some(family) = Family::newer_mariadb("any moment of a newer MariaDB") {
        any_moment_of_a_series_comes_back(&family);
    }
}

#[test]
fn any_moment_of_a_series_of_mysql_comes_back() {
    if let Some(family) = Family::mysql("any moment of MySQL") {
        any_moment_of_a_series_comes_back(&family);
    }
}

#[test]
fn a_moment_before_the_dump_stood_is_none_of_its_series() {
    let shop = with_words(&Family::mariadb(), &["--binlog-format=ROW"]);
    let clock = in_shell(&shop, "SELECT UNIX_TIMESTAMP()");
    let late = format!("sleep 2; {clock} >$0.time\nexec REAL \"$@\"");
    let place = with_dump_program(&shop, &late);
    place.ok(&["backup"]);
    let time = fs::read_to_string(place.path("mariadb-dump.time")).expect("written");
    let before: u64 = time.trim().parse().expect("a time");
    let stood = noted_dump(&place)["stood"].as_u64().expect("a time");
    assert!(stood >= before, "{stood}, {before}");
}

fn a_dropped_database_comes_back_as_it_was_before(family: &Family) {
    let shop = with_words(family, &["--binlog-format=ROW"]);
    let other = family.start();
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    add(&shop, "shop", "second");
    let before = moment(&shop);
    shop.sql("DROP DATABASE shop");
    add(&shop, "blog", "second");
    let after = moment(&shop);
    place.ok(&["backup"]);
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    let restore = |more: &[&str]| {
        let arguments = ["restore", "latest", "--to", "other", "--overwrite"];
        place.run(&[&arguments[..], more].concat())
    };
    let there = || other.sql("SHOW DATABASES LIKE 'shop'");

    assert_eq!(restore(&[]).exit, 0);
    assert_eq!(
        (words(&other, "blog"), there()),
        ("first second".into(), "".into())
    );
    let refused = restore(&["--path", "shop.sql"]);
    assert_eq!(refused.exit, 1);
    let said = "by then these databases had been dropped: shop\nhint: give --until";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
    assert_eq!(restore(&["--until", &before]).exit, 0);
    assert_eq!(words(&other, "shop"), "first second");
    assert_eq!(words(&other, "blog"), "first");
    assert_eq!(restore(&["--until", &after]).exit, 0);
    assert_eq!(there(), "");

    shop.sql("CREATE DATABASE shop; CREATE TABLE shop.words (id INT PRIMARY KEY, word TEXT)");
    shop.sql("INSERT INTO shop.words VALUES (1, 'anew')");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    assert_eq!(restore(&[]).exit, 0);
    assert_eq!(words(&other, "shop"), "anew");
    assert_eq!(restore(&["--until", &before]).exit, 0);
    assert_eq!(words(&other, "shop"), "first second");
}

#[test]
fn a_database_of_mariadb_that_was_dropped_comes_back_as_it_was_before() {
    a_dropped_database_comes_back_as_it_was_before(&Family::mariadb());
}

#[test]
fn a_database_of_mysql_that_was_dropped_comes_back_as_it_was_before() {
    if let Some(family) = Family::mysql("a dropped database of MySQL") {
        a_dropped_database_comes_back_as_it_was_before(&family);
    }
}

#[test]
fn a_database_that_is_named_may_be_gone_up_to_the_next_full_backup() {
    let shop = with_words(&Family::mariadb(), &["--binlog-format=ROW"]);
    let place = place(&shop, ", databases = [\"shop\", \"blog\"]", None);
    place.ok(&["backup"]);
    shop.sql("DROP DATABASE shop");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    let ended = place.run(&["backup", "--full"]);
    let said = "there is no database `shop`";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn a_restore_over_the_server_itself_takes_it_back_in_time() {
    let family = Family::mariadb();
    let shop = with_words(&family, &["--binlog-format=ROW"]);
    let place = place(&shop, ", writable = true", None);
    place.ok(&["backup"]);
    add(&shop, "shop", "second");
    let before = moment(&shop);
    add(&shop, "shop", "mistake");
    place.ok(&["backup"]);
    place.ok(&[
        "restore",
        "latest",
        "--to",
        "shop",
        "--overwrite",
        "--until",
        &before,
    ]);
    assert_eq!(words(&shop, "shop"), "first second");
    // The log went on through all of that.
    add(&shop, "shop", "later");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    place.ok(&["restore", "latest", "--to", "shop", "--overwrite"]);
    assert_eq!(words(&shop, "shop"), "first second later");
}

fn a_replay_changes_no_other_database(family: &Family) {
    let shop = with_words(family, &["--binlog-format=ROW"]);
    let place = place(&shop, ", writable = true", None);
    place.ok(&["backup"]);
    shop.sql("USE blog; TRUNCATE TABLE shop.words");
    add(&shop, "shop", "again");
    shop.sql("USE blog; CREATE TABLE old (id INT PRIMARY KEY)");
    place.ok(&["backup"]);
    let restore = |more: &[&str]| {
        let to = ["restore", "latest", "--to", "shop", "--path", "blog.sql"];
        let ended = place.run(&[&to[..], more].concat());
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
        ended.stderr
    };
    restore(&["--option", "rename.blog=blog_2"]);
    restore(&["--overwrite"]);
    assert_eq!(words(&shop, "shop"), "again");
    assert_eq!(words(&shop, "blog_2"), "first");

    shop.sql("USE shop; ALTER TABLE blog.words ADD COLUMN more INT");
    shop.sql("INSERT INTO blog.words (word, more) VALUES ('second', 2)");
    shop.sql("USE blog; CREATE TABLE shop.old (i INT); DROP TABLE old, shop.old");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    shop.sql("CREATE TABLE shop.old (i INT)");
    restore(&["--overwrite"]);
    assert_eq!(words(&shop, "blog"), "first second");
    assert_eq!(shop.sql("SELECT SUM(more) FROM blog.words"), "2");
    let tables = |database: &str| shop.sql(&format!("SHOW TABLES FROM {database}"));
    assert_eq!(tables("shop"), "old\nwords");
    assert_eq!(tables("blog"), "words");
}

#[test]
fn a_replay_into_a_mariadb_changes_no_other_database() {
    a_replay_changes_no_other_database(&Family::mariadb());
}

#[test]
fn a_replay_into_a_mysql_changes_no_other_database() {
    if let Some(family) = Family::mysql("a replay into MySQL") {
        a_replay_changes_no_other_database(&family);
    }
}

#[test]
fn every_backup_of_a_series_restores_when_it_is_the_only_one_left() {
    let family = Family::mariadb();
    let shop = with_words(&family, &["--binlog-format=ROW"]);
    let other = family.start();
    let fresh = || {
        let place = place(&shop, "", Some(&other));
        let mut expected = Vec::new();
        for round in 0..3 {
            add(&shop, "shop", &format!("round{round}"));
            if round == 1 {
                shop.sql("FLUSH BINARY LOGS");
            }
            place.ok(&["backup"]);
            expected.push(words(&shop, "shop"));
        }
        (place, expected)
    };
    for kept in 0..3 {
        let (place, expected) = fresh();
        for (number, id) in ids(&place).iter().enumerate() {
            if number != kept {
                place.ok(&["forget", "--force", "--backup", id]);
            }
        }
        place.ok(&["prune"]);
        place.ok(&["check", "--read-data"]);
        place.ok(&["restore", "latest", "--to", "other", "--overwrite"]);
        assert_eq!(
            words(&other, "shop"),
            expected[kept],
            "of the backup {kept}"
        );
    }
}

fn stored_files_are_the_servers(family: &Family) {
    let shop = with_words(family, &["--binlog-format=ROW"]);
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    for round in 0..4 {
        // More than a packet of the protocol holds, and more than the plugin may.
        shop.sql("CREATE TABLE IF NOT EXISTS shop.big (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB");
        shop.sql(
            "INSERT INTO shop.big (b) VALUES (REPEAT('x', 12000000)), (REPEAT('y', 12000000))",
        );
        add(&shop, "shop", &format!("round{round}"));
        shop.sql("FLUSH BINARY LOGS");
        if round % 2 == 1 {
            place.ok(&["backup"]);
            assert_eq!(newest_kind(&place), "incremental");
        }
    }
    place.ok(&["restore", "latest", "--target", "out"]);
    let logs = place.path("out/shop/binlog");
    let mut names: Vec<_> = fs::read_dir(&logs)
        .expect("the log is stored")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    for name in &names {
        let name = name.to_str().expect("UTF-8");
        let mut stored = fs::read(logs.join(name)).expect("readable");
        let mut own = fs::read(shop.data(name)).expect("readable");
        own.truncate(stored.len());
        // The mark of a file that is in use.
        stored[21] &= !1;
        own[21] &= !1;
        assert!(stored == own, "{name} differs");
        let output = Command::new(&family.log)
            .args(["--no-defaults", "--verify-binlog-checksum"])
            .arg(logs.join(name))
            .output()
            .expect("starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_stored_log_is_the_servers_byte_for_byte_and_mariadb_binlog_reads_it() {
    stored_files_are_the_servers(&Family::mariadb());
}

#[test]
fn the_stored_log_of_a_newer_mariadb_is_the_servers_byte_for_byte() {
    if let Some(family) = Family::newer_mariadb("the stored log of a newer MariaDB") {
        stored_files_are_the_servers(&family);
    }
}

#[test]
fn the_stored_log_is_the_servers_byte_for_byte_and_mysqlbinlog_reads_it() {
    if let Some(family) = Family::mysql("the stored log of MySQL") {
        stored_files_are_the_servers(&family);
    }
}

pub(crate) fn check_full(place: &Place, why: &str) {
    place.ok(&["backup"]);
    assert_eq!(newest_kind(place), "full");
    let shown = place.ok(&["show", "latest"]);
    assert!(shown.contains(why), "{why}: {shown}");
}

#[test]
fn a_log_that_cannot_continue_a_backup_makes_a_full_one_which_says_why() {
    let shop = with_words(&Family::mariadb(), &["--binlog-format=ROW"]);
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    shop.sql("FLUSH BINARY LOGS");
    add(&shop, "shop", "second");
    shop.sql("PURGE BINARY LOGS TO 'log.000002'");
    check_full(&place, "no longer has the log file log.000001");
    add(&shop, "shop", "third");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    shop.sql("RESET MASTER; FLUSH BINARY LOGS");
    check_full(&place, "has begun a new log");
}

#[test]
fn a_log_of_statements_or_none_makes_full_backups() {
    let family = Family::mariadb();
    for (options, why) in [
        (&["--binlog-format=MIXED"][..], "format is MIXED"),
        (&["--skip-log-bin"], "keeps no binary log"),
    ] {
        let shop = with_words(&family, options);
        let place = place(&shop, "", None);
        place.ok(&["backup"]);
        check_full(&place, why);
    }
}

#[test]
fn a_log_that_leaves_changes_out_makes_full_backups() {
    let family = Family::mariadb();
    let filtered = "the server's log leaves out databases";
    let replicated = "the server does not log what it replicates";
    for (option, prepare, why) in [
        ("--binlog-do-db=shop", "DO 0", filtered),
        ("--binlog-ignore-db=blog", "DO 0", filtered),
        // Neither of these two replicates at the moment.
        (
            "--skip-log-slave-updates",
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_USER = 'x', MASTER_USE_GTID = no",
            replicated,
        ),
        (
            "--skip-log-slave-updates",
            "SET GLOBAL gtid_slave_pos = '7-9-1'",
            replicated,
        ),
    ] {
        let shop = with_words(&family, &["--binlog-format=ROW", option]);
        shop.sql(prepare);
        let place = place(&shop, "", None);
        place.ok(&["backup"]);
        check_full(&place, why);
    }
}

#[test]
fn checksums_that_are_off_are_no_hindrance() {
    let family = Family::mariadb();
    let shop = with_words(&family, &["--binlog-format=ROW", "--binlog-checksum=NONE"]);
    let other = family.start();
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    add(&shop, "shop", "second");
    shop.sql("SET GLOBAL binlog_checksum = CRC32");
    add(&shop, "shop", "third");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(words(&other, "shop"), "first second third");
}
