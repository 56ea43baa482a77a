//! Ways in: TLS with a certificate that is checked, and the kinds of passwords.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::common::Place;
use crate::common::authority::Authority;
use crate::server::{PASSWORD, Server, bin_folder};
use crate::{backups, configuration};

/// Who may come in, and how. The superuser may always, for the test.
fn let_in(server: &Server, lines: &str) {
    let file = server.data().join("pg_hba.conf");
    let lines = format!("{lines}\nhost all postgres 127.0.0.1/32 scram-sha-256\n");
    fs::write(file, lines).expect("written");
    server.sql("postgres", "SELECT pg_reload_conf()");
}

/// Has the server speak TLS.
fn secure(server: &Server, (certificate, key): (String, String)) {
    let owner = fs::metadata(server.data()).expect("metadata");
    for (name, text) in [("server.crt", certificate), ("server.key", key)] {
        let path = server.data().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("given away");
    }
    server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
}

/// The source `db` with `config`, by the name that certificates are made out to.
fn place(config: &str, server: &Server) -> Place {
    let (port, folder) = (server.port, bin_folder().display().to_string());
    let text = configuration("", "", server);
    let (_, rest) = text.split_once("[destinations.nas]").expect("a table");
    let place = Place::new(&format!(
        r#"
[sources.db]
plugin = "postgres"
config = {{ host = "localhost", port = {port}, password = {{ file = "pg.key" }}, databases = ["shop"], {config} }}
allow = {{ connect = ["localhost:{port}"], read = ["$DIR"], command = ["{folder}/pg_dump", "{folder}/pg_dumpall", "{folder}/pg_restore"] }}

[destinations.nas]{rest}"#
    ));
    place.write("pg.key", PASSWORD);
    place.ok(&["init"]);
    place
}

fn refused(place: &Place, expected: &str) {
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    assert_eq!(backups(place), 0);
}

const VERIFIED: &str =
    r#"user = "clerk", tls = "verify-full", tls_authority = "$DIR/authority.pem""#;

#[test]
fn a_server_is_believed_by_its_authority_and_its_name() {
    let server = Server::start();
    let superuser = format!("CREATE ROLE clerk LOGIN SUPERUSER PASSWORD '{}'", doubled());
    server.sql("postgres", &superuser);
    server.sql("postgres", "CREATE DATABASE shop");
    // The clerk comes in by TLS only.
    let_in(&server, "hostssl all clerk 127.0.0.1/32 scram-sha-256");
    let (authority, other) = (Authority::new(), Authority::new());
    let place = place(VERIFIED, &server);
    place.write("authority.pem", authority.pem());
    refused(&place, "the server does not speak TLS");

    secure(&server, other.issue("localhost"));
    refused(
        &place,
        "the certificate of localhost comes from an authority that is not trusted\nhint: give the certificate of the server's authority",
    );
    secure(&server, authority.issue("db.example.net"));
    refused(
        &place,
        "the certificate of localhost is for db.example.net\nhint: connect by a name that it is for",
    );
    secure(&server, authority.issue("localhost"));
    place.ok(&["backup"]);
    assert_eq!(backups(&place), 1);
    let files = place.ok(&["ls", "latest"]);
    assert!(files.contains("shop.dump"), "{files}");
}

#[test]
fn a_password_of_md5_is_answered() {
    let server = Server::start();
    let superuser = format!("CREATE ROLE clerk LOGIN SUPERUSER PASSWORD '{}'", doubled());
    server.sql(
        "postgres",
        &format!("SET password_encryption = 'md5'; {superuser}; CREATE DATABASE shop"),
    );
    let kept = "SELECT left(rolpassword, 3) FROM pg_authid WHERE rolname = 'clerk'";
    assert_eq!(server.sql("postgres", kept), "md5");
    let_in(&server, "host all clerk 127.0.0.1/32 md5");
    let place = place(r#"user = "clerk""#, &server);
    place.ok(&["backup"]);
    assert_eq!(backups(&place), 1);
    place.write("pg.key", "another");
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("password authentication failed"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_password_goes_in_clear_only_inside_of_tls() {
    let server = Server::start();
    let superuser = format!("CREATE ROLE clerk LOGIN SUPERUSER PASSWORD '{}'", doubled());
    server.sql("postgres", &superuser);
    server.sql("postgres", "CREATE DATABASE shop");
    let_in(&server, "host all clerk 127.0.0.1/32 password");
    let open = place(r#"user = "clerk", tls = "disable""#, &server);
    refused(
        &open,
        "the server asks for the password in clear, and the connection is not encrypted",
    );
    let authority = Authority::new();
    secure(&server, authority.issue("localhost"));
    let place = place(VERIFIED, &server);
    place.write("authority.pem", authority.pem());
    place.ok(&["backup"]);
    assert_eq!(backups(&place), 1);
}

/// The password as SQL has it.
fn doubled() -> String {
    PASSWORD.replace('\'', "''")
}
