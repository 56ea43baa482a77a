//! Who owns a database writes whatever names, settings and code into it. None of it runs as the role that backs up, restores or verifies.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::Place;
use crate::server::{Server, bin, bin_folder, stand_in};
use crate::{configuration, place, source, source_with_programs};

/// What mallory's code does wherever it runs as somebody who can do more than mallory.
const TAKE: &str = r#"
    SET ROLE mallory;
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.take() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) THEN
            RAISE LOG 'mallory runs as %', current_user;
            EXECUTE 'ALTER ROLE mallory SUPERUSER';
        END IF;
        RETURN true;
    END $$;
"#;

/// Everything that our queries name, as mallory would have it.
const SHADOWS: &str = r#"
    SET ROLE mallory;
    CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$SELECT evil.take()::text$$;
    CREATE FUNCTION evil.has_database_privilege(oid, text) RETURNS boolean LANGUAGE sql AS $$SELECT evil.take()$$;
    CREATE FUNCTION evil.has_schema_privilege(oid, text) RETURNS boolean LANGUAGE sql AS $$SELECT evil.take()$$;
    CREATE FUNCTION evil.pg_export_snapshot() RETURNS text LANGUAGE sql AS $$SELECT evil.take()::text$$;
    CREATE FUNCTION evil.pg_get_userbyid(oid) RETURNS text LANGUAGE sql AS $$SELECT evil.take()::text$$;
    CREATE FUNCTION evil.format(text, name, name) RETURNS text LANGUAGE sql AS $$SELECT evil.take()::text$$;
    CREATE FUNCTION evil.equals(name, text) RETURNS boolean LANGUAGE sql AS $$SELECT evil.take()$$;
    CREATE FUNCTION evil.equals(text, text) RETURNS boolean LANGUAGE sql AS $$SELECT evil.take()$$;
    CREATE FUNCTION evil.equals("char", text) RETURNS boolean LANGUAGE sql AS $$SELECT evil.take()$$;
    CREATE FUNCTION evil.exceeds(oid, integer) RETURNS boolean LANGUAGE sql AS $$SELECT evil.take()$$;
    CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.equals);
    CREATE OPERATOR evil.<> (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.equals);
    CREATE OPERATOR evil.!~ (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.equals);
    CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equals);
    CREATE OPERATOR evil.= (LEFTARG = "char", RIGHTARG = text, FUNCTION = evil.equals);
    CREATE OPERATOR evil.>= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = evil.exceeds);
    DO $$
    DECLARE name text;
    BEGIN
        FOREACH name IN ARRAY ARRAY['pg_class', 'pg_namespace', 'pg_proc', 'pg_type', 'pg_extension', 'pg_depend', 'pg_roles', 'pg_database',
            'pg_partitioned_table', 'pg_subscription', 'pg_index', 'pg_largeobject_metadata', 'pg_user_mappings', 'pg_settings',
            'pg_replication_slots', 'pg_tablespace', 'pg_stat_activity', 'pg_available_extensions'] LOOP
            EXECUTE format('CREATE VIEW evil.%I AS SELECT *, evil.take() AS taken FROM pg_catalog.%I', name, name);
        END LOOP;
    END $$;
"#;

/// Code on everything that can have some.
const CODE: &str = r#"
    SET ROLE mallory;
    CREATE TABLE t (a int, b text DEFAULT evil.take()::text);
    INSERT INTO t VALUES (1), (2);
    CREATE INDEX i ON t ((evil.take()));
    CREATE VIEW v AS SELECT evil.take();
    CREATE TABLE guarded (a int);
    INSERT INTO guarded VALUES (1);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY p ON guarded USING (evil.take());
    CREATE RULE r AS ON UPDATE TO t DO ALSO SELECT evil.take();
    CREATE FUNCTION evil.fire() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM evil.take(); RETURN NEW; END$$;
    CREATE TRIGGER fires BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION evil.fire();
    CREATE TYPE pair AS (a int);
    CREATE FUNCTION evil.cast(pair) RETURNS text LANGUAGE sql AS $$SELECT evil.take()::text$$;
    CREATE CAST (pair AS text) WITH FUNCTION evil.cast(pair) AS IMPLICIT;
    CREATE TABLE "a
; ALTER ROLE mallory SUPERUSER; --" ("b"";
" int);
    COMMENT ON TABLE t IS E'x\n; ALTER ROLE mallory SUPERUSER;\n\\! touch /tmp/x';
    CREATE SEQUENCE "s'; SELECT evil.take(); --";
"#;

