//! A table of damage: what is done to the config, a key, an index and a snapshot of a repository that restic made, and what people are told.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use strongroom_repository::destination::Body;
use strongroom_repository::testing::MemoryDestination;
use strongroom_repository::{Error, ErrorKind, FileType, Repository, Snapshot};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/restic-v2");
const PASSWORD: &str = "fixture";

/// The fixture in memory, where it can be damaged.
fn fixture() -> Arc<MemoryDestination> {
    fn add(destination: &MemoryDestination, folder: &Path) {
        for entry in fs::read_dir(folder).expect("the fixture is there") {
            let path = entry.expect("is readable").path();
            if path.is_dir() {
                add(destination, &path);
                continue;
            }
            let key = path.strip_prefix(FIXTURE).expect("is below");
            let content = fs::read(&path).expect("is readable");
            destination.set_object(key.to_str().expect("is UTF-8"), Some(content.into()));
        }
    }
    let destination = MemoryDestination::new("nas");
    add(&destination, Path::new(FIXTURE));
    Arc::new(destination)
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Empty,
    Truncate,
    Flip,
    Delete,
}

const ALL: [Damage; 4] = [
    Damage::Empty,
    Damage::Truncate,
    Damage::Flip,
    Damage::Delete,
];

fn damage(destination: &MemoryDestination, key: &str, how: Damage) {
    let mut content = destination.object(key).expect("is there").to_vec();
    match how {
        Damage::Empty => content.clear(),
        Damage::Truncate => content.truncate(content.len() / 2),
        Damage::Flip => {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        }
        Damage::Delete => return destination.set_object(key, None),
    }
    destination.set_object(key, Some(content.into()));
}

/// The first object of a kind.
fn first(destination: &MemoryDestination, prefix: &str) -> String {
    let keys = destination.keys();
    keys.into_iter()
        .find(|key| key.starts_with(prefix))
        .expect("there is one")
}

/// `wanted` is kind and line; `{id}` in it stands for the first digits of what was damaged.
fn check(error: &Error, key: &str, how: Damage, wanted: (ErrorKind, &str)) {
    let id: String = key
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .take(8)
        .collect();
    let wanted = (wanted.0, wanted.1.replace("{id}", &id));
    assert_eq!((error.kind(), error.to_string()), wanted, "{how:?}");
    assert!(error.hint_text().is_some(), "{how:?}: {error:?}");
}

#[test]
fn a_sound_repository_of_restic_is_read() {
    let repository = Repository::open(fixture(), PASSWORD).expect("opens");
    let snapshots = repository.snapshots().expect("are listed");
    assert_eq!(snapshots.good.len(), 2);
    let (parent, first) = &snapshots.good[0];
    let (_, second) = &snapshots.good[1];
    assert_eq!(second.parent, Some(*parent));
    assert_eq!(first.time.to_string(), "2026-11-20T13:35:00.362348988Z");
}

#[test]
fn a_damaged_config_is_never_opened() {
    for how in ALL {
        let destination = fixture();
        damage(&destination, "config", how);
        let error = Repository::open(destination, PASSWORD).expect_err("is damaged");
        let wanted = match how {
            Damage::Empty => (
                ErrorKind::Corrupted,
                "the config of repository nas is damaged: it is too short to be encrypted data",
            ),
            Damage::Truncate | Damage::Flip => (
                ErrorKind::Corrupted,
                "the config of repository nas is damaged: its encrypted data is damaged",
            ),
            Damage::Delete => (ErrorKind::NotFound, "no repository at destination nas"),
        };
        check(&error, "config", how, wanted);
    }
}

#[test]
fn a_damaged_key_is_named_and_no_wrong_password() {
    for how in ALL {
        let destination = fixture();
        let key = first(&destination, "keys/");
        damage(&destination, &key, how);
        let error = Repository::open(destination, PASSWORD).expect_err("is damaged");
        let wanted = match how {
            Damage::Delete => (ErrorKind::Corrupted, "repository nas has no keys"),
            _ => (
                ErrorKind::Corrupted,
                "nas: key {id} is damaged: its content does not match its name",
            ),
        };
        check(&error, &key, how, wanted);
    }
}

