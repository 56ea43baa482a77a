//! Making, opening and listing repositories, with everything that people get wrong.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use strongroom_repository::destination::{Body, Content, PutOptions};
use strongroom_repository::init::README_KEY;
use strongroom_repository::testing::{Fault, MemoryDestination, Operation};
use strongroom_repository::{
    Error, ErrorKind, FileType, Id, InitOptions, Polynomial, RecoveryKey, Repository, Snapshot,
};

const PASSWORD: &str = "correct horse";

fn init(destination: &Arc<MemoryDestination>) -> Result<Repository, Error> {
    let options = InitOptions {
        password: PASSWORD,
        ..InitOptions::default()
    };
    Repository::init(destination.clone(), options)
}

fn made() -> (Arc<MemoryDestination>, Repository) {
    let destination = Arc::new(MemoryDestination::new("nas"));
    let repository = init(&destination).expect("is made");
    (destination, repository)
}

/// Kind, line and hint of what a person is told.
fn told(error: &Error) -> (ErrorKind, String, Option<&str>) {
    (error.kind(), error.to_string(), error.hint_text())
}

#[test]
fn a_made_repository_opens_with_its_password_and_recovery_key() {
    let destination = Arc::new(MemoryDestination::new("nas"));
    let recovery_key = RecoveryKey::generate();
    let polynomial = Polynomial::random();
    let options = InitOptions {
        password: PASSWORD,
        recovery_key: Some(&recovery_key),
        polynomial: Some(polynomial),
    };
    let made = Repository::init(destination.clone(), options).expect("is made");
    assert!(Repository::exists(&*destination).expect("is asked"));
    let typed = recovery_key.as_str().to_lowercase().replace('-', " ");
    for password in [PASSWORD, recovery_key.as_str(), &typed] {
        let opened = Repository::open(destination.clone(), password).expect("opens");
        assert_eq!(opened.id(), made.id());
        assert_eq!(opened.polynomial(), polynomial);
    }
}

#[test]
fn everything_is_there_before_the_config() {
    let (destination, _) = made();
    let stored: Vec<String> = destination
        .calls()
        .into_iter()
        .filter(|call| call.operation == Operation::Put)
        .map(|call| call.key)
        .collect();
    assert!(stored[0].starts_with("keys/"), "{stored:?}");
    assert_eq!(stored[1..], ["config", README_KEY]);
}

#[test]
fn a_second_init_leaves_the_repository_alone() {
    let (destination, _) = made();
    let before = destination.keys();
    let error = init(&destination).expect_err("is refused");
    assert_eq!(
        told(&error),
        (
            ErrorKind::AlreadyExists,
            "destination nas holds a repository already".into(),
            None
        )
    );
    assert_eq!(destination.keys(), before);
}

