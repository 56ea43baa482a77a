//! Objects as other programs and other versions write them: with fields that are absent, null or unknown.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Fixture, noise};
use serde_json::{Map, Value, json};
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::copy::copy;
use strongroom_repository::prune::{PruneOptions, prune};
use strongroom_repository::testing::Restic;
use strongroom_repository::tree::{Node, Tree};
use strongroom_repository::{ErrorKind, FileType, Id, Lock, Progress, Snapshot};

/// Changes the only key file, which is named by its content.
fn change_key(repository: &Path, change: impl Fn(&mut Map<String, Value>)) {
    for entry in fs::read_dir(repository.join("keys")).expect("a folder") {
        let path = entry.expect("read").path();
        let mut key: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        change(key.as_object_mut().expect("an object"));
        let changed = serde_json::to_vec(&key).expect("written");
        fs::remove_file(&path).expect("removed");
        let name = Id::of(&changed).to_string();
        fs::write(repository.join("keys").join(name), changed).expect("written");
    }
}

const TELLING: [&str; 3] = ["created", "username", "hostname"];

#[test]
fn a_key_that_says_nothing_of_its_maker_opens_the_repository() {
    let fixture = Fixture::new();
    let repository = fixture.path("repository");
    let check = |named: [Option<&str>; 2]| {
        let opened = fixture.reopen();
        let (keys, problems) = opened.keys().expect("listed");
        assert_eq!(problems.len(), 0);
        let [key] = keys.as_slice() else {
            panic!("{keys:?}");
        };
        let made = key.created.map(|time| time.to_string());
        assert_eq!(
            (made.as_deref(), key.username.as_str()),
            (named[0], named[1].unwrap_or(""))
        );
        for restic in Restic::installed() {
            fixture.restic(&restic, &["check"]);
        }
    };
    change_key(&repository, |key| {
        TELLING.iter().for_each(|name| {
            key.remove(*name);
        })
    });
    check([None, None]);
    change_key(&repository, |key| {
        TELLING.iter().for_each(|name| {
            key.insert((*name).into(), Value::Null);
        })
    });
    check([None, None]);
    // rustic's time zone, and what nobody knows yet.
    change_key(&repository, |key| {
        key.insert("created".into(), "2026-07-01T12:00:00.5+02:00".into());
        key.insert("username".into(), "ann".into());
        key.insert("future".into(), json!({"any": [1]}));
    });
    check([Some("2026-07-01T12:00:00.5+02:00"), Some("ann")]);
    // A key that cannot be read is one problem, and not all.
    fixture.repository.add_key("another").expect("added");
    change_key(&repository, |key| {
        if key.contains_key("future") {
            key.remove("salt");
        }
    });
    let destination = strongroom_repository::testing::DirectoryDestination::new("nas", &repository);
    strongroom_repository::Repository::open(Arc::new(destination), "another").expect("opens");
}

/// rustic's label, and its figures: other ones than restic's.
#[test]
fn a_snapshot_keeps_what_its_writer_put_there() {
    let fixture = Fixture::new();
    fs::write(fixture.data().join("photo"), noise(1 << 20, 1)).expect("written");
    fixture.backup();
    let repository = fixture.reopen();
    let (_, ours) = repository.snapshots().expect("listed").good.remove(0);
    let time = ours.time.to_string();
    let rustics = json!({
        "time": "2026-07-01T12:00:00.123456789+02:00",
        "program_version": "rustic 0.11.4", "tree": ours.tree, "label": "weekly", "paths": ["/data"],
        "hostname": "vault", "username": "", "uid": 0, "gid": 0, "tags": [], "delete": "never",
        "summary": {"files_new": 1, "command": "rustic backup", "backup_start": time,
            "backup_end": time, "backup_duration": 0.25, "total_duration": 0.5,
            "total_dirsize_processed": 77},
        "description": "of all that matters",
    });
    let sparse = json!({"time": time, "tree": ours.tree});
    let nulls = json!({
        "time": time, "tree": ours.tree, "parent": null, "paths": null, "hostname": null,
        "username": null, "uid": null, "gid": null, "excludes": null, "tags": null,
        "original": null, "program_version": null, "summary": null, "future": null,
    });
    let empty_summary = json!({"time": time, "tree": ours.tree, "summary": {}});
    let ids = [&rustics, &sparse, &nulls, &empty_summary].map(|it| {
        repository
            .save_json(FileType::Snapshot, it)
            .expect("written")
    });
    let snapshots = repository.snapshots().expect("listed");
    assert_eq!((snapshots.good.len(), snapshots.problems.len()), (5, 0));
    let (_, read) = snapshots.find(&ids[0].to_string()).expect("there");
    assert_eq!(read.unknown["label"], "weekly");
    for restic in Restic::installed() {
        fixture.restic(&restic, &["snapshots"]);
        fixture.restic(&restic, &["check"]);
    }

    let other = Fixture::new();
    let all = |snapshots: &[(Id, Snapshot)]| Ok(snapshots.iter().map(|(id, _)| *id).collect());
    copy(
        &repository,
        &other.reopen(),
        &all,
        &Arc::new(Progress::default()),
    )
    .expect("copied");
    let copies = other.reopen().snapshots().expect("listed").good;
    let (copied, _) = copies
        .iter()
        .find(|(_, snapshot)| snapshot.original == Some(ids[0]))
        .expect("there");
    let copied: Value = other
        .reopen()
        .load_json(FileType::Snapshot, copied)
        .expect("read");
    for (name, value) in rustics.as_object().expect("an object") {
        match (name.as_str(), value) {
            // What says nothing is left out.
            ("username" | "uid" | "gid" | "tags", _) => {}
            (_, Value::Object(figures)) => {
                for (figure, value) in figures {
                    assert_eq!(&copied[name][figure], value, "{name}: {figure}");
                }
            }
            _ => assert_eq!(&copied[name], value, "{name}"),
        }
    }
}

