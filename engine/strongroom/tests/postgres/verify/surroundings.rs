//! What goes on around a verification: programs that are missing or die, a kill, a cancellation, an engine that is not root.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn what_is_missing_or_breaks_on_this_side_says_nothing_about_the_backup() {
    let server = filled();
    let trial = Trial::new(r#"databases = ["shop"]"#, "", &server);
    trial.place.ok(&["backup"]);
    let path = |name: &str| trial.place.path(name);
    let check = |more: &str, expected: &str| {
        trial.configure(r#"databases = ["shop"]"#, more, &server);
        let ended = trial.run();
        assert_eq!(ended.exit, 1, "{}", ended.stderr);
        let shown = ended
            .stderr
            .replace(&format!("{}", bin_folder().display()), "$BIN");
        assert!(shown.starts_with(expected), "{shown}");
        trial.assert_nothing_left();
        assert_eq!(trial.place.json(&["list"])[0]["proof"], Value::Null);
    };
    check(
        "programs = []",
        "error: source db: is not allowed to run initdb, run postgres, run pg_amcheck\n\
         hint: if it should be, set in [sources.db]: allow = ",
    );
    let programs = |name: &str| format!("programs = [{:?}, {:?}]", path(name), bin_folder());
    stand_in(
        &path("dead"),
        "postgres",
        "echo 'FATAL:  out of luck' >&2; exit 3",
    );
    check(
        &programs("dead"),
        "error: source db: the scratch server exited with code 3: FATAL:  out of luck",
    );
    // The server goes away while it takes the dump.
    let kill = "[ \"$1\" = --version ] && exec $BIN/pg_restore \"$@\"\nkill -9 $(head -n 1 $SCRATCH/*/data/postmaster.pid); exit 1";
    let kill = kill.replace("$BIN", &bin_folder().display().to_string());
    let kill = kill.replace("$SCRATCH", &trial.scratch.path().display().to_string());
    stand_in(&path("killer"), "pg_restore", &kill);
    check(
        &programs("killer"),
        "error: source db: the scratch server was ended by signal 9",
    );
    trial.configure(
        r#"databases = ["shop"]"#,
        "user = \"strongroom-nobody\"",
        &server,
    );
    let ended = trial.run();
    assert_ne!(ended.exit, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("strongroom-nobody"),
        "{}",
        ended.stderr
    );
}

#[test]
fn after_a_kill_no_server_runs_and_the_next_verification_tidies_up() {
    let server = filled();
    let trial = Trial::new(r#"databases = ["shop"]"#, "", &server);
    trial.place.ok(&["backup"]);
    let scratch = trial.scratch.path().display().to_string();
    let ready = trial.have_restores_wait(r#"databases = ["shop"]"#, &server);
    let mut verify = trial
        .place
        .command(&["verify"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    wait_until("it restores", || ready.exists());
    assert!(!working_in(trial.scratch.path()).is_empty());
    verify.kill().expect("killed");
    verify.wait().expect("waited");
    wait_until("the server is gone", || {
        working_in(trial.scratch.path()).is_empty()
    });
    assert_ne!(fs::read_dir(&scratch).expect("a folder").count(), 0);

    trial.configure(r#"databases = ["shop"]"#, "", &server);
    assert_eq!(trial.verify(0)["result"], "proven");
}

#[test]
fn a_verification_that_is_cancelled_leaves_nothing() {
    let server = filled();
    let trial = Trial::new(r#"databases = ["shop"]"#, "", &server);
    trial.place.ok(&["backup"]);
    let ready = trial.have_restores_wait(r#"databases = ["shop"]"#, &server);
    let verify = trial
        .place
        .command(&["verify"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    wait_until("it restores", || ready.exists());
    let pid = verify.id().to_string();
    let _ = Command::new("kill").args(["-INT", &pid]).status();
    let ended = verify.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(130));
    trial.assert_nothing_left();
    assert_eq!(trial.place.json(&["list"])[0]["proof"], Value::Null);
}

#[test]
fn an_engine_that_is_not_root_verifies_as_itself() {
    let server = filled();
    let trial = Trial::new(r#"databases = ["shop"]"#, "", &server);
    trial.place.ok(&["backup"]);
    if !is_root() {
        // The other tests did just that.
        trial.verify(0);
        return;
    }
    let text = fs::read_to_string(trial.place.path("strongroom.toml")).expect("read");
    let own = trial.place.path("own");
    let text = text.split("[engine]").next().expect("text").to_owned();
    let verify = text
        .find("[jobs.nightly.verify]")
        .map(|at| text.split_at(at).0);
    let text = format!(
        "{}\n[engine]\nstate = {own:?}\n[jobs.nightly.verify]\nscratch = {:?}\nprograms = [{:?}]\n",
        verify.unwrap_or(&text),
        trial.scratch.path(),
        bin_folder()
    );
    fs::write(trial.place.path("strongroom.toml"), text).expect("written");
    let given = Command::new("chown")
        .arg("-R")
        .arg("postgres:")
        .arg(trial.place.path(""))
        .status();
    assert!(given.expect("chown starts").success());
    let plain = trial.place.command(&["verify"]);
    let ended = Command::new("setpriv")
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(trial.place.path(""))
        .env("HOME", trial.place.path(""))
        .output()
        .expect("it starts");
    let ended = trial.place.ended(ended);
    assert_eq!(ended.exit, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.starts_with("db: proven · from nas"),
        "{}",
        ended.stdout
    );
    trial.assert_nothing_left();
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").expect("metadata").uid() == 0
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