#[test]
fn an_init_that_was_interrupted_counts_for_nothing_and_works_again() {
    for passing in 0..2 {
        let destination = Arc::new(MemoryDestination::new("nas"));
        destination.inject(Fault::fail(
            Operation::Put,
            passing,
            usize::MAX,
            ErrorKind::Unavailable,
        ));
        init(&destination).expect_err("is interrupted");
        assert!(!Repository::exists(&*destination).expect("is asked"));
        let error = Repository::open(destination.clone(), PASSWORD).expect_err("is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);

        destination.heal();
        let repository = init(&destination).expect("is made");
        // A key that stayed behind would be tried first by restic, which then fails at the config.
        assert_eq!(repository.keys().expect("are listed").0.len(), 1);
    }
}

#[test]
fn a_lost_config_is_no_empty_destination() {
    for kept in ["data/", "index/", "snapshots/"] {
        let (destination, repository) = made();
        let id = Id::of(kept.as_bytes());
        let key = match kept {
            "data/" => FileType::Pack.key(&id),
            prefix => format!("{prefix}{id}"),
        };
        destination.set_object(&key, Some(Bytes::from_static(b"something")));
        destination.set_object("config", None);
        let before = destination.keys();
        let error = init(&destination).expect_err("is refused");
        assert_eq!(
            told(&error),
            (
                ErrorKind::Corrupted,
                "destination nas holds backups, but the config of their repository is missing"
                    .into(),
                Some(
                    "get the file 'config' back from a copy of the repository, or choose an empty place"
                )
            )
        );
        assert_eq!(destination.keys(), before);
        drop(repository);
    }
}

#[test]
fn opening_what_is_not_there_says_how_to_make_it() {
    let destination = Arc::new(MemoryDestination::new("nas"));
    let error = Repository::open(destination, PASSWORD).expect_err("is none");
    assert_eq!(
        told(&error),
        (
            ErrorKind::NotFound,
            "no repository at destination nas".into(),
            Some("strongroom init nas")
        )
    );
}

#[test]
fn a_wrong_password_is_refused_by_name() {
    let (destination, _) = made();
    for password in ["", "wrong", "Correct horse"] {
        let error = Repository::open(destination.clone(), password).expect_err("is refused");
        assert_eq!(
            told(&error),
            (
                ErrorKind::Unauthenticated,
                "wrong password for repository nas".into(),
                Some("the recovery key that `strongroom init` showed opens it too")
            )
        );
    }
}

#[test]
fn an_empty_password_is_refused_before_anything_is_written() {
    let destination = Arc::new(MemoryDestination::new("nas"));
    let error =
        Repository::init(destination.clone(), InitOptions::default()).expect_err("is refused");
    assert_eq!(
        told(&error),
        (
            ErrorKind::InvalidConfig,
            "an empty password protects nothing".into(),
            None
        )
    );
    assert!(destination.keys().is_empty());
}

#[test]
fn a_repository_of_another_version_is_refused() {
    let (destination, repository) = made();
    let config = serde_json::to_string(repository.config()).expect("is JSON");
    let old = config.replace(r#""version":2"#, r#""version":3"#);
    destination.set_object("config", Some(repository.key().seal(old.as_bytes()).into()));
    let error = Repository::open(destination, PASSWORD).expect_err("is refused");
    assert_eq!(
        told(&error),
        (
            ErrorKind::Unsupported,
            "repository nas has format version 3; this engine reads versions 1 and 2".into(),
            Some("a newer strongroom may read it")
        )
    );
}

#[test]
fn a_key_that_costs_too_much_is_not_tried() {
    let (destination, repository) = made();
    let (keys, _) = repository.keys().expect("are listed");
    let key = FileType::Key.key(&keys[0].id);
    let file = destination.object(&key).expect("is there");
    let file = String::from_utf8(file.to_vec()).expect("is JSON");
    for (n, r, p) in [
        (1_u64 << 40, 8, 1),
        (1 << 15, 1 << 30, 1),
        (1 << 15, 8, 1 << 20),
        (1000, 8, 1),
        (0, 8, 1),
        (1, 8, 1),
        (1 << 15, 0, 1),
        (1 << 15, 8, 0),
    ] {
        let hostile = file.replace(
            r#""N":32768,"r":8,"p":3"#,
            &format!(r#""N":{n},"r":{r},"p":{p}"#),
        );
        let body = Body::of(hostile.into_bytes());
        destination.set_object(&key, None);
        let hostile_key = FileType::Key.key(&body.sha256());
        destination.set_object(&hostile_key, Some(body.bytes().clone()));
        let error = Repository::open(destination.clone(), PASSWORD).expect_err("is refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let cost = format!("its scrypt cost is out of bounds (N={n}, r={r}, p={p})");
        assert!(error.to_string().ends_with(&cost), "{error}");
        destination.set_object(&hostile_key, None);
    }
}

#[test]
fn the_key_in_use_is_not_removed() {
    let (destination, repository) = made();
    let second = repository.add_key("second").expect("is added");
    let (keys, problems) = repository.keys().expect("are listed");
    assert!(problems.is_empty());
    assert_eq!(
        keys.iter().map(|key| key.current).collect::<Vec<_>>(),
        [true, false]
    );

    let first = keys[0].id.to_string();
    let error = repository.remove_key(&first).expect_err("is refused");
    assert_eq!(
        told(&error),
        (
            ErrorKind::Denied,
            format!(
                "nas: key {} is the one that the repository was opened with",
                keys[0].id.short()
            ),
            Some("open the repository with another password to remove this one")
        )
    );
    for (prefix, kind) in [("", ErrorKind::NotFound), ("zzzz", ErrorKind::NotFound)] {
        let error = repository.remove_key(prefix).expect_err("is refused");
        assert_eq!(error.kind(), kind);
    }
    let by_second = Repository::open(destination.clone(), "second").expect("opens");
    by_second.remove_key(&first[..8]).expect("is removed");
    by_second
        .remove_key(&second.id.to_string())
        .expect_err("the last one stays");
    Repository::open(destination, PASSWORD).expect_err("the first password is gone");
}

#[test]
fn json_is_compressed_and_comes_back() {
    let (destination, repository) = made();
    let value = json!({"packs": vec!["the same text again"; 500]});
    let id = repository
        .save_json(FileType::Index, &value)
        .expect("is saved");
    let stored = destination
        .object(&FileType::Index.key(&id))
        .expect("is stored");
    assert!(stored.len() < 500, "{} bytes", stored.len());
    let loaded: serde_json::Value = repository
        .load_json(FileType::Index, &id)
        .expect("is loaded");
    assert_eq!(loaded, value);
}

#[test]
fn uncompressed_json_of_an_upgraded_repository_is_read() {
    let (destination, repository) = made();
    for plain in [&br#"{"packs":[]}"#[..], b"[]"] {
        let body = Body::of(repository.key().seal(plain));
        let id = body.sha256();
        destination.set_object(&FileType::Index.key(&id), Some(body.bytes().clone()));
        let loaded = repository
            .load_plain(FileType::Index, &id)
            .expect("is read");
        assert_eq!(loaded, plain);
    }
}

#[test]
fn foreign_files_are_passed_over_and_named() {
    let (_, repository) = made();
    let id = repository
        .save_json(FileType::Index, &json!({}))
        .expect("is saved");
    let options = PutOptions {
        create_only: true,
        content: Content::Metadata,
    };
    let strangers = [
        "index/.tmp-1".to_owned(),
        format!("index/{}", "A".repeat(64)),
        format!("index/folder/{id}"),
        "index/notes.txt".to_owned(),
    ];
    for key in &strangers {
        repository
            .destination()
            .put(key, &Body::of(&b"?"[..]), options)
            .expect("is put");
    }
    let listing = repository.listing(FileType::Index).expect("is listed");
    assert_eq!(
        listing
            .objects
            .iter()
            .map(|object| object.id)
            .collect::<Vec<_>>(),
        [id]
    );
    assert_eq!(listing.strangers, strangers);
}

fn snapshot(time: &str) -> Snapshot {
    let json = json!({"time": time, "tree": Id::of(b"tree"), "paths": null, "tags": ["job:nightly", "jobs", "run:"], "future": 1});
    serde_json::from_value(json).expect("is a snapshot")
}

#[test]
fn tags_have_names_and_values() {
    let snapshot = snapshot("2026-07-01T00:00:00Z");
    assert_eq!(snapshot.tag("job"), Some("nightly"));
    assert_eq!(snapshot.tag("run"), Some(""));
    assert_eq!(snapshot.tag("jobs"), None);
    assert_eq!(snapshot.tag("source"), None);
}

#[test]
fn snapshots_are_found_by_the_beginning_of_their_id() {
    let (_, repository) = made();
    let snapshots = repository.snapshots().expect("are listed");
    let error = snapshots.find("latest").expect_err("there is none");
    assert_eq!(error.to_string(), "there is no snapshot yet");

    for time in [
        "2026-07-01T03:00:00+02:00",
        "2026-07-01T02:00:00Z",
        "2026-06-01T00:00:00Z",
    ] {
        snapshot(time).save(&repository).expect("is saved");
    }
    let snapshots = repository.snapshots().expect("are listed");
    let times: Vec<_> = snapshots
        .good
        .iter()
        .map(|(_, snapshot)| snapshot.time.to_string())
        .collect();
    assert_eq!(
        times,
        [
            "2026-06-01T00:00:00Z",
            "2026-07-01T03:00:00+02:00",
            "2026-07-01T02:00:00Z"
        ]
    );
    let (latest, _) = snapshots.find("latest").expect("is found");
    assert_eq!(*latest, snapshots.good[2].0);
    for (id, _) in &snapshots.good {
        let (found, _) = snapshots.find(&id.to_string()[..12]).expect("is found");
        assert_eq!(found, id);
    }
    for (name, message) in [
        (
            "",
            "'' is too short for a snapshot's id: it takes 4 digits or more",
        ),
        (
            "abc",
            "'abc' is too short for a snapshot's id: it takes 4 digits or more",
        ),
        ("wxyz", "no snapshot's id begins with 'wxyz'"),
    ] {
        let error = snapshots.find(name).expect_err("is not found");
        assert_eq!(
            told(&error),
            (
                ErrorKind::NotFound,
                message.into(),
                Some("`strongroom list` shows the backups")
            )
        );
    }
}

#[test]
fn an_ambiguous_id_lists_the_candidates() {
    let candidate = |last: u8, time| {
        let mut bytes = [0xab; 32];
        bytes[31] = last;
        (Id::from_bytes(bytes), snapshot(time))
    };
    let snapshots = strongroom_repository::snapshot::Snapshots {
        good: vec![
            candidate(1, "2026-07-01T02:00:00Z"),
            candidate(2, "2026-07-02T02:00:00Z"),
        ],
        problems: Vec::new(),
    };
    let error = snapshots.find("abab").expect_err("is ambiguous");
    assert_eq!(
        told(&error),
        (
            ErrorKind::InvalidConfig,
            "'abab' may be any of 2 snapshots: abababababab of 2026-07-01T02:00:00Z, \
             abababababab of 2026-07-02T02:00:00Z"
                .into(),
            Some("give more digits of the id")
        )
    );
}
