//! Prune through the program: a plan that is shown, what is done, and what the stock restic says of it.

mod common;

use common::{ONE_OF_EACH, Place};
use serde_json::Value;
use strongroom_repository::testing::{Restic, noise};

/// Three backups, of which restic forgot all but the last: packs that nothing needs, and one that holds half a pack of what is needed.
fn with_unused() -> Place {
    let place = Place::new(ONE_OF_EACH);
    place.ok(&["init"]);
    place.write("media/gone", noise(15 << 20, 1));
    place.ok(&["backup"]);
    std::fs::remove_file(place.path("media/gone")).expect("removed");
    place.write("media/stays", noise(5 << 20, 2));
    place.write("media/gone too", noise(5 << 20, 3));
    place.ok(&["backup"]);
    std::fs::remove_file(place.path("media/gone too")).expect("removed");
    place.ok(&["backup"]);
    let restic = &Restic::installed()[0];
    restic.run(
        &place.path("nas"),
        "correct horse",
        &["forget", "--keep-last", "1", "--group-by", ""],
    );
    place
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn a_dry_run_shows_what_prune_then_does() {
    let place = with_unused();
    let planned = place.json(&["prune", "--dry-run", "--max-unused", "0"]);
    assert_eq!(planned["dry_run"], true);
    let planned = &planned["destinations"][0];
    assert_eq!(planned["destination"], "nas");
    assert_eq!(planned["written_bytes"], 0);
    let freed = number(&planned["freed_bytes"]);
    assert!((20 << 20..21 << 20).contains(&freed), "{planned}");
    let shown = place.ok(&["prune", "nas", "--dry-run", "--max-unused", "0"]);
    assert!(shown.starts_with("nas: would free 20."), "{shown}");
    assert!(shown.contains("to copy"), "{shown}");
    assert_eq!(
        number(&place.json(&["check"])["destinations"][0]["packs"]),
        number(&planned["packs"])
    );

    let done = place.json(&["prune", "--max-unused", "0"]);
    assert_eq!(done["dry_run"], false);
    let done = &done["destinations"][0];
    for key in ["packs", "used", "unused", "repack", "remove", "freed_bytes"] {
        assert_eq!(done[key], planned[key], "{key}");
    }
    assert!(number(&done["written_bytes"]) > 5 << 20, "{done}");
    let checked = place.json(&["check", "--read-data"]);
    let checked = &checked["destinations"][0];
    assert_eq!(
        (
            checked["problems"].to_string(),
            checked["notes"].to_string()
        ),
        ("[]".into(), "[]".into())
    );
    assert!(number(&checked["pack_bytes"]) < 6 << 20, "{checked}");
    for restic in Restic::installed() {
        restic.run(
            &place.path("nas"),
            "correct horse",
            &["check", "--read-data"],
        );
    }
    place.ok(&["restore", "latest", "--target", "out"]);
    let restored = std::fs::read(place.path("out/media/stays")).expect("restored");
    assert!(restored == noise(5 << 20, 2), "the file differs");
    assert!(
        place
            .ok(&["prune", "--max-unused", "0"])
            .starts_with("nas: nothing to free\n")
    );
}

#[test]
fn what_may_stay_and_what_may_be_copied_are_limits() {
    let place = with_unused();
    let freed = |args: &[&str]| {
        let args = [&["prune", "--dry-run"], args].concat();
        number(&place.json(&args)["destinations"][0]["freed_bytes"])
    };
    let all = freed(&["--max-unused", "0"]);
    let whole_packs = freed(&["--max-unused", "unlimited"]);
    assert!(
        whole_packs < all && whole_packs > 10 << 20,
        "{whole_packs} of {all}"
    );
    assert_eq!(freed(&["--max-unused", "1GiB"]), whole_packs);
    assert_eq!(
        freed(&["--max-unused", "0%", "--max-repack", "1MiB"]),
        whole_packs
    );
    for wrong in [["--max-unused", "5"], ["--max-repack", "7"]] {
        let ended = place.run(&[&["prune"], &wrong[..]].concat());
        assert_eq!(ended.exit, 2, "{wrong:?}");
        assert!(ended.stderr.contains("needs a unit"), "{}", ended.stderr);
    }
}

/// Who prunes wants to be alone, and says who is in the way.
#[test]
fn a_locked_repository_is_left_alone() {
    let place = with_unused();
    let lock =
        r#"{"time":"TIME","exclusive":false,"hostname":"elsewhere","username":"ann","pid":7}"#;
    let now = std::process::Command::new("date")
        .arg("-uIs")
        .output()
        .expect("date runs")
        .stdout;
    let now = String::from_utf8_lossy(&now).trim().to_owned();
    let repository = strongroom_repository::Repository::open(
        std::sync::Arc::new(strongroom_repository::testing::DirectoryDestination::new(
            "nas",
            place.path("nas"),
        )),
        "correct horse",
    )
    .expect("opens");
    let entry: Value = serde_json::from_str(&lock.replace("TIME", &now)).expect("JSON");
    let id = repository
        .save_json(strongroom_repository::file::FileType::Lock, &entry)
        .expect("locked");
    let ended = place.run(&["prune"]);
    assert_eq!(ended.exit, 1);
    assert!(
        ended
            .stderr
            .contains("repository nas is locked by ann on elsewhere"),
        "{}",
        ended.stderr
    );
    place.ok(&["prune", "--dry-run"]);
    repository
        .delete(strongroom_repository::file::FileType::Lock, &id)
        .expect("unlocked");
    place.ok(&["prune"]);
}
