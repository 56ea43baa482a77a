//! Restores through the program: killed at any point, into targets that do not take everything, of paths however they are written.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{ONE_OF_EACH, Place, TWO_OF_EACH, files, skip};
use strongroom_repository::testing::{described, noise};

/// How often a restore is killed, and how often that must have come in the middle.
const KILLS: u32 = 30;
const ENOUGH: u32 = 8;

fn place(config: &str) -> Place {
    let place = Place::new(config);
    place.write("media/a.txt", "a");
    place.write("notes/note.md", "# note");
    place
}

fn backed_up(place: &Place) {
    place.ok(&["init"]);
    place.ok(&["backup"]);
}

/// Many small files, some large ones, and every kind.
fn fill(media: &Path) {
    for folder in 0..10 {
        let folder = media.join(format!("folder {folder}/deep"));
        fs::create_dir_all(&folder).expect("made");
        for file in 0..150 {
            let content = noise(3000, u64::from(file as u32 + 1));
            fs::write(folder.join(file.to_string()), content).expect("written");
        }
        fs::hard_link(folder.join("7"), folder.join("../linked")).expect("linked");
        symlink("deep/8", folder.join("../symbolic")).expect("linked");
    }
    for file in 0..6 {
        let content = noise(12 << 20, file + 1000);
        fs::write(media.join(format!("large {file}")), content).expect("written");
    }
    let sparse = fs::File::create(media.join("sparse")).expect("made");
    sparse.set_len(64 << 20).expect("set");
    let script =
        "find . -type d -exec chmod 2750 {} + -exec touch -d '2001-02-03 04:05:06.789Z' {} +
        touch -h -d '2002-02-02 00:00:00.25Z' folder*/symbolic";
    let done = Command::new("sh")
        .args(["-euc", script])
        .current_dir(media)
        .status();
    assert!(done.expect("runs").success());
}

fn temporary(folder: &Path) -> Vec<String> {
    let names = files(folder).into_keys();
    names.filter(|name| name.contains(".strongroom-")).collect()
}

/// What stands under its name is what was backed up.
fn assert_whole(target: &Path, media: &Path) {
    let original = files(media);
    for (name, content) in files(target) {
        let is_temporary = name.contains(".strongroom-partial-");
        // What a link leads to may be still to come.
        let is_same = match fs::read_link(target.join(&name)) {
            Ok(link) => fs::read_link(media.join(&name)).ok() == Some(link),
            Err(_) => original.get(&name) == Some(&content),
        };
        assert!(is_temporary || is_same, "{name}");
    }
}

