//! A machine in trouble: no byte free where the repository or the engine's state lies, few open files, little memory, few threads.

mod common;

use std::process::{Command, Output};

use common::{Ended, ONE_OF_EACH, Place, files, skip};
use strongroom_repository::testing::{Restic, noise};

const NO_MOUNT: &str = "only root may mount";

/// Runs `script` in a mount namespace of its own, which ends with it, with `sr` for the program and a file system of a megabyte at `small`.
/// `None` where nothing can be mounted.
fn on_a_small_disk(place: &Place, script: &str) -> Option<Ended> {
    let run = |script: &str| {
        let output = Command::new("unshare")
            .args(["--mount", "--", "sh", "-uc", script, "sh"])
            .arg(env!("CARGO_BIN_EXE_strongroom"))
            .current_dir(place.path(""))
            .output();
        place.ended(output.expect("unshare is there: install the Debian package util-linux"))
    };
    let mount = "mkdir -p small && mount -t tmpfs -o size=1m small small";
    if run(mount).exit != 0 {
        return None;
    }
    let fill = "fill() { dd if=/dev/zero of=small/fill bs=4k 2>/dev/null; }";
    let sr = "sr() { \"$program\" \"$@\"; }";
    Some(run(&format!(
        "program=$1\n{sr}\n{fill}\n{mount} || exit 99\n{script}"
    )))
}

/// Three backups at `small`, which is then filled up.
const FULL: &str = "
    sr init > out 2>&1 || exit 90
    for i in 1 2 3; do
        cp noise$i media/noise
        sr backup > out 2>&1 || exit 91
    done
    fill
";

fn on_small() -> Place {
    let place = Place::new(&ONE_OF_EACH.replace("$DIR/nas", "$DIR/small/nas"));
    for number in 1..4 {
        place.write(&format!("noise{number}"), noise(150_000, number));
    }
    place.write("media/a.txt", "a");
    place
}

#[test]
fn a_disk_without_a_free_byte_is_emptied_by_forget_and_prune() {
    let restic = Restic::installed();
    let place = on_small();
    let script = format!(
        "{FULL}
        sr backup && exit 92
        oldest=$(sr list --json | grep -o '\"id\": *\"[^\"]*\"' | head -n 1 | cut -d '\"' -f 4)
        sr forget --backup \"$oldest\" --prune || exit 93
        sr check --read-data || exit 94
        rm media/noise
        echo b > media/b.txt
        sr backup || exit 95
        ls small/nas
        cp -r small/nas copy"
    );
    let Some(ended) = on_a_small_disk(&place, &script) else {
        return skip(
            "a_disk_without_a_free_byte_is_emptied_by_forget_and_prune",
            NO_MOUNT,
        );
    };
    assert_eq!(ended.exit, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stderr.contains("no space left on device"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("\nreserve\n"), "{}", ended.stdout);
    // What lies beside its own does not disturb restic.
    for restic in &restic {
        restic.run(
            &place.path("copy"),
            "correct horse",
            &["check", "--read-data"],
        );
        let listed = restic.run(
            &place.path("copy"),
            "correct horse",
            &["snapshots", "--json"],
        );
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        assert_eq!(listed.as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn a_state_folder_without_room_stops_no_backup() {
    let place = Place::new(&format!(
        "{ONE_OF_EACH}\n[engine]\nstate = \"$DIR/small/state\"\n"
    ));
    place.write("media/a.txt", "a");
    let script = "
        sr init && sr backup && sr check && sr restore latest --target first || exit 90
        rm -rf small/state
        fill
        sr backup && sr check --read-data=10 && sr forget && sr prune || exit 91
        sr restore latest --target second || exit 92";
    let Some(ended) = on_a_small_disk(&place, script) else {
        return skip("a_state_folder_without_room_stops_no_backup", NO_MOUNT);
    };
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
    for target in ["first", "second"] {
        let restored = files(&place.path(target).join("media"));
        assert_eq!(restored, files(&place.path("media")));
    }
}

/// The program under limits that the shell sets.
fn limited(place: &Place, limit: &str, arguments: &str) -> Output {
    let script = format!("ulimit {limit} && exec \"$1\" {arguments}");
    Command::new("bash")
        .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_strongroom")])
        .current_dir(place.path(""))
        .output()
        .expect("bash is there")
}

#[test]
fn few_files_and_little_memory_are_enough() {
    let place = Place::new(ONE_OF_EACH);
    for number in 0..100 {
        place.write(&format!("media/{number}/file"), noise(30_000, number));
    }
    place.write("media/large", noise(30 << 20, 7));
    place.ok(&["init"]);
    // The hard limit and the soft one; the soft one alone; 4 GB of addresses.
    for limit in ["-n 64", "-S -n 32", "-v 4000000"] {
        for arguments in [
            "backup --full",
            "check --read-data",
            "restore latest --target out --overwrite",
            "forget --prune",
        ] {
            let ended = place.ended(limited(&place, limit, arguments));
            assert_eq!(ended.exit, 0, "{limit}, {arguments}: {}", ended.stderr);
        }
    }
    assert_eq!(files(&place.path("out/media")), files(&place.path("media")));
}

/// Fewer threads are fewer at work, and where there are none, one line says so.
#[test]
fn no_threads_are_one_error_and_no_panic() {
    use std::os::unix::fs::chown;
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return skip(
            "no_threads_are_one_error_and_no_panic",
            "only root may be another user",
        );
    }
    let place = Place::new(&format!(
        "{ONE_OF_EACH}\n[engine]\nstate = \"$DIR/state\"\n"
    ));
    place.write("media/a.txt", "a");
    for name in ["", "media", "media/a.txt", "nas.key", "strongroom.toml"] {
        chown(place.path(name), Some(NOBODY), Some(NOBODY)).expect("changed");
    }
    let run = |limit: &str, arguments: &[&str]| {
        let script = format!("ulimit {limit} && exec \"$@\"");
        let output = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--bounding-set=-all",
            ])
            .args(["--inh-caps=-all", "bash", "-c", &script, "bash"])
            .arg(env!("CARGO_BIN_EXE_strongroom"))
            .args(arguments)
            .current_dir(place.path(""))
            .output();
        place.ended(output.expect("setpriv is there: install the Debian package util-linux"))
    };
    let free = "-S -c 0";
    for arguments in [&["init"][..], &["backup"]] {
        let ended = run(free, arguments);
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }
    for threads in [1, 3, 5, 7, 9, 12] {
        for arguments in [&["backup"][..], &["check", "--read-data"], &["prune"]] {
            let ended = run(&format!("-u {threads}"), arguments);
            let told = ended.exit == 1 && ended.stderr.contains("no more processes and threads");
            assert!(ended.exit == 0 || told, "{threads}: {}", ended.stderr);
            assert!(
                !ended.stderr.contains("internal error"),
                "{threads}: {}",
                ended.stderr
            );
        }
    }
    let ended = run(free, &["check", "--read-data"]);
    assert_eq!(ended.exit, 0, "{}", ended.stderr);
}
