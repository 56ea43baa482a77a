//! What the machine of a verification lacks is no fault of the backup's.

use super::*;
use crate::server::PASSWORD;

/// Databases of which each needs something that only the machine of the source has.
fn exotic() -> Server {
    let mut server = Server::start();
    server.learn_locale("de_DE", "xx_XX.utf8");
    server.sql("postgres", "CREATE DATABASE plain");
    server.sql("plain", "CREATE TABLE t AS SELECT 1 AS a");
    server.sql(
        "postgres",
        "CREATE DATABASE locale TEMPLATE template0 LOCALE 'xx_XX.utf8'",
    );
    for (database, sql) in [
        (
            "sorted",
            "CREATE COLLATION c (provider = libc, locale = 'xx_XX.utf8'); CREATE TABLE t (a text COLLATE c)",
        ),
        (
            "extension",
            "CREATE EXTENSION hstore; UPDATE pg_extension SET extname = 'only_there' WHERE extname = 'hstore'",
        ),
        (
            "library",
            "CREATE FUNCTION f() RETURNS trigger AS '$libdir/plpgsql', 'plpgsql_call_handler' LANGUAGE C; \
             UPDATE pg_proc SET probin = '$libdir/only_there' WHERE proname = 'f'",
        ),
        (
            "dictionary",
            "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple); \
             UPDATE pg_ts_dict SET dictinitoption = 'stopwords = ''only_there''' WHERE dictname = 'd'",
        ),
    ] {
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        server.sql(database, sql);
    }
    server
}

#[test]
fn a_database_that_this_machine_cannot_take_is_skipped_and_the_others_are_proven() {
    let server = exotic();
    let assertions = r#"assertions = [{ database = "plain", sql = "select count(*) = 1 from t" }, { database = "locale", sql = "select true" }]"#;
    let trial = Trial::new("", assertions, &server);
    trial.place.ok(&["backup"]);
    let verified = trial.verify(0);
    assert_eq!(verified["result"], "proven", "{verified}");
    assert_eq!(found(&verified, "failed"), Vec::<String>::new());
    let skipped = found(&verified, "skipped");
    for (database, why) in [
        ("locale", "generate the locale on this machine"),
        ("sorted", "generate the locale on this machine"),
        ("extension", "install the extension on this machine"),
        ("library", "install what has that library"),
        ("dictionary", "copy the file"),
    ] {
        let subject = format!("restore of {database}: ");
        let line = skipped.iter().find(|it| it.starts_with(&subject));
        assert!(
            line.is_some_and(|it| it.contains(why)),
            "{database}: {skipped:?}"
        );
    }
    let asked = "select true: locale could not be restored here".to_owned();
    assert!(skipped.contains(&asked), "{skipped:?}");
    let text = trial.place.ok(&["verify"]);
    let heading = text.lines().next().expect("a line");
    assert!(
        heading.contains("not restored here: dictionary, extension"),
        "{heading}"
    );
}

#[test]
fn a_backup_of_which_nothing_can_be_taken_here_is_neither_proven_nor_failed() {
    let server = exotic();
    let trial = Trial::new(r#"databases = ["extension"]"#, "", &server);
    trial.place.ok(&["backup"]);
    let verified = trial.verify(1);
    assert_eq!(verified["result"], "unknown", "{verified}");
    assert_eq!(found(&verified, "failed"), Vec::<String>::new());
    assert_eq!(trial.place.json(&["list"])[0]["proof"], Value::Null);
}

#[test]
fn a_dump_of_a_newer_version_is_not_tried_with_an_older_server() {
    let server = filled();
    let trial = Trial::new(r#"databases = ["shop"]"#, "", &server);
    let real = bin("pg_dump").display().to_string();
    let newer = stand_in(
        &trial.place.path("newer"),
        "pg_dump",
        &format!(
            "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit\nexec {real} \"$@\""
        ),
    );
    let text = fs::read_to_string(trial.place.path("strongroom.toml")).expect("read");
    let text = text.replace(&format!("\"{real}\""), &format!("{newer:?}"));
    fs::write(trial.place.path("strongroom.toml"), text).expect("written");
    trial.place.ok(&["backup"]);
    let ended = trial.run();
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    let words = "the backup is of PostgreSQL 99, and this machine has";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    trial.assert_nothing_left();
}

#[test]
fn an_index_whose_library_is_missing_here_is_not_damaged() {
    let server = filled();
    server.sql(
        "shop",
        "CREATE FUNCTION public.far(text) RETURNS text AS 'SELECT $1' LANGUAGE sql IMMUTABLE; \
         CREATE TABLE public.texts AS SELECT 'a'::text AS a; CREATE INDEX ON public.texts (public.far(a))",
    );
    let assertions =
        r#"assertions = [{ database = "shop", sql = "select public.far('a') = 'a'" }]"#;
    let physical = r#"method = "physical""#;
    let trial = Trial::new(physical, assertions, &server);
    server.sql(
        "shop",
        "UPDATE pg_proc SET prolang = (SELECT oid FROM pg_language WHERE lanname = 'c'), probin = '$libdir/only_there', \
         prosrc = 'far', prosqlbody = NULL WHERE proname = 'far'",
    );
    trial.place.ok(&["backup"]);
    let verified = trial.verify(0);
    assert_eq!(found(&verified, "failed"), Vec::<String>::new());
    let skipped = found(&verified, "skipped");
    let of = |subject: &str| {
        skipped
            .iter()
            .any(|it| it.starts_with(subject) && it.contains("only_there"))
    };
    assert!(of("pg_amcheck: ") && of("select public.far"), "{skipped:?}");
}

/// What is not the machine's fault stays the backup's.
#[test]
fn a_dump_that_refers_to_what_it_lacks_has_failed() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE broken");
    server.sql(
        "broken",
        "CREATE TABLE lookup AS SELECT 1 AS a; \
         CREATE FUNCTION known(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN EXISTS (SELECT FROM lookup WHERE a = $1); END$$; \
         CREATE TABLE t (a int CHECK (known(a))); INSERT INTO t VALUES (1)",
    );
    let trial = Trial::new(r#"databases = ["broken"]"#, "", &server);
    trial.place.write("pg.key", PASSWORD);
    trial.place.ok(&["backup"]);
    let failed = found(&trial.verify(1), "failed");
    assert!(failed[0].starts_with("restore of broken: "), "{failed:?}");
}
