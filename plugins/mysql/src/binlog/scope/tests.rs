use super::super::statement::tests::{event_with, statement_event};
use super::*;

fn part(database: &str, name: &str, from: u64) -> Part {
    Part {
        database: database.into(),
        name: name.into(),
        from: Position::new("log.1", from),
    }
}

/// `shop` and `blog` are wanted, the latter from a later place on; `other` is not.
fn scope(shop: &str, folds: Option<bool>) -> Scope {
    let parts = [part("shop", shop, 100), part("blog", "blog", 200)];
    Scope::new(parts, ["other".to_owned()], folds)
}

/// The event's database and text, `skip`, or `no:` and why not.
fn shown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Keep { event, crosses } => {
            let found = Statement::parse(&event, Checksum::Crc32).expect("a statement");
            let mark = if crosses { "crosses " } else { "" };
            format!("{mark}{}: {}", found.database, found.sql)
        }
        Verdict::Skip => "skip".into(),
        Verdict::Impossible(why) => {
            let why = why.split(": ").next().unwrap_or_default();
            format!("no: {why}")
        }
    }
}

fn judged(scope: &Scope, current: &str, sql: &str, at: u64) -> String {
    let event = statement_event(current, sql, 1, true);
    shown(scope.judge(
        &event,
        Checksum::Crc32,
        &Position::new("log.1", at),
        Family::Mysql,
    ))
}

#[track_caller]
fn check(current: &str, sql: &str, expected: &str, renamed: &str) {
    let as_it_was = judged(&scope("shop", Some(false)), current, sql, 300);
    assert_eq!(as_it_was, expected.replace('=', sql), "{sql}");
    let renamed = renamed.replace('=', sql);
    let found = judged(&scope("s2", Some(false)), current, sql, 300);
    assert_eq!(found, renamed, "{sql} renamed");
}

#[test]
fn a_statement_is_of_the_databases_that_it_changes() {
    check("shop", "TRUNCATE TABLE words", "shop: =", "s2: =");
    check(
        "shop",
        "TRUNCATE TABLE shop.words",
        "shop: =",
        "s2: TRUNCATE TABLE `s2`.words",
    );
    check(
        "",
        "TRUNCATE TABLE `shop` . w",
        "shop: =",
        "s2: TRUNCATE TABLE `s2` . w",
    );
    check(
        "mysql",
        "CREATE TABLE shop.w (a INT)",
        "shop: =",
        "s2: CREATE TABLE `s2`.w (a INT)",
    );
    check(
        "blog",
        "ALTER TABLE shop.w ADD a INT",
        "blog: =",
        "blog: ALTER TABLE `s2`.w ADD a INT",
    );
    check("shop", "TRUNCATE TABLE other.words", "skip", "skip");
    check("other", "TRUNCATE TABLE words", "skip", "skip");
    check("", "TRUNCATE TABLE workshop.words", "skip", "skip");
    check("other", "CREATE TABLE w LIKE shop.words", "skip", "skip");
    check("shop", "DROP DATABASE shop", ": =", ": DROP DATABASE `s2`");
    check(
        "shop",
        "ALTER DATABASE CHARACTER SET latin1",
        "shop: ALTER DATABASE `shop` CHARACTER SET latin1",
        "s2: ALTER DATABASE `s2` CHARACTER SET latin1",
    );
    check("shop", "GRANT ALL ON shop.* TO a", "skip", "skip");
    check("other", "BEGIN", ": =", ": =");
}

#[test]
fn a_statement_on_several_databases_is_replayed_if_all_of_them_are_wanted() {
    check(
        "shop",
        "RENAME TABLE a TO blog.a",
        "crosses shop: =",
        "crosses s2: =",
    );
    check(
        "shop",
        "DROP TABLE a, blog.b, shop.c",
        "shop: =",
        "s2: DROP TABLE a, blog.b, `s2`.c",
    );
    check(
        "shop",
        "DROP TABLE IF EXISTS a, other.b,`shop`.c /* x */",
        "shop: DROP TABLE IF EXISTS `shop`.a, `shop`.c",
        "s2: DROP TABLE IF EXISTS `s2`.a, `s2`.c",
    );
    let no = "no: a statement that changes other too";
    check("shop", "RENAME TABLE a TO other.a", no, no);
    check(
        "shop",
        "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE other.b",
        no,
        no,
    );
}

#[test]
fn a_statement_takes_nothing_from_a_database_that_may_be_missing() {
    let no = "no: a statement that takes something from other";
    check("shop", "CREATE TABLE w LIKE other.words", no, no);
    check("other", "CREATE TABLE shop.w LIKE words", no, no);
    check("shop", "CREATE VIEW v AS SELECT * FROM other.w", no, no);
    check("other", "CREATE VIEW shop.v AS SELECT * FROM w", no, no);
    check(
        "shop",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES other.c (d)",
        no,
        no,
    );
    check("shop", "CREATE TABLE w LIKE blog.words", "shop: =", "s2: =");
    check(
        "shop",
        "CREATE VIEW v AS SELECT * FROM blog.w",
        "shop: =",
        "s2: =",
    );
    check(
        "shop",
        "CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW DELETE FROM other.b",
        "shop: =",
        "s2: =",
    );
}

