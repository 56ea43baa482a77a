//! What a plugin writes itself: files as streams, given back as they were written, and carried from one backup to the next.

mod common;

use std::fs;
use std::sync::Arc;

use common::{Fixture, PASSWORD, Scripted, entry, noise, write};
use strongroom_repository::Progress;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::source::{Begun, Entry, Feed, Kind, Sink};
use strongroom_repository::testing::Restic;

/// Streams are restored by restic as they were written, in nested folders.
#[test]
fn streams_become_files() {
    let fixture = Fixture::new();
    let dump = noise(12 << 20, 4);
    let mut source = Scripted(|sink: &dyn Sink| {
        sink.note("server", "15.4");
        write(sink, "shop.dump", &dump)?;
        write(sink, "base/1/empty", b"")?;
        write(sink, "base/1/16384", &noise(100, 6))
    });
    let (report, _) = fixture
        .try_backup(&mut source, Kind::Full)
        .expect("a backup");
    assert_eq!(
        (report.summary.files, report.summary.bytes),
        (3, dump.len() as u64 + 100)
    );
    for restic in Restic::installed() {
        fixture.restic(&restic, &["check", "--read-data"]);
        let listed = fixture.restic(&restic, &["ls", "latest"]);
        for path in [
            "/.strongroom/manifest.json",
            "/media/base/1/16384",
            "/media/shop.dump",
        ] {
            assert!(
                listed.lines().any(|line| line == path),
                "{path} is not in {listed}"
            );
        }
        let output = fixture.dumped(&restic, "/media/shop.dump");
        assert!(output == dump, "the dump differs");
    }
}

/// Pieces that are whole do not make a file that is: all of it is compared with what the plugin wrote.
#[test]
fn a_stream_that_was_put_together_wrongly_is_not_given_back() {
    let fixture = Fixture::new();
    let dump = noise(5 << 20, 4);
    let mut source = Scripted(|sink: &dyn Sink| write(sink, "shop.dump", &dump));
    fixture
        .try_backup(&mut source, Kind::Full)
        .expect("a backup");
    assert_eq!(read_latest(&fixture, "shop.dump"), Ok(dump.clone()));

    // The same manifest beside another content.
    let restic = &Restic::installed()[0];
    let copy = fixture.path("copy");
    let target = copy.to_str().expect("UTF-8");
    fixture.restic(restic, &["restore", "latest", "--target", target]);
    let mut other = dump;
    other.rotate_left(1 << 20);
    fs::write(copy.join("media/shop.dump"), other).expect("written");
    let backup = restic
        .command(&fixture.path("repository"), PASSWORD)
        .args(["backup", ".", "--tag", "run:forged"])
        .current_dir(&copy)
        .output()
        .expect("restic runs");
    assert!(backup.status.success(), "{backup:?}");
    assert_eq!(
        read_latest(&fixture, "shop.dump"),
        Err("shop.dump: its pieces are whole, but together they are not what was backed up".into())
    );
}

/// All of a file of the newest snapshot, as its source gets it back.
fn read_latest(fixture: &Fixture, path: &str) -> Result<Vec<u8>, String> {
    let contents = Arc::new(fixture.latest().expect("opens"));
    let progress = Arc::new(Progress::default());
    let feed = SnapshotFeed::new(contents, Vec::new(), progress);
    let mut file = feed.open(path).expect("is there");
    let mut content = Vec::new();
    loop {
        match file.read(1 << 20) {
            Ok(bytes) if bytes.is_empty() => return Ok(content),
            Ok(bytes) => content.extend_from_slice(&bytes),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[test]
fn what_a_source_lacks_makes_its_backup_incomplete_and_what_it_warns_of_does_not() {
    let check = |lacks: bool| {
        let fixture = Fixture::new();
        let mut source = Scripted(|sink: &dyn Sink| {
            sink.warning("a subscription is not dumped");
            if lacks {
                sink.missing("rows of shop.secret", "no right to read them");
            }
            write(sink, "shop.dump", b"dump")
        });
        let (report, _) = fixture
            .try_backup(&mut source, Kind::Full)
            .expect("a backup");
        assert_eq!(report.is_incomplete(), lacks);
        let contents = fixture.latest().expect("opens");
        let manifest = contents.manifest().expect("a manifest");
        assert_eq!(manifest.is_incomplete(), lacks);
        assert_eq!(manifest.warnings, ["a subscription is not dumped"]);
        let snapshots = fixture.reopen().snapshots().expect("listed");
        let (_, snapshot) = snapshots.find("latest").expect("there");
        assert_eq!(snapshot.is_complete(), !lacks);
    };
    check(true);
    check(false);
}

#[test]
fn an_incremental_backup_carries_what_did_not_change() {
    let fixture = Fixture::new();
    let base = noise(5 << 20, 4);
    let marked = |path: &str| Entry {
        fingerprint: Some("1".into()),
        ..entry(path)
    };
    let mut full = Scripted(|sink: &dyn Sink| {
        assert!(sink.parent().is_none());
        write(sink, "base/file", &base)?;
        sink.note("end", "0/3000000");
        let Begun::Write(writer) = sink.file(marked("marked"))? else {
            panic!("no parent yet")
        };
        writer.finish().map(drop)
    });
    fixture.try_backup(&mut full, Kind::Full).expect("a backup");
    let mut incremental = Scripted(|sink: &dyn Sink| {
        let parent = sink.parent().expect("a parent");
        assert_eq!(
            parent.attributes,
            [("end".to_owned(), "0/3000000".to_owned())]
        );
        assert_eq!(sink.carry("base")?.bytes, 5 << 20);
        assert!(sink.carry("nowhere").is_err());
        assert!(matches!(sink.file(marked("marked"))?, Begun::Unchanged));
        write(sink, "wal/1", b"log")
    });
    let (report, _) = fixture
        .try_backup(&mut incremental, Kind::Incremental)
        .expect("a backup");
    assert!(report.summary.new_bytes < 10_000, "{report:?}");
    assert_eq!(report.summary.files, 3);
    let restic = &Restic::installed()[0];
    fixture.restic(restic, &["check", "--read-data"]);
    let output = fixture.dumped(restic, "/media/base/file");
    assert!(output == base, "the carried file differs");
}
