//! A source that vanished is not empty: a disk that is not mounted, a folder that was emptied, a path that is gone.

mod common;

use std::fs;
use std::process::Command;

use common::{Ended, ONE_OF_EACH, Place, unprivileged};

/// Keeps one backup.
const KEEP_ONE: &str = "on_demand_retention = { last = 1 }\n";

/// With `keys` in the source's table.
fn place(keys: &str) -> Place {
    let config = ONE_OF_EACH.replace(
        "plugin = \"volume\"",
        &format!("plugin = \"volume\"\n{keys}"),
    );
    let place = Place::new(&format!("{config}{KEEP_ONE}"));
    fs::create_dir(place.path("media")).expect("a folder");
    place.ok(&["init"]);
    place
}

fn fill(place: &Place, files: usize) {
    for number in 0..files {
        place.write(&format!("media/{number}.bin"), vec![7; 1000]);
    }
}

fn empty(place: &Place) {
    fs::remove_dir_all(place.path("media")).expect("removed");
    fs::create_dir(place.path("media")).expect("a folder");
}

/// How many files each backup holds, oldest first.
fn held(place: &Place) -> Vec<u64> {
    let list = place.json(&["list"]);
    let backups = list.as_array().expect("a list").iter();
    let files = backups.map(|it| it["sources"][0]["files"].as_u64());
    files.map(|it| it.expect("a number")).collect()
}

/// Runs a script in which `backup` and whatever else is to be mounted are commands. None where nobody may mount.
fn mounting(place: &Place, script: &str) -> Option<Ended> {
    let script = format!("backup() {{ \"$0\" backup \"$@\"; }}; {script}");
    let program = place.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", &script]);
    command
        .arg(program.get_program())
        .current_dir(place.path(""));
    let ended = place.ended(command.output().expect("unshare starts"));
    let may_not = ["unshare failed", "permission denied", "must be superuser"];
    if may_not.iter().any(|words| ended.stderr.contains(words)) {
        common::skip("mounted folders", "this user may not mount");
        return None;
    }
    Some(ended)
}

const MOUNT: &str =
    "mount -t tmpfs none media && for n in $(seq 10); do echo precious > media/$n; done";

