//! Restores to the host: content, every attribute, and what is in the way.

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{Fixture, everything_to, noise};
use strongroom_repository::blobs::BlobReader;
use strongroom_repository::index::Index;
use strongroom_repository::restore::{
    RestoreOptions, RestoreReport, Selection, look_ahead, restore_seen, restore_tree,
};
use strongroom_repository::source::Conflict;
use strongroom_repository::target_path::TargetPath;
use strongroom_repository::testing::{Restic, described};
use strongroom_repository::{BlobType, ErrorKind, FileType, Progress, Result};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn fill(data: &Path) {
    fs::create_dir_all(data.join("a/b")).expect("folders");
    fs::write(data.join("a/photo"), noise(11 << 20, 5)).expect("written");
    fs::write(data.join("a/b/note"), "a note").expect("written");
    fs::write(data.join("empty"), "").expect("written");
    fs::hard_link(data.join("a/photo"), data.join("a/b/linked")).expect("linked");
    symlink("../nowhere", data.join("a/dangling")).expect("linked");
    fs::set_permissions(data.join("a/b/note"), fs::Permissions::from_mode(0o4751)).expect("set");
    fs::set_permissions(data.join("a"), fs::Permissions::from_mode(0o1733)).expect("set");
    let sparse = fs::File::create(data.join("sparse")).expect("made");
    sparse.set_len(40 << 20).expect("set");
    sparse
        .write_all_at(&noise(300_000, 8), 17 << 20)
        .expect("written");
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff \" \\ \n name");
    fs::write(data.join(odd), "odd").expect("written");
    run("mkfifo", &[text(&data.join("pipe"))]);
    run(
        "setfattr",
        &[
            "-n",
            "user.comment",
            "-v",
            "seen",
            text(&data.join("a/b/note")),
        ],
    );
    run("setfacl", &["-m", "u:12345:rw", text(&data.join("empty"))]);
    run(
        "touch",
        &[
            "-d",
            "2001-02-03 04:05:06.123456789Z",
            text(&data.join("a/b/note")),
        ],
    );
    run(
        "touch",
        &[
            "-h",
            "-d",
            "1999-12-31 23:59:59.5Z",
            text(&data.join("a/dangling")),
        ],
    );
    run(
        "touch",
        &[
            "-d",
            "2010-01-01 00:00:00.000000001Z",
            text(&data.join("a/b")),
        ],
    );
    if rustix::process::geteuid().is_root() {
        run("chown", &["1234:5678", text(&data.join("a/b/note"))]);
        run("chmod", &["4751", text(&data.join("a/b/note"))]);
        run("mknod", &[text(&data.join("null")), "c", "1", "3"]);
    }
}

fn restore(fixture: &Fixture, options: &RestoreOptions) -> Result<RestoreReport> {
    let contents = fixture.latest()?;
    restore_tree(
        &contents,
        contents.root().clone(),
        options,
        &Progress::default(),
    )
}

#[test]
fn every_attribute_comes_back() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    let (report, _) = fixture.backup();
    assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
    let target = fixture.path("out/deep");
    let report = restore(&fixture, &everything_to(&target)).expect("restored");
    assert_eq!(report.problems, []);
    assert_eq!(described(&target), described(&fixture.data()));
    let sparse = fs::metadata(target.join("sparse")).expect("there");
    assert!(
        sparse.blocks() * 512 < 1 << 20,
        "{} blocks",
        sparse.blocks()
    );
}

#[test]
fn restic_restores_the_same_attributes() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fixture.backup();
    // restic writes out holes unless told otherwise, and has no name for bytes that are no UTF-8 on its command line.
    for (number, restic) in Restic::installed().iter().enumerate() {
        let target = fixture.path(&format!("restic {number}"));
        fixture.restic(restic, &["restore", "latest", "--target", text(&target)]);
        assert_eq!(described(&target.join("media")), described(&fixture.data()));
    }
}

#[test]
fn a_snapshot_of_restic_is_restored_by_us() {
    for restic in Restic::installed() {
        let fixture = Fixture::new();
        fill(&fixture.data());
        let data = fixture.data();
        fixture.restic(&restic, &["backup", text(&data)]);
        let target = fixture.path("out");
        let report = restore(&fixture, &everything_to(&target)).expect("restored");
        assert_eq!(report.problems, []);
        let inner = target.join(data.strip_prefix("/").expect("absolute"));
        assert_eq!(described(&inner), described(&data));
    }
}

