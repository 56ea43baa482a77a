//! What was not granted is not there: directories, the network, the environment, programs, TLS. Denial first, then permission.

use strongroom_repository::ErrorKind;

use crate::common::{check, limits, refused, words};
use crate::restore::{TwoFiles, restore};

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
    // Who only looks gets nothing made; who writes does.
    for name in ["new", "not/mounted"] {
        need("write", name).expect("not opened");
        assert!(!folder.path().join(name).exists());
    }
    let write = |name: &str| {
        let config = format!(r#"{{"mode": "read", "need": {{"write": "{path}/{name}"}}}}"#);
        restore(&config, &TwoFiles::default())
    };
    let error = refused(write("not/mounted"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        words(&error),
        (
            format!("source odd: cannot create {path}/not/mounted: {path}/not does not exist"),
            Some(format!("create {path}/not, or mount what belongs there").as_str())
        )
    );
    assert!(!folder.path().join("not").exists());

    write("new").expect("made");
    use std::os::unix::fs::PermissionsExt;
    let made = folder.path().join("new").metadata().expect("made");
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
}
