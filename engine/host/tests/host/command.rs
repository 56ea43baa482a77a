//! Programs: by name, with nothing that was not passed, and gone with whoever started them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_host::{Allow, Limits, grant};
use strongroom_repository::source::Kind;
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use crate::common::{OUTGOING, go, host, limits, outgoing, refused, words};
use crate::source::Recorder;

/// The configuration that runs a script of the shell.
fn script(mode: &str, script: &str) -> Value {
    json!({"mode": mode, "program": "sh", "args": ["-c", script], "command": ["sh"]})
}

fn run(text: &str) -> String {
    go(script("run", text)).expect(text)
}

/// `(kind, message)`.
fn parts(error: &Error) -> (ErrorKind, String) {
    (error.kind(), error.to_string())
}

/// Waits until `done`, which must be soon.
#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A zombie is not. An orphan's remains are for the system to clear away.
fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    state.is_ok_and(|state| !state.contains(") Z "))
}

/// Neither running nor a zombie.
fn is_gone(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}

#[test]
fn a_program_needs_a_grant() {
    let mut config = script("run", "echo hello");
    config["command"] = json!([]);
    let error = refused(go(config.clone()));
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        words(&error),
        (
            "source odd: is not allowed to run sh".into(),
            Some(r#"if it should be, set in [sources.odd]: allow = { command = ["sh"] }"#)
        )
    );
    for path in ["/bin/sh", "../bin/sh", "SH"] {
        config["program"] = json!(path);
        config["command"] = json!(["true"]);
        refused(go(config.clone()));
    }
    assert_eq!(run("echo hello"), "0|hello\n|");
}

#[test]
fn a_program_is_the_one_that_the_operator_named() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("sh").display().to_string();
    let config = script("run", "").to_string();
    let plugin = host(limits())
        .load("outgoing", &OUTGOING)
        .expect("outgoing");
    let run = || -> Result<String> {
        let allow = Allow {
            command: vec![path.clone()],
            ..Allow::default()
        };
        let required = plugin.requirements(&config)?;
        let grants = grant("sources.odd", &required, Some(&allow), false)?;
        let answer = plugin
            .source("odd", &config, grants, Arc::default())?
            .check()?;
        Ok(answer.into_iter().map(|(_, value)| value).collect())
    };
    let error = refused(run());
    assert_eq!(
        (parts(&error), error.hint_text()),
        (
            (
                ErrorKind::NotFound,
                format!("source odd: cannot run sh: {path}: no such file or directory")
            ),
            Some("install it, or correct its path in `allow`")
        )
    );
    std::fs::write(&path, "#!/bin/sh\necho mine\n").expect("script");
    assert_eq!(refused(run()).kind(), ErrorKind::Denied);
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
    assert_eq!(run().expect("run"), "0|mine\n|");
}

#[test]
fn a_program_that_is_not_installed_is_named() {
    let config = json!({"mode": "run", "program": "no-such-dump", "command": ["no-such-dump"]});
    let error = refused(go(config));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        words(&error),
        (
            "source odd: cannot run no-such-dump: it is in no folder of PATH".into(),
            Some("install it, or name its path in `allow.command` of [sources.odd]")
        )
    );
}

#[test]
fn a_program_sees_what_was_passed_and_nothing_else() {
    let mut config = json!({
        "mode": "run", "program": "env", "command": ["env"],
        "env": {"PGPASSWORD": "hunter 2", "LC_ALL": ""}
    });
    assert_eq!(
        go(config.clone()).expect("env"),
        "0|LC_ALL=\nPGPASSWORD=hunter 2\n|"
    );
    // `sh` sets PWD and the like by itself.
    assert_eq!(
        run("pwd; echo $HOME$PATH_INFO; ls -A /proc/self/fd | wc -l"),
        "0|/\n\n4\n|"
    );
    for name in ["A=B", "", "A\0B"] {
        config["env"] = json!({name: "x"});
        assert_eq!(refused(go(config.clone())).kind(), ErrorKind::InvalidConfig);
    }
    for name in ["LD_PRELOAD", "OPENSSL_CONF", "HOME"] {
        config["env"] = json!({"PGUSER": "x", name: "/tmp/evil"});
        let error = refused(go(config.clone()));
        assert_eq!(
            (parts(&error), error.hint_text()),
            (
                (
                    ErrorKind::Denied,
                    format!("source odd: cannot run env: the variable {name} is not passed on")
                ),
                Some("allow a script that sets it in the program's place")
            )
        );
    }
}

