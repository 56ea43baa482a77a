//! What comes back: every type, accounts, other names, and files that the stock programs read.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::mysql::{Family, Server};
use crate::{fill, place};

/// Two tables that change together, ever faster than a dump can read them one after the other.
const TOGETHER: &str = "CREATE DATABASE bank; \
    CREATE TABLE bank.a (id INT PRIMARY KEY, amount BIGINT, filler TEXT) ENGINE=InnoDB; \
    CREATE TABLE bank.b (id INT PRIMARY KEY, amount BIGINT, filler TEXT) ENGINE=InnoDB; \
    INSERT INTO bank.a SELECT seq, 100, REPEAT('x', 500) FROM (SELECT @n := @n + 1 AS seq FROM \
      information_schema.COLLATION_CHARACTER_SET_APPLICABILITY p, information_schema.COLLATION_CHARACTER_SET_APPLICABILITY q, \
      (SELECT @n := 0) n LIMIT 20000) s; \
    INSERT INTO bank.b SELECT * FROM bank.a";

fn everything_comes_back(family: &Family) {
    let shop = family.start();
    let other = family.start();
    fill(&shop, "shop");
    fill(&shop, "users");
    shop.sql(TOGETHER);
    let place = place(&shop, "", Some(&other));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                shop.sql(
                    "START TRANSACTION; UPDATE bank.b SET amount = amount + 1 WHERE id % 100 = 7; \
                     UPDATE bank.a SET amount = amount - 1 WHERE id % 100 = 7; COMMIT",
                );
            }
        });
        place.ok(&["backup", "--note", "while it changes"]);
        is_done.store(true, Ordering::Relaxed);
    });
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(other.content("shop"), shop.content("shop"));
    assert_eq!(other.content("users"), shop.content("users"));
    let sum = |table: &str| other.sql(&format!("SELECT SUM(amount), COUNT(*) FROM bank.{table}"));
    let (a, b) = (sum("a"), sum("b"));
    let parse = |text: &str| -> Vec<i64> {
        text.split('\t')
            .map(|part| part.parse().expect("a number"))
            .collect()
    };
    let (a, b) = (parse(&a), parse(&b));
    assert_eq!((a[1], b[1]), (20000, 20000));
    assert_eq!(a[0] + b[0], 2 * 20000 * 100, "the dump is of one moment");
    let hex =
        "SELECT HEX(a_varchar), HEX(a_blob), a_decimal, a_date, a_json FROM shop.types ORDER BY id";
    assert_eq!(other.sql(hex), shop.sql(hex));
    assert_eq!(other.sql("SELECT COUNT(*) FROM shop.seen"), "1");
    assert_eq!(other.sql("SELECT shop.twice(21)"), "42");
}

#[test]
fn a_mariadb_of_every_type_comes_back_as_it_was_at_one_moment() {
    everything_comes_back(&Family::mariadb());
}

#[test]
fn a_newer_mariadb_of_every_type_comes_back_as_it_was_at_one_moment() {
    if let Some(family) = Family::newer_mariadb("a newer MariaDB of every type") {
        everything_comes_back(&family);
    }
}

#[test]
fn a_mysql_of_every_type_comes_back_as_it_was_at_one_moment() {
    if let Some(family) = Family::mysql("a MySQL of every type") {
        everything_comes_back(&family);
    }
}

#[test]
fn the_stock_client_reads_what_a_restore_into_a_directory_writes() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    shop.sql("CREATE DATABASE `a/b`; CREATE TABLE `a/b`.t (id INT PRIMARY KEY) ENGINE=InnoDB");
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--target", "out"]);
    assert!(place.path("out/shop/a%2Fb.sql").exists());
    shop.sql("CREATE DATABASE again");
    shop.run_file("again", &place.path("out/shop/shop.sql"));
    assert_eq!(shop.content("again"), shop.content("shop"));
}

#[test]
fn databases_are_chosen_by_pattern_and_the_servers_own_are_left_out() {
    let shop = Family::mariadb().start();
    shop.sql("CREATE DATABASE shop; CREATE DATABASE shop_test; CREATE DATABASE blog");
    let place = place(
        &shop,
        ", databases = [\"shop*\", \"!*_test\"], users = false",
        None,
    );
    place.ok(&["backup"]);
    let files = place.ok(&["ls", "latest"]);
    assert!(files.contains("shop.sql"), "{files}");
    for absent in ["blog", "shop_test", "mysql.sql", "sys.sql", "users.sql"] {
        assert!(!files.contains(absent), "{files}");
    }
}

