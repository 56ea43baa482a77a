//! Verifying: programs run as whom they should, and a guest reaches its scratch directory and nothing else.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_host::{Account, Ground, Running};
use strongroom_repository::verification::{Scratch, Verification, VerifyRequest};
use strongroom_repository::{ErrorKind, Result};

use crate::common::{OUTGOING, host, limits, refused};
use crate::restore::TwoFiles;

/// A scratch directory that anybody may come to, as the engine makes it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(folder.path(), open).expect("a mode");
        std::fs::create_dir(folder.path().join("scratch")).expect("a folder");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("scratch").join(name)
    }

    /// What the outgoing guest finds, and the programs that it ran.
    fn verify(&self, config: &Value, account: Option<Account>) -> (Result<Verification>, Running) {
        let plugin = host(limits()).load("outgoing", &OUTGOING);
        let plugin = plugin.expect("outgoing");
        let scratch = Scratch {
            directory: self.path(""),
            port: 6432,
        };
        let ground = Ground {
            section: "sources.odd".into(),
            allow: None,
            is_bundled: true,
            scratch: scratch.clone(),
            folders: Vec::new(),
            folders_setting: "`programs` of [jobs.odd.verify]".into(),
            account,
        };
        let config = config.to_string();
        let attributes = vec![("version".into(), "17".into())];
        let needs = plugin.verify_needs(&config, &attributes, &scratch);
        let grants = match needs.and_then(|needs| ground.grant(&needs)) {
            Ok(grants) => grants,
            Err(error) => return (Err(error), Running::default()),
        };
        let running = grants.running();
        let mut source = plugin
            .source("odd", &config, grants, Arc::default())
            .expect("a source");
        let request = VerifyRequest {
            scratch,
            assertions: Vec::new(),
            percent: 5.0,
        };
        (source.verify(&request, &TwoFiles::default()), running)
    }

    fn run(&self, script: &str, account: Option<Account>) -> Result<String> {
        let config = json!({
            "mode": "run", "program": "sh", "args": ["-c", format!("cat > /dev/null; {script}")], "command": ["sh"], "text": "hello"
        });
        let verification = self.verify(&config, account).0?;
        Ok(verification
            .attributes
            .into_iter()
            .map(|(_, it)| it)
            .collect())
    }
}

fn nobody() -> Account {
    Account::find("nobody").expect("a lookup").expect("nobody")
}

#[test]
fn a_program_runs_as_the_user_that_the_scratch_directory_is_given_to() {
    if !Account::may_choose() {
        return;
    }
    let place = Place::new();
    let script = format!(
        "id -un; id -G; cat {0}/left.txt; umask; echo mine > {0}/made; cat /etc/shadow",
        place.path("").display()
    );
    let told = place.run(&script, Some(nobody())).expect("it runs");
    let group = nobody_group();
    assert_eq!(
        told,
        format!("1|nobody\n{group}\nhello0022\n|cat: /etc/shadow: Permission denied\n")
    );
    for name in ["", "left.txt", "made"] {
        let owner = place.path(name).metadata().expect(name).uid();
        let engine = Path::new("/proc/self").metadata().expect("metadata").uid();
        assert_ne!(owner, engine, "{name}");
    }
}

#[test]
fn without_a_user_a_program_runs_as_the_engine_does() {
    let place = Place::new();
    let told = place.run("id -un", None).expect("it runs");
    assert_eq!(
        told,
        format!("0|{}\n|", Account::own_name().expect("a name"))
    );
}

#[test]
fn what_else_a_plugin_asks_for_is_denied() {
    let place = Place::new();
    let config = json!({"mode": "run", "connect": ["db.internal:5432"]});
    let error = refused(place.verify(&config, None).0);
    assert_eq!(
        (error.kind(), error.to_string()),
        (
            ErrorKind::Denied,
            "source odd: is not allowed to connect to db.internal:5432 in a verification".into()
        )
    );
}

#[test]
fn a_program_that_is_held_is_seen_to_run_and_to_end_and_is_counted_until_it_is_gone() {
    let place = Place::new();
    let held = |script: &str| {
        let script = script.replace("$SCRATCH", &place.path("").display().to_string());
        let config =
            json!({"mode": "held", "program": "sh", "args": ["-c", script], "command": ["sh"]});
        let (verification, running) = place.verify(&config, None);
        let found = verification.expect("verified").findings;
        (
            found.into_iter().map(|it| it.detail).collect::<String>(),
            running,
        )
    };
    let (seen, running) = held(
        "trap 'sleep 0.2; touch $SCRATCH/gone; exit' TERM; touch $SCRATCH/ready; while :; do sleep 0.05; done",
    );
    assert_eq!(seen, "runs");
    assert!(running.wait(Duration::from_secs(20)));
    assert!(place.path("gone").exists());

    std::fs::remove_file(place.path("ready")).expect("removed");
    assert_eq!(held("exit 3").0, "ended with 3");
}

fn nobody_group() -> String {
    let output = std::process::Command::new("id")
        .args(["-g", "nobody"])
        .output();
    let output = output.expect("id starts").stdout;
    String::from_utf8(output).expect("text").trim().to_owned()
}
