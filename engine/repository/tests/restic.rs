//! What we write is taken by the real restic, and what restic writes is taken by us: configuration, keys, snapshots and locks.

use std::path::Path;
use std::sync::Arc;

use strongroom_repository::snapshot::Snapshot;
use strongroom_repository::testing::{DirectoryDestination, Restic};
use strongroom_repository::{
    ErrorKind, FileType, Id, InitOptions, Lock, RecoveryKey, Repository, lock,
};
use tempfile::TempDir;

const PASSWORD: &str = "a password with \"quotes\" and ümlauts";

fn destination(root: &Path) -> Arc<DirectoryDestination> {
    Arc::new(DirectoryDestination::new("nas", root))
}

fn open(root: &Path, password: &str) -> strongroom_repository::Result<Repository> {
    Repository::open(destination(root), password)
}

fn ours(recovery_key: Option<&RecoveryKey>) -> (TempDir, Repository) {
    let folder = TempDir::new().expect("a folder");
    let options = InitOptions {
        password: PASSWORD,
        recovery_key,
        polynomial: None,
    };
    let repository = Repository::init(destination(folder.path()), options).expect("is made");
    (folder, repository)
}

/// A repository of restic with one snapshot, and the file that was backed up.
fn restics(restic: &Restic) -> (TempDir, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let source = TempDir::new().expect("a folder");
    std::fs::write(source.path().join("file.txt"), "content").expect("is written");
    restic.run(folder.path(), PASSWORD, &["init"]);
    backup(restic, folder.path(), source.path());
    (folder, source)
}

fn backup(restic: &Restic, repository: &Path, source: &Path) {
    let source = source.to_str().expect("is UTF-8");
    let arguments = ["backup", "--tag", "job:nightly", "--host", "vault", source];
    restic.run(repository, PASSWORD, &arguments);
}

#[test]
fn restic_accepts_a_repository_that_we_made() {
    let (folder, repository) = ours(None);
    for restic in Restic::installed() {
        let config = restic.run(folder.path(), PASSWORD, &["cat", "config"]);
        assert!(config.contains(&repository.id().to_string()), "{config}");
        restic.run(folder.path(), PASSWORD, &["check", "--read-data"]);
        restic.run(folder.path(), PASSWORD, &["snapshots"]);
        restic.fail(folder.path(), "wrong", &["snapshots"]);

        let source = TempDir::new().expect("a folder");
        std::fs::write(source.path().join("file.txt"), "content").expect("is written");
        backup(&restic, folder.path(), source.path());
        restic.run(folder.path(), PASSWORD, &["check", "--read-data"]);
    }
    let snapshots = repository.snapshots().expect("are listed");
    assert_eq!(snapshots.good.len(), Restic::installed().len());
    assert!(snapshots.problems.is_empty());
}

#[test]
fn we_accept_a_repository_that_restic_made() {
    for restic in Restic::installed() {
        let (folder, source) = restics(&restic);
        let repository = open(folder.path(), PASSWORD).expect("opens");
        let snapshots = repository.snapshots().expect("are listed");
        assert!(snapshots.problems.is_empty());
        let (id, snapshot) = snapshots.find("latest").expect("is there");
        assert_eq!(snapshot.tag("job"), Some("nightly"));
        assert_eq!(snapshot.hostname, "vault");
        assert_eq!(snapshot.paths, [source.path().to_str().expect("is UTF-8")]);

        // Nothing that restic wrote is lost or changed when we write it.
        let json = repository
            .load_plain(FileType::Snapshot, id)
            .expect("is read");
        assert_eq!(
            serde_json::to_string(snapshot).expect("is written"),
            String::from_utf8_lossy(&json)
        );
        let error = open(folder.path(), "wrong").expect_err("is refused");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }
}

#[test]
fn restic_lists_a_snapshot_that_we_wrote() {
    for restic in Restic::installed() {
        let (folder, _source) = restics(&restic);
        let repository = open(folder.path(), PASSWORD).expect("opens");
        let snapshots = repository.snapshots().expect("are listed");
        let (parent, snapshot) = snapshots.find("latest").expect("is there");
        let ours = Snapshot {
            parent: Some(*parent),
            hostname: "ours & <theirs>".into(),
            tags: vec!["source:media".into()],
            ..snapshot.clone()
        };
        let id = ours.save(&repository).expect("is written");
        let listed = restic.run(
            folder.path(),
            PASSWORD,
            &["snapshots", "--json", "--tag", "source:media"],
        );
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("is JSON");
        assert_eq!(listed[0]["id"], id.to_string());
        assert_eq!(listed[0]["hostname"], "ours & <theirs>");
        assert_eq!(listed[0]["time"], ours.time.to_string());
        restic.run(folder.path(), PASSWORD, &["check"]);
    }
}

