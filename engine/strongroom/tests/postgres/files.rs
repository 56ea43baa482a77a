//! Dumps as files: what `download` writes and what stock restic prints, read by PostgreSQL's own programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use strongroom_repository::testing::Restic;

use crate::common::{Place, files};
use crate::server::{Server, bin};
use crate::{assert_same, filled, place};

/// The paths that a download says it has written.
fn download(place: &Place, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["download", "latest"];
    arguments.extend(more);
    if !more.contains(&"--output") {
        arguments.extend(["--output", "dl"]);
    }
    let downloaded = place.json(&arguments);
    let files = downloaded["files"].as_array().expect("a list");
    let path = |file: &serde_json::Value| file["path"].as_str().expect("a path").to_owned();
    files.iter().map(path).collect()
}

fn listed(dump: &Path) -> String {
    let output = Command::new(bin("pg_restore"))
        .arg("--list")
        .arg(dump)
        .output()
        .expect("pg_restore starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn pg_restore_reads_the_dump_that_is_downloaded_and_the_one_that_restic_prints() {
    let (server, other) = (filled(), Server::start());
    other.sql("postgres", "CREATE ROLE clerk; CREATE DATABASE again");
    let place = place("", &server);
    place.ok(&["backup"]);
    let written = download(&place, &["--path", "shop.dump"]);
    let [dump] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert!(
        dump.starts_with("dl/db-") && dump.ends_with("-shop.dump"),
        "{dump}"
    );
    let dump = place.path(dump);
    assert!(listed(&dump).contains("MATERIALIZED VIEW shop totals"));
    let restored = other
        .client("pg_restore")
        .arg("--exit-on-error")
        .arg("--dbname=again")
        .arg(&dump)
        .status();
    assert!(restored.expect("pg_restore starts").success());
    assert_same(&other.dump("again"), &server.dump("shop"));

    for restic in Restic::installed() {
        let printed = restic.output(
            &place.path("nas"),
            "correct horse",
            &["dump", "latest", "/db/shop.dump"],
        );
        assert!(printed.status.success());
        place.write("printed.dump", &printed.stdout);
        assert_eq!(listed(&place.path("printed.dump")), listed(&dump));
        assert!(printed.stdout == fs::read(&dump).expect("readable"));
    }
}

#[test]
fn several_dumps_come_in_a_folder_and_nothing_is_written_over() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    let place = place("", &server);
    place.ok(&["backup"]);
    let written = download(&place, &[]);
    let folder = Path::new(&written[0]).parent().expect("a folder");
    let found: Vec<_> = files(&place.path(&folder.display().to_string()))
        .into_keys()
        .collect();
    let expected = [
        "databases.json",
        "globals.sql",
        "postgres.dump",
        "rows.json",
        "shop.dump",
    ];
    assert_eq!(found, expected);
    let told = expected.map(|name| folder.join(name).display().to_string());
    assert_eq!(written, told);

    let again = place.run(&["download", "latest", "--output", "dl"]);
    assert_eq!(again.exit, 1);
    let refused = format!("error: {} exists already", folder.display());
    assert!(again.stderr.starts_with(&refused), "{}", again.stderr);
    let left = fs::read_dir(place.path("dl")).expect("a folder").count();
    assert_eq!(left, 1, "no partial folder is left");

    let some = download(
        &place,
        &[
            "--path",
            "shop.dump",
            "--path",
            "globals.sql",
            "--output",
            "some",
        ],
    );
    assert_eq!(some.len(), 2, "{some:?}");
    place.fails(
        &["download", "latest", "--path", "crm.dump", "--output", "x"],
        1,
        "no 'crm.dump' in this backup",
    );
}

#[test]
fn a_cluster_comes_as_one_archive() {
    let server = Server::start();
    let place = place(r#"method = "physical""#, &server);
    place.ok(&["backup"]);
    let written = download(&place, &[]);
    let [archive] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert!(archive.ends_with(".tar"), "{archive}");
    let listed = Command::new("tar")
        .arg("--list")
        .arg("--file")
        .arg(place.path(archive))
        .output()
        .expect("tar starts");
    let names = String::from_utf8(listed.stdout).expect("UTF-8");
    assert!(names.starts_with("manifest.json\n"), "{names}");
    assert!(names.contains("\ndb/data/PG_VERSION\n"), "{names}");
}
