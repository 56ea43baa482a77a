//! Dumps: what comes back, where to, and what is left alone.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Place, files};
use crate::server::{PASSWORD, Server, bin, pass_on, stand_in};
use crate::{assert_same, configuration, filled, place, source, source_with_programs};

#[test]
fn a_database_comes_back_on_another_server_with_everything_in_it() {
    let (server, other) = (filled(), Server::start());
    let place = place("", &server);
    let backup = place.json(&["backup"]);
    assert_eq!(backup["kind"], "full", "{backup}");
    assert_eq!(backup["state"], "complete", "{backup}");

    place.configure(&configuration("", &source("other", "", &other), &server));
    let told = place.ok(&["restore", "latest", "--to", "other", "--path", "shop.dump"]);
    assert!(told.contains("databases: shop"), "{told}");
    assert_same(&other.dump("shop"), &server.dump("shop"));
    // With the role's password, and what is set for the database.
    let login = Command::new(bin("psql"))
        .args([
            "-X",
            "-A",
            "-t",
            "-c",
            "SELECT current_user, current_setting('search_path')",
        ])
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", other.port.to_string())
        .env("PGUSER", "clerk")
        .env("PGPASSWORD", "clerk's")
        .env("PGDATABASE", "shop")
        .output()
        .expect("psql starts");
    let text = String::from_utf8_lossy(&login.stdout).into_owned();
    assert_eq!(
        text.trim(),
        "clerk|shop, public",
        "{}",
        String::from_utf8_lossy(&login.stderr)
    );
    // The superuser was there and kept its password, or nobody could ask.
    assert_eq!(other.sql("postgres", "SELECT 1"), "1");
}

#[test]
fn a_dump_is_a_file_that_postgres_reads_without_us() {
    let (server, other) = (filled(), Server::start());
    other.sql("postgres", "CREATE ROLE clerk; CREATE DATABASE again");
    server.sql("postgres", r#"CREATE DATABASE "a/b = 'c'""#);
    let place = place("", &server);
    place.ok(&["backup"]);
    place.ok(&["restore", "latest", "--target", "out"]);
    let found: Vec<_> = files(&place.path("out/db")).into_keys().collect();
    assert_eq!(
        found,
        [
            "a%2Fb = 'c'.dump",
            "databases.json",
            "globals.sql",
            "postgres.dump",
            "rows.json",
            "shop.dump"
        ]
    );
    let dump = place.path("out/db/shop.dump");
    let list = Command::new(bin("pg_restore"))
        .arg("--list")
        .arg(&dump)
        .output()
        .expect("pg_restore starts");
    assert!(String::from_utf8_lossy(&list.stdout).contains("MATERIALIZED VIEW shop totals"));
    let restored = other
        .client("pg_restore")
        .arg("--exit-on-error")
        .arg("--dbname=again")
        .arg(&dump)
        .status();
    assert!(restored.expect("pg_restore starts").success());
    assert_same(&other.dump("again"), &server.dump("shop"));
}

#[test]
fn a_dump_is_of_one_moment_however_busy_the_database_is() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE bank");
    server.sql(
        "bank",
        "CREATE TABLE accounts (id int PRIMARY KEY, balance int, filler text); \
        INSERT INTO accounts SELECT n, 100, repeat('x', 500) FROM generate_series(1, 20000) n",
    );
    let place = place(r#"databases = ["bank"]"#, &server);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                server.sql("bank", "UPDATE accounts SET balance = balance + CASE WHEN id % 2 = 0 THEN 1 ELSE -1 END WHERE id % 1000 IN (0, 1)");
            }
        });
        for _ in 0..3 {
            place.ok(&["backup"]);
        }
        done.store(true, Ordering::Relaxed);
    });
    place.ok(&[
        "restore",
        "latest",
        "--to",
        "db",
        "--option",
        "rename.bank=copy",
    ]);
    assert_eq!(
        server.sql("copy", "SELECT count(*), sum(balance) FROM accounts"),
        "20000|2000000"
    );
    assert_ne!(
        server.sql("copy", "SELECT max(balance) FROM accounts"),
        "100"
    );
}