#[test]
fn keys_of_each_program_open_for_the_other() {
    let recovery_key = RecoveryKey::generate();
    let (folder, repository) = ours(Some(&recovery_key));
    let path = folder.path();
    let passwords = TempDir::new().expect("a folder");
    let password_file = |password: &str| {
        let file = passwords.path().join(password);
        std::fs::write(&file, password).expect("is written");
        file.to_str().expect("is UTF-8").to_owned()
    };
    for (number, restic) in Restic::installed().into_iter().enumerate() {
        let listed = restic.run(path, recovery_key.as_str(), &["key", "list"]);
        assert!(listed.contains("recovery key"), "{listed}");

        let theirs = format!("theirs-{number}");
        let file = password_file(&theirs);
        restic.run(
            path,
            PASSWORD,
            &["key", "add", "--new-password-file", &file],
        );
        open(path, &theirs).expect("opens with restic's key");

        let changed = format!("changed-{number}");
        let file = password_file(&changed);
        let arguments = ["key", "passwd", "--new-password-file", &file];
        restic.run(path, &theirs, &arguments);
        open(path, &changed).expect("opens with the changed password");
        let error = open(path, &theirs).expect_err("the old one is gone");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);

        let ours = format!("ours-{number}");
        let key = repository.add_key(&ours).expect("is added");
        restic.run(path, &ours, &["snapshots"]);
        repository
            .remove_key(&key.id.to_string())
            .expect("is removed");
        restic.fail(path, &ours, &["snapshots"]);
    }
}

#[test]
fn our_lock_keeps_restic_from_pruning() {
    for restic in Restic::installed() {
        let (folder, source) = restics(&restic);
        let repository = Arc::new(open(folder.path(), PASSWORD).expect("opens"));
        let lock = Lock::shared(&repository).expect("is locked");
        backup(&restic, folder.path(), source.path());
        let said = restic.fail(folder.path(), PASSWORD, &["prune"]);
        assert!(said.contains("unable to create lock"), "{said}");
        let pid = std::process::id().to_string();
        assert!(said.contains(&pid), "{said}");
        lock.release().expect("is released");
        restic.run(folder.path(), PASSWORD, &["prune"]);

        let lock = Lock::exclusive(&repository).expect("is locked");
        let said = restic.fail(folder.path(), PASSWORD, &["check"]);
        assert!(said.contains("unable to create lock"), "{said}");
        // Not stale: restic sees that this process lives.
        restic.run(folder.path(), PASSWORD, &["unlock"]);
        lock.ensure_held().expect("is held");
        drop(lock);
        restic.run(folder.path(), PASSWORD, &["check"]);
    }
}

#[test]
fn restics_lock_keeps_us_out() {
    for restic in Restic::installed() {
        let (folder, _source) = restics(&restic);
        let repository = Arc::new(open(folder.path(), PASSWORD).expect("opens"));
        // restic holds its lock while it waits for what it shall back up.
        let mut waiting = restic
            .command(folder.path(), PASSWORD)
            .args(["backup", "--stdin"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("restic starts");
        let lock_id = wait_for_a_lock(&repository);
        let error = Lock::exclusive(&repository).err().expect("is refused");
        assert_eq!(error.kind(), ErrorKind::Locked);
        let process = format!("(process {})", waiting.id());
        assert!(error.to_string().contains(&process), "{error}");
        drop(Lock::shared(&repository).expect("writers share"));

        waiting.kill().expect("is killed");
        waiting.wait().expect("has ended");
        // restic notes a host's name and a number: containers have the same ones. So its lock counts for half an hour, or until a person says.
        let error = Lock::exclusive(&repository).err().expect("is refused");
        assert_eq!(error.kind(), ErrorKind::Locked);
        let judged = lock::unlock(&repository, false).expect("works");
        assert!(judged.iter().all(|it| it.id == lock_id && !it.is_removed));
        lock::unlock(&repository, true).expect("works");
        drop(Lock::exclusive(&repository).expect("nobody is there"));
        assert!(repository.list(FileType::Lock).expect("lists").is_empty());
    }
}

fn wait_for_a_lock(repository: &Repository) -> Id {
    for _ in 0..200 {
        if let Ok(locks) = repository.list(FileType::Lock)
            && let [(id, _)] = locks.as_slice()
        {
            return *id;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("restic wrote no lock in ten seconds");
}
