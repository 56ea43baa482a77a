//! TLS with a certificate that is checked, by the plugin and by the server family's own programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::common::Place;
use crate::common::authority::Authority;
use crate::common::mysql::{Family, Server};
use crate::{backups, fill, place};

/// A server that nobody comes into by TCP without TLS, and the folder that has its certificate.
fn secured(family: &Family, (certificate, key): (String, String)) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("certificate.pem"), certificate).expect("written");
    fs::write(path("key.pem"), key).expect("written");
    let server = family.start_with(&[
        &format!("--ssl-cert={}", path("certificate.pem").display()),
        &format!("--ssl-key={}", path("key.pem").display()),
        "--require-secure-transport=ON",
    ]);
    (server, folder)
}

const VERIFIED: &str = r#", tls = "verify-full", tls_authority = "$DIR/authority.pem""#;

fn verified(server: &Server, authority: &Authority) -> Place {
    let place = place(server, VERIFIED, None);
    place.write("authority.pem", authority.pem());
    let text = fs::read_to_string(place.path("strongroom.toml")).expect("readable");
    place.configure(&text.replace("allow = {", "allow = { read = [\"$DIR\"],"));
    place
}

fn refused(place: &Place, expected: &str) {
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    assert_eq!(backups(place), 0);
}

fn a_server_is_believed(family: &Family) {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, _folder) = secured(family, authority.issue("127.0.0.1"));
    fill(&server, "shop");
    let place = verified(&server, &authority);
    place.ok(&["backup"]);
    assert_eq!(backups(&place), 1);

    // To MariaDB it is a login that is denied.
    let plain = crate::place(&server, ", tls = \"disable\"", None);
    let ended = plain.run(&["backup"]);
    assert_eq!(ended.exit, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("set `tls`"), "{}", ended.stderr);

    let foreign = verified(&server, &other);
    refused(
        &foreign,
        "the certificate of 127.0.0.1 comes from an authority that is not trusted\nhint: give the certificate of the server's authority",
    );
    let (elsewhere, _folder) = secured(family, authority.issue("db.example.net"));
    refused(
        &verified(&elsewhere, &authority),
        "the certificate of 127.0.0.1 is for db.example.net\nhint: connect by a name that it is for",
    );
}

#[test]
fn a_mariadb_is_believed_by_its_authority_and_its_name() {
    a_server_is_believed(&Family::mariadb());
}

#[test]
fn a_mysql_is_believed_by_its_authority_and_its_name() {
    if let Some(family) = Family::mysql("TLS of MySQL") {
        a_server_is_believed(&family);
    }
}
