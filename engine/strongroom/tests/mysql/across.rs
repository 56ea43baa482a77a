//! Databases that have to do with each other: views, triggers, foreign keys and statements that reach from one into another.

use crate::common::Place;
use crate::common::mysql::{Family, Server};
use crate::logs::{check_full, moment};
use crate::{newest_kind, place};

fn two(family: &Family) -> (Server, Server, Place) {
    let (shop, other) = (family.start(), family.start());
    shop.sql(
        "CREATE DATABASE a; CREATE DATABASE b; CREATE TABLE a.t (id INT PRIMARY KEY, x INT) ENGINE=InnoDB; \
         CREATE TABLE b.t (id INT PRIMARY KEY, x INT) ENGINE=InnoDB; CREATE TABLE b.log (id INT) ENGINE=InnoDB",
    );
    let place = place(&shop, "", Some(&other));
    (shop, other, place)
}

fn restore(place: &Place, more: &[&str]) {
    let arguments = ["restore", "latest", "--to", "other", "--overwrite"];
    place.ok(&[&arguments[..], more].concat());
}

/// What was done on the one is on the other after an incremental backup and a restore of everything.
fn check_incremental(prepare: &str, sql: &str) {
    let (shop, other, place) = two(&Family::mariadb());
    shop.sql(prepare);
    place.ok(&["backup"]);
    shop.sql(sql);
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental", "{sql}");
    restore(&place, &[]);
    for database in ["a", "b"] {
        assert_eq!(other.content(database), shop.content(database), "{sql}");
    }
}

#[test]
fn views_and_routines_of_other_databases_come_back() {
    let (shop, other, place) = two(&Family::mariadb());
    shop.sql(
        "INSERT INTO b.t VALUES (1, 5); CREATE VIEW b.w AS SELECT id, x FROM b.t; CREATE FUNCTION b.f(i INT) RETURNS INT DETERMINISTIC RETURN i + 1; \
         CREATE VIEW a.v AS SELECT b.f(x) AS y FROM b.w; CREATE VIEW b.z AS SELECT y FROM a.v; CREATE VIEW a.last AS SELECT * FROM b.z",
    );
    place.ok(&["backup"]);
    restore(&place, &[]);
    assert_eq!(other.sql("SELECT y FROM a.last"), "6");
    for database in ["a", "b"] {
        assert_eq!(other.content(database), shop.content(database));
    }
    let rename = ["--option", "rename.b=b_2"];
    restore(&place, &rename);
    assert_eq!(other.sql("SELECT y FROM a.last"), "6");
}

#[test]
fn a_view_that_cannot_be_made_ends_a_restore_or_is_named() {
    let (shop, other, place) = two(&Family::mariadb());
    shop.sql("INSERT INTO a.t VALUES (1, 1); CREATE VIEW a.v AS SELECT * FROM b.t; CREATE VIEW a.w AS SELECT * FROM a.t");
    place.ok(&["backup"]);
    let arguments = ["restore", "latest", "--to", "other", "--path", "a.sql"];
    let ended = place.run(&arguments);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("views of a"), "{}", ended.stderr);
    let more = ["--overwrite", "--option", "go-on=true"];
    let ended = place.run(&[&arguments[..], &more].concat());
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("views of a"), "{}", ended.stderr);
    assert_eq!(other.sql("SELECT id FROM a.w"), "1");
}

#[test]
fn triggers_and_statements_on_several_databases_are_replayed_in_one_pass() {
    check_incremental(
        "CREATE TRIGGER a.tr AFTER INSERT ON a.t FOR EACH ROW INSERT INTO b.log VALUES (NEW.id); \
         CREATE TRIGGER b.tr AFTER INSERT ON b.t FOR EACH ROW INSERT INTO a.t VALUES (NEW.id + 100, 0)",
        "INSERT INTO a.t VALUES (1, 1), (2, 2); INSERT INTO b.t VALUES (1, 1), (2, 2); \
         UPDATE a.t JOIN b.t USING (id) SET a.t.x = 7, b.t.x = 8; INSERT INTO b.log SELECT id FROM a.t; \
         DELETE a.t, b.t FROM a.t JOIN b.t USING (id) WHERE id = 2",
    );
}

