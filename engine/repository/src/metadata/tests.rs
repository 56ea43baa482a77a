use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags};

use super::*;
use crate::ErrorKind;
use crate::tree::{FileTime, Node, Tree};

fn open(folder: &Path) -> OwnedFd {
    rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

fn run(command: &str, file: &Path) {
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    let status = Command::new(program).args(words).arg(file).status();
    let status =
        status.unwrap_or_else(|error| panic!("{program}: {error}; install it (Debian: acl, attr)"));
    assert!(status.success(), "{command} {}", file.display());
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn read(directory: &OwnedFd, name: &[u8]) -> Node {
    let c_name = CString::new(name).unwrap();
    let metadata = Metadata::of_entry(directory.as_fd(), &c_name).unwrap();
    let (node, problem) = NodeReader::new()
        .node(directory.as_fd(), name, &metadata)
        .unwrap();
    assert!(problem.is_none(), "{problem:?}");
    node
}

/// Without what no restore can bring back.
fn comparable(mut node: Node) -> Node {
    node.inode = 0;
    node.device_id = 0;
    node.links = 0;
    node.ctime = FileTime::default();
    node.extended_attributes.sort_by(|a, b| a.name.cmp(&b.name));
    node
}

/// Backs the entry up, encodes, decodes, restores it to another directory and compares.
fn check(source: &Path, name: &[u8]) -> Node {
    let target = tempfile::tempdir().unwrap();
    // New files inherit this ACL: it must not stay on them.
    run("setfacl -d -m u:4242:rwx", target.path());
    let directory = open(target.path());
    let node = read(&open(source), name);
    let tree = Tree {
        nodes: vec![node.clone()],
    };
    let decoded = Tree::decode(&tree.encode().unwrap())
        .unwrap()
        .nodes
        .remove(0);
    assert_eq!(decoded, node);

    let writer = MetadataWriter::new();
    let path = target.path().join(std::ffi::OsStr::from_bytes(name));
    match decoded.node_type {
        NodeType::File => {
            let mut file = fs::File::create(&path).unwrap();
            std::io::copy(
                &mut fs::File::open(source.join(path.file_name().unwrap())).unwrap(),
                &mut file,
            )
            .unwrap();
            writer.apply_to_file(&file, &decoded).unwrap();
            assert_eq!(comparable(read(&directory, name)), comparable(node.clone()));
            writer.apply(directory.as_fd(), name, &decoded).unwrap();
        }
        NodeType::Dir => {
            fs::create_dir(&path).unwrap();
            writer.apply(directory.as_fd(), name, &decoded).unwrap();
        }
        _ => assert!(
            writer
                .create_special(directory.as_fd(), name, &decoded)
                .unwrap()
        ),
    }
    assert_eq!(comparable(read(&directory, name)), comparable(node.clone()));
    assert_eq!(writer.warnings(), Vec::<String>::new());
    node
}

#[test]
fn everything_a_file_has_survives_backup_and_restore() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(name));
    fs::write(at(b"bad\xff\xfename"), "content").unwrap();
    run("setfattr -n user.empty", &at(b"bad\xff\xfename"));
    run(
        "setfattr -n user.binary -v 0x00ff3c0a",
        &at(b"bad\xff\xfename"),
    );
    fs::write(at(b"acl"), "").unwrap();
    run("setfacl -m u:1:rw,g:2:r,m::rw", &at(b"acl"));
    fs::write(at(b"large attribute"), "").unwrap();
    let value = format!("setfattr -n user.large -v {}", "x".repeat(3000));
    run(&value, &at(b"large attribute"));
    fs::write(at(b"setuid"), "").unwrap();
    fs::create_dir(at(b"dir")).unwrap();
    run("setfacl -m u:1:rwx -d -m u:2:rx", &at(b"dir"));
    fs::create_dir(at(b"nobody enters")).unwrap();
    symlink("nowhere/\u{2028}<>", at(b"dangling")).unwrap();
    symlink(std::ffi::OsStr::from_bytes(b"raw\xff"), at(b"raw link")).unwrap();
    run("mkfifo", &at(b"fifo"));
    if is_root() {
        run("chown -h 12345:54321", &at(b"dangling"));
        run("chown 12345:54321", &at(b"setuid"));
        run("chown 12345:54321", &at(b"dir"));
        run("setfattr -n trusted.ours -v x", &at(b"dir"));
        run("setfattr -h -n trusted.link -v x", &at(b"dangling"));
    }
    run("chmod 6755", &at(b"setuid"));
    run("chmod 1777", &at(b"dir"));
    run("chmod 0", &at(b"nobody enters"));
    for name in [&b"dangling"[..], b"fifo", b"dir", b"acl"] {
        run("touch -h -m -d 1960-02-29T01:02:03.123456789Z", &at(name));
        run("touch -h -a -d 2038-01-19T03:14:08.000000001Z", &at(name));
    }

    let node = check(folder.path(), b"bad\xff\xfename");
    assert_eq!(node.extended_attributes.len(), 2);
    assert_eq!((node.size, node.links), (7, 1));
    assert_eq!(check(folder.path(), b"acl").extended_attributes.len(), 1);
    check(folder.path(), b"large attribute");
    assert_eq!(check(folder.path(), b"setuid").permissions(), 0o6755);
    let dir = check(folder.path(), b"dir");
    assert_eq!(dir.permissions(), 0o1777);
    assert_eq!(dir.extended_attributes.len(), 2 + usize::from(is_root()));
    check(folder.path(), b"nobody enters");
    let link = check(folder.path(), b"dangling");
    assert_eq!(link.linktarget, "nowhere/\u{2028}<>".as_bytes());
    assert_eq!(link.mtime, FileTime::new(-310_517_877, 123_456_789));
    assert_eq!(link.atime, FileTime::new(1 << 31, 1));
    assert_eq!(check(folder.path(), b"raw link").linktarget, b"raw\xff");
    check(folder.path(), b"fifo");
}

