//! Restores into surroundings that are not those of the backup: settings, roles, tablespaces, what cannot be restored at all.

use crate::common::Place;
use crate::server::{PASSWORD, Server};
use crate::{assert_same, configuration, place, source};

/// A place where `server` is backed up, with `other` to restore to.
fn two_places(config: &str, server: &Server, other: &Server) -> Place {
    let place = place(config, server);
    place.configure(&configuration(config, &source("other", "", other), server));
    place
}

/// Restores to `other`, and ends as `exit` says.
#[track_caller]
fn restore(place: &Place, exit: i32, more: &[&str]) -> String {
    let mut args = vec!["restore", "latest", "--to", "other"];
    args.extend(more);
    let ended = place.run(&args);
    assert_eq!(ended.exit, exit, "{}{}", ended.stdout, ended.stderr);
    ended.stdout + &ended.stderr
}

/// What there is beside the databases of every server.
fn databases(server: &Server) -> String {
    server.sql(
        "template1",
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'",
    )
}

#[test]
fn a_database_comes_back_whatever_is_set_for_it_and_for_the_role_that_restores() {
    let (server, other) = (Server::start(), Server::start());
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        r"CREATE TABLE t (a text[], b interval, c text, d money, e date);
        INSERT INTO t VALUES ('{NULL,x}', '-1 day 02:03:04', 'a\b''c', 12.34, '2026-02-01');
        CREATE VIEW nothing AS SELECT * FROM t WHERE c = NULL;
        CREATE MATERIALIZED VIEW made AS SELECT count(*) FROM t",
    );
    let settings = [
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_deferrable", "on"),
        ("statement_timeout", "1s"),
        ("lock_timeout", "1s"),
        ("idle_in_transaction_session_timeout", "1s"),
        ("idle_session_timeout", "1s"),
        ("search_path", "nowhere"),
        ("row_security", "off"),
        ("session_replication_role", "replica"),
        ("zero_damaged_pages", "on"),
        ("check_function_bodies", "off"),
        ("client_min_messages", "error"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("standard_conforming_strings", "off"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("app.tenant", "7"),
    ];
    for (name, value) in settings {
        server.sql(
            "postgres",
            &format!("ALTER DATABASE shop SET {name} = '{value}'"),
        );
    }
    server.sql(
        "postgres",
        "ALTER DATABASE shop CONNECTION LIMIT 3; COMMENT ON DATABASE shop IS 'its own'",
    );
    let place = two_places(r#"databases = ["shop"]"#, &server, &other);
    place.ok(&["backup"]);
    // What is set for the role holds in every database.
    let of_role =
        settings.map(|(name, value)| format!("ALTER ROLE postgres SET {name} = '{value}';"));
    other.sql("postgres", &of_role.concat());
    restore(&place, 0, &[]);
    restore(&place, 0, &["--option", "rename.shop=copy"]);
    other.sql(
        "postgres",
        "SET default_transaction_read_only = off; ALTER ROLE postgres RESET ALL",
    );
    let of = |server: &Server, database: &str| {
        server.sql(
            "postgres",
            &format!(
                "SELECT (SELECT array_agg(it ORDER BY it) FROM unnest(setconfig) it), datconnlimit, shobj_description(d.oid, 'pg_database') \
                 FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{database}'"
            ),
        )
    };
    let expected = of(&server, "shop");
    assert!(expected.ends_with("|3|its own"), "{expected}");
    for database in ["shop", "copy"] {
        assert_eq!(of(&other, database), expected);
        other.sql("postgres", &format!("ALTER DATABASE {database} RESET ALL"));
    }
    server.sql("postgres", "ALTER DATABASE shop RESET ALL");
    assert_same(&other.dump("shop"), &server.dump("shop"));
    assert_same(&other.dump("copy"), &server.dump("shop"));
    assert_eq!(other.sql("shop", "SELECT count FROM made"), "1");
}

#[test]
fn a_tablespace_that_the_other_server_has_no_place_for_is_left_out_or_made_elsewhere() {
    let (server, other) = (Server::start(), Server::start());
    let here = server.own_place("fast");
    server.sql(
        "postgres",
        &format!("CREATE TABLESPACE fast LOCATION '{here}'; CREATE DATABASE shop; CREATE DATABASE crm TABLESPACE fast; CREATE DATABASE plain"),
    );
    server.sql(
        "shop",
        "CREATE TABLE t TABLESPACE fast AS SELECT 7 AS a; CREATE INDEX i ON t (a) TABLESPACE fast",
    );
    let place = two_places(r#"exclude = ["postgres"]"#, &server, &other);
    place.ok(&["backup"]);
    // As on another machine: the directory is the first server's, and in use.
    let told = restore(&place, 0, &[]);
    for database in ["shop", "crm"] {
        let words = format!(
            "{database}: everything goes to the default tablespace, as the server has none called fast"
        );
        assert!(told.contains(&words), "{told}");
    }
    assert!(!told.contains("plain: everything"), "{told}");
    assert_eq!(other.sql("shop", "SELECT a FROM t"), "7");
    assert_eq!(databases(&other), "crm plain shop");

    let there = other.own_place("elsewhere");
    let option = format!("tablespaces.fast={there}");
    restore(&place, 0, &["--overwrite", "--option", &option]);
    let spaces = "SELECT string_agg(tablespace, ' ') FROM (SELECT tablespace FROM pg_tables WHERE tablename = 't' \
        UNION ALL SELECT tablespace FROM pg_indexes WHERE indexname = 'i') x";
    assert_eq!(other.sql("shop", spaces), "fast fast");
    let of = "SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = 'crm'";
    assert_eq!(other.sql("postgres", of), "fast");
    place.fails(
        &[
            "restore",
            "latest",
            "--to",
            "other",
            "--overwrite",
            "--option",
            "tablespaces.slow=/x",
        ],
        2,
        "tablespaces: the backup has none called 'slow'",
    );
}

#[test]
fn a_materialized_view_that_cannot_be_filled_is_named_and_the_rest_is_there() {
    let (server, other) = (Server::start(), Server::start());
    server.sql("postgres", "CREATE ROLE o; CREATE DATABASE shop OWNER o");
    server.sql(
        "shop",
        "SET ROLE o; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a; CREATE MATERIALIZED VIEW s.hidden AS SELECT * FROM s.t;
        CREATE TABLE s.open AS SELECT 2 AS a; CREATE MATERIALIZED VIEW s.last AS SELECT * FROM s.open;
        RESET ROLE; SET search_path = s, pg_catalog;
        CREATE FUNCTION s.of_last() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM last); END';
        CREATE MATERIALIZED VIEW s.a AS SELECT of_last(); CREATE INDEX by_a ON s.a (of_last);
        ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; ALTER TABLE s.t FORCE ROW LEVEL SECURITY;
        ALTER DATABASE shop SET search_path = s",
    );
    // It is in the database before its views are filled.
    server.sql(
        "shop",
        "CREATE FUNCTION s.no() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no % here', tg_tag; END$$;
        CREATE EVENT TRIGGER never ON ddl_command_start EXECUTE FUNCTION s.no()",
    );
    let place = two_places(r#"databases = ["shop"]"#, &server, &other);
    place.ok(&["backup"]);
    let told = restore(&place, 3, &[]);
    assert!(
        told.contains("shop: the rows of materialized view s.hidden: query would be affected by row-level security"),
        "{told}"
    );
    assert!(
        !told.contains("s.last") && !told.contains("view s.a"),
        "{told}"
    );
    assert_eq!(
        other.sql(
            "shop",
            "SELECT a, (SELECT a FROM last), (SELECT of_last FROM a) FROM t"
        ),
        "1|2|1"
    );
    // It fires for everybody else.
    let refused = other.try_sql("shop", "CREATE TABLE x ()").expect_err("no");
    assert!(refused.contains("no CREATE TABLE here"), "{refused}");

    // What can be made again is no reason to keep what was replaced.
    restore(&place, 3, &["--overwrite"]);
    assert_eq!(databases(&other), "shop");
}

/// A database with an index that can be made in this one only.
fn with_an_awkward_index(server: &Server) {
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE there (b int); INSERT INTO there VALUES (1);
        CREATE FUNCTION awkward(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
            $$BEGIN IF current_setting('search_path') = '' THEN RAISE E'no\nCommand was: REFRESH MATERIALIZED VIEW x;'; END IF; RETURN $1; END$$;
        CREATE INDEX awkward ON t (awkward(a)); CREATE INDEX plain ON t (a)",
    );
}

#[test]
fn what_cannot_be_restored_ends_the_restore_unless_it_is_to_go_on() {
    let (server, other) = (Server::start(), Server::start());
    with_an_awkward_index(&server);
    let place = two_places(
        r#"databases = ["shop"], work_directory = "$DIR/work""#,
        &server,
        &other,
    );
    place.ok(&["backup"]);
    let told = restore(&place, 1, &[]);
    assert!(told.contains("CREATE INDEX awkward ON public.t"), "{told}");
    assert!(told.contains("hint: --go-on restores the rest"), "{told}");
    assert_eq!(databases(&other), "");

    other.sql("postgres", "CREATE DATABASE shop");
    other.sql("shop", "CREATE TABLE precious ()");
    let told = restore(&place, 3, &["--overwrite", "--go-on"]);
    assert!(
        told.contains("shop: CREATE INDEX awkward ON public.t"),
        "{told}"
    );
    let indexes = "SELECT string_agg(indexname, ' ') FROM pg_indexes WHERE tablename = 't'";
    assert_eq!(other.sql("shop", indexes), "plain");
    assert_eq!(other.sql("shop", "SELECT a FROM t"), "1");
    // What was replaced by less than all is kept, by no restore dropped, and in no restore's way.
    assert!(told.contains("kept as shop.before-restore"), "{told}");
    restore(&place, 3, &["--overwrite", "--go-on"]);
    assert_eq!(
        databases(&other),
        "shop shop.before-restore shop.before-restore-2"
    );
    other.sql("shop.before-restore", "SELECT * FROM precious");
}

#[test]
fn rights_and_settings_for_roles_that_are_not_there_are_named() {
    let (server, other) = (Server::start(), Server::start());
    server.sql(
        "postgres",
        "CREATE ROLE clerk; CREATE DATABASE shop; GRANT CREATE ON DATABASE shop TO clerk; ALTER ROLE clerk IN DATABASE shop SET work_mem = '8MB'",
    );
    server.sql("shop", "CREATE TABLE t AS SELECT 1 AS a");
    let place = two_places(r#"databases = ["shop"]"#, &server, &other);
    place.ok(&["backup"]);
    let told = restore(&place, 3, &["--option", "globals=false"]);
    for words in [
        "shop: ALTER ROLE clerk IN DATABASE … SET work_mem TO '8MB': role \"clerk\" does not exist",
        "shop: GRANT CREATE ON DATABASE … TO clerk: role \"clerk\" does not exist",
    ] {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(other.sql("shop", "SELECT a FROM t"), "1");
}

#[test]
fn a_subscription_comes_back_and_connects_to_nobody() {
    let (server, other) = (Server::start(), Server::start());
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "SET client_min_messages = error; CREATE TABLE t AS SELECT 1 AS a; CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p \
         WITH (connect = false, slot_name = 'far')",
    );
    let place = two_places(r#"databases = ["shop"]"#, &server, &other);
    place.ok(&["backup"]);
    restore(&place, 0, &[]);
    let state = "SELECT subname, subenabled, subslotname FROM pg_subscription";
    assert_eq!(other.sql("shop", state), "s|f|far");

    // It is in no later restore's way, and what it leaves at the other server is told.
    for _ in 0..2 {
        let told = restore(&place, 0, &["--overwrite"]);
        assert!(
            told.contains(
                "subscription s of the replaced database is gone, and its slot far is left"
            ),
            "{told}"
        );
    }
    assert_eq!(other.sql("shop", state), "s|f|far");
    assert_eq!(databases(&other), "shop");
}

#[test]
fn a_dump_is_named_by_its_database_too_and_a_wrong_name_is_no_restore() {
    let (server, other) = (Server::start(), Server::start());
    server.sql("postgres", "CREATE DATABASE shop; CREATE DATABASE crm");
    let place = two_places("", &server, &other);
    place.ok(&["backup"]);
    restore(
        &place,
        0,
        &["--path", "shop", "--option", "rename.shop=copy"],
    );
    assert_eq!(databases(&other), "copy");
    let told = restore(&place, 1, &["--path", "sales"]);
    assert!(told.contains("the backup has no dump 'sales'"), "{told}");
    assert!(
        told.contains("crm.dump, postgres.dump, shop.dump"),
        "{told}"
    );
}

#[test]
fn a_role_that_is_a_member_of_the_owners_restores_without_being_a_superuser() {
    let (server, other) = (Server::start(), Server::start());
    for server in [&server, &other] {
        server.sql("postgres", "CREATE ROLE clerk");
    }
    server.sql("postgres", "CREATE DATABASE shop OWNER clerk");
    server.sql(
        "shop",
        "SET ROLE clerk; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a; CREATE MATERIALIZED VIEW s.m AS SELECT * FROM s.t",
    );
    other.sql(
        "postgres",
        &format!(
            "CREATE ROLE keeper LOGIN CREATEDB PASSWORD '{}'; GRANT clerk, pg_signal_backend TO keeper; CREATE ROLE guest LOGIN PASSWORD 'g'",
            PASSWORD.replace('\'', "''")
        ),
    );
    let place = place(r#"databases = ["shop"]"#, &server);
    let keeper = source("other", r#"user = "keeper""#, &other);
    place.configure(&configuration(r#"databases = ["shop"]"#, &keeper, &server));
    place.ok(&["backup"]);
    restore(&place, 0, &["--option", "globals=false"]);
    let mut guest = other
        .client("psql")
        .args(["-X", "-c", "SELECT pg_sleep(600)", "shop"])
        .env("PGUSER", "guest")
        .env("PGPASSWORD", "g")
        .spawn()
        .expect("psql starts");
    restore(&place, 0, &["--option", "globals=false", "--overwrite"]);
    assert!(!guest.wait().expect("it ends").success());
    assert_eq!(other.sql("shop", "SELECT a FROM s.m"), "1");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(other.sql("postgres", owner), "clerk");

    other.sql("postgres", "REVOKE clerk FROM keeper");
    let told = restore(&place, 1, &["--option", "globals=false", "--overwrite"]);
    assert!(
        told.contains("database shop is clerk's, and the role may not replace it"),
        "{told}"
    );
    let told = restore(
        &place,
        1,
        &["--option", "globals=false", "--option", "rename.shop=copy"],
    );
    assert!(
        told.contains("a member of all roles that own something"),
        "{told}"
    );
    assert_eq!(databases(&other), "shop");
}