#[test]
fn another_key_opens_in_spite_of_a_damaged_one() {
    for how in ALL {
        let destination = fixture();
        let key = first(&destination, "keys/");
        let repository = Repository::open(destination.clone(), PASSWORD).expect("opens");
        repository.add_key("second").expect("is added");
        damage(&destination, &key, how);
        let repository = Repository::open(destination.clone(), "second").expect("opens");
        let (keys, problems) = repository.keys().expect("are listed");
        let is_deleted = matches!(how, Damage::Delete);
        assert_eq!((keys.len(), problems.len()), (1, usize::from(!is_deleted)));

        let error = Repository::open(destination, PASSWORD).expect_err("is refused");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(
            error.hint_text(),
            Some(match is_deleted {
                true => "the recovery key that `strongroom init` showed opens it too",
                false => "1 of 2 keys cannot be read; another password may still open it",
            })
        );
    }
}

#[test]
fn a_damaged_index_is_named() {
    for how in ALL {
        let destination = fixture();
        let repository = Repository::open(destination.clone(), PASSWORD).expect("opens");
        let key = first(&destination, "index/");
        let (id, _) = repository.list(FileType::Index).expect("is listed")[0];
        damage(&destination, &key, how);
        let error = repository
            .load_json::<serde_json::Value>(FileType::Index, &id)
            .expect_err("is damaged");
        let wanted = match how {
            Damage::Delete => (ErrorKind::NotFound, "nas: index {id} is missing"),
            _ => (
                ErrorKind::Corrupted,
                "nas: index {id} is damaged: its content does not match its name",
            ),
        };
        check(&error, &key, how, wanted);
    }
}

#[test]
fn a_damaged_snapshot_is_reported_beside_the_good_ones() {
    for how in ALL {
        let destination = fixture();
        let key = first(&destination, "snapshots/");
        damage(&destination, &key, how);
        let repository = Repository::open(destination, PASSWORD).expect("opens");
        let snapshots = repository.snapshots().expect("are listed");
        assert_eq!(snapshots.good.len(), 1, "{how:?}");
        let name = key.trim_start_matches("snapshots/");
        match how {
            Damage::Delete => {
                assert!(snapshots.problems.is_empty());
                snapshots.find(name).expect_err("is not there");
            }
            _ => {
                let [(id, problem)] = snapshots.problems.as_slice() else {
                    panic!("one problem: {:?}", snapshots.problems);
                };
                let wanted = "nas: snapshot {id} is damaged: its content does not match its name";
                check(problem, &key, how, (ErrorKind::Corrupted, wanted));
                assert_eq!(id.to_string(), name);
                let error = snapshots.find(name).expect_err("cannot be used");
                check(&error, &key, how, (ErrorKind::Corrupted, wanted));
            }
        }
    }
}

#[test]
fn what_matches_its_name_but_not_the_key_is_damaged() {
    let destination = fixture();
    let repository = Repository::open(destination.clone(), PASSWORD).expect("opens");
    for (length, wanted) in [
        (0, "it is too short to be encrypted data"),
        (31, "it is too short to be encrypted data"),
        (32, "its encrypted data is damaged"),
        (100, "its encrypted data is damaged"),
    ] {
        let content = vec![7; length];
        let body = Body::of(content);
        let key = FileType::Snapshot.key(&body.sha256());
        destination.set_object(&key, Some(body.bytes().clone()));
        let error = repository
            .load_plain(FileType::Snapshot, &body.sha256())
            .expect_err("is damaged");
        let wanted = format!("nas: snapshot {{id}} is damaged: {wanted}");
        check(&error, &key, Damage::Flip, (ErrorKind::Corrupted, &wanted));
    }
}

#[test]
fn what_decrypts_to_nonsense_is_named() {
    let destination = fixture();
    let repository = Repository::open(destination.clone(), PASSWORD).expect("opens");
    for (plain, wanted) in [
        (&b""[..], "is damaged: its encoding is not known"),
        (b"\x01{}", "is damaged: its encoding is not known"),
        (b"\x02no zstd", "is damaged: it cannot be decompressed"),
        (
            b"{\"time\":\"yesterday\"}",
            "cannot be understood: 'yesterday' is no time in RFC 3339 at line 1 column 20",
        ),
    ] {
        let body = Body::of(repository.key().seal(plain));
        let key = FileType::Snapshot.key(&body.sha256());
        destination.set_object(&key, Some(body.bytes().clone()));
        let error = repository
            .load_json::<Snapshot>(FileType::Snapshot, &body.sha256())
            .expect_err("is damaged");
        let wanted = format!("nas: snapshot {{id}} {wanted}");
        check(&error, &key, Damage::Flip, (ErrorKind::Corrupted, &wanted));
    }
}
