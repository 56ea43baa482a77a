//! Backups of folders, read back with the stock restic.

mod common;

use std::fs;
use std::path::Path;

use common::{Fixture, Folder, noise};
use strongroom_repository::source::Kind;
use strongroom_repository::testing::{Restic, assert_same_files};

/// Files of all sizes: empty, one chunk, several, compressible, all zeros, doubled.
fn fill(data: &Path) {
    fs::create_dir_all(data.join("deep/er/and deeper")).expect("folders");
    fs::write(data.join("empty"), "").expect("written");
    fs::write(data.join("small"), "hello").expect("written");
    fs::write(data.join("photo"), noise(20 << 20, 1)).expect("written");
    fs::write(data.join("deep/twin"), noise(20 << 20, 1)).expect("written");
    fs::write(
        data.join("deep/er/log"),
        b"the same line again\n".repeat(200_000),
    )
    .expect("written");
    fs::write(data.join("deep/er/zeros"), vec![0; 9 << 20]).expect("written");
    for number in 0..300_u64 {
        let name = format!("deep/er/and deeper/{number:03}");
        fs::write(data.join(name), noise(number as usize * 37, number + 2)).expect("written");
    }
}

#[test]
fn restic_checks_and_restores_what_we_wrote() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    let (report, _) = fixture.backup();
    assert_eq!(report.summary.files, 306);
    assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
    for (number, restic) in Restic::installed().iter().enumerate() {
        fixture.restic(restic, &["check", "--read-data"]);
        let target = fixture.path(&format!("restic {number}"));
        fixture.restic(
            restic,
            &["restore", "latest", "--target", &target.to_string_lossy()],
        );
        assert_same_files(&fixture.data(), &target.join("media"));
    }
}

/// They refuse to be read in large pieces, and say that they are empty.
#[test]
fn files_of_the_kernels_are_read_as_they_are() {
    let fixture = Fixture::new();
    let folder = Path::new("/proc/sys/kernel/random");
    let (report, _) = fixture
        .try_backup(&mut Folder::new(folder), Kind::Full)
        .expect("a backup");
    assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
    assert!(report.changed.is_empty(), "{:?}", report.changed);
    let restic = Restic::installed().remove(0);
    let read = fs::read(folder.join("boot_id")).expect("read");
    assert_eq!(fixture.dumped(&restic, "/media/boot_id"), read);
}

#[test]
fn an_unchanged_folder_is_carried_over_unread() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    std::os::unix::fs::symlink("photo", fixture.data().join("link")).expect("linked");
    let (first, _) = fixture.backup();
    // The photo and its twin are stored once.
    assert!(first.summary.new_bytes < 40 << 20, "{first:?}");
    let (second, _) = fixture.backup();
    // Whatever is in it is new, changed or unchanged: links count too.
    assert_eq!(second.counts.files_unmodified, 307, "{second:?}");
    // The manifest alone is new, and the trees above it.
    assert!(second.summary.new_bytes < 4096, "{second:?}");
    assert_eq!(second.summary.bytes, first.summary.bytes);
}

#[test]
fn only_what_changed_is_stored_again() {
    let fixture = Fixture::new();
    fill(&fixture.data());
    fixture.backup();
    let mut photo = noise(20 << 20, 1);
    photo.splice(0..0, *b"a new head");
    fs::write(fixture.data().join("photo"), photo).expect("written");
    fs::remove_file(fixture.data().join("small")).expect("removed");
    fs::write(fixture.data().join("new"), "new").expect("written");
    let (report, _) = fixture.backup();
    assert_eq!(
        (report.counts.files_changed, report.counts.files_new),
        (1, 1),
        "{report:?}"
    );
    assert!(report.summary.new_bytes < 6 << 20, "{report:?}");
    let restic = Restic::installed().remove(0);
    fixture.restic(&restic, &["check", "--read-data"]);
    let target = fixture.path("out");
    fixture.restic(
        &restic,
        &["restore", "latest", "--target", &target.to_string_lossy()],
    );
    assert_same_files(&fixture.data(), &target.join("media"));
}
