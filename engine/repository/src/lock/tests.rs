use std::thread::sleep;

use super::*;
use crate::testing::{Fault, MemoryDestination, Operation};
use crate::{InitOptions, Time};

fn timing() -> Timing {
    Timing {
        lag: Duration::from_millis(10),
        tick: Duration::from_millis(5),
        ..TIMING
    }
}

fn repository() -> (Arc<MemoryDestination>, Arc<Repository>) {
    let destination = Arc::new(MemoryDestination::new("nas"));
    let options = InitOptions {
        password: "correct horse",
        ..InitOptions::default()
    };
    let repository = Repository::init(destination.clone(), options).expect("is made");
    (destination, Arc::new(repository))
}

fn locks_of(repository: &Repository) -> Vec<Id> {
    let locks = repository.list(FileType::Lock).expect("are listed");
    locks.into_iter().map(|(id, _)| id).collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(5));
    }
    panic!("{what}: not within five seconds");
}

#[test]
fn many_share_and_one_is_alone() {
    let (_, repository) = repository();
    let first = Lock::acquire(&repository, false, timing()).expect("is free");
    let second = Lock::acquire(&repository, false, timing()).expect("is shared");
    let error = Lock::acquire(&repository, true, timing())
        .err()
        .expect("is refused");
    assert_eq!(error.kind(), ErrorKind::Locked);
    let who = LockEntry::here(Time::now(), false).to_string();
    let (who, _) = who.split_once(" since ").expect("says since when");
    assert!(
        error
            .to_string()
            .starts_with(&format!("repository nas is locked {who} since 2")),
        "{error}"
    );
    drop((first, second));
    assert!(locks_of(&repository).is_empty());

    let alone = Lock::acquire(&repository, true, timing()).expect("is free");
    for exclusive in [false, true] {
        let error = Lock::acquire(&repository, exclusive, timing())
            .err()
            .expect("is refused");
        assert!(
            error
                .to_string()
                .starts_with("repository nas is locked exclusively by "),
            "{error}"
        );
    }
    alone.release().expect("is released");
    assert!(locks_of(&repository).is_empty());
}

#[test]
fn of_many_that_start_at_once_at_most_one_is_alone() {
    let (_, repository) = repository();
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| Lock::acquire(&repository, true, timing()).ok()))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(held.len() <= 1);
    assert_eq!(locks_of(&repository).len(), held.len());
}

#[test]
fn a_held_lock_is_refreshed_and_never_gone() {
    let (destination, repository) = repository();
    let timing = Timing {
        refresh_after: Duration::ZERO,
        linger: Duration::from_millis(20),
        ..timing()
    };
    let lock = Lock::acquire(&repository, false, timing).expect("is free");
    let first = lock.id();
    destination.forget_calls();
    wait_until("a new object", || lock.id() != first);
    lock.ensure_held().expect("is held");
    wait_until("the old one is gone", || {
        destination.object(&FileType::Lock.key(&first)).is_none()
    });
    lock.ensure_held().expect("is held");
    let changes: Vec<_> = destination
        .calls()
        .into_iter()
        .filter(|call| matches!(call.operation, Operation::Put | Operation::Delete))
        .take(2)
        .map(|call| (call.operation, call.key == FileType::Lock.key(&first)))
        .collect();
    assert_eq!(
        changes,
        [(Operation::Put, false), (Operation::Delete, true)]
    );
    lock.release().expect("is released");
    assert!(locks_of(&repository).is_empty());
}

#[test]
fn a_failed_refreshing_is_tried_again() {
    let (destination, repository) = repository();
    let lock = Lock::acquire(
        &repository,
        false,
        Timing {
            refresh_after: Duration::ZERO,
            tick: Duration::from_millis(50),
            ..timing()
        },
    )
    .expect("is free");
    destination.inject(Fault::fail(Operation::Put, 0, 3, ErrorKind::Unavailable));
    let before = lock.id();
    wait_until("a new object", || lock.id() != before);
    lock.ensure_held().expect("is held");
}

#[test]
fn who_lost_the_lock_is_told_and_does_not_take_it_again() {
    let (destination, repository) = repository();
    let lock = Lock::acquire(&repository, false, timing()).expect("is free");
    let key = FileType::Lock.key(&lock.id());
    let object = destination.object(&key);
    destination.set_object(&key, None);
    let error = lock.ensure_held().expect_err("is lost");
    assert_eq!(
        error.to_string(),
        "the lock of repository nas was removed by somebody else"
    );
    assert_eq!(
        error.hint_text(),
        Some("nothing was made to count; run it again")
    );
    destination.set_object(&key, object);
    lock.ensure_held().expect_err("stays lost");
}