#[test]
fn device_files_survive_backup_and_restore() {
    if !is_root() {
        eprintln!("skipped: only root can make device files");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mknod = |name: &str, arguments: &str| {
        let mut command = Command::new("mknod");
        command
            .arg(folder.path().join(name))
            .args(arguments.split(' '));
        assert!(command.status().unwrap().success());
    };
    mknod("null", "c 1 3");
    mknod("large", "b 259 70000");
    assert_eq!(check(folder.path(), b"null").device, 0x103);
    // As restic 0.14 printed it for the same device.
    assert_eq!(check(folder.path(), b"large").device, 0x1111_0370);
}

#[test]
fn a_socket_is_kept_in_the_backup_and_skipped_when_restored() {
    let folder = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let directory = open(folder.path());
    let node = read(&directory, b"socket");
    assert_eq!(node.node_type, NodeType::Socket);
    let writer = MetadataWriter::new();
    assert!(
        !writer
            .create_special(directory.as_fd(), b"other", &node)
            .unwrap()
    );
    assert!(!folder.path().join("other").exists());
}

#[test]
fn only_what_has_several_links_keeps_its_device() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "").unwrap();
    fs::write(folder.path().join("b"), "").unwrap();
    fs::hard_link(folder.path().join("b"), folder.path().join("c")).unwrap();
    let directory = open(folder.path());
    let device = fs::metadata(folder.path()).unwrap().dev();
    let links = |name| {
        let node = read(&directory, name);
        (node.links, node.device_id)
    };
    assert_eq!(links(b"a"), (1, 0));
    assert_eq!(links(b"b"), (2, device));
    assert_eq!(links(b"c"), (2, device));
    assert_eq!(links(b"."), (0, 0));
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("victim"), "").unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    run("chmod 600", &folder.path().join("victim"));
    symlink("victim", folder.path().join("link")).unwrap();
    let directory = open(folder.path());
    let mut node = read(&directory, b"file");
    node.set_permissions(0o777);
    let writer = MetadataWriter::new();
    let error = writer.apply(directory.as_fd(), b"link", &node).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "is a symlink, not a file");
    let mode = fs::metadata(folder.path().join("victim"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let link = read(&directory, b"link");
    let error = writer
        .create_special(directory.as_fd(), b"file", &link)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    for name in [&b"../file"[..], b"..", b"", b"a/b"] {
        assert!(writer.apply(directory.as_fd(), name, &node).is_err());
        assert!(
            writer
                .create_special(directory.as_fd(), name, &link)
                .is_err()
        );
    }
}

#[test]
fn attributes_that_the_backup_lacks_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old"), "").unwrap();
    fs::write(folder.path().join("plain"), "").unwrap();
    run("setfattr -n user.stale -v x", &folder.path().join("old"));
    run("setfacl -m u:1:rw", &folder.path().join("old"));
    let directory = open(folder.path());
    let plain = read(&directory, b"plain");
    MetadataWriter::new()
        .apply(directory.as_fd(), b"old", &plain)
        .unwrap();
    assert_eq!(read(&directory, b"old").extended_attributes, vec![]);
}

#[test]
fn who_is_not_root_restores_all_but_owners_and_is_told_once() {
    if !is_root() {
        eprintln!("skipped: only root can become someone else");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(path.join("file"), "").unwrap();
    run("chmod 6755", &path.join("file"));
    run("setfattr -n trusted.secret -v x", &path.join("file"));
    let mut node = read(&open(&path), b"file");
    node.mtime = FileTime::new(5, 6);
    let device = Node {
        device: 0x103,
        ..Node::new(*b"null", NodeType::CharDev)
    };
    // Only this thread, which then ends, becomes another user.
    let warnings = std::thread::spawn(move || {
        let nobody = rustix::thread::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let directory = open(&path);
        let writer = MetadataWriter::new();
        for name in ["one", "two"] {
            let file = fs::File::create(path.join(name)).unwrap();
            writer.apply_to_file(&file, &node).unwrap();
            writer
                .apply(directory.as_fd(), name.as_bytes(), &node)
                .unwrap();
        }
        assert!(
            !writer
                .create_special(directory.as_fd(), b"null", &device)
                .unwrap()
        );
        writer.warnings()
    });
    let warnings = warnings.join().unwrap();
    assert_eq!(
        warnings,
        [
            "extended attribute trusted.secret was not restored: operation not permitted (4 files)",
            "the owner was not restored: only root may (4 files)",
        ]
    );
    let found = fs::metadata(folder.path().join("two")).unwrap();
    // A root's setuid program must not become one of whoever restores it.
    assert_eq!((found.uid(), found.mode() & 0o7777), (65_534, 0o755));
    assert_eq!((found.mtime(), found.mtime_nsec()), (5, 6));
}
