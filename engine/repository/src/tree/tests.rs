use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::ErrorKind;
use crate::testing::Restic;

fn sample(name: &[u8]) -> Node {
    Node {
        mtime: FileTime::new(1, 500_000_000),
        user: "root".into(),
        ..Node::new(name, NodeType::File)
    }
}

fn decode_names(names: &[&str]) -> Result<Tree> {
    let nodes: Vec<String> = names
        .iter()
        .map(|name| format!(r#"{{"name":"{name}","type":"file","content":[]}}"#))
        .collect();
    Tree::decode(format!("{{\"nodes\":[{}]}}\n", nodes.join(",")).as_bytes())
}

#[test]
fn an_empty_field_is_left_out_and_the_others_keep_their_order() {
    let id = Id::of(b"");
    let node = Node {
        name: b"a".to_vec(),
        node_type: NodeType::File,
        mode: mode_from_unix(0o104_644),
        mtime: FileTime::new(0, 0),
        atime: FileTime::new(0, 1),
        ctime: FileTime::new(0, 2),
        uid: 1,
        gid: 2,
        user: "u".into(),
        group: "g".into(),
        inode: 3,
        device_id: 4,
        size: 5,
        links: 6,
        linktarget: b"\xff".to_vec(),
        extended_attributes: vec![
            ExtendedAttribute {
                name: b"user.a".to_vec(),
                value: vec![],
            },
            ExtendedAttribute {
                name: b"user.b".to_vec(),
                value: b"<".to_vec(),
            },
        ],
        generic_attributes: Some(Box::from(&br#"{"windows.creation_time":"AAA="}"#[..])),
        device: 7,
        content: Some(vec![id, id]),
        subtree: Some(id),
        error: "e".into(),
    };
    let full = Tree { nodes: vec![node] };
    let expected = format!(
        concat!(
            r#"{{"nodes":[{{"name":"a","type":"file","mode":8389028,"mtime":"1970-01-01T00:00:00Z","#,
            r#""atime":"1970-01-01T00:00:00.000000001Z","ctime":"1970-01-01T00:00:00.000000002Z","uid":1,"gid":2,"#,
            r#""user":"u","group":"g","inode":3,"device_id":4,"size":5,"links":6,"linktarget":"\ufffd","#,
            r#""linktarget_raw":"/w==","extended_attributes":[{{"name":"user.a","value":""}},"#,
            r#"{{"name":"user.b","value":"PA=="}}],"generic_attributes":{{"windows.creation_time":"AAA="}},"#,
            r#""device":7,"content":["{0}","{0}"],"subtree":"{0}","error":"e"}}]}}"#,
            "\n"
        ),
        id
    );
    assert_eq!(String::from_utf8(full.encode().unwrap()).unwrap(), expected);
    assert_eq!(Tree::decode(expected.as_bytes()).unwrap(), full);

    let empty = Tree {
        nodes: vec![Node::new(*b"d", NodeType::Dir)],
    };
    assert_eq!(
        String::from_utf8(empty.encode().unwrap()).unwrap(),
        concat!(
            r#"{"nodes":[{"name":"d","type":"dir","mode":2147483648,"mtime":"1970-01-01T00:00:00Z","#,
            r#""atime":"1970-01-01T00:00:00Z","ctime":"1970-01-01T00:00:00Z","uid":0,"gid":0,"content":null}]}"#,
            "\n"
        )
    );
    assert_eq!(Tree::default().encode().unwrap(), b"{\"nodes\":[]}\n");
    assert_eq!(Tree::decode(b"{\"nodes\":null}").unwrap(), Tree::default());
}

#[test]
fn a_name_that_leads_out_of_its_directory_is_refused() {
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "../x",
        r"a\\x00b",
        r"\\x2e\\x2e",
        r"a\\x2fb",
    ] {
        let error = decode_names(&[name]).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{name}");
    }
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        let tree = Tree {
            nodes: vec![sample(name)],
        };
        assert!(tree.encode().is_err(), "{}", name.escape_ascii());
    }
    assert!(decode_names(&["...", "..a", "a b"]).is_ok());
}

#[test]
fn names_that_are_not_sorted_and_unique_are_refused() {
    for names in [["b", "a"], ["a", "a"], ["a", "A"], ["é", "z"]] {
        let error = decode_names(&names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        let nodes = names.map(|name| sample(name.as_bytes())).to_vec();
        assert!(Tree { nodes }.encode().is_err());
    }
    assert!(decode_names(&["A", "a", "é", r"\\xff"]).is_ok());
}

#[test]
fn a_damaged_tree_says_what_is_wrong() {
    for (json, message) in [
        (r#""#, "EOF while parsing"),
        (r#"{"nodes":{}}"#, "a list of nodes"),
        (
            r#"{"nodes":[{"name":"\\q"}]}"#,
            r"name '\\q' is wrongly quoted",
        ),
        (
            r#"{"nodes":[{"name":"a","type":"door"}]}"#,
            "node 'a' is of unknown type 'door'",
        ),
        (
            r#"{"nodes":[{"name":"a","type":"dir","mtime":"now"}]}"#,
            "node 'a' has a wrong time 'now'",
        ),
        (
            r#"{"nodes":[{"name":"a","type":"dir","subtree":"12"}]}"#,
            "'12' is no id of 64 hex digits",
        ),
        (
            r#"{"nodes":[{"name":"a","type":"symlink","linktarget_raw":"?"}]}"#,
            "node 'a' has wrong base64",
        ),
        (
            r#"{"nodes":[{"name":"a","type":"file","size":-1}]}"#,
            "invalid value",
        ),
    ] {
        let error = Tree::decode(json.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{json}");
        assert!(error.message().contains(message), "{error} for {json}");
    }
}

#[test]
fn modes_translate_between_unix_and_go() {
    for (st_mode, go, node_type) in [
        (0o100_644, 0o644, NodeType::File),
        (0o104_755, 1 << 23 | 0o755, NodeType::File),
        (0o102_755, 1 << 22 | 0o755, NodeType::File),
        (0o041_777, 1 << 31 | 1 << 20 | 0o777, NodeType::Dir),
        (0o120_777, 1 << 27 | 0o777, NodeType::Symlink),
        (0o060_660, 1 << 26 | 0o660, NodeType::Dev),
        (0o020_660, 1 << 26 | 1 << 21 | 0o660, NodeType::CharDev),
        (0o010_600, 1 << 25 | 0o600, NodeType::Fifo),
        (0o140_600, 1 << 24 | 0o600, NodeType::Socket),
    ] {
        assert_eq!(mode_from_unix(st_mode), go);
        assert_eq!(NodeType::from_unix(st_mode), node_type);
        assert_eq!(mode_to_unix(go), st_mode & 0o7777);
        let mut node = Node::new(*b"a", node_type);
        node.set_permissions(st_mode & 0o7777);
        assert_eq!((node.mode, node.permissions()), (go, st_mode & 0o7777));
        assert_eq!(NodeType::from_name(node_type.as_str()), Some(node_type));
    }
}

fn restic(program: &Restic, repository: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = program.command(repository, "golden");
    let output = command.args(arguments).env("TZ", "Asia/Kolkata").output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output.stdout
}

fn run(program: &str, arguments: &[&str], file: &Path) {
    let status = Command::new(program)
        .args(arguments)
        .arg(file)
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it"));
    assert!(status.success(), "{program} {arguments:?}");
}

/// Files with everything that is odd in a tree. Returns how many there are.
fn make_odd_files(folder: &Path, program: &Restic) -> usize {
    let name = |bytes: &[u8]| folder.join(std::ffi::OsStr::from_bytes(bytes));
    let mut names: Vec<Vec<u8>> = (1..=255)
        .filter(|byte| *byte != b'/')
        .map(|byte| vec![b'n', byte, b'.'])
        .collect();
    // Sixteen characters a name, of blocks that were full before the oldest restic was built: which characters are printable is a matter
    // of the Unicode version for the others.
    for blocks in [
        0x80..0x530,
        0x2000..0x2070,
        0x2100..0x2420,
        0x2500..0x2b70,
        0x3000..0x3100,
        0xac00..0xad00,
        0xe000..0xe020,
        0xfb00..0xfb40,
        0xfe20..0x1_0000,
        0x1_f600..0x1_f640,
        0xe_0000..0xe_0200,
    ] {
        names.extend(blocks.step_by(16).map(|block| {
            let characters = (block..block + 16).filter_map(char::from_u32);
            format!("u{}", characters.collect::<String>()).into_bytes()
        }));
    }
    for odd in [
        "😀",
        "\u{fffd}",
        "\u{feff}",
        "\u{e000}",
        "\u{10ffff}",
        "\u{e0001}",
        "<&>\"\\",
    ] {
        names.push(odd.into());
    }
    names.extend([
        b"cut\xe2\x80".to_vec(),
        b"\xed\xa0\x80".to_vec(),
        b"\xf4\x90\x80\x80".to_vec(),
    ]);
    for name_bytes in &names {
        std::fs::write(name(name_bytes), "").unwrap();
    }
    std::fs::write(name(b"with content"), "content").unwrap();
    std::fs::hard_link(name(b"with content"), name(b"with two names")).unwrap();
    run("setfattr", &["-n", "user.empty"], &name(b"with content"));
    run(
        "setfattr",
        &["-n", "user.<>", "-v", "<value>"],
        &name(b"with content"),
    );
    run("setfacl", &["-m", "u:1:rw"], &name(b"with content"));
    run("chmod", &["6755"], &name(b"with content"));
    run("mkfifo", &[], &name(b"fifo"));
    std::fs::create_dir(name(b"dir")).unwrap();
    run("chmod", &["1777"], &name(b"dir"));
    run(
        "touch",
        &["-h", "-d", "1960-02-29 00:00:00.120 UTC"],
        &name(b"dir"),
    );
    std::os::unix::fs::symlink("dangling <&> \u{2028}\u{ad}", name(b"link")).unwrap();
    let mut more = 5;
    let version = String::from_utf8(restic(program, Path::new("/"), &["version"])).unwrap();
    if !version.starts_with("restic 0.14.") {
        // Older ones lose such a target, so that not even restic could print the same tree again.
        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(b"raw\xff"), name(b"raw link"))
            .unwrap();
        more += 1;
    }
    names.sort();
    names.dedup();
    names.len() + more
}

#[test]
fn a_tree_of_restic_is_written_again_byte_for_byte() {
    for program in Restic::installed() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repository");
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let expected = make_odd_files(&source, &program);
        restic(&program, &repository, &["init"]);
        restic(&program, &repository, &["backup", source.to_str().unwrap()]);
        let snapshots = restic(&program, &repository, &["snapshots", "--json"]);
        let snapshots: serde_json::Value = serde_json::from_slice(&snapshots).unwrap();
        let mut id = snapshots[0]["tree"].as_str().unwrap().to_owned();
        let mut found = 0;
        for component in source
            .iter()
            .skip(1)
            .map(OsStrExt::as_bytes)
            .chain([&b"dir"[..]])
        {
            let blob = restic(&program, &repository, &["cat", "blob", &id]);
            let tree = Tree::decode(&blob).unwrap();
            let ours = tree.encode().unwrap();
            let lines = |blob: &[u8]| String::from_utf8_lossy(blob).replace("},{", "},\n{");
            for (ours, theirs) in lines(&ours).lines().zip(lines(&blob).lines()) {
                assert_eq!(ours, theirs);
            }
            assert_eq!(ours, blob);
            found = tree.nodes.len();
            id = tree.find(component).unwrap().subtree.unwrap().to_string();
        }
        assert_eq!(found, expected);
    }
}

/// `cargo test --release -p strongroom-repository --lib -- --ignored --nocapture tree_speed`
#[test]
#[ignore = "a measurement"]
fn tree_speed() {
    let nodes = (0..10_000_u32).map(|number| Node {
        mode: 0o644,
        mtime: FileTime::new(1_700_000_000 + i64::from(number), 123_456_789),
        atime: FileTime::new(1_700_000_000 + i64::from(number), 123_456_789),
        ctime: FileTime::new(1_700_000_000 + i64::from(number), 123_456_789),
        user: "www-data".into(),
        group: "www-data".into(),
        inode: 1_000_000 + u64::from(number),
        size: 12_345,
        links: 1,
        content: Some(vec![Id::of(&number.to_be_bytes())]),
        ..Node::new(format!("file number {number:05}.jpg"), NodeType::File)
    });
    let tree = Tree {
        nodes: nodes.collect(),
    };
    let mut buffer = Vec::new();
    for _ in 0..3 {
        let started = std::time::Instant::now();
        let mut encoder = TreeEncoder::new(buffer);
        for node in &tree.nodes {
            encoder.push(node).unwrap();
        }
        buffer = encoder.finish();
        let encoded = started.elapsed();
        let started = std::time::Instant::now();
        let decoded = Tree::decode(&buffer).unwrap();
        let elapsed = started.elapsed();
        assert_eq!(decoded, tree);
        eprintln!(
            "10,000 nodes, {} bytes: encoded in {encoded:?}, decoded in {elapsed:?}",
            buffer.len()
        );
    }
}