/// `prepare` is for both servers, `special` for the one that is backed up.
fn accounts_come_back(family: &Family, prepare: &str, special: &str) {
    let shop = family.start();
    let other = family.start();
    for server in [&shop, &other] {
        server.sql(prepare);
    }
    shop.sql(&format!(
        "CREATE DATABASE shop; CREATE ROLE seller; GRANT SELECT ON shop.* TO seller; \
         CREATE USER 'clerk one'@'%' IDENTIFIED BY 'clerk''s'; GRANT seller TO 'clerk one'@'%'; \
         GRANT INSERT ON shop.* TO 'clerk one'@'%'; {special}"
    ));
    other.sql("CREATE USER old@'%' IDENTIFIED BY 'kept'; GRANT USAGE ON *.* TO old@'%'");
    shop.sql("CREATE USER old@'%' IDENTIFIED BY 'another'; GRANT ALL ON *.* TO old@'%'");
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--to", "other"]);
    let grants = |server: &Server, account: &str| server.sql(&format!("SHOW GRANTS FOR {account}"));
    for account in ["'clerk one'@'%'", "seller", "keyed@'%'"] {
        assert_eq!(grants(&other, account), grants(&shop, account), "{account}");
    }
    for account in ["'clerk one'@'%'", "keyed@'%'"] {
        let create = format!("SHOW CREATE USER {account}");
        assert_eq!(other.sql(&create), shop.sql(&create));
    }
    // Who was there is left as they were.
    assert!(!grants(&other, "old@'%'").contains("ALL PRIVILEGES"));
}

#[test]
fn accounts_and_roles_of_mariadb_come_back_and_those_that_exist_are_left_alone() {
    accounts_come_back(
        &Family::mariadb(),
        "INSTALL SONAME 'auth_ed25519'",
        "CREATE USER keyed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('k'); GRANT SELECT ON *.* TO keyed@'%'; \
         SET DEFAULT ROLE seller FOR 'clerk one'@'%'",
    );
}

#[test]
fn accounts_and_roles_of_mysql_come_back_and_those_that_exist_are_left_alone() {
    if let Some(family) = Family::mysql("accounts of MySQL") {
        let special = "CREATE USER keyed@'%' IDENTIFIED BY 'k'; ALTER USER 'clerk one'@'%' DEFAULT ROLE seller";
        accounts_come_back(&family, "SELECT 1", special);
    }
}

#[test]
fn a_database_that_exists_is_not_touched_unless_that_is_asked_for() {
    let family = Family::mariadb();
    let (shop, other) = (family.start(), family.start());
    fill(&shop, "shop");
    let place = place(&shop, "", Some(&other));
    place.ok(&["backup"]);
    other.sql("CREATE DATABASE shop; CREATE TABLE shop.mine (id INT)");

    let refused = place.run(&["restore", "latest", "--to", "other"]);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("database shop exists, and is not empty"),
        "{}",
        refused.stderr
    );
    assert_eq!(other.sql("SHOW TABLES FROM shop"), "mine");

    place.ok(&["restore", "latest", "--to", "other", "--keep-existing"]);
    assert_eq!(other.sql("SHOW TABLES FROM shop"), "mine");

    place.ok(&[
        "restore",
        "latest",
        "--to",
        "other",
        "--option",
        "rename.shop=shop_2",
    ]);
    assert_eq!(other.content("shop_2"), shop.content("shop"));
    assert_eq!(other.sql("SHOW TABLES FROM shop"), "mine");

    place.ok(&["restore", "latest", "--to", "other", "--overwrite"]);
    assert_eq!(other.content("shop"), shop.content("shop"));
}

fn a_dump_under_another_name_leaves_the_old_one_alone(family: &Family) {
    let shop = family.start();
    shop.sql(
        "CREATE DATABASE shop CHARACTER SET latin1; USE shop; CREATE TABLE orders (id INT PRIMARY KEY); \
         CREATE PROCEDURE p() SELECT 1; CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET NEW.id = 1; \
         ALTER DATABASE shop CHARACTER SET utf8mb4",
    );
    let more = ", writable = true, databases = [\"shop\"]";
    let place = place(&shop, more, None);
    place.ok(&["backup"]);
    shop.sql("ALTER DATABASE shop CHARACTER SET ascii");
    let rename = |new: &str| {
        let option = format!("rename.shop={new}");
        place.run(&["restore", "latest", "--to", "shop", "--option", &option])
    };
    let ended = rename("shop_2");
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let set = |name: &str| {
        shop.sql(&format!("SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'"))
    };
    assert_eq!([set("shop"), set("shop_2")], ["ascii", "utf8mb4"]);

    shop.sql("CREATE TRIGGER shop.named BEFORE DELETE ON shop.orders FOR EACH ROW DO 0");
    place.ok(&["backup", "--full"]);
    shop.sql("DROP TRIGGER shop.named");
    // Not every server keeps the name in the trigger.
    let ended = rename("shop_3");
    let said = "a trigger that was made with the name shop";
    assert!(
        ended.exit == 0 || ended.stderr.contains(said),
        "{}",
        ended.stderr
    );
    assert!(!shop.sql("SHOW TRIGGERS FROM shop").contains("named"));
}

