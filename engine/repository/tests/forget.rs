//! Forgetting snapshots: what is interrupted, and what is done under a lock that is gone.

use std::sync::Arc;

use strongroom_repository::forget::forget;
use strongroom_repository::testing::{Fault, MemoryDestination, Operation};
use strongroom_repository::{
    ErrorKind, FileType, Id, InitOptions, Lock, Progress, Repository, Snapshot, Time,
};

fn repository(snapshots: usize) -> (Arc<MemoryDestination>, Arc<Repository>, Vec<Id>) {
    let destination = Arc::new(MemoryDestination::new("nas"));
    let options = InitOptions {
        password: "correct horse",
        ..InitOptions::default()
    };
    let repository = Repository::init(destination.clone(), options).expect("is made");
    let snapshot = |number: usize| {
        let json = serde_json::json!({
            "time": Time::from_nanoseconds(number as i64),
            "tree": Id::of(b""),
            "paths": [],
        });
        let snapshot: Snapshot = serde_json::from_value(json).expect("a snapshot");
        snapshot.save(&repository).expect("is stored")
    };
    let ids = (0..snapshots).map(snapshot).collect();
    (destination, Arc::new(repository), ids)
}

fn left(repository: &Repository) -> usize {
    repository
        .list(FileType::Snapshot)
        .expect("are listed")
        .len()
}

#[test]
fn what_was_interrupted_is_finished_by_the_next_one() {
    let (destination, repository, ids) = repository(20);
    let lock = Lock::exclusive(&repository).expect("is free");
    let fault = Fault::fail(Operation::Delete, 5, 100, ErrorKind::Denied);
    destination.inject(fault.on_keys("snapshots/"));
    let error = forget(&repository, &lock, &ids[..15], &Progress::default()).expect_err("fails");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(left(&repository), 15);
    for (_, snapshot) in repository.snapshots().expect("are listed").good {
        assert!(snapshot.paths.is_empty());
    }
    destination.heal();
    // Those that are gone already do not matter.
    forget(&repository, &lock, &ids[..15], &Progress::default()).expect("goes on");
    assert_eq!(left(&repository), 5);
}

/// What retention keeps of the rest depends on it.
#[test]
fn none_goes_before_those_in_front_of_it() {
    let (destination, repository, ids) = repository(20);
    let lock = Lock::exclusive(&repository).expect("is free");
    let first = FileType::Snapshot.key(&ids[0]);
    destination.inject(Fault::fail(Operation::Delete, 0, 1, ErrorKind::Denied).on_keys(&first));
    forget(&repository, &lock, &ids, &Progress::default()).expect_err("fails");
    assert_eq!(left(&repository), 20);
    destination.forget_calls();
    forget(&repository, &lock, &ids, &Progress::default()).expect("goes on");
    let calls = destination.calls().into_iter();
    let deleted: Vec<String> = calls
        .filter(|call| call.operation == Operation::Delete)
        .map(|call| call.key)
        .collect();
    let expected: Vec<String> = ids.iter().map(|id| FileType::Snapshot.key(id)).collect();
    assert_eq!(deleted, expected);
}

#[test]
fn nothing_is_forgotten_under_a_lock_that_somebody_removed() {
    let (destination, repository, ids) = repository(3);
    let lock = Lock::exclusive(&repository).expect("is free");
    destination.set_object(&FileType::Lock.key(&lock.id()), None);
    let error = forget(&repository, &lock, &ids, &Progress::default()).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "the lock of repository nas was removed by somebody else"
    );
    assert_eq!(left(&repository), 3);
}

#[test]
fn nothing_is_forgotten_after_the_user_has_cancelled() {
    let (_, repository, ids) = repository(3);
    let lock = Lock::exclusive(&repository).expect("is free");
    let progress = Progress::default();
    progress.cancel();
    let error = forget(&repository, &lock, &ids, &progress).expect_err("is cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(left(&repository), 3);
}