#[test]
fn a_target_that_becomes_a_link_after_it_was_looked_at_is_not_followed() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.data()).unwrap();
    fs::write(fixture.data().join("file"), "content").unwrap();
    fixture.backup();
    let contents = fixture.latest().unwrap();
    let (granted, outside) = (fixture.path("granted"), fixture.path("outside"));
    for folder in [&granted, &outside] {
        fs::create_dir(folder).unwrap();
    }
    let directory = Arc::new(fs::File::open(&granted).unwrap().into());
    let (root, progress) = (contents.root(), Progress::default());
    for way in ["data", "a/data"] {
        let target = TargetPath::beneath(Arc::clone(&directory), &granted, Path::new(way));
        let options = RestoreOptions {
            target,
            ..everything_to(&granted)
        };
        let outlook = look_ahead(&contents, root, &options, &progress).unwrap();
        let first = way.split('/').next().unwrap();
        symlink(&outside, granted.join(first)).unwrap();
        let restored = restore_seen(&contents, root.clone(), &options, outlook, &progress);
        let error = restored.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        let said = format!("{}: ", granted.join(way).display());
        assert!(error.to_string().starts_with(&said), "{error}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn nothing_is_overwritten_unless_told() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fixture.backup();
    let target = fixture.path("out");
    fs::create_dir_all(target.join("a/b")).expect("folders");
    fs::write(target.join("a/b/note"), "mine").expect("written");
    let error = restore(&fixture, &everything_to(&target)).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(
        error.to_string().contains("out/a/b/note: exists already"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(&target).expect("listed").count(),
        1,
        "nothing was written"
    );

    let keep = RestoreOptions {
        conflict: Conflict::KeepExisting,
        ..everything_to(&target)
    };
    assert_eq!(restore(&fixture, &keep).expect("restored").kept, 1);
    assert_eq!(fs::read(target.join("a/b/note")).expect("read"), b"mine");

    let overwrite = RestoreOptions {
        conflict: Conflict::Overwrite,
        ..everything_to(&target)
    };
    fs::write(target.join("a/extra"), "extra").expect("written");
    restore(&fixture, &overwrite).expect("restored");
    assert!(target.join("a/extra").exists());
    let mirror = RestoreOptions {
        delete_extra: true,
        ..overwrite
    };
    assert_eq!(restore(&fixture, &mirror).expect("restored").deleted, 1);
    assert_eq!(described(&target), described(&fixture.data()));
}

/// Flips a byte in the middle of the pack that holds the photo.
fn damage_largest_pack(fixture: &Fixture) {
    let mut packs: Vec<_> = walk(&fixture.path("repository/data"));
    packs.sort_by_key(|path| fs::metadata(path).expect("there").len());
    let pack = packs.pop().expect("a pack");
    let mut bytes = fs::read(&pack).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).expect("written");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn damage_of_one_file_does_not_lose_the_others() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fixture.backup();
    damage_largest_pack(&fixture);
    let target = fixture.path("out");
    let error = restore(&fixture, &everything_to(&target)).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(
        error.to_string().contains("everything else was restored"),
        "{error}"
    );
    assert!(!target.join("a/photo").exists() && !target.join("a/b/linked").exists());
    for name in ["a/b/note", "empty", "sparse"] {
        let (restored, original) = (target.join(name), fixture.data().join(name));
        assert!(fs::read(restored).expect("restored") == fs::read(original).expect("read"));
    }
}

#[test]
fn damage_of_one_directory_does_not_lose_the_others() {
    let fixture = Fixture::new();
    for name in ["lost/deep", "lost/too", "kept"] {
        fs::create_dir_all(fixture.data().join(name)).expect("a folder");
        fs::write(fixture.data().join(name).join("file"), name).expect("written");
    }
    fixture.backup();
    let repository = fixture.reopen();
    let index = Index::load(&repository, &Progress::default()).expect("loaded");
    let reader = BlobReader::new(repository.clone(), Arc::new(index));
    let (_, snapshot) = repository.snapshots().expect("listed").good.remove(0);
    let mut tree = snapshot.tree;
    for name in ["media", "lost"] {
        let found = reader.tree(&tree).expect("read");
        let node = found.find(name.as_bytes()).expect("a directory");
        tree = node.subtree.expect("a tree");
    }
    let place = reader.locate(BlobType::Tree, &tree).expect("found");
    let path = fixture
        .path("repository")
        .join(FileType::Pack.key(&place.pack));
    let mut bytes = fs::read(&path).expect("read");
    bytes[place.blob.offset as usize + 20] ^= 1;
    fs::write(&path, bytes).expect("written");

    let target = fixture.path("out");
    let error = restore(&fixture, &everything_to(&target)).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    let said = error.to_string();
    assert!(
        said.starts_with("lost: cannot be restored: nothing below it can be read: ")
            && said.ends_with("; everything else was restored"),
        "{said}"
    );
    assert_eq!(
        fs::read(target.join("kept/file")).expect("restored"),
        b"kept"
    );
    assert_eq!(fs::read_dir(target.join("lost")).expect("made").count(), 0);

    // What was there is not taken for too much.
    fs::write(target.join("lost/precious"), "precious").expect("written");
    fs::write(target.join("kept/extra"), "extra").expect("written");
    let exact = RestoreOptions {
        delete_extra: true,
        conflict: Conflict::Overwrite,
        ..everything_to(&target)
    };
    restore(&fixture, &exact).expect_err("damaged");
    assert!(target.join("lost/precious").exists() && !target.join("kept/extra").exists());

    // Who asks for what lies below gets that error, and nothing is written.
    let below = RestoreOptions {
        paths: vec!["lost/deep".into()],
        ..everything_to(&fixture.path("below"))
    };
    let error = restore(&fixture, &below).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(!fixture.path("below").exists());
}

#[test]
fn a_file_that_cannot_be_restored_keeps_its_old_content() {
    let fixture = Fixture::new();
    // Nothing else, so that whatever is damaged is of this file.
    fs::create_dir(fixture.data().join("a")).expect("a folder");
    fs::write(fixture.data().join("a/photo"), noise(11 << 20, 5)).expect("written");
    fixture.backup();
    damage_largest_pack(&fixture);
    let target = fixture.path("out");
    fs::create_dir_all(target.join("a")).expect("a folder");
    fs::write(target.join("a/photo"), "the old one").expect("written");
    let overwrite = RestoreOptions {
        conflict: Conflict::Overwrite,
        ..everything_to(&target)
    };
    restore(&fixture, &overwrite).expect_err("damaged");
    assert_eq!(
        fs::read(target.join("a/photo")).expect("kept"),
        b"the old one"
    );
    let left: Vec<_> = walk(&target);
    assert!(
        left.iter()
            .all(|path| !path.to_string_lossy().contains(".strongroom-")),
        "{left:?}"
    );
}

/// Two names of one file in the backup may be two files in the target.
#[test]
fn no_name_of_a_damaged_file_is_replaced_and_each_is_named() {
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::write(data.join("a"), noise(11 << 20, 1)).expect("written");
    fs::hard_link(data.join("a"), data.join("b")).expect("linked");
    fs::write(data.join("c"), "whole").expect("written");
    fs::hard_link(data.join("c"), data.join("d")).expect("linked");
    fixture.backup();
    damage_largest_pack(&fixture);
    let contents = fixture.latest().expect("opens");
    let restored = |options: &RestoreOptions| {
        let (root, progress) = (contents.root(), Progress::default());
        let outlook = look_ahead(&contents, root, options, &progress).expect("looked at");
        let report = restore_seen(&contents, root.clone(), options, outlook, &progress);
        let report = report.expect("the rest is restored");
        let mut damaged: Vec<String> = report.damaged.into_iter().map(|it| it.path).collect();
        damaged.sort();
        assert_eq!(damaged, ["a", "b"]);
        assert_eq!((report.summary.files, report.summary.bytes), (2, 5));
        for name in ["c", "d"] {
            let content = fs::read(options.target.path().join(name)).expect("restored");
            assert_eq!(content, b"whole");
        }
    };
    let nothing_there = everything_to(&fixture.path("new"));
    restored(&nothing_there);
    assert_eq!(walk(nothing_there.target.path()).len(), 2);

    let target = fixture.path("old");
    fs::create_dir(&target).expect("a folder");
    for name in ["a", "b", "c", "d"] {
        fs::write(target.join(name), format!("old {name}")).expect("written");
    }
    restored(&RestoreOptions {
        conflict: Conflict::Overwrite,
        ..everything_to(&target)
    });
    for name in ["a", "b"] {
        let content = fs::read(target.join(name)).expect("kept");
        assert_eq!(content, format!("old {name}").as_bytes());
    }
}

/// What tar unpacks is what was backed up, and the manifest tells its hashes.
#[test]
fn an_archive_holds_everything_and_lists_it_first() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fs::write(fixture.data().join("manifest.json"), "not ours").expect("written");
    // GNU tar keeps ACLs in records of its own.
    run(
        "setfacl",
        &["--remove-all", text(&fixture.data().join("empty"))],
    );
    let long = "long/".repeat(25);
    fs::create_dir_all(fixture.data().join(&long)).expect("folders");
    fs::write(fixture.data().join(&long).join("n".repeat(200)), "deep").expect("written");
    let _socket = std::os::unix::net::UnixListener::bind(fixture.data().join("socket"));
    fixture.backup();

    let contents = fixture.latest().expect("opened");
    let progress = Progress::default();
    let archive = fixture.path("media.tar");
    let file = fs::File::create(&archive).expect("made");
    strongroom_repository::tar::write_tar(&contents, &Selection::default(), file, &progress)
        .expect("written");

    let listed = run("tar", &["--list", "--file", text(&archive)]);
    assert_eq!(listed.lines().next(), Some("manifest.json"));
    let out = fixture.path("out");
    fs::create_dir(&out).expect("made");
    let xattrs = ["--xattrs", "--xattrs-include=user.*"];
    run(
        "tar",
        &[
            &[
                "--extract",
                "--same-owner",
                "--same-permissions",
                "--directory",
                text(&out),
                "--file",
                text(&archive),
            ],
            &xattrs[..],
        ]
        .concat(),
    );
    fs::remove_file(fixture.data().join("socket")).expect("removed");
    run(
        "touch",
        &["-r", text(&out.join("media")), text(&fixture.data())],
    );
    let (unpacked, original) = (described(&out.join("media")), described(&fixture.data()));
    for (unpacked, original) in unpacked.lines().zip(original.lines()) {
        assert_eq!(unpacked, original);
    }

    let manifest = fs::read(out.join("manifest.json")).expect("read");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    for file in manifest["files"].as_array().expect("files") {
        let Some(sha256) = file["sha256"].as_str() else {
            continue;
        };
        if file["path_base64"].is_null() {
            let path = out.join(file["path"].as_str().expect("a path"));
            let content = fs::read(&path).expect("read");
            assert_eq!(
                strongroom_repository::Id::of(&content).to_string(),
                sha256,
                "{path:?}"
            );
        }
    }
}

