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
        limits.call_deadline = Duration::from_millis(600);
    });
    let error = check_fails(limits, "spin with calls");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue was not done with check after 0.6 s"
    );
}

#[test]
fn a_guest_that_waits_without_end_is_ended_by_the_deadline() {
    let limits = short(|limits| limits.call_deadline = Duration::from_millis(300));
    let begun = Instant::now();
    let error = check_fails(limits, "sleep");
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue was not done with check after 0.3 s"
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_crash_ends_its_instance_and_the_next_call_gets_a_fresh_one() {
    let mut source = rogue(limits(), r#"{"mode": "panic"}"#, Arc::default());
    for _ in 0..3 {
        assert!(refused(source.check()).to_string().contains("panicked"));
    }
}

#[test]
fn what_was_not_granted_is_denied_and_what_was_is_there() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("in")).expect("folder");
    std::fs::write(folder.path().join("in/file"), "content").expect("file");
    std::fs::write(folder.path().join("secret"), "secret").expect("file");
    std::os::unix::fs::symlink(folder.path().join("secret"), folder.path().join("in/link"))
        .expect("link");
    let run = |mode: &str, file: &str, need: &str| {
        let config =
            format!(r#"{{"mode": "{mode}", "path": "{path}/{file}", "need": {{{need}}}}}"#);
        check(limits(), &config)
    };
    let read = format!(r#""read": "{path}/in""#);
    let write = format!(r#""write": "{path}/in""#);

    assert!(run("read", "in/file", "").is_err());
    assert!(run("write", "in/file", "").is_err());
    assert!(run("read", "secret", &read).is_err());
    assert!(run("read", "in/../secret", &read).is_err());
    assert!(run("read", "in/link", &read).is_err());
    assert!(run("write", "in/file", &read).is_err());
    assert_eq!(
        std::fs::read_to_string(folder.path().join("in/file")).expect("file"),
        "content"
    );

    assert_eq!(
        run("read", "in/file", &read).expect("read"),
        [("content".to_owned(), "content".to_owned())]
    );
    run("write", "in/file", &write).expect("write");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("in/file")).expect("file"),
        "mine"
    );
    run("read", "in/file", &write).expect("write covers read");
}

#[test]
fn the_network_and_the_environment_are_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let address = listener.local_addr().expect("address");
    let config = format!(r#"{{"mode": "connect", "path": "{address}"}}"#);
    assert!(check(limits(), &config).is_err());
    assert!(check(limits(), r#"{"mode": "look up", "path": "localhost"}"#).is_err());
    assert_eq!(
        check(limits(), r#"{"mode": "environment"}"#).expect("empty"),
        []
    );
}

#[test]
fn ungranted_interfaces_answer_and_say_what_to_grant() {
    let error = refused(check(limits(), r#"{"mode": "spawn", "path": "pg_dump"}"#));
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        words(&error),
        (
            "source odd: is not allowed to run pg_dump".into(),
            Some(r#"if it should be, set in [sources.odd]: allow = { command = ["pg_dump"] }"#)
        )
    );
    let config = r#"{"mode": "spawn", "path": "psql", "need": {"command": "psql"}}"#;
    let error = refused(check(limits(), config));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "source odd: cannot run psql: this version of the engine runs no programs"
    );
    let error = refused(check(limits(), r#"{"mode": "tls", "path": "db.internal"}"#));
    assert_eq!(
        error.to_string(),
        "source odd: cannot speak TLS with db.internal: this version of the engine offers none"
    );
    let error = refused(check(limits(), r#"{"mode": "shout"}"#));
    assert_eq!(
        error.to_string(),
        "source odd: plugin rogue failed in check: called rogue:source/unheard-of#shout, which this version of the engine does not offer"
    );
}

#[test]
fn a_granted_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().display();
    let need = |what: &str, name: &str| {
        check(
            limits(),
            &format!(r#"{{"need": {{"{what}": "{path}/{name}"}}}}"#),
        )
    };
    let error = refused(need("read", "gone"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        format!("source odd: cannot open {path}/gone: no such file or directory")
    );
    std::fs::write(folder.path().join("file"), "").expect("file");
    assert_eq!(
        refused(need("read", "file")).to_string(),
        format!("source odd: {path}/file is no directory")
    );
    let error = refused(need("write", "not/mounted"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        words(&error),
        (
            format!("source odd: cannot create {path}/not/mounted: {path}/not does not exist"),
            Some(format!("create {path}/not, or mount what belongs there").as_str())
        )
    );
    assert!(!folder.path().join("not").exists());

    need("write", "new").expect("made");
    use std::os::unix::fs::PermissionsExt;
    let made = folder.path().join("new").metadata().expect("made");
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
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
    assert_eq!(heard.len(), 1);
    let record = &heard[0];
    assert_eq!(record.level, strongroom_repository::progress::Level::Warn);
    assert_eq!(
        (record.origin.as_str(), record.message.as_str()),
        ("odd", "look out")
    );
    assert_eq!(record.fields, [("key".to_owned(), "value [31m".to_owned())]);
    assert_eq!(progress.current_step(), "looking");
    use std::sync::atomic::Ordering::Relaxed;
    assert_eq!(progress.bytes_expected.load(Relaxed), 100);
    assert_eq!(progress.items_expected.load(Relaxed), 7);
}