#[test]
fn what_is_made_after_something_in_another_database_is_replayed() {
    check_incremental(
        "DO 0",
        "CREATE TABLE b.like_a LIKE a.t; CREATE TABLE a.copy AS SELECT * FROM b.t; USE mysql; \
         CREATE TABLE a.child (id INT, FOREIGN KEY (id) REFERENCES b.t (id)) ENGINE=InnoDB; \
         USE a; CREATE VIEW v AS SELECT id FROM b.t; CREATE TABLE a.gone (id INT); CREATE TABLE b.gone (id INT); \
         DROP TABLE a.gone, b.gone; INSERT INTO b.t VALUES (1, 1); INSERT INTO a.child VALUES (1); \
         USE b; ALTER DATABASE CHARACTER SET latin1; ALTER DATABASE a CHARACTER SET ascii; \
         SET STATEMENT max_statement_time = 10 FOR CREATE TABLE a.set_for (id INT); SAVEPOINT x; \
         CREATE TEMPORARY TABLE tmp (id INT); INSERT INTO tmp VALUES (3); INSERT INTO b.log SELECT id FROM tmp; DROP TABLE tmp; \
         SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'; CREATE TABLE \"a\".\"modes\" (c TEXT DEFAULT ('\\')) COMMENT '\\'; \
         INSERT INTO a.modes VALUES ('\\'); SET NAMES latin1; CREATE TABLE a.latin (c INT COMMENT 'x')",
    );
}

/// The next backup is a full one which says why, and both databases come back.
fn check_is_full(prepare: &str, sql: &str, why: &str) {
    let (shop, other, place) = two(&Family::mariadb());
    shop.sql(prepare);
    place.ok(&["backup"]);
    shop.sql(sql);
    check_full(&place, why);
    restore(&place, &[]);
    for database in ["a", "b"] {
        assert_eq!(other.content(database), shop.content(database), "{sql}");
    }
    // It was the log before it.
    shop.sql("INSERT INTO b.log VALUES (5)");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
}

#[test]
fn databases_that_refer_to_each_other_are_replaced() {
    let (shop, other, place) = two(&Family::mariadb());
    shop.sql(
        "INSERT INTO b.t VALUES (1, 1); CREATE TABLE a.child (id INT, FOREIGN KEY (id) REFERENCES b.t (id)) ENGINE=InnoDB; \
         INSERT INTO a.child VALUES (1); INSERT INTO a.t VALUES (1, 1); \
         CREATE TABLE b.child (id INT, FOREIGN KEY (id) REFERENCES a.t (id)) ENGINE=InnoDB; INSERT INTO b.child VALUES (1)",
    );
    place.ok(&["backup"]);
    for more in [&[][..], &[], &["--path", "b.sql"]] {
        restore(&place, more);
    }
    for database in ["a", "b"] {
        assert_eq!(other.content(database), shop.content(database));
    }
}

#[test]
fn a_table_that_goes_from_one_database_to_another_makes_a_full_backup() {
    check_is_full(
        "INSERT INTO a.t VALUES (1, 1)",
        "USE a; RENAME TABLE t TO b.from_a",
        "RENAME TABLE t TO b.from_a",
    );
}

#[test]
fn a_partition_that_goes_from_one_database_to_another_makes_a_full_backup() {
    check_is_full(
        "CREATE TABLE a.p (id INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10)); \
         CREATE TABLE b.p (id INT); INSERT INTO b.p VALUES (3)",
        "ALTER TABLE a.p EXCHANGE PARTITION p0 WITH TABLE b.p",
        "EXCHANGE PARTITION",
    );
}

#[test]
fn transactions_in_two_steps_make_a_full_backup() {
    check_is_full(
        "DO 0",
        "XA START 'x'; INSERT INTO a.t VALUES (9, 9); XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x'; INSERT INTO b.t VALUES (1, 1)",
        "which databases it changes: XA END",
    );
}

#[test]
fn statements_in_a_log_of_rows_make_a_full_backup() {
    check_is_full(
        "CREATE TABLE a.m (id INT) ENGINE=MyISAM",
        "SET SESSION binlog_format = STATEMENT; USE a; INSERT INTO m VALUES (1)",
        "INSERT INTO m VALUES (1)",
    );
}

#[test]
fn what_is_taken_from_a_database_that_is_not_in_the_backup_makes_a_full_one() {
    let (shop, _, _) = two(&Family::mariadb());
    shop.sql("CREATE DATABASE outside; CREATE TABLE outside.o (id INT)");
    let place = place(&shop, ", exclude = [\"outside\"]", None);
    place.ok(&["backup"]);
    shop.sql("INSERT INTO outside.o VALUES (1); DROP TABLE IF EXISTS a.none, outside.o; CREATE TABLE outside.o (id INT)");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    for sql in [
        "RENAME TABLE outside.o TO a.o",
        "CREATE TABLE outside.o LIKE a.o; CREATE TABLE a.o2 LIKE outside.o",
        "USE outside; CREATE VIEW a.v AS SELECT * FROM o",
    ] {
        shop.sql(sql);
        check_full(&place, "at log.");
    }
}