/// Byte for byte, whatever they hold.
#[test]
fn names_and_links_come_out_of_an_archive_as_they_went_in() {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new();
    let data = fixture.data();
    for name in [
        &b"-rf"[..],
        b"--checkpoint-action=exec=false",
        b" leading and trailing ",
        b"new\nline\ttab",
        b"\xff\xfe no text",
        b"back\\slash\\101",
        b"C:\\windows",
        b"*?[glob]",
        &[b'n'; 255],
    ] {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(data.join(name), name.as_bytes()).expect("written");
        fs::create_dir(data.join("folder")).unwrap_or_default();
        fs::hard_link(data.join(name), data.join("folder").join(name)).expect("linked");
    }
    let long = format!("./{}/", "long//".repeat(60));
    for (number, target) in ["./a//b/", "//x/../y", "..", "/", "folder/.", "-rf", &long]
        .into_iter()
        .enumerate()
    {
        symlink(target, data.join(format!("link {number}"))).expect("linked");
    }
    run(
        "setfattr",
        &[
            "-n",
            "user.a=b%3D",
            "-v",
            "x",
            text(&data.join("folder/-rf")),
        ],
    );
    fixture.backup();
    let contents = fixture.latest().expect("opened");
    let archive = fixture.path("media.tar");
    let file = fs::File::create(&archive).expect("made");
    let all = Selection::default();
    strongroom_repository::tar::write_tar(&contents, &all, file, &Progress::default())
        .expect("written");
    let out = fixture.path("out");
    fs::create_dir(&out).expect("made");
    let unpack = [
        "--extract",
        "--same-permissions",
        "--xattrs",
        "--xattrs-include=user.*",
    ];
    run(
        "tar",
        &[
            &unpack[..],
            &["--directory", text(&out), "--file", text(&archive)],
        ]
        .concat(),
    );
    assert_eq!(described(&out.join("media")), described(&data));
}