#[test]
fn a_restore_that_is_killed_at_any_point_and_repeated_gives_the_backup() {
    let place = place(ONE_OF_EACH);
    let media = place.path("media");
    fill(&media);
    backed_up(&place);
    let expected = described(&media);
    let mut whole = Duration::ZERO;
    let (mut killed, mut left) = (0, 0);
    for round in 0..=KILLS {
        let target = place.path("out");
        let started = Instant::now();
        let mut child = place
            .command(&["restore", "latest", "--target", "out"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        if round == 0 {
            assert!(child.wait().expect("waited").success());
            whole = started.elapsed();
            assert_eq!(described(&target.join("media")), expected);
            fs::remove_dir_all(&target).expect("removed");
            continue;
        }
        while !target.join("media").exists() {
            assert!(
                child.try_wait().expect("waited").is_none(),
                "it was too fast"
            );
            std::thread::sleep(Duration::from_micros(200));
        }
        let begun = started.elapsed();
        std::thread::sleep(whole.saturating_sub(begun).mul_f64(1.05) * round / KILLS);
        child.kill().expect("killed");
        killed += u32::from(!child.wait().expect("waited").success());
        assert_whole(&target.join("media"), &media);
        left += u32::from(!temporary(&target).is_empty());
        let rule = ["--keep-existing", "--overwrite"][round as usize % 2];
        place.ok(&["restore", "latest", "--target", "out", rule]);
        assert_eq!(
            described(&target.join("media")),
            expected,
            "round {round}, {rule}"
        );
        fs::remove_dir_all(&target).expect("removed");
    }
    let kills =
        format!("of {KILLS} kills within {whole:?}, {killed} came in time, {left} left something");
    eprintln!("{kills}");
    assert!(killed >= ENOUGH && left >= ENOUGH / 2, "{kills}");
}

#[test]
fn a_restore_that_is_cancelled_says_how_it_goes_on() {
    let place = place(ONE_OF_EACH);
    let media = place.path("media");
    fill(&media);
    backed_up(&place);
    let mut child = place
        .command(&["restore", "latest", "--target", "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    while !place.path("out/media").exists() {
        assert!(
            child.try_wait().expect("waited").is_none(),
            "it was too fast"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
    let ended = place.ended(child.wait_with_output().expect("waited"));
    assert_eq!(ended.exit, 130, "{}", ended.stderr);
    assert!(ended.stderr.contains("--keep-existing"), "{}", ended.stderr);
    assert_eq!(temporary(&place.path("out")), [""; 0]);
    place.ok(&["restore", "latest", "--target", "out", "--keep-existing"]);
    assert_eq!(described(&place.path("out/media")), described(&media));
}

/// Runs a script with the program as `$1`, in a mount namespace of its own. None where that cannot be.
fn mounted(place: &Place, name: &str, script: &str) -> Option<common::Ended> {
    let run = |script: &str| {
        let output = Command::new("unshare")
            .args(["--mount", "--", "bash", "-uc", script, "bash"])
            .arg(env!("CARGO_BIN_EXE_strongroom"))
            .current_dir(place.path(""))
            .output();
        place.ended(output.expect("unshare is there: install the Debian package util-linux"))
    };
    if run("mkdir -p probe && mount -t tmpfs none probe").exit != 0 {
        skip(name, "only root may mount");
        return None;
    }
    Some(run(script))
}

#[test]
fn a_disk_that_was_too_small_gets_the_rest_when_it_is_larger() {
    let place = place(ONE_OF_EACH);
    place.write("media/big", noise(3_000_000, 1));
    backed_up(&place);
    let script = r#"
        mkdir small && mount -t tmpfs -o size=1m none small || exit 100
        "$1" restore latest --target small; echo "first $?"
        ls -A small/media; cmp media/a.txt small/media/a.txt || exit 101
        mount -o remount,size=20m small || exit 102
        "$1" restore latest --target small --keep-existing; echo "second $?"
        cmp media/big small/media/big"#;
    let name = "a_disk_that_was_too_small_gets_the_rest_when_it_is_larger";
    let Some(ended) = mounted(&place, name, script) else {
        return;
    };
    assert_eq!(ended.exit, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("first 3\na.txt\n"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("second 0\n"), "{}", ended.stdout);
    let said = "warning: big: cannot be written: no space left on device (make room, and restore again with --keep-existing)";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn what_the_target_does_not_take_is_named_in_a_folder_and_in_a_source() {
    let place = place(TWO_OF_EACH);
    for name in ["a", "m", "z"] {
        place.write(&format!("notes/{name}"), "new");
    }
    backed_up(&place);
    let to_folder = [
        "restore",
        "latest",
        "--source",
        "notes",
        "--target",
        "out",
        "--overwrite",
    ];
    place.ok(&to_folder);
    let to_source = [
        "restore",
        "latest",
        "--source",
        "notes",
        "--to",
        "notes",
        "--overwrite",
    ];
    for (arguments, folder) in [(&to_folder, "out/notes"), (&to_source, "notes")] {
        for name in ["a", "m", "z"] {
            fs::write(place.path(folder).join(name), "old").expect("written");
        }
        let lock = |flag: &str| {
            let file = place.path(folder).join("m");
            let status = Command::new("chattr").arg(flag).arg(file).status();
            status.is_ok_and(|status| status.success())
        };
        if !lock("+i") {
            let name = "what_the_target_does_not_take_is_named_in_a_folder_and_in_a_source";
            return skip(name, "only root may make a file immutable");
        }
        let ended = place.run(arguments);
        assert!(lock("-i"));
        assert_eq!(ended.exit, 3, "{folder}: {}", ended.stderr);
        let said = "m: cannot be put in place: operation not permitted";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        assert!(ended.stderr.contains("chattr -i"), "{}", ended.stderr);
        for (name, content) in [("a", "new"), ("m", "old"), ("z", "new")] {
            let found = fs::read_to_string(place.path(folder).join(name));
            assert_eq!(found.expect("read"), content, "{folder}/{name}");
        }
        assert_eq!(temporary(&place.path(folder)), [""; 0]);
    }
}

#[test]
fn a_file_that_is_larger_than_the_limit_is_named() {
    let place = place(ONE_OF_EACH);
    place.write("media/big", noise(3_000_000, 1));
    place.write("media/sized", noise(900_000, 2));
    backed_up(&place);
    place.ok(&["list"]);
    let output = Command::new("bash")
        .args([
            "-c",
            "ulimit -f 1000; exec \"$1\" restore latest --target out",
            "bash",
        ])
        .arg(env!("CARGO_BIN_EXE_strongroom"))
        .current_dir(place.path(""))
        .output();
    let ended = place.ended(output.expect("bash runs"));
    assert_eq!(ended.exit, 3, "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("warning: big: cannot be written: file too large"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("ulimit -f"), "{}", ended.stderr);
    let mut expected = files(&place.path("media"));
    expected.remove("big");
    assert_eq!(files(&place.path("out/media")), expected);
}

#[test]
fn a_folder_in_a_repository_is_no_target() {
    let place = place(TWO_OF_EACH);
    backed_up(&place);
    let before = files(&place.path("nas"));
    symlink(place.path("nas/data"), place.path("link")).expect("linked");
    for target in ["nas", "nas/new/deep", "link", "offsite/x", "./nas/../nas/."] {
        for arguments in [
            ["restore", "latest", "--target", target],
            ["download", "latest", "--output", target],
        ] {
            let ended = place.run(&arguments);
            assert_eq!(ended.exit, 2, "{arguments:?}: {}", ended.stderr);
            let said = "lies in the repository of destination ";
            assert!(
                ended.stderr.contains(said),
                "{arguments:?}: {}",
                ended.stderr
            );
            assert!(
                ended.stderr.contains("\nhint: choose a folder outside of "),
                "{}",
                ended.stderr
            );
        }
    }
    assert_eq!(files(&place.path("nas")), before);
    // As `offsite` itself, because the source has that name.
    let config = TWO_OF_EACH.replace("sources.notes", "sources.offsite");
    place.configure(&config.replace("\"notes\"]", "\"offsite\"]"));
    place.ok(&["backup"]);
    place.fails(
        &["restore", "latest", "--source", "offsite", "--target", "."],
        2,
        "lies in the repository of destination offsite",
    );
    // In a source is no fault, but the next backup has it.
    let ended = place.run(&[
        "restore",
        "latest",
        "--source",
        "media",
        "--target",
        "media/out",
    ]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("media/out/media lies in the source media"),
        "{}",
        ended.stderr
    );
}

/// Runs the program with a path that may be no UTF-8.
fn with_path(place: &Place, arguments: &[&str], path: &OsStr) -> common::Ended {
    let output = place.command(arguments).arg(path).output();
    place.ended(output.expect("the program starts"))
}

#[test]
fn a_path_is_taken_however_it_is_written() {
    let place = place(ONE_OF_EACH);
    let odd = OsString::from_vec(b"odd \xff \n name".to_vec());
    fs::create_dir(place.path("media/folder")).expect("made");
    fs::write(place.path("media/folder").join(&odd), "odd").expect("written");
    fs::write(place.path("media/folder").join("back\\nslash"), "slash").expect("written");
    backed_up(&place);
    let listed = place.ok(&["ls", "latest", "folder"]);
    assert_eq!(listed, "folder/back\\nslash\nfolder/odd \\xff \\n name\n");
    let raw = Path::new("folder").join(&odd).into_os_string();
    let spelled = Path::new(".//folder/./").join(&odd).into_os_string();
    let shown = OsString::from("folder/odd \\xff \\n name");
    for (number, path) in [&raw, &spelled, &shown].into_iter().enumerate() {
        let ended = with_path(&place, &["cat", "latest"], path);
        assert_eq!(
            (ended.exit, ended.stdout.as_str()),
            (0, "odd"),
            "{path:?}: {}",
            ended.stderr
        );
        let target = format!("out {number}");
        let ended = with_path(
            &place,
            &["restore", "latest", "--target", &target, "--path"],
            path,
        );
        assert_eq!(ended.exit, 0, "{path:?}: {}", ended.stderr);
        let folder = place.path(&target).join("media/folder");
        assert_eq!(fs::read(folder.join(&odd)).expect("restored"), b"odd");
        assert_eq!(fs::read_dir(folder).expect("listed").count(), 1);
        let output = format!("dl {number}");
        let ended = with_path(
            &place,
            &["download", "latest", "--output", &output, "--path"],
            path,
        );
        assert_eq!(ended.exit, 0, "{path:?}: {}", ended.stderr);
        let downloaded = fs::read_dir(place.path(&output)).expect("listed").next();
        let downloaded = downloaded.expect("one").expect("an entry");
        assert!(downloaded.file_name().as_bytes().ends_with(odd.as_bytes()));
        assert_eq!(fs::read(downloaded.path()).expect("read"), b"odd");
    }
    assert_eq!(
        place.ok(&["cat", "latest", "folder//back\\nslash"]),
        "slash"
    );
    for all in [".", "./", "/", "folder/..//"] {
        let ended = with_path(&place, &["ls", "latest"], OsStr::new(all));
        let expected = i32::from(all.contains(".."));
        assert_eq!(ended.exit, expected, "{all}: {}", ended.stderr);
    }
    let target = place.path("").join(OsStr::from_bytes(b"out \xff"));
    let ended = with_path(
        &place,
        &["restore", "latest", "--target"],
        target.as_os_str(),
    );
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    assert_eq!(
        fs::read(target.join("media/a.txt")).expect("restored"),
        b"a"
    );
    // The configuration itself, too.
    let config = place.path("").join(OsStr::from_bytes(b"\xfe.toml"));
    fs::rename(place.path("strongroom.toml"), &config).expect("moved");
    let ended = with_path(&place, &["list", "--config"], config.as_os_str());
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
}

#[test]
fn any_time_of_a_file_is_shown_backed_up_and_restored() {
    let place = place(ONE_OF_EACH);
    let times: [(&str, i64); 5] = [
        ("old", -2_208_988_800),
        ("before", -1),
        ("late", 13_569_465_600),
        ("last", 15_032_385_535),
        ("zero", 0),
    ];
    for (name, seconds) in times {
        place.write(&format!("media/{name}"), name);
        let file = place.path("media").join(name);
        let time = format!("@{seconds}");
        let status = Command::new("touch").args(["-d", &time]).arg(file).status();
        assert!(status.expect("touch runs").success());
    }
    backed_up(&place);
    for arguments in [
        &["ls", "--long", "latest"][..],
        &["ls", "latest", "--json"],
        &["show", "latest", "--files"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.exit, 0, "{arguments:?}: {}", ended.stderr);
    }
    place.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(
        described(&place.path("out/media")),
        described(&place.path("media"))
    );
    place.ok(&["download", "latest", "--output", "dl"]);
}

#[test]
fn a_download_that_was_killed_leaves_nothing_for_the_next_one() {
    let place = place(ONE_OF_EACH);
    place.write("media/big", noise(60 << 20, 1));
    backed_up(&place);
    let mut in_time = 0;
    for _ in 0..5 {
        let mut child = place
            .command(&["download", "latest", "--output", "dl"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let names = || -> Vec<String> { files_of(&place.path("dl")) };
        while names().is_empty() {
            assert!(
                child.try_wait().expect("waited").is_none(),
                "it was too fast"
            );
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().expect("killed");
        child.wait().expect("waited");
        in_time += u32::from(names().iter().all(|name| name.ends_with(".partial")));
    }
    assert!(in_time > 0);
    // One that is still at work is left alone: it holds its file.
    let left = files_of(&place.path("dl"));
    let held = left.first().expect("one");
    let other = held
        .replace(".partial", "")
        .rsplit_once('.')
        .map(|(name, _)| name.to_owned());
    let busy = place
        .path("dl")
        .join(format!("{}.0123456789.partial", other.expect("a name")));
    fs::write(&busy, "another download").expect("written");
    let file = fs::File::open(&busy).expect("opens");
    file.lock().expect("locked");
    place.ok(&["download", "latest", "--output", "dl"]);
    let names = files_of(&place.path("dl"));
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".tar")) && busy.exists());
}

fn files_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_download_writes_over_nothing_and_leaves_nothing_half_written() {
    let place = place(ONE_OF_EACH);
    let long = format!("{}.jpg", "n".repeat(251));
    place.write("media/big", noise(3_000_000, 1));
    place.write(&format!("media/{long}"), "long");
    backed_up(&place);
    let path = ["download", "latest", "--output", "dl", "--path", &long];
    let downloaded = place.json(&path);
    let name = downloaded["files"][0]["path"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert!(name.ends_with(".jpg"), "{name}");
    assert_eq!(fs::read(place.path(&name)).expect("read"), b"long");
    fs::remove_file(place.path(&name)).expect("removed");
    symlink("nowhere", place.path(&name)).expect("linked");
    place.fails(&path, 1, "exists already");
    assert!(!place.path("dl/nowhere").exists());
    for output in ["media/a.txt", "dangling"] {
        let _ = symlink("nowhere", place.path("dangling"));
        place.fails(
            &["download", "latest", "--output", output],
            1,
            "hint: name another folder",
        );
    }
    let script = r#"
        mkdir small && mount -t tmpfs -o size=1m none small || exit 100
        "$1" download latest --output small; echo "ended $?"; ls -A small | wc -l"#;
    let name = "a_download_writes_over_nothing_and_leaves_nothing_half_written";
    let Some(ended) = mounted(&place, name, script) else {
        return;
    };
    assert_eq!(ended.stdout, "ended 1\n0\n", "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("no space left on device\nhint: make room, or"),
        "{}",
        ended.stderr
    );
}
