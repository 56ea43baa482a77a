//! What may not be written, not be read or not be waited for: word for word what the program says.

mod common;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ONE_OF_EACH, Place, files, skip, unprivileged};
use strongroom::bundled::BUNDLED;
use strongroom_repository::testing::DirectoryDestination;
use strongroom_repository::{Id, Repository};

fn place() -> Place {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/a.txt", "a");
    place
}

#[test]
fn a_backup_on_a_read_only_disk_is_restorable() {
    let place = place();
    place.ok(&["init"]);
    place.ok(&["backup"]);
    // In a mount namespace of its own, which ends with the program.
    let run = |script: &str| {
        let output = Command::new("unshare")
            .args([
                "--mount",
                "--",
                "sh",
                "-euc",
                script,
                "sh",
                env!("CARGO_BIN_EXE_strongroom"),
            ])
            .current_dir(place.path(""))
            .output();
        place.ended(output.expect("unshare is there: install the Debian package util-linux"))
    };
    let mount = "mount --bind nas nas && mount -o remount,ro,bind nas nas";
    if run(mount).exit != 0 {
        return skip(
            "a_backup_on_a_read_only_disk_is_restorable",
            "only root may mount",
        );
    }
    let script = format!("{mount}\n\"$1\" restore latest --target out\n\"$1\" list --json >&2");
    let ended = run(&script);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    let told = "warning: reading nas without a lock, because none can be written: ";
    assert!(ended.stderr.starts_with(told), "{}", ended.stderr);
    assert!(!ended.stderr.contains("error:"), "{}", ended.stderr);
    assert_eq!(files(&place.path("out/media")), files(&place.path("media")));
}

#[test]
fn a_repository_of_another_version_is_refused() {
    let place = place();
    place.ok(&["init"]);
    let destination = DirectoryDestination::new("nas", place.path("nas"));
    let repository = Repository::open(Arc::new(destination), "correct horse").expect("opens");
    let config = serde_json::to_string(repository.config()).expect("JSON");
    let newer = config.replace(r#""version":2"#, r#""version":3"#);
    let sealed = repository.key().seal(newer.as_bytes());
    fs::write(place.path("nas/config"), sealed).expect("written");
    for args in [&["list"][..], &["check"], &["init"]] {
        let ended = place.run(args);
        assert_eq!(
            (ended.exit, ended.stderr.as_str()),
            (
                1,
                "error: repository nas has format version 3; this engine reads versions 1 and 2\n\
                 hint: a newer strongroom may read it\n"
            ),
            "{args:?}"
        );
    }
}

#[test]
fn a_half_written_plugin_file_says_so() {
    let whole = BUNDLED.first().expect("a plugin").component;
    let half = &whole[..whole.len() / 2];
    let place = Place::new(&format!(
        "[plugins.redis]\npath = \"redis.wasm\"\nsha256 = \"{}\"\n",
        Id::of(half)
    ));
    place.write("redis.wasm", half);
    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.exit, 2, "{}", ended.stderr);
    // Where exactly it breaks off is the reader's business.
    let (begin, end) = (
        "error: strongroom.toml:2:8: plugin redis: is no valid component: ",
        "\nhint: the file may be damaged, or use a feature of WebAssembly that is not supported\n",
    );
    assert!(
        ended.stderr.starts_with(begin) && ended.stderr.ends_with(end),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_source_folder_that_may_not_be_read_fails_the_backup() {
    let place = place();
    place.ok(&["init"]);
    fs::set_permissions(place.path("media"), Permissions::from_mode(0o000)).expect("mode");
    let output = unprivileged(&place, &["backup"]).output();
    let ended =
        place.ended(output.expect("setpriv is there: install the Debian package util-linux"));
    fs::set_permissions(place.path("media"), Permissions::from_mode(0o700)).expect("mode");
    assert_eq!(
        (ended.exit, ended.stderr.as_str()),
        (
            1,
            "error: source media: cannot open $DIR/media: permission denied\n\
             hint: run as a user who may read it, or change its mode\n\
             job nightly failed; no backup was made\n"
        )
    );
    assert_eq!(place.json(&["list"]), serde_json::json!([]));
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    // The secret's command is something that is waited for.
    let place = Place::new(&ONE_OF_EACH.replace(
        "{ file = \"nas.key\" }",
        "{ command = [\"sh\", \"-c\", \"touch started; exec sleep 30\"] }",
    ));
    let said = place.path("said");
    let started = Instant::now();
    let mut child = place
        .command(&["list"])
        .stderr(File::create(&said).expect("a file"))
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let wait_for = |done: &dyn Fn() -> bool| {
        while !done() && started.elapsed() < Duration::from_secs(25) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(done());
    };
    let interrupt = || {
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.expect("kill is there").success());
    };
    let text = || fs::read_to_string(&said).expect("readable");
    wait_for(&|| place.path("started").exists());
    interrupt();
    wait_for(&|| text().ends_with('\n'));
    interrupt();
    let exit = child.wait().expect("ended");
    assert_eq!(exit.code(), Some(130));
    assert_eq!(text(), "cancelling… (once more ends it at once)\n");
    assert!(started.elapsed() < Duration::from_secs(25), "it waited");
}

/// As rustic writes it: nothing but what opens the repository.
#[test]
fn a_key_file_that_names_nobody_opens_the_repository() {
    let place = place();
    place.ok(&["init"]);
    place.ok(&["backup"]);
    for entry in fs::read_dir(place.path("nas/keys")).expect("a folder") {
        let path = entry.expect("read").path();
        let content = fs::read(&path).expect("read");
        let mut key: serde_json::Value = serde_json::from_slice(&content).expect("JSON");
        let fields = key.as_object_mut().expect("an object");
        fields.retain(|name, _| !["created", "username", "hostname"].contains(&&**name));
        let content = serde_json::to_vec(&key).expect("JSON");
        fs::remove_file(&path).expect("removed");
        let name = format!("nas/keys/{}", Id::of(&content));
        fs::write(place.path(&name), content).expect("written");
    }
    let listed = place.ok(&["key", "list", "nas"]);
    let lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().skip(1).take(3).collect())
        .collect();
    assert_eq!(lines[1..], [["-", "-", "-"], ["-", "-", "-"]], "{listed}");
    assert!(place.json(&["key", "list", "nas"])[0]["created"].is_null());
    place.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(files(&place.path("out/media")), files(&place.path("media")));
}