/// He took us for dead, and looked before the new object stood.
#[test]
fn who_was_passed_over_while_he_refreshed_is_told() {
    let (destination, repository) = repository();
    let lock = Lock::acquire(&repository, false, timing()).expect("is free");
    let thief: Arc<dyn Fn(&str) + Send + Sync> = {
        let (old, destination) = (FileType::Lock.key(&lock.id()), destination.clone());
        Arc::new(move |_| destination.set_object(&old, None))
    };
    destination.after_put(Some(thief));
    let error = lock.shared.refresh(&mut lock.shared.state());
    destination.after_put(None);
    let error = error.expect_err("is lost");
    assert_eq!(
        error.to_string(),
        "the lock of repository nas was removed by somebody else"
    );
    assert!(locks_of(&repository).is_empty(), "and takes no new one");
    lock.ensure_held().expect_err("stays lost");
}

/// Who is alone deletes, and may have begun to.
#[test]
fn who_was_alone_and_lost_the_lock_is_told_that_part_of_it_is_done() {
    let (destination, repository) = repository();
    let lock = Lock::acquire(&repository, true, timing()).expect("is free");
    destination.set_object(&FileType::Lock.key(&lock.id()), None);
    let error = lock.ensure_held().expect_err("is lost");
    assert_eq!(
        error.hint_text(),
        Some("what was done so far is whole; run it again")
    );
}

#[test]
fn a_lock_that_could_not_be_refreshed_is_lost_before_others_pass_it_over() {
    let (destination, repository) = repository();
    let timing = Timing {
        expires_after: Duration::ZERO,
        ..timing()
    };
    let lock = Lock::acquire(&repository, false, timing).expect("is free");
    // A machine that slept catches up.
    lock.ensure_held().expect("is refreshed");
    destination.inject(Fault::fail(Operation::Put, 0, 9, ErrorKind::Unavailable));
    let error = lock.ensure_held().expect_err("is lost");
    assert_eq!(
        error.to_string(),
        "the lock of repository nas could not be refreshed for 20 minutes"
    );
    const { assert!((TIMING.expires_after.as_secs() as i64) < STALE_AFTER_SECONDS) };
}

#[test]
fn the_lock_of_a_dead_process_is_removed_by_the_next() {
    let (_, repository) = repository();
    let mut ended = std::process::Command::new("true").spawn().expect("runs");
    let pid = ended.id().into();
    ended.wait().expect("has ended");
    let dead = LockEntry {
        pid,
        ..LockEntry::here(Time::now(), false)
    };
    repository
        .save_json(FileType::Lock, &dead)
        .expect("is saved");

    let lock = Lock::acquire(&repository, true, timing()).expect("is not kept out");
    assert_eq!(locks_of(&repository), [lock.id()]);
}

/// Another machine's lock, stored so many minutes ago by the destination's clock.
fn lock_of_another(
    destination: &MemoryDestination,
    repository: &Repository,
    exclusive: bool,
    minutes: u64,
) -> Id {
    let entry = LockEntry {
        // What its clock said is neither here nor there.
        time: "2036-01-01T12:00:00Z".parse().expect("a time"),
        process_space: Some("another boot".into()),
        ..LockEntry::here(Time::now(), exclusive)
    };
    let id = repository.save_json(FileType::Lock, &entry);
    let id = id.expect("is saved");
    destination.age(&FileType::Lock.key(&id), Duration::from_mins(minutes));
    id
}

#[test]
fn a_lock_is_passed_over_by_the_clock_of_the_destination_and_removed_before() {
    for (held_exclusive, minutes, wanted_exclusive, is_passed) in [
        (true, 29, true, false),
        (true, 31, true, true),
        (true, 29, false, false),
        (true, 31, false, true),
        (false, 29, true, false),
        (false, 31, true, true),
    ] {
        let (destination, repository) = repository();
        let id = lock_of_another(&destination, &repository, held_exclusive, minutes);
        let taken = Lock::acquire(&repository, wanted_exclusive, timing());
        assert_eq!(taken.is_ok(), is_passed, "{minutes}");
        assert_eq!(locks_of(&repository).contains(&id), !is_passed);
    }
}