/// More entries than a restore keeps from looking ahead, so that it reads the directories again.
#[test]
fn a_backup_of_very_many_files_is_restored_whole() {
    let fixture = Fixture::new();
    for folder in 0..60 {
        let folder = fixture.data().join(folder.to_string());
        fs::create_dir_all(&folder).expect("made");
        for file in 0..850 {
            fs::write(folder.join(file.to_string()), "").expect("written");
        }
    }
    fixture.backup();
    let target = fixture.path("out");
    let report = restore(&fixture, &everything_to(&target)).expect("restored");
    assert_eq!((report.summary.files, report.directories), (51_000, 61));
    assert_eq!(walk(&target).len(), 51_000);
}

#[test]
fn selected_paths_come_alone() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fixture.backup();
    let target = fixture.path("out");
    let some = RestoreOptions {
        paths: vec!["a/b/note".into(), "empty".into()],
        ..everything_to(&target)
    };
    assert_eq!(restore(&fixture, &some).expect("restored").summary.files, 2);
    assert!(target.join("a/b/note").exists() && !target.join("a/photo").exists());
    let missing = RestoreOptions {
        paths: vec!["a/c".into()],
        ..everything_to(&fixture.path("other"))
    };
    let error = restore(&fixture, &missing).expect_err("missing");
    assert_eq!(error.to_string(), "no 'a/c' in this backup");
    assert!(!fixture.path("other").exists());
}
