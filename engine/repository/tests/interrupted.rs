//! Restores that do not come to their end, and are repeated: what they left is whole, and together they give exactly the backup.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Fixture, everything_to, noise};
use strongroom_repository::restore::{RestoreOptions, RestoreReport, restore_tree};
use strongroom_repository::source::Conflict;
use strongroom_repository::testing::described;
use strongroom_repository::{ErrorKind, Id, Progress, Result};

fn restore(
    fixture: &Fixture,
    options: &RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let contents = fixture.latest()?;
    restore_tree(&contents, contents.root().clone(), options, progress)
}

fn to(target: &Path, conflict: Conflict) -> RestoreOptions {
    RestoreOptions {
        conflict,
        ..everything_to(target)
    }
}

fn modified(path: &Path, text: &str) {
    let mut command = std::process::Command::new("touch");
    let status = command.args(["-h", "-d", text]).arg(path).status();
    assert!(status.expect("touch runs").success());
}

/// Files of every size and kind, in folders that have times and modes of their own.
fn fill(data: &Path) {
    for folder in 0..12 {
        let folder = data.join(format!("folder {folder}/deep"));
        fs::create_dir_all(&folder).expect("made");
        for file in 0..60 {
            fs::write(
                folder.join(file.to_string()),
                noise(file * 37, 1 + file as u64),
            )
            .expect("written");
        }
        fs::hard_link(folder.join("7"), folder.join("../linked")).expect("linked");
        symlink("deep/8", folder.join("../symbolic")).expect("linked");
        modified(&folder.join("../symbolic"), "2002-02-02 00:00:00.25Z");
    }
    let mut sparse = vec![0; 6 << 20];
    sparse[3 << 20..4 << 20].copy_from_slice(&noise(1 << 20, 3));
    fs::write(data.join("sparse"), sparse).expect("written");
    fs::write(data.join("large"), noise(20 << 20, 2)).expect("written");
    for folder in 0..12 {
        let folder = data.join(format!("folder {folder}"));
        for (folder, mode) in [(folder.join("deep"), 0o750), (folder, 0o3775)] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("set");
            modified(&folder, "2001-02-03 04:05:06.789Z");
        }
    }
    modified(data, "2000-01-01 00:00:00.5Z");
}

/// What is there is in the backup and whole, and nothing else is there.
fn assert_whole(target: &Path, data: &Path) {
    for entry in fs::read_dir(target).expect("listed") {
        let path = entry.expect("an entry").path();
        let original = data.join(path.strip_prefix(target).expect("below"));
        let (found, expected) = (
            path.symlink_metadata().expect("there"),
            original
                .symlink_metadata()
                .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        );
        if found.is_dir() {
            assert_whole(&path, &original);
            continue;
        }
        let facts = |it: &fs::Metadata| (it.mode(), it.len(), it.mtime(), it.mtime_nsec());
        assert_eq!(facts(&found), facts(&expected), "{}", path.display());
        let same = found.is_symlink()
            || fs::read(&path).expect("read") == fs::read(&original).expect("read");
        assert!(same, "{}", path.display());
    }
}

