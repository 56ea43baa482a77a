//! Several hosts with one configuration and one repository: each has a history of its own.

mod common;

use std::path::Path;
use std::process::Command;

use common::{ONE_OF_EACH, Place};
use serde_json::Value;

/// Keeps one backup.
const KEEP_ONE: &str = "on_demand_retention = { last = 1 }\n";

/// The folder as the machine `host` sees it.
fn become_host(place: &Place, host: &str) {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
    let engine = format!(
        "[engine]\nstate = {:?}\nhost = \"{host}\"\n",
        state.display().to_string()
    );
    place.configure(&format!("{ONE_OF_EACH}{KEEP_ONE}{engine}"));
}

fn backup_by(place: &Place, host: &str, content: &str) -> String {
    become_host(place, host);
    place.write("media/f", content);
    let made = place.json(&["backup"]);
    made["id"].as_str().expect("an id").to_owned()
}

fn place() -> Place {
    let place = Place::new(ONE_OF_EACH);
    place.write("media/f", "");
    place.ok(&["init"]);
    place
}

/// The ids of all backups, oldest first, with their hosts.
fn held(place: &Place) -> Vec<(String, String)> {
    let list = place.json(&["list"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let backups = list.as_array().expect("a list").iter();
    backups
        .map(|it| (text(&it["id"]), text(&it["host"])))
        .collect()
}

#[test]
fn what_one_host_forgets_leaves_the_backups_of_others() {
    let place = place();
    let first = backup_by(&place, "alpha", "1");
    let alpha = backup_by(&place, "alpha", "2");
    backup_by(&place, "beta", "3");
    let beta = backup_by(&place, "beta", "4");
    let shown = place.ok(&["forget", "--prune"]);
    let words = "left alone: 2 backups by host alpha: `--host alpha` decides about them";
    assert!(shown.contains(words), "{shown}");
    let of = |id: &String, host: &str| (id.clone(), host.to_owned());
    assert_eq!(
        held(&place),
        [of(&first, "alpha"), of(&alpha, "alpha"), of(&beta, "beta")]
    );
    let planned = place.json(&["forget", "--dry-run", "--all-hosts"]);
    let groups = planned["destinations"][0]["groups"]
        .as_array()
        .expect("groups");
    let hosts: Vec<_> = groups.iter().map(|group| group["host"].as_str()).collect();
    assert_eq!(hosts, [Some("alpha"), Some("beta")]);
    let planned = place.json(&["forget", "--dry-run"]);
    assert_eq!(planned["destinations"][0]["other_hosts"]["alpha"], 2);
    place.ok(&["forget", "--host", "alpha"]);
    assert_eq!(held(&place), [of(&alpha, "alpha"), of(&beta, "beta")]);
    // The only one of a host is not the newest one of all.
    place.fails(
        &["forget", "--backup", &alpha],
        1,
        "is the newest complete one of media",
    );
    place.ok(&["check", "--read-data"]);
    place.ok(&["restore", &alpha, "--target", "out"]);
    assert_eq!(
        std::fs::read(place.path("out/media/f")).expect("restored"),
        b"2"
    );
}

#[test]
fn latest_is_this_hosts_and_a_machine_that_takes_anothers_place_finds_it() {
    let place = place();
    let alpha = backup_by(&place, "alpha", "of alpha");
    let beta = backup_by(&place, "beta", "of beta");
    let cat = |args: &[&str]| {
        let ended = place.run(&[&["cat", "latest", "f"], args].concat());
        (ended.stdout, ended.stderr)
    };
    become_host(&place, "alpha");
    assert_eq!(cat(&[]), ("of alpha".into(), String::new()));
    assert_eq!(cat(&["--host", "beta"]), ("of beta".into(), String::new()));
    become_host(&place, "gamma");
    let (found, said) = cat(&[]);
    assert_eq!(found, "of beta");
    let words = format!(
        "there is no backup by this host, gamma: the latest is taken to be {beta}, by beta; there are some by alpha too: name one with --host"
    );
    assert!(said.contains(&words), "{said}");
    let latest = ["ls", "show", "download", "verify", "restore"];
    for command in latest {
        let mut args = vec![command, "latest", "--host", "alpha"];
        args.extend(match command {
            "download" => ["--output", "down"].as_slice(),
            "restore" => ["--target", "out"].as_slice(),
            _ => [].as_slice(),
        });
        place.ok(&args);
    }
    assert_eq!(
        std::fs::read(place.path("out/media/f")).expect("restored"),
        b"of alpha"
    );
    let shown = place.ok(&["show", "latest", "--host", "alpha"]);
    assert!(shown.contains(&alpha), "{shown}");
    place.fails(
        &["show", "latest", "--host", "delta"],
        1,
        "there is no backup yet by host delta",
    );
    place.fails(
        &["show", &beta, "--host", "alpha"],
        2,
        "was made by host beta, not alpha",
    );
    // What is removed is not guessed.
    place.fails(
        &["forget", "--force", "--backup", "latest"],
        1,
        "by host gamma",
    );
    assert_eq!(held(&place).len(), 2);
    place.ok(&["forget", "--force", "--backup", "latest", "--host", "alpha"]);
    assert_eq!(held(&place), [(beta, "beta".into())]);
}

#[test]
fn a_list_names_hosts_where_there_are_others() {
    let place = place();
    backup_by(&place, "alpha", "1");
    assert!(!place.ok(&["list"]).contains("HOST"));
    backup_by(&place, "beta", "2");
    let listed = place.ok(&["list"]);
    for words in ["HOST", "alpha", "beta"] {
        assert!(listed.contains(words), "{listed}");
    }
    let listed = place.ok(&["list", "--host", "beta"]);
    assert!(
        listed.contains("beta") == listed.contains("HOST") && !listed.contains("alpha"),
        "{listed}"
    );
    let none = place.run(&["list", "--host", "gamma"]);
    assert!(
        none.stderr.contains("there is no backup by host gamma"),
        "{}",
        none.stderr
    );
    // Which jobs another host has is not for this one's configuration to say.
    let config = std::fs::read_to_string(place.path("strongroom.toml")).expect("read");
    place.configure(&config.replace("jobs.nightly", "jobs.daily"));
    let listed = place.ok(&["list"]);
    assert_eq!(listed.matches("(orphaned)").count(), 1, "{listed}");
}

#[test]
fn a_machine_that_was_renamed_goes_on_with_its_former_name() {
    let place = place();
    let first = backup_by(&place, "former", "1");
    become_host(&place, "new");
    let ended = place.run(&["backup"]);
    let words = "this is the first backup of media by host new; there are some by former: if this machine had another name then, set `host` in [engine] to that";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(ended.stdout.contains("full"), "{}", ended.stdout);
    let again = place.run(&["backup"]);
    assert_eq!(again.stderr, "");
    become_host(&place, "former");
    let ended = place.run(&["backup"]);
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.contains("incremental"), "{}", ended.stdout);
    place.ok(&["forget"]);
    assert!(held(&place).iter().all(|(id, _)| *id != first));
    place.configure(&format!("{ONE_OF_EACH}\n[engine]\nhost = \"a b\"\n"));
    place.fails(&["list"], 2, "engine.host");
}

#[test]
fn a_host_is_known_by_the_machines_name() {
    let place = Place::new(&format!("{ONE_OF_EACH}{KEEP_ONE}"));
    place.ok(&["init"]);
    let at = |host: &str, args: &str| {
        let program = place.command(&[]);
        let script = format!("hostname {host} && exec \"$0\" {args}");
        let mut command = Command::new("unshare");
        command.args(["--uts", "sh", "-c", &script]);
        command
            .arg(program.get_program())
            .current_dir(place.path(""));
        place.ended(command.output().expect("unshare starts"))
    };
    for host in ["alpha", "beta"] {
        place.write("media/f", host);
        let ended = at(host, "backup");
        if ended.stderr.contains("unshare failed") {
            return common::skip("names of hosts", "this user may not give one");
        }
        assert_eq!(ended.exit, 0, "{}", ended.stderr);
    }
    assert_eq!(at("beta", "forget --prune").exit, 0);
    let hosts: Vec<_> = held(&place).into_iter().map(|(_, host)| host).collect();
    assert_eq!(hosts, ["alpha", "beta"]);
    assert_eq!(at("alpha", "cat latest f").stdout, "alpha");
}
