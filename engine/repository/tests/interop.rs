//! One repository, two programs: whatever restic writes is read by us, and the other way round, in turns.

mod common;

use std::fs;

use common::{Fixture, PASSWORD, noise};
use strongroom_repository::Progress;
use strongroom_repository::check::{CheckOptions, check};
use strongroom_repository::testing::Restic;

fn assert_sound(fixture: &Fixture) {
    let options = CheckOptions {
        read_data: Some(100.0),
        ..CheckOptions::default()
    };
    let report = check(&fixture.reopen(), options, &Progress::default()).expect("checked");
    assert_eq!(report.problems, []);
}

#[test]
fn both_programs_back_up_into_a_repository_that_restic_made() {
    for restic in Restic::installed() {
        let fixture = Fixture::made_by(&restic);
        let data = fixture.data();
        fs::write(data.join("photo"), noise(12 << 20, 1)).expect("written");
        fs::write(data.join("text"), "words ".repeat(50_000)).expect("written");
        let path = data.to_str().expect("UTF-8").to_owned();
        fixture.restic(&restic, &["backup", &path, "--tag", "theirs"]);
        assert_sound(&fixture);

        fs::write(data.join("more"), noise(2 << 20, 2)).expect("written");
        let (report, _) = fixture.backup();
        assert_eq!(report.summary.files, 3);
        assert_sound(&fixture);
        fixture.restic(&restic, &["check", "--read-data"]);

        // restic compares with its own snapshot, and finds our small file's blob.
        fixture.restic(&restic, &["backup", &path]);
        assert_sound(&fixture);
        assert!(fixture.dumped(&restic, &format!("{path}/photo")) == noise(12 << 20, 1));

        // Ours survives what restic does to the repository.
        let theirs: Vec<String> = fixture
            .reopen()
            .snapshots()
            .expect("listed")
            .good
            .iter()
            .filter(|(_, snapshot)| snapshot.tag("job").is_none())
            .map(|(id, _)| id.to_string())
            .collect();
        let mut forget = vec!["forget", "--prune"];
        forget.extend(theirs.iter().map(String::as_str));
        fixture.restic(&restic, &forget);
        assert_sound(&fixture);
        let listed = fixture.restic(&restic, &["ls", "latest", "/media"]);
        for name in ["photo", "text", "more"] {
            assert!(listed.contains(&format!("/media/{name}")), "{listed}");
        }
        let (again, _) = fixture.backup();
        assert_eq!(again.counts.files_unmodified, 3, "{again:?}");
    }
}

#[test]
fn a_backup_is_refused_while_restic_wants_to_be_alone() {
    let fixture = Fixture::new();
    fs::write(fixture.data().join("file"), "content").expect("written");
    let lock = strongroom_repository::lock::Lock::exclusive(&fixture.repository).expect("free");
    let error = fixture
        .try_backup(
            &mut common::Folder::new(&fixture.data()),
            strongroom_repository::source::Kind::Full,
        )
        .expect_err("locked");
    assert_eq!(error.kind(), strongroom_repository::ErrorKind::Locked);
    let restic = &Restic::installed()[0];
    let refused = restic.fail(&fixture.path("repository"), PASSWORD, &["check"]);
    assert!(refused.contains("locked"), "{refused}");
    drop(lock);
    fixture.backup();
    fixture.restic(restic, &["check"]);
}