#[test]
fn a_program_has_no_terminal_to_ask_at() {
    assert_eq!(run("(: < /dev/tty) 2>/dev/null || echo none"), "0|none\n|");
}

#[test]
fn how_a_program_ended_is_told() {
    assert_eq!(run("exit 0"), "0||");
    assert_eq!(
        run("echo partial; echo 'no such database' >&2; exit 3"),
        "3|partial\n|no such database\n"
    );
    assert_eq!(run("kill -9 $$"), "-9||");
    assert_eq!(run("kill -15 $$"), "-15||");
    assert_eq!(
        go(script("take twice", ":")).expect("taken"),
        "[true, false] [true, false]"
    );
    let error = refused(go(script("success", "echo 'no such database' >&2; exit 3")));
    assert_eq!(
        parts(&error),
        (
            ErrorKind::Failed,
            "source odd: sh exited with code 3: no such database".into()
        )
    );
}

#[test]
fn a_program_reads_what_the_guest_writes() {
    let mut config = script("run", "cat; echo done >&2");
    let text = "line\n".repeat(300);
    config["text"] = json!(text);
    assert_eq!(go(config).expect("cat"), format!("0|{text}|done\n"));
}

#[test]
fn a_flood_on_standard_error_stops_nobody_and_its_end_is_kept() {
    let flood = "yes complaint | head -c 3000000 >&2; echo hello; echo 'the end' >&2; exit 1";
    let answer = run(flood);
    let (start, errors) = answer.split_at("1|hello\n|".len());
    assert_eq!(start, "1|hello\n|");
    assert_eq!(errors.len(), 16 << 10);
    assert!(errors.ends_with("complaint\nthe end\n"), "{errors}");
}

#[test]
fn what_nobody_looks_at_does_not_keep_a_program_from_its_end() {
    let flood = "cat; head -c 3000000 /dev/zero; exit 4";
    assert_eq!(go(script("wait", flood)).expect("wait"), "4|");
}

#[test]
fn a_program_that_reads_nothing_is_heard_out() {
    // More than any pipe holds.
    let mut config = script("feed", "echo 'relation exists' >&2; exit 3");
    config["text"] = json!("x".repeat(1 << 20));
    let error = refused(go(config.clone()));
    assert_eq!(
        error.to_string(),
        "source odd: sh exited with code 3: relation exists"
    );
    config["args"][1] = json!("exec 0<&-; echo late; exit 0");
    let error = refused(go(config));
    assert_eq!(error.to_string(), "source odd: the stream is closed");
}

#[test]
fn a_program_whose_output_is_let_go_is_told_by_the_system() {
    let mut config = json!({"mode": "sip", "program": "yes", "command": ["yes"], "text": "100000"});
    assert_eq!(go(config.clone()).expect("sip"), "-13|");
    config["program"] = json!("sh");
    config["args"] = json!(["-c", "printf 12345; exec 1>&-; sleep 0.3; exit 5"]);
    config["command"] = json!(["sh"]);
    config["text"] = json!("5");
    assert_eq!(go(config).expect("closed early"), "5|");
}

#[test]
fn a_dump_is_spliced_into_the_backup() {
    let sink = Recorder::default();
    let config = script("dump", "head -c 5000000 /dev/zero");
    let outcome = outgoing(limits(), &config, Arc::default())
        .backup(Kind::Full, &sink)
        .expect("backup");
    assert_eq!(
        outcome.attributes,
        [("bytes".to_owned(), "5000000".to_owned())]
    );
    assert_eq!(
        sink.events(),
        ["file dump.sql 0", "finish dump.sql 5000000 bytes"]
    );
}