/// What a lock says of time is not asked: the destination knows when it was stored.
#[test]
fn a_lock_that_says_nothing_counts_for_half_an_hour() {
    let fixture = Fixture::new();
    let repository = fixture.reopen();
    for lock in [
        json!({"exclusive": true}),
        json!({"time": null, "exclusive": true, "pid": null}),
    ] {
        repository
            .save_json(FileType::Lock, &lock)
            .expect("written");
    }
    let error = Lock::shared(&repository).err().expect("is refused");
    assert_eq!(error.kind(), ErrorKind::Locked);
    for (id, _) in repository.list(FileType::Lock).expect("listed") {
        let path = fixture.path("repository").join(FileType::Lock.key(&id));
        let lock = fs::File::options().append(true).open(path).expect("opens");
        let stored = std::time::SystemTime::now() - std::time::Duration::from_mins(31);
        lock.set_modified(stored).expect("is old");
    }
    drop(Lock::shared(&repository).expect("nobody is there"));
    assert!(repository.list(FileType::Lock).expect("listed").is_empty());
}

#[test]
fn a_node_may_lack_whatever_is_not_its_name_and_type() {
    let check = |fields: &str, expected: &dyn Fn(&Node) -> bool| {
        let json = format!(r#"{{"nodes":[{{"name":"a","type":"file"{fields}}}]}}"#);
        let tree = Tree::decode(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert!(expected(&tree.nodes[0]), "{json}: {:?}", tree.nodes[0]);
    };
    let zero = |node: &Node| {
        (node.mode, node.uid, node.size, node.links, node.inode) == (0, 0, 0, 0, 0)
            && node.mtime.to_string() == "0001-01-01T00:00:00Z"
            && node.extended_attributes.is_empty()
            && node.user.is_empty()
    };
    check("", &zero);
    let nulls: String = [
        "mode",
        "mtime",
        "atime",
        "ctime",
        "uid",
        "gid",
        "user",
        "group",
        "inode",
        "device_id",
        "size",
        "links",
        "linktarget",
        "linktarget_raw",
        "extended_attributes",
        "generic_attributes",
        "device",
        "content",
        "subtree",
        "error",
    ]
    .iter()
    .map(|name| format!(r#","{name}":null"#))
    .collect();
    check(&nulls, &zero);
    check(r#","future":{"a":[null]}"#, &zero);
    let one = |node: &Node| node.extended_attributes.len() == 1;
    check(r#","extended_attributes":[{"name":"user.a"}]"#, &one);
    check(
        r#","extended_attributes":[{"name":"user.a","value":null}]"#,
        &one,
    );
    check(r#","mtime":"2026-07-01T12:00:00.5+02:00""#, &|node| {
        node.mtime.to_string() == "2026-07-01T12:00:00.5+02:00"
    });
}

/// A run was killed on a store that then shows half of what it was given.
#[test]
fn half_a_pack_that_no_index_names_is_a_note_until_it_is_pruned() {
    let fixture = Fixture::new();
    fs::write(fixture.data().join("photo"), noise(1 << 20, 1)).expect("written");
    fixture.backup();
    for length in [0, 3, 5000] {
        let half = noise(length, 7);
        let key = FileType::Pack.key(&Id::of(format!("the whole of {length}").as_bytes()));
        let path = fixture.path("repository").join(key);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, half).expect("written");
    }
    let checked = || {
        let options = CheckOptions {
            read_data: Some(100.0),
            ..CheckOptions::default()
        };
        check(&fixture.reopen(), options, &Progress::default()).expect("checked")
    };
    let report = checked();
    assert_eq!(report.problems, []);
    let lone = report.notes.iter();
    assert_eq!(
        lone.filter(|note| note.message.contains("is in no index"))
            .count(),
        3
    );
    let at_once = PruneOptions {
        grace: std::time::Duration::ZERO,
        ..PruneOptions::default()
    };
    let before = checked();
    prune(
        &fixture.reopen(),
        &PruneOptions::default(),
        &Progress::default(),
    )
    .expect("pruned");
    assert_eq!(checked().notes, before.notes, "they may be somebody's");
    prune(&fixture.reopen(), &at_once, &Progress::default()).expect("pruned");
    let report = checked();
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
}
