//! What a dump lacks is told: before the backup by a check, with the backup, and as long as it is kept.

use crate::common::Place;
use crate::server::{PASSWORD, Server, bin, stand_in};
use crate::{configuration, place, source_with_programs};

/// A source with the role that the documentation says to make.
fn as_documented(config: &str, server: &Server) -> Place {
    server.sql(
        "postgres",
        "CREATE ROLE backup LOGIN PASSWORD 'b' BYPASSRLS; GRANT pg_read_all_data TO backup",
    );
    let comma = if config.is_empty() { "" } else { ", " };
    let place = place(&format!(r#"user = "backup"{comma}{config}"#), server);
    place.write("pg.key", "b");
    place
}

/// What a check and a backup say, and what is kept: all of it has each of `words`.
#[track_caller]
fn assert_told(place: &Place, exit: i32, words: &[&str]) {
    let checked = place.run(&["source", "check", "db"]);
    assert_eq!(checked.exit, 0, "{}", checked.stderr);
    let backup = place.run(&["backup"]);
    assert_eq!(backup.exit, exit, "{}", backup.stderr);
    let shown = place.ok(&["show", "latest"]);
    for words in words {
        for (what, text) in [
            ("check", checked.stdout.clone() + &checked.stderr),
            ("backup", backup.stdout.clone() + &backup.stderr),
            ("show", shown.clone()),
        ] {
            assert!(text.contains(words), "{what} lacks '{words}': {text}");
        }
    }
}

#[test]
fn what_only_a_superuser_may_dump_is_told_and_kept() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE t AS SELECT 1 AS a; CREATE EXTENSION postgres_fdw; \
         CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE USER MAPPING FOR postgres SERVER far OPTIONS (password 'x'); \
         CREATE FUNCTION pg_catalog.ours() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    server.sql("shop", "CREATE SUBSCRIPTION orders CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, enabled = false, slot_name = NONE)");
    let place = as_documented(r#"databases = ["shop"]"#, &server);
    assert_told(
        &place,
        0,
        &[
            "1 subscription (orders)",
            "options of 1 user mapping (postgres on far)",
            "1 object in a system schema (pg_catalog.ours)",
        ],
    );
    let shown = place.json(&["show", "latest"]).to_string();
    assert_eq!(shown.matches("subscription").count(), 1, "{shown}");

    // A superuser gets all of it.
    place.configure(&configuration(r#"databases = ["shop"]"#, "", &server));
    place.write("pg.key", PASSWORD);
    let backup = place.run(&["backup"]);
    assert!(!backup.stderr.contains("orders"), "{}", backup.stderr);
}

#[test]
fn a_database_that_takes_no_connections_is_missing_until_it_is_excluded() {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE DATABASE closed; ALTER DATABASE closed ALLOW_CONNECTIONS false; CREATE DATABASE secret; \
         REVOKE CONNECT ON DATABASE secret FROM PUBLIC; CREATE DATABASE model IS_TEMPLATE true",
    );
    let place = as_documented("", &server);
    assert_told(
        &place,
        3,
        &[
            "closed",
            "secret",
            "database model is left out: it is a template",
        ],
    );
    let backup = place.json(&["show", "latest"]);
    assert_eq!(backup["state"], "incomplete", "{backup}");

    let user = r#"user = "backup""#;
    let with = |more: &str| configuration(&format!("{user}, {more}"), "", &server);
    place.configure(&with(r#"databases = ["closed"]"#));
    place.fails(
        &["backup"],
        1,
        "database 'closed' cannot be dumped: it takes no connections",
    );
    place.configure(&with(r#"databases = ["model"]"#));
    place.fails(
        &["backup"],
        1,
        "database 'model' cannot be dumped: it is a template",
    );
    place.configure(&with(r#"exclude = ["closed", "secret", "model"]"#));
    let backup = place.run(&["backup"]);
    assert_eq!(backup.exit, 0, "{}", backup.stderr);
    assert!(!backup.stderr.contains("model"), "{}", backup.stderr);
}

#[test]
fn large_objects_that_the_role_may_not_read_are_missing_and_the_rest_is_there() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        r"SELECT lo_from_bytea(4711, '\xde'); CREATE TABLE t AS SELECT 1 AS a",
    );
    let place = as_documented(r#"databases = ["shop"]"#, &server);
    assert_told(&place, 3, &["large object", "4711"]);
    place.ok(&["restore", "latest", "--target", "out"]);
    let dump = place.path("out/db/shop.dump");
    let list = server
        .client("pg_restore")
        .arg("--list")
        .arg(&dump)
        .output();
    let list = String::from_utf8(list.expect("pg_restore starts").stdout).expect("text");
    assert!(
        list.contains("TABLE DATA public t") && !list.contains("BLOB"),
        "{list}"
    );

    server.sql("shop", "GRANT SELECT ON LARGE OBJECT 4711 TO backup");
    let backup = place.json(&["backup"]);
    assert_eq!(backup["state"], "complete", "{backup}");
}

#[test]
fn what_would_stop_a_dump_is_foretold() {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE DATABASE shop; CREATE ROLE plain LOGIN PASSWORD 'p'",
    );
    server.sql(
        "shop",
        "CREATE TABLE hidden (a int); CREATE SEQUENCE numbers; CREATE TABLE guarded (a int); \
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; GRANT SELECT ON guarded TO plain; \
         CREATE SCHEMA closed; CREATE TABLE closed.t (a int); GRANT SELECT ON closed.t TO plain",
    );
    let place = place(r#"user = "plain", databases = ["shop"]"#, &server);
    place.write("pg.key", "p");
    let checked = place.run(&["source", "check", "db"]);
    assert_eq!(checked.exit, 0, "{}", checked.stderr);
    for words in [
        "role plain may not read 3 tables or sequences (closed.t, public.hidden, public.numbers)",
        "role plain is shown only some rows of 1 table (public.guarded): it needs BYPASSRLS",
    ] {
        assert!(checked.stderr.contains(words), "{}", checked.stderr);
    }
    place.fails(&["backup"], 1, "permission denied");
    place.fails(&["backup"], 1, "hint: role plain may not read 3 tables");
}

#[test]
fn what_a_program_warns_of_is_kept_with_the_backup() {
    let server = Server::start();
    let place = place("", &server);
    let folder = place.path("warning");
    let real = bin("").display().to_string();
    for program in ["pg_dump", "pg_restore"] {
        stand_in(&folder, program, &format!("exec {real}/{program} \"$@\""));
    }
    let script = format!(
        "echo 'pg_dumpall: warning: something is odd' >&2; echo 'pg_dumpall: detail: so it is' >&2; exec {real}/pg_dumpall \"$@\""
    );
    stand_in(&folder, "pg_dumpall", &script);
    let text = configuration("", "", &server);
    let rest = text
        .split_once("[destinations.nas]")
        .expect("a destination")
        .1;
    let source = source_with_programs("db", "", &server, &folder);
    place.configure(&format!("{source}\n[destinations.nas]{rest}"));
    let backup = place.run(&["backup"]);
    assert_eq!(backup.exit, 0, "{}", backup.stderr);
    let words = "pg_dumpall: something is odd; pg_dumpall: detail: so it is";
    assert!(backup.stderr.contains(words), "{}", backup.stderr);
    let shown = place.ok(&["show", "latest"]);
    assert!(shown.contains(words), "{shown}");
}

#[test]
fn what_pg_dump_never_takes_is_noted() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; \
         CREATE FOREIGN TABLE remote (id int) SERVER far; \
         CREATE TABLE settings AS SELECT 1 AS a; ALTER EXTENSION postgres_fdw ADD TABLE settings",
    );
    let place = as_documented(r#"databases = ["shop"]"#, &server);
    let words = "rows of 1 foreign table (public.remote); rows of 1 table of an extension (public.settings)";
    assert_told(&place, 0, &[]);
    assert!(place.ok(&["source", "check", "db"]).contains(words));
    assert!(place.ok(&["show", "latest"]).contains(words));
}

#[test]
fn a_slot_that_no_source_here_uses_is_shown() {
    let server = Server::start();
    server.sql(
        "postgres",
        "SELECT pg_create_physical_replication_slot('strongroom_old', true)",
    );
    let place = place("", &server);
    let told = place.ok(&["source", "check", "db"]);
    assert!(told.contains("slot strongroom_old"), "{told}");
    assert!(
        told.contains("pg_drop_replication_slot('strongroom_old')"),
        "{told}"
    );

    // A source's own is not.
    place.configure(&configuration(
        r#"method = "physical", slot = "strongroom_old""#,
        "",
        &server,
    ));
    let told = place.ok(&["source", "check", "db"]);
    assert!(!told.contains("pg_drop_replication_slot"), "{told}");
}

#[test]
fn a_standby_keeps_no_log_for_backups_that_are_full_ones() {
    let server = Server::start();
    let standby = server.standby();
    let place = place(r#"method = "physical""#, &standby);
    place.ok(&["backup"]);
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(standby.sql("postgres", slots), "0");

    standby.sql(
        "postgres",
        "SELECT pg_create_physical_replication_slot('strongroom', true)",
    );
    let told = place.run(&["source", "check", "db"]);
    assert!(
        told.stderr.contains("keeps") && told.stderr.contains("for nothing"),
        "{}",
        told.stderr
    );
}

#[test]
fn a_server_whose_databases_are_all_gone_makes_no_backup() {
    for config in ["", r#"method = "physical""#] {
        let server = Server::start();
        server.sql("postgres", "CREATE DATABASE shop");
        let place = place(config, &server);
        place.ok(&["backup"]);
        server.sql("postgres", "DROP DATABASE shop");
        for kind in ["--full", "--incremental"] {
            let ended = place.run(&["backup", kind]);
            assert_eq!(ended.exit, 1, "{}", ended.stderr);
            let words = "nothing is left of what there was: backup ";
            assert!(ended.stderr.contains(words), "{}", ended.stderr);
        }
        place.ok(&["backup", "--allow-empty"]);
        // From here on that is what there is.
        place.ok(&["backup"]);
    }
}