#[test]
fn a_disk_that_is_not_mounted_fails_and_the_last_good_backup_stays() {
    let place = place("");
    let script = format!(
        "{MOUNT} && backup >/dev/null && umount media && backup; echo $?; \"$0\" forget >/dev/null; backup --full; echo $?"
    );
    let Some(ended) = mounting(&place, &script) else {
        return;
    };
    assert_eq!(ended.stdout, "1\n1\n", "{}", ended.stderr);
    let said = [
        "source media: it has no files, where backup ",
        " has 10 files of 90 bytes, and nothing is mounted at $DIR/media any more",
        "`strongroom backup nightly --source media --allow-empty` once, or `allow_empty = true` or `min_files` in [sources.media]",
    ];
    for words in said {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert_eq!(held(&place), [10]);
    assert_eq!(place.ok(&["cat", "latest", "3"]), "precious\n");
}

#[test]
fn a_mount_that_is_gone_costs_half_of_the_files_or_none() {
    // A note for people lies below the mount point, or the disk's content went to the machine's own.
    for (below, exit) in [
        ("rm media/6 media/7 media/8 media/9 media/10", 1),
        ("true", 0),
    ] {
        let place = place("");
        let script = format!(
            "{MOUNT} && backup >/dev/null && cp -a media copy && umount media && cp -a copy/. media && {below} && backup >/dev/null; echo $?"
        );
        let Some(ended) = mounting(&place, &script) else {
            return;
        };
        assert_eq!(ended.stdout, format!("{exit}\n"), "{}", ended.stderr);
    }
    // Where nothing was ever mounted, as much may go.
    let place = place("");
    fill(&place, 10);
    place.ok(&["backup"]);
    for number in 5..10 {
        fs::remove_file(place.path(&format!("media/{number}.bin"))).expect("removed");
    }
    place.ok(&["backup"]);
}

#[test]
fn a_disk_below_the_folder_is_missed_too() {
    let place = place("");
    fill(&place, 10);
    let script = "mkdir -p media/disks/a media/disks/b && mount -t tmpfs none media/disks/a && mount -t tmpfs none media/disks/b \
         && echo precious > media/disks/a/f && backup >/dev/null && umount media/disks/b && backup >/dev/null \
         && umount media/disks/a && backup; echo $?; backup --allow-empty >/dev/null; echo $?; backup >/dev/null; echo $?";
    let Some(ended) = mounting(&place, script) else {
        return;
    };
    assert_eq!(ended.stdout, "1\n0\n0\n", "{}", ended.stderr);
    let words =
        "$DIR/media/disks/a is empty, and was a mount point with something in it in backup ";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn a_folder_that_has_to_be_a_mount_point_is_one() {
    let place = place("expect_mount = true");
    fill(&place, 1);
    let ended = place.run(&["backup"]);
    assert_eq!(ended.exit, 1);
    let words = "$DIR/media: nothing is mounted there, and expect_mount is set";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    // Not even by a person's word: it is what that person wrote.
    place.fails(&["backup", "--allow-empty"], 1, "expect_mount");
    for mount in [
        MOUNT,
        "mkdir other && touch other/f && mount --bind other media",
    ] {
        let Some(ended) = mounting(&place, &format!("{mount} && backup >/dev/null; echo $?"))
        else {
            return;
        };
        assert_eq!(ended.stdout, "0\n", "{}", ended.stderr);
    }
}

#[test]
fn a_source_that_lost_nearly_everything_fails_until_a_person_says_that_it_is_meant() {
    let place = place("");
    fill(&place, 40);
    place.ok(&["backup"]);
    empty(&place);
    fill(&place, 2);
    for args in [
        &["backup"][..],
        &["backup", "--full"],
        &["backup", "--scheduled"],
    ] {
        place.fails(args, 1, "it has 2 files of 2000 bytes, where backup");
    }
    assert_eq!(held(&place), [40]);
    place.ok(&["backup", "--allow-empty"]);
    // From here on that is what there is.
    let ended = place.run(&["backup"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    empty(&place);
    place.fails(&["backup"], 1, "it has no files");
    place.ok(&["forget"]);
    assert_eq!(held(&place), [2]);
}

#[test]
fn a_source_may_be_said_to_be_empty_at_times() {
    let place = place("allow_empty = true");
    let ended = place.run(&["backup"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    fill(&place, 40);
    place.ok(&["backup"]);
    empty(&place);
    let ended = place.run(&["backup"]);
    assert_eq!((ended.exit, ended.stderr.as_str()), (0, ""));
    place.ok(&["forget"]);
    assert_eq!(held(&place), [0]);
}

#[test]
fn so_many_files_are_enough_and_fewer_are_not() {
    let place = place("min_files = 2");
    fill(&place, 1);
    place.fails(
        &["backup"],
        1,
        "it has 1 file of 1000 bytes, and min_files says that there are 2 at least",
    );
    fill(&place, 60);
    place.ok(&["backup"]);
    empty(&place);
    fill(&place, 2);
    place.ok(&["backup"]);
    empty(&place);
    place.fails(&["backup", "--allow-empty"], 1, "min_files");
    place.ok(&["forget"]);
    assert_eq!(held(&place), [2]);
}

#[test]
fn two_keys_that_say_different_things_are_refused() {
    let place = place("");
    let config = fs::read_to_string(place.path("strongroom.toml")).expect("read");
    let both = "plugin = \"volume\"\nallow_empty = true\nmin_files = 1";
    place.configure(&config.replace("plugin = \"volume\"", both));
    place.fails(
        &["config", "check"],
        2,
        "'sources.media.allow_empty' and min_files say different things",
    );
}

#[test]
fn a_source_that_was_always_empty_is_told() {
    let place = place("");
    for _ in 0..2 {
        let ended = place.run(&["backup"]);
        assert_eq!(ended.exit, 0);
        let words = "media holds no files: if that is as it should be, set `allow_empty = true` in [sources.media]";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn a_folder_that_is_gone_is_not_made_up() {
    let place = Place::new(&ONE_OF_EACH.replace("media\" }", "media\", writable = true }"));
    place.write("media/f", "precious");
    place.ok(&["init"]);
    place.ok(&["backup"]);
    fs::remove_dir_all(place.path("media")).expect("removed");
    for args in [
        &["backup"][..],
        &["backup", "--allow-empty"],
        &["source", "check", "media"],
    ] {
        let ended = place.run(args);
        assert_eq!(ended.exit, 1, "{}", ended.stderr);
        let hint = "hint: correct the path, or mount what belongs there";
        assert!(
            ended.stderr.contains("$DIR/media") && ended.stderr.contains(hint),
            "{}",
            ended.stderr
        );
        assert!(!place.path("media").exists(), "{args:?}");
    }
    // What is to be written there is.
    place.ok(&["restore", "latest", "--to", "media"]);
    assert_eq!(
        fs::read(place.path("media/f")).expect("restored"),
        b"precious"
    );
}

#[test]
fn a_folder_that_became_a_file_or_unreadable_takes_no_place() {
    use std::os::unix::fs::PermissionsExt;
    let place = place("");
    fill(&place, 1);
    for number in 0..40 {
        place.write(&format!("media/locked/{number}"), "precious");
    }
    place.ok(&["backup"]);
    let locked = place.path("media/locked");
    let mode = |mode| fs::set_permissions(&locked, fs::Permissions::from_mode(mode)).expect("mode");
    mode(0o000);
    let ended = unprivileged(&place, &["backup"])
        .output()
        .expect("setpriv starts");
    let ended = place.ended(ended);
    mode(0o700);
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    place.ok(&["forget"]);
    assert_eq!(held(&place), [41, 1]);
    // What was complete is what counts, not what was made last.
    fs::remove_dir_all(&locked).expect("removed");
    fs::remove_file(place.path("media/0.bin")).expect("removed");
    place.fails(&["backup"], 1, "has 41 files of 1320 bytes");
    fs::remove_dir(place.path("media")).expect("removed");
    place.write("media", "a file");
    place.fails(&["backup"], 1, "is no directory");
    place.ok(&["forget"]);
    assert_eq!(held(&place), [41, 1]);
}

#[test]
fn the_last_good_backup_counts_wherever_it_lies() {
    let offsite = "[destinations.offsite]\nplugin = \"filesystem\"\nconfig = { path = \"$DIR/offsite\" }\npassword = { file = \"nas.key\" }\n";
    let place = place("");
    fill(&place, 3);
    place.ok(&["backup"]);
    // A new destination comes first, and knows of no backup.
    let config = fs::read_to_string(place.path("strongroom.toml")).expect("read");
    let config = config.replace(
        "destinations = [\"nas\"]",
        "destinations = [\"offsite\", \"nas\"]",
    );
    place.configure(&format!("{offsite}{config}"));
    place.ok(&["init"]);
    empty(&place);
    place.fails(&["backup"], 1, "it has no files");
}