/// What mallory, who owns it, sets for the database.
const SETTINGS: &[&str] = &[
    "search_path = evil, pg_catalog, public",
    "role = mallory",
    "standard_conforming_strings = off",
    "client_min_messages = error",
    "client_encoding = latin1",
    "transform_null_equals = on",
    "default_transaction_read_only = on",
    "exit_on_error = on",
    "quote_all_identifiers = on",
    "local_preload_libraries = 'no_such_library'",
];

/// A server with a database of mallory's, which is full of her code.
fn server_of_mallory() -> Server {
    let server = Server::start();
    server.sql("postgres", "CREATE ROLE mallory LOGIN");
    server.sql("postgres", "CREATE DATABASE shop OWNER mallory");
    for sql in [TAKE, SHADOWS, CODE] {
        server.sql("shop", sql);
    }
    for setting in SETTINGS {
        let set = format!("SET ROLE mallory; ALTER DATABASE shop SET {setting}");
        server.sql("postgres", &set);
    }
    server
}

#[track_caller]
fn assert_nothing_taken(server: &Server, after: &str) {
    let found = server.sql(
        "postgres",
        "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'",
    );
    assert_eq!(found, "f", "mallory is a superuser after {after}");
    let log = server.log();
    let ran = log.lines().find(|line| line.contains("mallory runs as"));
    assert_eq!(ran, None, "after {after}");
}

#[test]
fn who_owns_a_database_runs_nothing_as_the_role_that_backs_it_up() {
    let server = server_of_mallory();
    let place = place(r#"databases = ["shop"]"#, &server);
    let told = place.run(&["source", "check", "db"]);
    assert_eq!(told.exit, 0, "{}", told.stderr);
    assert_nothing_taken(&server, "a check");

    let backup = place.json(&["backup"]);
    assert_eq!(backup["state"], "complete", "{backup}");
    assert_nothing_taken(&server, "a backup");
    let rows = place.ok(&["cat", "latest", "rows.json"]);
    assert!(rows.contains("\"guarded\""), "{rows}");
    // Not in the encoding that mallory wished for.
    let dump = place.ok(&["cat", "latest", "globals.sql"]);
    assert!(dump.contains("SET client_encoding = 'UTF8'"), "{dump}");

    let refused = place.run(&["restore", "latest", "--to", "db", "--path", "shop.dump"]);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("database shop exists already"),
        "{}",
        refused.stderr
    );
    assert_nothing_taken(&server, "a restore that was refused");
    assert!(!refused.stderr.contains('\u{1b}'), "{}", refused.stderr);

    // What mallory wrote is all there, and nobody's fault.
    let scratch = scratch_for(&place, &server);
    let verified = place.run(&["verify", "--json"]);
    assert_eq!(verified.exit, 0, "{}{}", verified.stdout, verified.stderr);
    assert_nothing_taken(&server, "a verification");
    drop(scratch);

    place.configure(&configuration(r#"method = "physical""#, "", &server));
    place.ok(&["source", "check", "db"]);
    place.ok(&["backup"]);
    place.ok(&["backup"]);
    assert_nothing_taken(&server, "a backup of the cluster");
}

/// The role's own defaults are the role's to set, and a program in its name may have set them.
#[test]
fn a_role_s_own_settings_do_not_change_what_names_mean() {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE postgres TO mallory",
    );
    server.sql("postgres", TAKE);
    server.sql("postgres", SHADOWS);
    server.sql(
        "postgres",
        "ALTER ROLE postgres SET search_path = evil, pg_catalog",
    );
    let place = place("", &server);
    place.ok(&["backup"]);
    assert_nothing_taken(&server, "a backup");
}

/// Between the list of tables and the count of their rows there is time for a table to become something else.
#[test]
fn a_view_that_takes_the_place_of_a_table_is_not_read() {
    let server = Server::start();
    server.sql("postgres", "CREATE ROLE mallory LOGIN");
    server.sql("postgres", "CREATE DATABASE shop OWNER mallory");
    server.sql("shop", TAKE);
    server.sql(
        "shop",
        "SET ROLE mallory; CREATE TABLE evil.t AS SELECT 1 AS a",
    );
    let place = place("", &server);
    let folder = place.path("slow");
    let real = bin("").display().to_string();
    stand_in(
        &folder,
        "pg_dumpall",
        &format!("exec {real}/pg_dumpall \"$@\""),
    );
    stand_in(
        &folder,
        "pg_restore",
        &format!("exec {real}/pg_restore \"$@\""),
    );
    // All is dumped, and then comes mallory, before anybody has seen the first byte.
    let script = format!(
        "[ \"$1\" = --version ] && exec {real}/pg_dump \"$@\"\n\
         {real}/pg_dump \"$@\" > {0}/out || exit 1\n\
         PGOPTIONS= {real}/psql -X -q -c 'SET ROLE mallory; ALTER TABLE evil.t RENAME TO gone; CREATE VIEW evil.t AS SELECT evil.take() AS a' || exit 1\n\
         cat {0}/out",
        folder.display()
    );
    stand_in(&folder, "pg_dump", &script);
    let source = source_with_programs("db", r#"databases = ["shop"]"#, &server, &folder);
    let text = configuration("", "", &server);
    let rest = text
        .split_once("[destinations.nas]")
        .expect("a destination")
        .1;
    place.configure(&format!("{source}\n[destinations.nas]{rest}"));
    let backup = place.run(&["backup"]);
    assert_eq!(backup.exit, 0, "{}", backup.stderr);
    assert!(
        backup.stderr.contains("rows of shop are not counted"),
        "{}",
        backup.stderr
    );
    assert_nothing_taken(&server, "a count");
}

#[test]
fn names_of_others_reach_no_terminal_as_they_are() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE \"c\u{1b}\u{202e}d\"");
    server.sql(
        "postgres",
        "CREATE DATABASE \"a\u{1b}]0;x\u{7}\n\u{202e}b; DROP\"",
    );
    let place = place("", &server);
    let ends = |args: &[&str]| {
        let ended = place.run(args);
        assert_eq!(ended.exit, 0, "{args:?}: {}", ended.stderr);
        let all = ended.stdout + &ended.stderr;
        let wild = all
            .chars()
            .find(|letter| matches!(letter, '\u{1b}' | '\u{7}' | '\u{202e}' | '\r'));
        assert_eq!(wild, None, "{args:?}: {all:?}");
        all
    };
    let told = ends(&["source", "check", "db"]);
    assert!(!told.lines().any(|line| line.starts_with('b')), "{told}");
    ends(&["backup"]);
    ends(&["show", "latest"]);
    ends(&["list"]);
    let listed = ends(&["ls", "latest"]);
    assert!(
        listed.contains("a%1B]0;x%07%0A%E2%80%AEb; DROP.dump"),
        "{listed}"
    );
    // It comes back under its own name.
    let other = Server::start();
    place.configure(&configuration("", &source("other", "", &other), &server));
    let path = "c%1B%E2%80%AEd.dump";
    place.ok(&["restore", "latest", "--to", "other", "--path", path]);
    let count = "SELECT count(*) FROM pg_database WHERE datname LIKE 'c%d'";
    assert_eq!(other.sql("postgres", count), "1");
}