#[test]
fn a_dump_that_failed_is_not_finished() {
    for (text, message) in [
        (
            "echo half; echo 'lost connection' >&2; exit 1",
            "source odd: sh exited with code 1: lost connection",
        ),
        (
            "echo half; kill -9 $$",
            "source odd: sh was ended by signal 9",
        ),
    ] {
        let sink = Recorder::default();
        let config = script("dump", text);
        let error = refused(outgoing(limits(), &config, Arc::default()).backup(Kind::Full, &sink));
        assert_eq!(error.to_string(), message);
        assert_eq!(sink.events(), ["file dump.sql 0"]);
    }
    // The end of the stream looks the same: only the code tells.
    let sink = Recorder::default();
    let config = script("trust", "echo half; exit 1");
    let outcome = outgoing(limits(), &config, Arc::default()).backup(Kind::Full, &sink);
    assert_eq!(outcome.expect("trusted").attributes[0].1, "1|");
}

#[test]
fn a_guest_runs_few_programs_at_once_and_another_when_one_is_let_go() {
    let mut config = script("hoard", "cat");
    config["text"] = json!("");
    assert_eq!(
        go(config).expect("the guest goes on"),
        "8|cannot run sh: no more than 8 programs at once|0"
    );
}

#[test]
fn a_program_that_is_let_go_ends_with_all_that_it_started() {
    let source = |text: &str| go(script("drop", text)).expect(text);
    let child = source("sleep 1000 & echo $!; wait");
    wait_until("the child of a program that was let go", || {
        !is_running(&child)
    });
    let parent = source("echo $$; sleep 1000");
    wait_until("a program that was let go", || is_gone(&parent));
    // One that does not heed.
    let deaf = source("trap '' TERM; echo $$; while :; do sleep 1; done");
    wait_until("a program that heeds no signal", || is_gone(&deaf));
    // One that ended and left something behind.
    let orphan = source("sleep 1000 & echo $!");
    wait_until("what a program left behind", || !is_running(&orphan));
}

#[test]
fn a_program_that_hangs_ends_with_the_run() {
    for mode in ["wait", "run"] {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("pid");
        let text = format!("echo $$ > {}; sleep 1000", file.display());
        let progress = Arc::new(Progress::default());
        let (cancel, written) = (progress.clone(), file.clone());
        let canceller = std::thread::spawn(move || {
            wait_until("a pid", || {
                std::fs::read_to_string(&written).is_ok_and(|pid| pid.ends_with('\n'))
            });
            cancel.cancel();
        });
        let started = Instant::now();
        // Long before the grace: the program is ended, and the guest goes on.
        let answer = outgoing(limits(), &script(mode, &text), progress).check();
        let answer = answer.expect("the guest hears how it ended");
        assert!(answer[0].1.starts_with("-15|"), "{answer:?}");
        assert!(started.elapsed() < Duration::from_secs(30));
        canceller.join().expect("canceller");
        let pid = std::fs::read_to_string(&file).expect("pid");
        wait_until("a program in a cancelled run", || is_gone(pid.trim()));
    }
}

#[test]
fn a_program_ends_with_an_instance_that_ran_out_of_time() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("pid");
    let text = format!("echo $$ > {}; sleep 1000", file.display());
    let limits = Limits {
        call_deadline: Duration::from_secs(8),
        ..limits()
    };
    let error = refused(outgoing(limits, &script("wait", &text), Arc::default()).check());
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let pid = std::fs::read_to_string(&file).expect("pid");
    wait_until("a program of a dead instance", || is_gone(pid.trim()));
}

/// Where the program that is left alone writes its pid, in the test below.
const PID_FILE: &str = "STRONGROOM_TEST_PID_FILE";

#[test]
#[ignore = "the engine that the next test kills"]
fn an_engine_that_is_killed() {
    let file = std::env::var(PID_FILE).expect("run by the next test");
    let text = format!("echo $$ > {file}; exec sleep 1000");
    let _ = go(script("wait", &text));
}

#[test]
fn a_program_ends_with_an_engine_that_is_killed() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("pid");
    let mut engine = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "command::an_engine_that_is_killed"])
        .env(PID_FILE, &file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("engine");
    let pid = || std::fs::read_to_string(&file).unwrap_or_default();
    wait_until("a pid", || pid().ends_with('\n'));
    assert!(!is_gone(pid().trim()));
    engine.kill().expect("kill");
    engine.wait().expect("gone");
    wait_until("a program of a dead engine", || !is_running(pid().trim()));
}
