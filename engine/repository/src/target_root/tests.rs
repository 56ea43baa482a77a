use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::metadata::MetadataWriter;
use crate::tree::Node;

fn target() -> (tempfile::TempDir, TargetRoot) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("outside")).unwrap();
    let target = TargetRoot::create(&folder.path().join("new/target"), true).unwrap();
    (folder, target)
}

#[test]
fn files_and_directories_are_made_beneath_the_target() {
    let (folder, target) = target();
    target.create_dir(b"a").unwrap();
    target.create_dir(b"a").unwrap();
    target.create_dir(b"a/b").unwrap();
    let mut file = target.create_file(b"a/b/\xfffile").unwrap();
    file.write_all(b"content").unwrap();
    assert_eq!(
        target.create_file(b"a/b/\xfffile").unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    target
        .open_file(b"a/b/\xfffile")
        .unwrap()
        .set_len(3)
        .unwrap();
    target.hard_link(b"a/b/\xfffile", b"a/again").unwrap();
    target
        .put_in_place(b"a/again", b"a/renamed", false)
        .unwrap();
    let metadata = target.metadata(b"a/renamed").unwrap().unwrap();
    assert_eq!((metadata.size, metadata.links), (3, 2));
    assert_eq!(metadata.mode & 0o777, 0o600);
    assert_eq!(target.metadata(b"a/none").unwrap(), None);
    assert_eq!(target.metadata(b"none/none").unwrap(), None);
    let mut listed = target.list(b"a").unwrap();
    listed.sort_by(|left, right| left.0.cmp(&right.0));
    assert_eq!(
        listed,
        [
            (b"b".to_vec(), NodeType::Dir),
            (b"renamed".to_vec(), NodeType::File)
        ]
    );
    assert!(folder.path().join("new/target/a/b").is_dir());
}

/// The restore of a hostile tree, or into a directory that somebody prepared.
#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let (folder, target) = target();
    let outside = folder.path().join("outside");
    fs::write(outside.join("victim"), "content").unwrap();
    symlink(&outside, folder.path().join("new/target/a")).unwrap();
    symlink(outside.join("victim"), folder.path().join("new/target/f")).unwrap();
    target.create_dir(b"real").unwrap();
    symlink(&outside, folder.path().join("new/target/real/a")).unwrap();
    for through in [&b"a"[..], b"real/a"] {
        let path = [through, b"b"].join(&b'/');
        let victim = [through, b"victim"].join(&b'/');
        let errors = [
            target.create_file(&path).map(drop).unwrap_err(),
            target.create_dir(&path).unwrap_err(),
            target.create_dir(through).unwrap_err(),
            target.open_dir(through).map(drop).unwrap_err(),
            target.open_file(&victim).map(drop).unwrap_err(),
            target.hard_link(&victim, b"linked").unwrap_err(),
            target.put_in_place(&victim, &path, true).unwrap_err(),
            target.put_in_place(&victim, &path, false).unwrap_err(),
            target.remove(&victim).unwrap_err(),
            target.remove_all(&victim).map(drop).unwrap_err(),
            target.list(through).map(drop).unwrap_err(),
            target.parent(&path).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        }
    }
    assert!(target.open_file(b"f").is_err());
    assert_eq!(
        target.create_file(b"f").unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        target.metadata(b"f").unwrap().unwrap().node_type(),
        NodeType::Symlink
    );
    // The links themselves are removed, not what they lead to.
    assert_eq!(target.remove_all(b"f").unwrap(), 1);
    assert_eq!(target.remove_all(b"real").unwrap(), 2);
    target.remove_all(b"a").unwrap();
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"content");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn a_directory_that_becomes_a_link_after_it_was_opened_is_not_followed() {
    let (folder, target) = target();
    target.create_dir(b"a").unwrap();
    target.create_file(b"a/first").unwrap();
    fs::rename(
        folder.path().join("new/target/a"),
        folder.path().join("new/target/moved"),
    )
    .unwrap();
    symlink(
        folder.path().join("outside"),
        folder.path().join("new/target/a"),
    )
    .unwrap();
    // Still open from before: the file comes to lie in the directory that was meant.
    target.create_file(b"a/second").unwrap();
    assert_eq!(
        fs::read_dir(folder.path().join("outside")).unwrap().count(),
        0
    );
    assert!(folder.path().join("new/target/moved/second").exists());
}

#[test]
fn a_path_that_leads_outside_is_refused() {
    let (folder, target) = target();
    let link = Node {
        linktarget: b"x".to_vec(),
        ..Node::new(*b"link", NodeType::Symlink)
    };
    for path in [
        &b".."[..],
        b"../outside/x",
        b"/etc/x",
        b"a/../../outside/x",
        b".",
        b"",
        b"a/",
        b"a//b",
    ] {
        assert!(target.create_file(path).is_err());
        assert!(target.create_dir(path).is_err());
        assert!(target.remove(path).is_err());
        let special = target.parent(path).and_then(|(parent, name)| {
            MetadataWriter::new().create_special(parent.as_fd(), name, &link)
        });
        assert!(special.is_err());
    }
    assert_eq!(
        fs::read_dir(folder.path().join("outside")).unwrap().count(),
        0
    );
}

#[test]
fn a_target_that_is_a_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = TargetRoot::create(&folder.path().join("file"), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.message(), "is not a directory");
    let error = TargetRoot::create(&folder.path().join("file/target"), true).unwrap_err();
    assert_eq!(error.message(), "target cannot be made: not a directory");
    assert_eq!(
        TargetRoot::open(&folder.path().join("none"))
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_pipe_in_the_place_of_a_file_does_not_block() {
    let (folder, target) = target();
    let path = folder.path().join("new/target/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(
        target.open_file(b"pipe").unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
}

#[test]
fn what_is_removed_may_be_deep_and_wide() {
    let (_folder, target) = target();
    let mut level = target.open_dir(b"").unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&level, "deep", Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&level, "wide", Mode::RWXU).unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        level = Arc::new(rustix::fs::openat(&level, "deep", flags, Mode::empty()).unwrap());
    }
    for number in 0..1000 {
        target
            .create_file(format!("wide/{number}").as_bytes())
            .unwrap();
    }
    assert_eq!(target.remove_all(b"wide").unwrap(), 1001);
    assert_eq!(target.remove_all(b"wide").unwrap(), 0);
    assert_eq!(target.remove_all(b"deep").unwrap(), 2999);
    assert_eq!(target.list(b"").unwrap(), []);
}

#[test]
fn a_directory_that_was_replaced_is_opened_anew() {
    let (_folder, target) = target();
    for _ in 0..2 {
        target.create_dir(b"a").unwrap();
        target.create_dir(b"a/b").unwrap();
        target.create_file(b"a/b/file").unwrap();
        target.remove_all(b"a").unwrap();
    }
    for number in 0..2 * MOST_OPEN {
        let path = format!("{number}");
        target.create_dir(path.as_bytes()).unwrap();
        target
            .create_file(format!("{path}/file").as_bytes())
            .unwrap();
    }
    assert_eq!(target.cache().len(), MOST_OPEN);
}