/// A dump runs code of its owners as whoever restores it: a check of a table, for one. In a scratch server that is a superuser, who can start programs.
#[test]
fn what_a_dump_starts_during_a_verification_is_nobody_s() {
    let server = Server::start();
    server.sql("postgres", "CREATE ROLE mallory LOGIN");
    server.sql("postgres", "CREATE DATABASE shop OWNER mallory");
    let place = place(r#"databases = ["shop"]"#, &server);
    let scratch = scratch_for(&place, &server);
    let seen = place.path("who");
    server.sql(
        "shop",
        &format!(
            "SET ROLE mallory; CREATE SCHEMA evil; \
             CREATE FUNCTION evil.look() RETURNS boolean LANGUAGE plpgsql AS $$ \
             BEGIN IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) THEN \
                 COPY (SELECT 1) TO PROGRAM 'id -un > {}'; END IF; RETURN true; END $$; \
             CREATE TABLE evil.t (a int CHECK (evil.look())); INSERT INTO evil.t VALUES (1)",
            seen.display()
        ),
    );
    place.ok(&["backup"]);
    place.ok(&["verify"]);
    drop(scratch);
    let who = fs::read_to_string(&seen).expect("it ran");
    if runs_as_root(&place) {
        assert_eq!(who.trim(), "nobody");
    }
}

/// Has the database `shop` verified in a folder that everybody gets to.
fn scratch_for(place: &Place, server: &Server) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().expect("a folder");
    for folder in [scratch.path(), &place.path("")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o1777)).expect("a mode");
    }
    let text = configuration(r#"databases = ["shop"]"#, "", server);
    place.configure(&format!(
        "{text}\n[jobs.nightly.verify]\nscratch = {:?}\nprograms = [{:?}]\n",
        scratch.path(),
        bin_folder()
    ));
    scratch
}

fn runs_as_root(place: &Place) -> bool {
    let made = fs::metadata(place.path("nas")).expect("a repository");
    made.uid() == 0
}
