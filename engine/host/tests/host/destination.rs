//! Destinations: what is put comes back, answers are checked, instances work side by side, and one that ends takes no other with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strongroom_repository::destination::{Body, Content, PutOptions};
use strongroom_repository::{Destination, ErrorKind, Progress};

use crate::common::{destination, limits, refused, words};

const OPTIONS: PutOptions = PutOptions {
    create_only: false,
    content: Content::Data,
};

fn open(folder: &Path, instances: usize) -> Arc<dyn Destination> {
    destination(limits(), folder, instances, Arc::default())
}

fn instances_started(folder: &Path) -> usize {
    let entries = folder.read_dir().expect("folder").flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("instance-"))
        .count()
}

#[test]
fn what_is_put_comes_back() {
    let folder = tempfile::tempdir().expect("folder");
    // The first use makes the folder.
    let nas = open(&folder.path().join("new"), 8);
    assert_eq!((nas.name(), nas.parallelism()), ("nas", 8));
    let content: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
    let body = Body::of(content.clone());
    for key in ["splice/a", "copy/b"] {
        nas.put(key, &body, OPTIONS).expect("put");
        assert_eq!(nas.get(key, 0, None).expect("get"), content);
        assert_eq!(
            nas.get(key, 1000, Some(70_000)).expect("get"),
            content[1000..71_000]
        );
        let metadata = nas.stat(key).expect("stat").expect("there");
        assert_eq!((metadata.key.as_str(), metadata.size), (key, 300_000));
    }
    nas.put("check/c", &Body::of("0123456789"), OPTIONS)
        .expect("the body looks the same in every way");
    assert_eq!(nas.stat("gone").expect("stat"), None);
    nas.delete("copy/b").expect("delete");
    nas.delete("copy/b").expect("delete what is gone");
    assert_eq!(nas.stat("copy/b").expect("stat"), None);

    let create_only = PutOptions {
        create_only: true,
        ..OPTIONS
    };
    let error = refused(nas.put("splice/a", &body, create_only));
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "destination nas: splice/a exists");
    assert_eq!(instances_started(&folder.path().join("new")), 1);
}

#[test]
fn a_listing_is_followed_to_its_end() {
    let folder = tempfile::tempdir().expect("folder");
    let nas = open(folder.path(), 1);
    let keys: Vec<String> = (0..12).map(|number| format!("data/{number:02}")).collect();
    for key in &keys {
        nas.put(key, &Body::of("x"), OPTIONS).expect("put");
    }
    let listed = nas.list("data/").expect("list");
    let listed: Vec<String> = listed.into_iter().map(|object| object.key).collect();
    assert_eq!(listed, keys);
    assert_eq!(nas.list("none/").expect("list"), []);
}

#[test]
fn an_answer_that_cannot_be_is_not_believed() {
    let folder = tempfile::tempdir().expect("folder");
    let nas = open(folder.path(), 1);
    for key in ["short/a", "long/a", "endless/a", "data/a"] {
        nas.put(key, &Body::of("0123456789"), OPTIONS).expect("put");
    }
    for (key, got) in [("short/a", 3), ("long/a", 5)] {
        let error = refused(nas.get(key, 2, Some(4)));
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert_eq!(
            error.to_string(),
            format!("destination nas: {key}: answered {got} bytes where 4 were asked for")
        );
    }
    let error = refused(nas.get("endless/a", 0, None));
    assert_eq!(
        error.to_string(),
        "destination nas: endless/a: answered more than 64 MiB"
    );
    for prefix in ["same token/", "new tokens/"] {
        assert_eq!(
            refused(nas.list(prefix)).to_string(),
            format!("destination nas: the listing of '{prefix}' does not end")
        );
    }
    assert_eq!(
        refused(nas.list("foreign/")).to_string(),
        "destination nas: listed 'data/a', which is not below 'foreign/'"
    );
}