#[test]
fn a_trigger_into_a_database_that_is_not_in_the_backup_leaves_that_part_out() {
    let (shop, other, _) = two(&Family::mariadb());
    shop.sql(
        "CREATE DATABASE zzz; CREATE TABLE zzz.log (id INT); \
         CREATE TRIGGER a.tr AFTER INSERT ON a.t FOR EACH ROW INSERT INTO zzz.log VALUES (NEW.id)",
    );
    let place = place(&shop, ", exclude = [\"zzz\"]", Some(&other));
    place.ok(&["backup"]);
    shop.sql("INSERT INTO a.t VALUES (1, 1), (2, 2); INSERT INTO b.t VALUES (1, 1)");
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    restore(&place, &[]);
    for database in ["a", "b"] {
        assert_eq!(other.content(database), shop.content(database));
    }
}

#[test]
fn one_database_alone_is_refused_where_the_log_needs_the_other() {
    let (shop, other, place) = two(&Family::mariadb());
    place.ok(&["backup"]);
    let before = moment(&shop);
    shop.sql("CREATE TABLE a.like_b LIKE b.t; INSERT INTO a.t VALUES (1, 1)");
    place.ok(&["backup"]);
    let arguments = ["restore", "latest", "--to", "other", "--path", "a.sql"];
    let refused = place.run(&arguments);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    let said = "takes something from b: CREATE TABLE a.like_b LIKE b.t";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
    assert_eq!(other.sql("SHOW DATABASES LIKE 'a'"), "");
    place.ok(&[&arguments[..], &["--until", &before]].concat());
    assert_eq!(other.sql("SELECT COUNT(*) FROM a.t"), "0");
    restore(&place, &[]);
    assert_eq!(other.content("a"), shop.content("a"));
}

#[test]
fn a_log_that_names_databases_is_replayed_under_other_names() {
    let (shop, other, place) = two(&Family::mariadb());
    place.ok(&["backup"]);
    shop.sql(
        "USE mysql; CREATE TABLE a.new (id INT PRIMARY KEY); INSERT INTO a.new VALUES (1); INSERT INTO b.t VALUES (1, 1); \
         CREATE TABLE b.new LIKE a.new; ALTER TABLE `a`.`new` ADD FOREIGN KEY (id) REFERENCES b.t (id); \
         ALTER TABLE a.new DROP FOREIGN KEY new_ibfk_1; \
         CREATE SEQUENCE a.s; CREATE TABLE a.draws (id INT DEFAULT NEXT VALUE FOR a.s); DROP DATABASE b; CREATE DATABASE b; USE b; CREATE TABLE x (i INT)",
    );
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    let rename = ["--option", "rename.a=a_2", "--option", "rename.b=b_2"];
    let ended = place.run(&[&["restore", "latest", "--to", "other"][..], &rename].concat());
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(other.sql("SELECT id FROM a_2.new"), "1");
    assert_eq!(other.sql("SHOW TABLES FROM b_2"), "x");
    assert_eq!(other.sql("SHOW DATABASES LIKE '_'"), "");

    shop.sql("CREATE VIEW a.v AS SELECT id FROM a.t");
    place.ok(&["backup"]);
    let arguments = ["restore", "latest", "--to", "other", "--overwrite"];
    let refused = place.run(&[&arguments[..], &rename].concat());
    assert_eq!(refused.exit, 1);
    let said = "a statement that names a: ";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
    // Nothing was begun.
    assert_eq!(other.sql("SELECT id FROM a_2.new"), "1");
}

#[test]
fn databases_that_were_made_since_are_no_hindrance_to_an_earlier_moment() {
    let (shop, other, place) = two(&Family::mariadb());
    place.ok(&["backup"]);
    shop.sql("INSERT INTO a.t VALUES (2, 2); CREATE DATABASE young; CREATE TABLE young.n (i INT); INSERT INTO young.n VALUES (1)");
    let then = moment(&shop);
    shop.sql("DROP TABLE a.t; INSERT INTO young.n VALUES (2); CREATE DATABASE younger");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    place.ok(&["backup"]);
    assert_eq!(newest_kind(&place), "incremental");
    restore(&place, &["--until", &then]);
    assert_eq!(other.sql("SELECT id FROM a.t"), "2");
    assert_eq!(other.sql("SELECT i FROM young.n"), "1");
    assert_eq!(other.sql("SHOW DATABASES LIKE 'younger'"), "");
    restore(&place, &["--until", &then, "--option", "rename.young=old"]);
    assert_eq!(other.sql("SELECT i FROM old.n"), "1");
    restore(&place, &[]);
    assert_eq!(other.sql("SELECT COUNT(*) FROM young.n"), "2");
}