#[test]
fn a_restore_that_is_cancelled_anywhere_and_repeated_gives_the_backup() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fixture.backup();
    let expected = described(&fixture.data());
    let (mut cancelled, mut begun) = (0, 0);
    for round in 0..12 {
        let target = fixture.path(&format!("out {round}"));
        let progress = Arc::new(Progress::default());
        let watcher = Arc::clone(&progress);
        let wanted = round * 70;
        let watching = std::thread::spawn(move || {
            use std::sync::atomic::Ordering::Relaxed;
            for _ in 0..5000 {
                if watcher.items.load(Relaxed) > wanted {
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            watcher.cancel();
        });
        let first = restore(&fixture, &everything_to(&target), &progress);
        watching.join().expect("ends");
        if let Err(error) = first {
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
            cancelled += 1;
        }
        if target.exists() {
            begun += 1;
            assert_whole(&target, &fixture.data());
        }
        let conflict = match round % 2 {
            0 => Conflict::KeepExisting,
            _ => Conflict::Overwrite,
        };
        let report = restore(&fixture, &to(&target, conflict), &Progress::default());
        assert_eq!(report.expect("restored").refused, []);
        assert_eq!(described(&target), expected, "round {round}");
        fs::remove_dir_all(&target).expect("removed");
    }
    assert!(
        cancelled >= 4 && begun >= 4,
        "{cancelled} cancelled, {begun} begun"
    );
}

/// A name as a restore of another process gives it.
fn left_over(number: &str) -> String {
    let prefix = ".strongroom-partial-";
    let proof = Id::of(format!("{prefix}{number}").as_bytes()).to_string();
    format!("{prefix}{number}{}-2a", &proof[..16])
}

#[test]
fn what_a_killed_restore_left_goes_and_files_of_others_stay() {
    let fixture = Fixture::new();
    let data = fixture.data();
    let ours = left_over("0123456789abcdef");
    let backed_up = left_over("fedcba9876543210");
    fs::create_dir(data.join("folder")).expect("made");
    fs::write(data.join("folder/file"), "content").expect("written");
    // Somebody backed up what a killed restore left.
    fs::write(data.join("folder").join(&backed_up), "backed up").expect("written");
    fixture.backup();
    for conflict in [Conflict::KeepExisting, Conflict::Overwrite] {
        let target = fixture.path(&format!("{conflict:?}"));
        let folder = target.join("folder");
        fs::create_dir_all(folder.join(left_over("1111111111111111"))).expect("made");
        let mine = [
            ".strongroom-partial-".to_owned(),
            format!("{ours}.txt"),
            ours.replace("-2a", "-2A"),
            ours.replace("0123", "1123"),
        ];
        for name in mine.iter().chain([&ours]) {
            fs::write(folder.join(name), "something").expect("written");
        }
        fs::write(target.join(&ours), "something").expect("written");
        symlink("nowhere", folder.join(left_over("2222222222222222"))).expect("linked");
        restore(&fixture, &to(&target, conflict), &Progress::default()).expect("restored");
        assert!(!target.join(&ours).exists() && !folder.join(&ours).exists());
        assert!(!folder.join(left_over("2222222222222222")).is_symlink());
        assert_eq!(
            fs::read(folder.join(&backed_up)).expect("read"),
            b"backed up"
        );
        for name in &mine {
            assert!(folder.join(name).exists(), "{name}");
        }
    }
}

#[test]
fn folders_that_were_there_keep_what_they_have_and_those_of_an_interrupted_restore_are_finished() {
    let fixture = Fixture::new();
    let data = fixture.data();
    for folder in ["own", "begun", "finished", "new"] {
        fs::create_dir(data.join(folder)).expect("made");
        fs::write(data.join(folder).join("file"), "content").expect("written");
        fs::set_permissions(data.join(folder), fs::Permissions::from_mode(0o755)).expect("set");
        modified(&data.join(folder), "2001-02-03 04:05:06.789Z");
    }
    fixture.backup();
    let target = fixture.path("out");
    restore(&fixture, &everything_to(&target), &Progress::default()).expect("restored");
    // As one that was killed leaves it.
    fs::remove_dir_all(target.join("new")).expect("removed");
    fs::remove_file(target.join("finished/file")).expect("removed");
    modified(&target.join("finished"), "2001-02-03 04:05:06.789Z");
    fs::remove_file(target.join("begun/file")).expect("removed");
    fs::set_permissions(target.join("begun"), fs::Permissions::from_mode(0o1700)).expect("set");
    // And as its user has it.
    fs::set_permissions(target.join("own"), fs::Permissions::from_mode(0o711)).expect("set");
    modified(&target.join("own"), "2011-01-01 00:00:00Z");
    let keep = to(&target, Conflict::KeepExisting);
    restore(&fixture, &keep, &Progress::default()).expect("restored");
    for folder in ["begun", "finished", "new"] {
        assert_eq!(
            described(&target.join(folder)),
            described(&data.join(folder)),
            "{folder}"
        );
    }
    let own = fs::metadata(target.join("own")).expect("there");
    assert_eq!((own.mode() & 0o7777, own.mtime()), (0o711, 1_293_840_000));
}

#[test]
fn a_link_to_a_file_that_was_kept_is_one_only_if_that_is_the_backups() {
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::write(data.join("a"), "content").expect("written");
    for name in ["b", "c"] {
        fs::hard_link(data.join("a"), data.join(name)).expect("linked");
    }
    fixture.backup();
    for content in ["content", "another"] {
        let target = fixture.path(content);
        restore(&fixture, &everything_to(&target), &Progress::default()).expect("restored");
        let modified = fs::metadata(target.join("a"))
            .expect("there")
            .modified()
            .expect("a time");
        for name in ["b", "c"] {
            fs::remove_file(target.join(name)).expect("removed");
        }
        fs::write(target.join("a"), content).expect("written");
        let file = fs::File::options()
            .write(true)
            .open(target.join("a"))
            .expect("opens");
        file.set_modified(modified).expect("set");
        let keep = to(&target, Conflict::KeepExisting);
        restore(&fixture, &keep, &Progress::default()).expect("restored");
        let links = |name| fs::metadata(target.join(name)).expect("there").nlink();
        let expected = match content {
            "content" => [3, 3, 3],
            _ => [1, 2, 2],
        };
        assert_eq!([links("a"), links("b"), links("c")], expected);
        assert_eq!(
            fs::read(target.join("a")).expect("read"),
            content.as_bytes()
        );
        assert_eq!(fs::read(target.join("c")).expect("read"), b"content");
    }
}

#[test]
fn a_file_under_its_name_was_never_less_than_whole() {
    let fixture = Fixture::new();
    let data = fixture.data();
    fs::write(data.join("large"), noise(24 << 20, 9)).expect("written");
    fixture.backup();
    let target = fixture.path("out");
    let watched = target.join("large");
    let watching = std::thread::spawn(move || {
        loop {
            if let Ok(found) = fs::read(&watched) {
                return found;
            }
        }
    });
    restore(&fixture, &everything_to(&target), &Progress::default()).expect("restored");
    assert!(watching.join().expect("seen") == noise(24 << 20, 9));
}