#[test]
fn a_lock_that_keeps_nobody_out_stays_until_it_is_asked_for() {
    let (destination, repository) = repository();
    let old = lock_of_another(&destination, &repository, false, 31);
    let lock = Lock::acquire(&repository, false, timing()).expect("is shared");
    assert!(locks_of(&repository).contains(&old));
    let judged = unlock(&repository, false).expect("works");
    let mut judged: Vec<_> = judged
        .into_iter()
        .map(|it| (it.id == old, it.holder, it.is_removed))
        .collect();
    judged.sort_by_key(|(is_old, ..)| !is_old);
    assert_eq!(
        judged,
        [(true, Holder::Silent, true), (false, Holder::Alive, false)]
    );
    assert_eq!(locks_of(&repository), [lock.id()]);
}

/// Two containers may have one host name, and process numbers of their own. The process of the lock is none here, and may be at work there.
#[test]
fn a_process_of_another_container_is_not_taken_for_dead() {
    let (_, repository) = repository();
    let theirs = LockEntry {
        pid: i32::MAX.into(),
        process_space: Some("another container".into()),
        ..LockEntry::here(Time::now(), true)
    };
    let restics = LockEntry {
        process_space: None,
        ..theirs.clone()
    };
    for lock in [theirs, restics] {
        let id = repository.save_json(FileType::Lock, &lock).expect("saved");
        for exclusive in [false, true] {
            let error = Lock::acquire(&repository, exclusive, timing());
            let error = error.err().expect("is refused");
            assert_eq!(error.kind(), ErrorKind::Locked);
        }
        assert_eq!(locks_of(&repository), [id]);
        repository.delete(FileType::Lock, &id).expect("is released");
    }
}

#[test]
fn a_lock_that_cannot_be_removed_is_not_passed_over() {
    let (destination, repository) = repository();
    lock_of_another(&destination, &repository, true, 31);
    destination.inject(Fault::fail(Operation::Delete, 0, 1, ErrorKind::Denied).on_keys("locks/"));
    let error = Lock::acquire(&repository, false, timing());
    assert_eq!(error.err().expect("is refused").kind(), ErrorKind::Denied);
}

#[test]
fn a_listing_that_lags_behind_is_waited_for() {
    let (destination, repository) = repository();
    destination.lag_behind("locks/", 3);
    let lock = Lock::acquire(&repository, true, timing()).expect("is free");
    assert_eq!(locks_of(&repository), [lock.id()]);
}

#[test]
fn all_locks_are_removed_only_when_that_is_asked_for() {
    let (destination, repository) = repository();
    let key = FileType::Lock.key(&Id::of(b"?"));
    destination.set_object(&key, Some(bytes::Bytes::from_static(b"half")));
    let elsewhere = LockEntry {
        process_space: None,
        ..LockEntry::here(Time::now(), true)
    };
    repository
        .save_json(FileType::Lock, &elsewhere)
        .expect("is saved");
    let removed = |all| -> Vec<bool> {
        let judged = unlock(&repository, all).expect("works");
        judged.iter().map(|it| it.is_removed).collect()
    };
    assert_eq!(removed(false), [false, false]);
    assert_eq!(removed(true), [true, true]);
    assert!(locks_of(&repository).is_empty());
    assert!(removed(true).is_empty());
}

/// It may be the exclusive lock of another user, whose files we may not read.
#[test]
fn a_lock_that_cannot_be_read_is_a_lock() {
    let (destination, repository) = repository();
    let key = FileType::Lock.key(&Id::of(b"?"));
    destination.set_object(&key, Some(bytes::Bytes::from_static(b"half")));
    for exclusive in [false, true] {
        let error = Lock::acquire(&repository, exclusive, timing());
        let error = error.err().expect("is refused");
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(
            error
                .hint_text()
                .is_some_and(|hint| hint.contains("strongroom unlock nas --all")),
            "{error:?}"
        );
    }
    // It lies there for ever where nobody refreshes it.
    destination.age(&key, Duration::from_mins(31));
    drop(Lock::acquire(&repository, false, timing()).expect("is passed over"));
    assert!(destination.object(&key).is_none());
}

#[test]
fn a_refused_lock_leaves_nothing_behind() {
    let (destination, repository) = repository();
    let alone = LockEntry {
        pid: std::process::id().into(),
        ..LockEntry::here(Time::now(), true)
    };
    repository
        .save_json(FileType::Lock, &alone)
        .expect("is saved");
    let before = destination.keys();
    Lock::acquire(&repository, false, timing())
        .err()
        .expect("is refused");
    assert_eq!(destination.keys(), before);
}