#[test]
fn eight_puts_run_side_by_side_and_a_crash_among_them_disturbs_none() {
    let folder = tempfile::tempdir().expect("folder");
    let nas = open(folder.path(), 8);
    std::thread::scope(|scope| {
        // Eight meet: each returns only when all eight are in hand. Until the last comes, its instance crashes again and again.
        let meeting: Vec<_> = (0..7)
            .map(|number| {
                let nas = &nas;
                scope.spawn(move || {
                    let key = format!("meet/8/{number}");
                    nas.put(&key, &Body::of("here"), OPTIONS)
                })
            })
            .collect();
        for _ in 0..3 {
            let error = refused(nas.put("panic/a", &Body::of("x"), OPTIONS));
            assert_eq!(error.kind(), ErrorKind::Failed);
            assert_eq!(
                words(&error).0,
                "destination nas: plugin rogue panicked in put: over panic/a (rogue-destination/src/lib.rs:…)"
            );
        }
        nas.put("meet/8/last", &Body::of("here"), OPTIONS)
            .expect("put");
        for put in meeting {
            put.join().expect("thread").expect("put");
        }
    });
    assert_eq!(nas.list("meet/8/").expect("list").len(), 8);
    // Eight that met, and three that crashed and were replaced.
    assert_eq!(instances_started(folder.path()), 11);
}

#[test]
fn a_ninth_call_waits_for_an_idle_instance() {
    let folder = tempfile::tempdir().expect("folder");
    let nas = open(folder.path(), 2);
    std::thread::scope(|scope| {
        for number in 0..9 {
            let nas = &nas;
            scope.spawn(move || {
                let key = format!("data/{number}");
                nas.put(&key, &Body::of("x"), OPTIONS).expect("put");
            });
        }
    });
    assert_eq!(nas.list("data/").expect("list").len(), 9);
    let started = instances_started(folder.path());
    assert!((1..=2).contains(&started), "{started} instances");
}

#[test]
fn a_call_that_waits_without_end_is_ended_and_its_place_is_free_again() {
    let folder = tempfile::tempdir().expect("folder");
    let mut hasty = limits();
    hasty.call_deadline = Duration::from_millis(1500);
    let nas = destination(hasty, folder.path(), 1, Arc::default());
    let error = refused(nas.put("sleep/a", &Body::of("x"), OPTIONS));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "destination nas: plugin rogue was not done with put after 1.5 s"
    );
    nas.put("data/a", &Body::of("x"), OPTIONS).expect("put");
}

#[test]
fn a_call_that_hangs_in_the_operating_system_is_left_behind() {
    let folder = tempfile::tempdir().expect("folder");
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    let mut hasty = limits();
    hasty.call_deadline = Duration::from_millis(1500);
    hasty.describe_deadline = Duration::from_millis(1500);
    let nas = destination(hasty, folder.path(), 1, Arc::default());
    let error = refused(nas.put("fifo/a", &Body::of("x"), OPTIONS));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "destination nas: plugin rogue hangs in put and cannot be ended"
    );
    nas.put("data/a", &Body::of("x"), OPTIONS).expect("put");
    // Lets the thread go.
    std::fs::OpenOptions::new()
        .write(true)
        .open(&fifo)
        .expect("fifo");
}

#[test]
fn a_cancelled_run_can_still_tidy_up() {
    let folder = tempfile::tempdir().expect("folder");
    let progress = Arc::new(Progress::default());
    let nas = destination(limits(), folder.path(), 1, progress.clone());
    nas.put("lock", &Body::of("x"), OPTIONS).expect("put");
    progress.cancel();
    nas.delete("lock").expect("delete");
    assert_eq!(nas.stat("lock").expect("stat"), None);
}

#[test]
fn a_cancelled_run_ends_a_call_that_waits() {
    let folder = tempfile::tempdir().expect("folder");
    let progress = Arc::new(Progress::default());
    let mut hasty = limits();
    hasty.cancel_grace = Duration::from_millis(100);
    let nas = destination(hasty, folder.path(), 1, progress.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            progress.cancel();
        });
        let error = refused(nas.put("sleep/a", &Body::of("x"), OPTIONS));
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn an_error_of_open_is_the_error_of_the_call() {
    let plugin = crate::common::host(limits())
        .load("rogue", &crate::common::DESTINATION)
        .expect("rogue-destination");
    let grants = strongroom_host::grant("destinations.nas", &[], None, true).expect("granted");
    let nas = plugin
        .destination("nas", "{}", grants, 1, Arc::default())
        .expect("destination");
    let error = refused(nas.stat("a"));
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(error.to_string(), "destination nas: config lacks 'path'");
}