#[test]
fn what_cannot_be_read_is_not_replayed() {
    let no = "no: a statement that does not say which databases it changes";
    for sql in [
        "UPDATE shop.a SET b = 1",
        "CALL p()",
        "XA COMMIT X'61',X'',1",
    ] {
        check("shop", sql, no, no);
        check("other", sql, no, no);
    }
    let scope = scope("shop", Some(false));
    let letters = [4, 13, 0, 8, 0, 8, 0];
    let event = event_with("shop", b"DROP TABLE a", &letters, 1, true);
    let verdict = scope.judge(
        &event,
        Checksum::Crc32,
        &Position::new("log.1", 300),
        Family::Mysql,
    );
    assert_eq!(
        shown(verdict),
        "no: a statement in a character set that is not read"
    );
    let mode = [&[1][..], &(1_u64 << 20).to_le_bytes()].concat();
    let sql = b"ALTER TABLE a COMMENT = '\\', RENAME TO other.b";
    let event = event_with("shop", sql, &mode, 1, true);
    let verdict = scope.judge(
        &event,
        Checksum::Crc32,
        &Position::new("log.1", 300),
        Family::Mysql,
    );
    assert_eq!(shown(verdict), "no: a statement that changes other too");
}

#[test]
fn what_a_client_would_cut_otherwise_is_not_replayed() {
    let no = "no: a statement of which the client would run a part by itself";
    check(
        "shop",
        "CREATE TABLE w (a INT COMMENT '/*!*/ DROP')",
        no,
        no,
    );
    check("shop", "CREATE PROCEDURE p() SELECT 1 AS delimiter", no, no);
    check(
        "shop",
        "CREATE TABLE w (a INT COMMENT 'delimiter')",
        "shop: =",
        "s2: =",
    );
    check(
        "other",
        "CREATE TABLE w (a INT COMMENT '/*!*/')",
        "skip",
        "skip",
    );
}

#[test]
fn a_text_that_names_a_database_is_not_run_under_another_name() {
    let no = "no: a statement that names shop";
    check(
        "shop",
        "CREATE VIEW v AS SELECT * FROM shop.w",
        "shop: =",
        no,
    );
    check(
        "",
        "CREATE VIEW shop.v AS SELECT 1",
        "shop: =",
        "s2: CREATE VIEW `s2`.v AS SELECT 1",
    );
    check(
        "shop",
        "CREATE PROCEDURE shop.p() DELETE FROM shop.w",
        "shop: =",
        no,
    );
}

#[test]
fn what_is_in_a_dump_already_is_left_out() {
    let scope = scope("shop", Some(false));
    let check = |sql: &str, at, expected: &str| {
        let expected = expected.replace('=', sql);
        assert_eq!(judged(&scope, "", sql, at), expected, "{sql} at {at}");
    };
    check("DROP TABLE shop.a", 99, "skip");
    check("DROP TABLE shop.a", 100, "shop: =");
    check("DROP TABLE blog.a", 100, "skip");
    check(
        "DROP TABLE shop.a, blog.a",
        100,
        "shop: DROP TABLE `shop`.a",
    );
    check(
        "RENAME TABLE shop.a TO blog.a",
        100,
        "no: a statement that changes blog too",
    );
    let no = "no: a statement that takes something from blog";
    check("CREATE TABLE shop.a LIKE blog.b", 100, no);
}

#[test]
fn capitals_matter_where_the_server_says_so() {
    let check = |folds, sql: &str, expected: &str| {
        let expected = expected.replace('=', sql);
        assert_eq!(
            judged(&scope("shop", folds), "", sql, 300),
            expected,
            "{folds:?}"
        );
    };
    check(Some(false), "DROP TABLE Shop.a", "skip");
    check(Some(true), "DROP TABLE Shop.a", "shop: =");
    check(
        None,
        "DROP TABLE Shop.a",
        "no: a statement that may be of shop",
    );
    check(None, "DROP TABLE shop.a", "shop: =");
    let found = judged(&scope("s2", Some(true)), "", "DROP TABLE SHOP.a", 300);
    assert_eq!(found, "s2: DROP TABLE `s2`.a");
    let large = Scope::new([part("Größe", "Größe", 1)], [], Some(false));
    let found = judged(&large, "", "DROP TABLE Gr\u{fffd}\u{fffd}e.a", 300);
    assert_eq!(found, "no: a statement that may be of Größe");
}
