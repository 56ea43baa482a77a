use super::*;
use crate::InitOptions;
use crate::testing::{Fault, MemoryDestination, Operation};

fn timing() -> Timing {
    Timing {
        settle: Duration::from_millis(10),
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
        refresh_after_seconds: 0,
        ..timing()
    };
    let lock = Lock::acquire(&repository, false, timing).expect("is free");
    let first = lock.id();
    destination.forget_calls();
    wait_until("a new object", || lock.id() != first);
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
            refresh_after_seconds: 0,
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

/// He comes while our lock is on its way, and is gone again when we look for the second time.
#[test]
fn who_came_at_the_same_moment_is_not_forgotten_when_he_has_gone() {
    let (_, repository) = repository();
    let lock = Lock::acquire(&repository, false, timing()).expect("is free");
    let alone = LockEntry {
        hostname: "elsewhere".into(),
        ..LockEntry::here(Time::now(), true)
    };
    let his = repository
        .save_json(FileType::Lock, &alone)
        .expect("is saved");
    // As the refresher does it, which tells nobody.
    let refreshed = lock.shared.refresh(&mut lock.shared.state());
    refreshed.expect_err("he is there");
    repository
        .delete(FileType::Lock, &his)
        .expect("is released");
    for error in [lock.settle(), lock.ensure_held()] {
        let error = error.expect_err("he was alone");
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    }
    assert_eq!(locks_of(&repository), [lock.id()]);
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
    let (_, repository) = repository();
    let timing = Timing {
        expires_after_seconds: 0,
        ..timing()
    };
    let lock = Lock::acquire(&repository, false, timing).expect("is free");
    let error = lock.ensure_held().expect_err("is lost");
    assert_eq!(
        error.to_string(),
        "the lock of repository nas could not be refreshed for 20 minutes"
    );
    const { assert!(TIMING.expires_after_seconds < STALE_AFTER_SECONDS) };
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

#[test]
fn an_old_lock_of_another_host_is_removed_on_request_only() {
    let (_, repository) = repository();
    let old = LockEntry {
        time: "2026-01-01T12:00:00Z".parse().expect("a time"),
        hostname: "elsewhere".into(),
        ..LockEntry::here(Time::now(), true)
    };
    let id = repository
        .save_json(FileType::Lock, &old)
        .expect("is saved");

    let lock = Lock::acquire(&repository, true, timing()).expect("is not kept out");
    assert!(locks_of(&repository).contains(&id));
    let judged = unlock(&repository, false).expect("works");
    let mut judged: Vec<_> = judged
        .into_iter()
        .map(|it| (it.lock.expect("readable") == old, it.holder, it.is_removed))
        .collect();
    judged.sort_by_key(|(is_old, ..)| !is_old);
    assert_eq!(
        judged,
        [(true, Holder::Silent, true), (false, Holder::Alive, false)]
    );
    assert_eq!(locks_of(&repository), [lock.id()]);
}

#[test]
fn all_locks_are_removed_only_when_that_is_asked_for() {
    let (destination, repository) = repository();
    let key = FileType::Lock.key(&Id::of(b"?"));
    destination.set_object(&key, Some(bytes::Bytes::from_static(b"half")));
    let elsewhere = LockEntry {
        hostname: "elsewhere".into(),
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

#[test]
fn a_lock_that_cannot_be_read_keeps_out_who_would_delete_only() {
    let (destination, repository) = repository();
    let key = FileType::Lock.key(&Id::of(b"?"));
    destination.set_object(&key, Some(bytes::Bytes::from_static(b"half")));
    drop(Lock::acquire(&repository, false, timing()).expect("a backup goes on"));
    let error = Lock::acquire(&repository, true, timing())
        .err()
        .expect("is refused");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert_eq!(
        error.hint_text(),
        Some(
            "`strongroom unlock nas --all` removes it: only for when you know that nobody is at work there"
        )
    );
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