#[test]
fn a_database_that_exists_is_replaced_only_when_that_is_asked_for() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE t AS SELECT 'old' AS a");
    let place = place(r#"databases = ["shop"]"#, &server);
    place.ok(&["backup"]);
    server.sql("shop", "UPDATE t SET a = 'new'");

    let refused = place.run(&["restore", "latest", "--to", "db"]);
    assert_eq!(refused.exit, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("database shop exists already"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    assert_eq!(server.sql("shop", "SELECT a FROM t"), "new");

    place.ok(&["restore", "latest", "--to", "db", "--keep-existing"]);
    assert_eq!(server.sql("shop", "SELECT a FROM t"), "new");

    place.ok(&[
        "restore",
        "latest",
        "--to",
        "db",
        "--option",
        "rename.shop=shop_2",
    ]);
    assert_eq!(server.sql("shop_2", "SELECT a FROM t"), "old");
    assert_eq!(server.sql("shop", "SELECT a FROM t"), "new");

    place.ok(&["restore", "latest", "--to", "db", "--overwrite"]);
    assert_eq!(server.sql("shop", "SELECT a FROM t"), "old");
    let names =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    assert_eq!(server.sql("postgres", names), "postgres shop shop_2");

    place.fails(
        &[
            "restore",
            "latest",
            "--to",
            "db",
            "--option",
            "rename.crm=x",
        ],
        2,
        "the backup has no database 'crm'",
    );
}

#[test]
fn all_databases_come_back_into_a_new_server_and_in_place_of_the_old_ones() {
    let (server, new) = (Server::start(), Server::start());
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE t AS SELECT 'old' AS a");
    // The one that the source looks around from.
    server.sql("postgres", "CREATE TABLE t AS SELECT 'old' AS a");
    let place = place("", &server);
    place.configure(&configuration("", &source("new", "", &new), &server));
    place.ok(&["backup"]);

    place.ok(&["restore", "latest", "--to", "new"]);
    place.fails(
        &["restore", "latest", "--to", "new"],
        1,
        "database postgres exists already",
    );
    for database in ["shop", "postgres"] {
        assert_eq!(new.sql(database, "SELECT a FROM t"), "old");
        server.sql(database, "UPDATE t SET a = 'new'");
    }
    place.ok(&["restore", "latest", "--to", "db", "--overwrite"]);
    for database in ["shop", "postgres"] {
        assert_eq!(server.sql(database, "SELECT a FROM t"), "old");
    }
    let names =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    assert_eq!(server.sql("postgres", names), "postgres shop");
}

#[test]
fn a_restore_that_fails_leaves_the_database_that_it_was_to_replace() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE t AS SELECT 'old' AS a");
    let place = place(r#"databases = ["shop"]"#, &server);
    place.ok(&["backup"]);
    server.sql("shop", "UPDATE t SET a = 'new'");
    let folder = place.path("broken");
    pass_on(&folder, &["pg_dump", "pg_dumpall"]);
    stand_in(
        &folder,
        "pg_restore",
        "head -c 1000 >/dev/null; echo 'pg_restore: error: it broke' >&2; exit 1",
    );
    place.configure(&configuration(
        "",
        &source_with_programs("broken", "", &server, &folder),
        &server,
    ));

    place.fails(
        &["restore", "latest", "--to", "broken", "--overwrite"],
        1,
        "pg_restore: error: it broke",
    );
    assert_eq!(server.sql("shop", "SELECT a FROM t"), "new");
    let names =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    assert_eq!(server.sql("postgres", names), "postgres shop");
}

/// Restores `shop` by three connections.
fn restore_in_parallel(place: &Place, more: &[&str]) {
    fs::create_dir_all(place.path("work")).expect("a folder");
    let mut args = vec!["restore", "latest", "--to", "db", "--path", "shop.dump"];
    args.extend(["--option", "parallel=3"]);
    args.extend(more);
    place.ok(&args);
}

#[test]
fn a_restore_in_parallel_goes_through_a_file_that_is_gone_afterwards() {
    let server = filled();
    let place = place(r#"work_directory = "$DIR/work""#, &server);
    place.ok(&["backup"]);
    restore_in_parallel(&place, &["--option", "rename.shop=copy"]);
    assert_same(&server.dump("copy"), &server.dump("shop"));
    assert_eq!(files(&place.path("work")).len(), 0);

    restore_in_parallel(&place, &["--overwrite"]);
    assert_same(&server.dump("shop"), &server.dump("copy"));
    let settings = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'shop'";
    assert_eq!(
        server.sql("postgres", settings),
        "{\"search_path=shop, public\"}"
    );
}

/// pg_restore knows no order between a partitioned table's trigger and the rows of its partitions.
#[test]
fn a_restore_in_parallel_fires_no_trigger() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE log (what text); CREATE TABLE orders (id int) PARTITION BY HASH (id); \
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
            $$BEGIN INSERT INTO public.log VALUES (NEW.id); RETURN NULL; END$$; \
        CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note()",
    );
    // As many partitions as keep two connections busy while the third comes to the trigger.
    for remainder in 0..16 {
        let partition = format!(
            "CREATE TABLE orders_{remainder} PARTITION OF orders FOR VALUES WITH (MODULUS 16, REMAINDER {remainder})"
        );
        server.sql("shop", &partition);
    }
    server.sql(
        "shop",
        "INSERT INTO orders SELECT generate_series(1, 200000); DELETE FROM log",
    );
    let place = place(r#"work_directory = "$DIR/work""#, &server);
    place.ok(&["backup"]);
    restore_in_parallel(&place, &["--overwrite"]);
    assert_eq!(server.sql("shop", "SELECT count(*) FROM orders"), "200000");
    assert_eq!(server.sql("shop", "SELECT count(*) FROM log"), "0");
}

#[test]
fn a_backup_that_changed_little_adds_little() {
    let server = filled();
    // A row that changes leaves one place and comes to another. These are two pieces of the dump, of 8 MiB at most: less than half of this.
    server.sql(
        "shop",
        "CREATE TABLE much AS SELECT repeat(md5(n::text), 32) FROM generate_series(1, 40000) AS n",
    );
    let place = place("", &server);
    let first = place.json(&["backup"]);
    server.sql(
        "shop",
        "UPDATE shop.customers SET name = 'someone else' WHERE id = 77",
    );
    let second = place.json(&["backup"]);
    let figure = |backup: &serde_json::Value, name: &str| {
        backup["sources"][0][name].as_u64().expect("a figure")
    };
    assert_eq!(second["kind"], "full");
    let (bytes, new) = (figure(&second, "bytes"), figure(&second, "new_bytes"));
    assert!(figure(&first, "new_bytes") > 5_000_000, "{first}");
    assert!(new < bytes / 2, "{new} of {bytes} bytes are new");
}

#[test]
fn only_the_databases_that_were_chosen_are_backed_up() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("postgres", "CREATE DATABASE shop_test");
    let place = place(r#"databases = ["s*"], exclude = ["*_test"]"#, &server);
    place.ok(&["backup"]);
    let list = place.ok(&["ls", "latest"]);
    assert!(
        list.contains("shop.dump")
            && !list.contains("shop_test")
            && !list.contains("postgres.dump"),
        "{list}"
    );

    place.configure(&configuration(
        r#"databases = ["shop", "crm"]"#,
        "",
        &server,
    ));
    place.fails(&["backup"], 1, "there is no database 'crm'");
}

#[test]
fn a_role_that_may_not_read_passwords_backs_up_roles_without_them() {
    let server = filled();
    server.sql(
        "postgres",
        "CREATE ROLE backup LOGIN PASSWORD 'b' BYPASSRLS",
    );
    server.sql(
        "shop",
        "GRANT USAGE ON SCHEMA shop TO backup; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO backup; \
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO backup; GRANT SELECT ON LARGE OBJECT 424242 TO backup",
    );
    let place = place(r#"user = "backup""#, &server);
    place.write("pg.key", "b");
    place.fails(&["backup"], 0, "roles are backed up without theirs");
    let globals = place.ok(&["cat", "latest", "globals.sql"]);
    assert!(
        globals.contains("CREATE ROLE clerk") && !globals.contains("SCRAM-SHA-256"),
        "{globals}"
    );
}

#[test]
fn a_check_tells_what_would_be_backed_up() {
    let server = filled();
    let place = place("", &server);
    let told = place.json(&["source", "check", "db"]);
    let attributes = &told["attributes"];
    let text = |name: &str| {
        attributes[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {told}"))
    };
    assert!(text("server").starts_with("PostgreSQL "), "{told}");
    assert!(text("database shop").ends_with("MiB"), "{told}");
    assert_eq!(text("role"), "postgres (superuser)");
    assert_eq!(text("role passwords"), "included");
    let shown = place.ok(&["source", "check", "db"]);
    assert!(shown.contains("database shop"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}
