//! Guests that crash, hang, or take more than their share: an error that names plugin and operation, and a fresh instance for the next call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_host::Limits;
use strongroom_repository::{Error, ErrorKind, Progress};

use crate::common::{check, limits, refused, rogue, words};

fn check_fails(limits: Limits, mode: &str) -> Error {
    refused(check(limits, &format!(r#"{{"mode": "{mode}"}}"#)))
}

fn short(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = limits();
    change(&mut limits);
    limits
}

#[test]
fn a_crash_is_an_error_with_the_guests_own_words() {
    let fault = Some("this is a fault of the plugin: report it to its author");
    assert_eq!(
        words(&check_fails(limits(), "panic")),
        (
            "source odd: plugin rogue panicked in check: lost the thread and the plot (rogue-source/src/check.rs:…)".into(),
            fault
        )
    );
    assert_eq!(
        words(&check_fails(limits(), "trap")),
        (
            "source odd: plugin rogue trapped in check: wasm `unreachable` instruction executed"
                .into(),
            None
        )
    );
    assert_eq!(
        words(&check_fails(limits(), "last words")),
        (
            "source odd: plugin rogue trapped in check: wasm `unreachable` instruction executed"
                .into(),
            Some("the last that it said: goodbye")
        )
    );
    assert_eq!(
        words(&check_fails(limits(), "exit")),
        (
            "source odd: plugin rogue exited with code 1 in check".into(),
            None
        )
    );
}

#[test]
fn a_guest_that_recurses_without_end_runs_out_of_its_own_stack() {
    let error = check_fails(limits(), "recurse");
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue ran out of stack in check"
    );
    let error = check_fails(limits(), "recurse with frames");
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue trapped in check: out of bounds memory access"
    );
}

#[test]
fn a_guest_that_allocates_without_end_is_stopped_at_the_ceiling() {
    assert_eq!(
        check_fails(limits(), "eat").to_string(),
        "source odd: plugin rogue asked for more than 64 MiB of memory in check"
    );
}

#[test]
fn a_guest_that_computes_without_end_is_ended_by_its_budget() {
    let limits = short(|limits| limits.cpu_budget = Duration::from_millis(200));
    let error = check_fails(limits, "spin");
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue computed for more than 0.2 s in check without a word to the engine"
    );
}

#[test]
fn a_guest_that_keeps_calling_the_engine_is_ended_by_the_deadline_and_not_by_the_budget() {
    let limits = short(|limits| {
        limits.cpu_budget = Duration::from_millis(100);
        limits.call_deadline = Duration::from_millis(1500);
    });
    let error = check_fails(limits, "spin with calls");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue was not done with check after 1.5 s"
    );
}

#[test]
fn a_guest_that_waits_without_end_is_ended_by_the_deadline() {
    let limits = short(|limits| limits.call_deadline = Duration::from_millis(1500));
    let begun = Instant::now();
    let error = check_fails(limits, "sleep");
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue was not done with check after 1.5 s"
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_guest_holds_few_sockets_and_none_without_a_grant() {
    let hoard = |config| check(limits(), config).expect("the guest goes on");
    let told = |told: &str| [("hoard".to_owned(), told.to_owned())];
    assert_eq!(
        hoard(r#"{"mode": "hoard sockets"}"#),
        told("0|access-denied|false")
    );
    assert_eq!(
        hoard(r#"{"mode": "hoard sockets", "need": {"connect": "127.0.0.1:9"}}"#),
        told("16|new-socket-limit|true")
    );
}

#[test]
fn a_guest_that_keeps_whatever_it_gets_is_ended() {
    assert_eq!(
        check_fails(limits(), "hoard timers").to_string(),
        "source odd: plugin rogue failed in check: resource table has no free keys"
    );
}

#[test]
fn a_crash_ends_its_instance_and_the_next_call_gets_a_fresh_one() {
    let mut source = rogue(limits(), r#"{"mode": "panic"}"#, Arc::default());
    for _ in 0..3 {
        assert!(refused(source.check()).to_string().contains("panicked"));
    }
}

#[test]
fn every_kind_of_error_comes_through() {
    let kinds = [
        ("invalid-config", ErrorKind::InvalidConfig),
        ("denied", ErrorKind::Denied),
        ("unauthenticated", ErrorKind::Unauthenticated),
        ("not-found", ErrorKind::NotFound),
        ("already-exists", ErrorKind::AlreadyExists),
        ("unavailable", ErrorKind::Unavailable),
        ("timed-out", ErrorKind::TimedOut),
        ("throttled", ErrorKind::Throttled),
        ("out-of-space", ErrorKind::OutOfSpace),
        ("unsupported", ErrorKind::Unsupported),
        ("corrupted", ErrorKind::Corrupted),
        ("cancelled", ErrorKind::Cancelled),
        ("failed", ErrorKind::Failed),
    ];
    for (name, kind) in kinds {
        let config = format!(r#"{{"mode": "error", "kind": "{name}"}}"#);
        let error = refused(check(limits(), &config));
        assert_eq!(error.kind(), kind);
        assert_eq!(
            words(&error),
            (
                format!("source odd: as asked: {name}"),
                Some("ask for something else")
            )
        );
    }
}

#[test]
fn what_a_guest_says_reaches_the_run_and_cannot_steer_a_terminal() {
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = heard.clone();
    let progress = Arc::new(Progress::with_listener(Box::new(move |record| {
        listener.lock().expect("heard").push(record.clone());
    })));
    rogue(limits(), r#"{"mode": "talk"}"#, progress.clone())
        .check()
        .expect("talk");
    let heard = heard.lock().expect("heard");
    let [record, memory] = heard.as_slice() else {
        panic!("{heard:?}");
    };
    assert_eq!(record.level, strongroom_repository::progress::Level::Warn);
    assert_eq!(
        (record.origin.as_str(), record.message.as_str()),
        ("odd", "look out")
    );
    assert_eq!(record.fields, [("key".to_owned(), "value [31m".to_owned())]);
    // What the engine adds at the end of a call.
    assert_eq!(memory.level, strongroom_repository::progress::Level::Debug);
    assert_eq!(memory.message, "memory of the plugin");
    let [(name, bytes)] = memory.fields.as_slice() else {
        panic!("{memory:?}");
    };
    let bytes: usize = bytes.parse().expect("a number");
    assert_eq!(name, "bytes");
    assert!((64 << 10..=64 << 20).contains(&bytes), "{bytes}");
    assert_eq!(progress.current_step(), "looking");
    use std::sync::atomic::Ordering::Relaxed;
    assert_eq!(progress.bytes_expected.load(Relaxed), 100);
    assert_eq!(progress.items_expected.load(Relaxed), 7);
}
