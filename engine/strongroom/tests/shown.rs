//! What a backup holds, what plugins require, and what this version does not do yet, as the program shows it.

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};

use common::{ONE_OF_EACH, Place};
use serde_json::json;

#[test]
fn the_files_of_a_backup_are_listed_in_the_words_of_restore() {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/deep/b.txt", "12345");
    place.write("media/a\u{1b}[2J", "");
    symlink("deep/b.txt", place.path("media/link")).expect("a link");
    let mode = std::fs::Permissions::from_mode(0o750);
    std::fs::set_permissions(place.path("media/deep"), mode).expect("mode");
    // Nothing of the machine's clock shows in times of the year 2001.
    let touched = std::process::Command::new("touch")
        .args(["--no-dereference", "--date=2001-02-03T04:05:06Z"])
        .args(["deep/b.txt", "a\u{1b}[2J", "link", "deep"])
        .current_dir(place.path("media"))
        .status();
    assert!(touched.expect("touch runs").success());
    place.ok(&["init"]);
    place.ok(&["backup"]);
    assert_eq!(
        place.ok(&["show", "latest", "--files"]),
        "media\n\
         \x20 -rw-------         0 B  2001-02-03 04:05  a\\u{1b}[2J\n\
         \x20 drwxr-x---              2001-02-03 04:05  deep/\n\
         \x20 -rw-------         5 B  2001-02-03 04:05  deep/b.txt\n\
         \x20 lrwxrwxrwx              2001-02-03 04:05  link -> deep/b.txt\n"
    );
    let listed = place.json(&["show", "latest", "--files", "--path", "deep/b.txt"]);
    assert_eq!(
        listed,
        json!([{
            "source": "media",
            "path": "deep/b.txt",
            "type": "file",
            "mode": "0600",
            "size": 5,
            "modified": listed[0]["modified"],
            "target": null,
        }])
    );
    let missing = place.run(&["show", "latest", "--files", "--path", "nope"]);
    assert_eq!(missing.exit, 1);
    assert!(missing.stderr.starts_with("error: no 'nope' in backup "));
    place.ok(&[
        "restore",
        "latest",
        "--path",
        "deep/b.txt",
        "--target",
        "out",
    ]);
}

#[test]
fn a_plugin_is_shown_with_what_it_requires_where_it_is_used() {
    let place = Place::new(ONE_OF_EACH);
    let shown = place.ok(&["plugin", "show", "volume"]);
    assert!(
        shown.ends_with("\nsources.media requires\n  read $DIR/media: allowed\n"),
        "{shown}"
    );
    place.configure(&ONE_OF_EACH.replace(
        "plugin = \"volume\"",
        "plugin = \"volume\"\nallow = { read = [\"/srv\"] }",
    ));
    let shown = place.json(&["plugin", "show", "volume"]);
    assert_eq!(shown["used_by"][0]["name"], "media");
    assert_eq!(shown["used_by"][0]["requires"][0]["allowed"], false);
    assert!(
        place
            .ok(&["plugin", "show", "volume"])
            .contains("media: not allowed\n")
    );
}

#[test]
fn what_is_not_acted_on_is_said_plainly() {
    let place = Place::new(&ONE_OF_EACH.replace(
        "destinations = [\"nas\"]",
        "destinations = [\"nas\"]\nschedule = \"0 2 * * *\"\nretention = { daily = 7 }",
    ));
    let warning = "warning: schedule is checked but not acted on by this version\n";
    let hint =
        "hint: run `strongroom backup --scheduled` and `strongroom forget --prune` from cron\n";
    let checked = place.run(&["config", "check"]);
    assert_eq!(
        (checked.exit, checked.stderr),
        (0, format!("{warning}{hint}"))
    );
    place.write("media/a.txt", "a");
    place.ok(&["init"]);
    let backup = place.run(&["backup", "--quiet"]);
    assert_eq!((backup.exit, backup.stderr.as_str()), (0, warning));
    let verifies = ONE_OF_EACH.replace(
        "destinations = [\"nas\"]",
        "destinations = [\"nas\"]\nverify = { schedule = \"0 6 * * SUN\" }",
    );
    let checked = Place::new(&verifies).run(&["config", "check"]);
    let hint = "hint: run `strongroom verify` from cron\n";
    assert_eq!(checked.stderr, format!("{warning}{hint}"));
    let plain = Place::new(ONE_OF_EACH).run(&["config", "check"]);
    assert_eq!((plain.exit, plain.stderr.as_str()), (0, ""));
}