#[test]
fn a_dump_of_mariadb_under_another_name_leaves_the_old_one_alone() {
    a_dump_under_another_name_leaves_the_old_one_alone(&Family::mariadb());
}

#[test]
fn a_dump_of_mysql_under_another_name_leaves_the_old_one_alone() {
    if let Some(family) = Family::mysql("a dump of MySQL under another name") {
        a_dump_under_another_name_leaves_the_old_one_alone(&family);
    }
}

#[test]
fn a_server_that_is_configured_for_reading_is_not_written_to() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    let place = place(&shop, "", None);
    place.ok(&["backup"]);
    let refused = place.run(&["restore", "latest", "--to", "shop", "--overwrite"]);
    assert_eq!(refused.exit, 1);
    assert!(
        refused.stderr.contains("writable = true"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_check_tells_what_the_server_is_and_what_a_backup_would_hold() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    shop.sql("CREATE TABLE shop.plain (id INT) ENGINE=MyISAM");
    let place = place(&shop, "", None);
    let shown = place.ok(&["source", "check", "shop"]);
    for part in [
        "MariaDB 10",
        "database shop",
        "ROW",
        "log.0",
        "shop.plain (MyISAM)",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn what_the_user_may_not_see_is_told() {
    let shop = Family::mariadb().start();
    fill(&shop, "shop");
    fill(&shop, "blog");
    shop.sql(
        "REVOKE ALL, GRANT OPTION FROM backup@'%'; GRANT SHOW VIEW, LOCK TABLES, EVENT ON *.* TO backup@'%'; \
         GRANT SELECT ON shop.* TO backup@'%'; GRANT SELECT, TRIGGER ON blog.* TO backup@'%'",
    );
    let place = place(&shop, ", users = false", None);
    let triggers = "triggers of shop, if there are any (the user lacks the privilege TRIGGER)";
    let routines = "routines of blog, shop, if there are any (the user lacks the privilege SELECT on mysql.proc)";
    let shown = place.ok(&["source", "check", "shop"]);
    let ended = place.run(&["backup", "--verbose"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    for text in [&shown, &ended.stderr] {
        assert!(text.contains(triggers), "{text}");
        assert!(text.contains(routines), "{text}");
    }
    shop.sql("GRANT TRIGGER ON shop.* TO backup@'%'; GRANT SELECT ON mysql.proc TO backup@'%'");
    let shown = place.ok(&["source", "check", "shop"]);
    assert!(!shown.contains("not in the backup"), "{shown}");
    let ended = place.run(&["backup", "--full", "--verbose"]);
    assert!(
        !ended.stderr.contains("not in the backup"),
        "{}",
        ended.stderr
    );
    let dump = place.ok(&["cat", "latest", "shop.sql", "--source", "shop"]);
    assert!(
        dump.contains("TRIGGER") && dump.contains("PROCEDURE"),
        "{dump}"
    );
}

#[test]
fn routines_of_mysql_that_the_user_may_not_see_are_told() {
    let Some(family) = Family::mysql("rights of MySQL") else {
        return;
    };
    let shop = family.start();
    fill(&shop, "shop");
    let rights = |more: &str| {
        shop.sql(&format!(
            "REVOKE ALL, GRANT OPTION FROM backup@'%'; GRANT SHOW VIEW, LOCK TABLES, EVENT, TRIGGER ON *.* TO backup@'%'; \
             GRANT SELECT ON shop.* TO backup@'%'; {more}"
        ));
    };
    let place = place(&shop, ", users = false", None);
    rights("DO 0");
    let shown = place.ok(&["source", "check", "shop"]);
    let routines = "routines of shop, if there are any (the user lacks the privilege SHOW_ROUTINE)";
    assert!(shown.contains(routines), "{shown}");
    rights("GRANT SHOW_ROUTINE ON *.* TO backup@'%'");
    place.ok(&["backup"]);
    let shown = place.ok(&["source", "check", "shop"]);
    assert!(!shown.contains("not in the backup"), "{shown}");
    let dump = place.ok(&["cat", "latest", "shop.sql", "--source", "shop"]);
    assert!(
        dump.contains("TRIGGER") && dump.contains("PROCEDURE"),
        "{dump}"
    );
}
