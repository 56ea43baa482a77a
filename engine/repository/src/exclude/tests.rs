use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

fn exclude(patterns: &[&str]) -> Result<Exclude> {
    Exclude::new(&Tree {
        exclude: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        ..Tree::default()
    })
}

/// A path that ends in a slash is a directory.
fn check(patterns: &[&str], excluded: &[&str], included: &[&str]) {
    let exclude = exclude(patterns).unwrap();
    for (paths, expected) in [(excluded, true), (included, false)] {
        for path in paths {
            let name = path.trim_end_matches('/');
            let found = exclude.excludes(name.as_bytes(), name != *path);
            assert_eq!(found, expected, "{patterns:?} on {path}");
        }
    }
}

#[test]
fn patterns_mean_what_they_mean_to_git() {
    check(
        &["*.tmp"],
        &["a.tmp", "x/y/a.tmp", ".tmp"],
        &["a.tmpx", "atmp"],
    );
    check(
        &["cache/"],
        &["cache/", "x/cache/"],
        &["cache", "x/cache", "caches/"],
    );
    check(&["/top"], &["top", "top/"], &["x/top"]);
    check(&["a/b"], &["a/b"], &["x/a/b", "b"]);
    check(&["**/b"], &["b", "a/b", "a/c/b"], &["ab", "a/xb"]);
    check(&["a/**"], &["a/b", "a/b/c"], &["a/", "x/a/b"]);
    check(
        &["a/**/b"],
        &["a/b", "a/x/b", "a/x/y/b"],
        &["ab", "a/xb", "x/a/b"],
    );
    check(&["a/*/b"], &["a/x/b"], &["a/b", "a/x/y/b"]);
    check(&["*", "!keep"], &["a", "x/b"], &["keep", "x/keep"]);
    check(&["!a", "a"], &["a"], &[]);
    check(
        &["*.log", "!/important.log"],
        &["a.log", "x/important.log"],
        &["important.log"],
    );
    check(&["{a,b}"], &["{a,b}"], &["a", "b"]);
    check(&["[a-c]?"], &["ax", "c1"], &["dx", "a", "a/x"]);
    check(
        &[
            "[!a-c]x",
            r"\!y",
            r"\#z",
            "# comment",
            "",
            "space\\ ",
            "bare  ",
        ],
        &["dx", "!y", "#z", "space ", "bare"],
        &["ax", "# comment", "y", "space", "bare "],
    );
    check(
        &["[]-]x", "[[:digit:]]y", r"[\]]z"],
        &["]x", "-x", "1y", "]z"],
        &["ax", "ay"],
    );
    check(&["**"], &["a", "a/b/"], &[]);
    check(&["foo**/bar"], &["fooxx/bar", "foo/bar"], &["foo/x/bar"]);
    check(&["a*b*c"], &["abc", "axbxbxc"], &["abcx", "ab", "a/bc"]);
    check(
        &["x/**/a*/**/b?"],
        &["x/a/b1", "x/q/ay/r/s/b2"],
        &["x/b1", "x/a/b", "x/a/b/1"],
    );
}

#[test]
fn names_need_not_be_utf8() {
    let exclude = exclude(&["*.tmp", "/?x", "[!a]y"]).unwrap();
    assert!(exclude.excludes(b"\xff\xfe.tmp", false));
    assert!(exclude.excludes(b"\xffx", false));
    assert!(exclude.excludes(b"d\xff/\xffy", false));
    assert!(!exclude.excludes(b"\xff\xffx", false));
}

#[test]
fn a_wrong_pattern_is_named() {
    for (pattern, message) in [
        ("[a", "exclude pattern '[a': has a [ without its ]"),
        (
            "x[[:digit]",
            "exclude pattern 'x[[:digit]': has a [ without its ]",
        ),
        (
            "[[:number:]]",
            "exclude pattern '[[:number:]]': has an unknown class [:number:]",
        ),
        ("[z-a]", "exclude pattern '[z-a]': has the empty range z-a"),
        ("a\\", "exclude pattern 'a\\\\': ends in a backslash"),
        ("/", "exclude pattern '/': names nothing"),
        ("!", "exclude pattern '!': names nothing"),
    ] {
        let error = exclude(&[pattern]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), message);
    }
    for marker in ["", "a/b"] {
        let tree = Tree {
            exclude_if_present: vec![marker.to_owned()],
            ..Tree::default()
        };
        assert_eq!(
            Exclude::new(&tree).unwrap_err().kind(),
            ErrorKind::InvalidConfig
        );
    }
}

#[test]
fn many_stars_do_not_take_forever() {
    let exclude = exclude(&[&format!("{}c", "a*".repeat(50)), &"**/a*b".repeat(20)]).unwrap();
    let path = format!("{}/{}", "a".repeat(2000), "a".repeat(2000));
    assert!(!exclude.excludes(format!("b{path}b").as_bytes(), false));
}

/// Small pieces, put together into every pattern of three of them, against paths made of few letters: git is the judge.
#[test]
fn git_agrees_on_thousands_of_patterns() {
    let pieces = [
        "a", "b", "*", "**", "/", "?", "[ab]", "[!a]", "\\a", "**/", "/**",
    ];
    let paths = [
        "a", "b", "ab", "ba", "aab", "a/b", "b/a", "a/a", "ab/a", "a/b/a", "b/ab/b", "a/a/a",
        "a/b/b/a",
    ];
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(folder.path());
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null");
        command
    };
    let made = git(&["init", "--quiet"])
        .status()
        .unwrap_or_else(|error| panic!("git: {error}; install the Debian package git"));
    assert!(made.success());
    let mut compared = 0;
    for first in pieces {
        for second in pieces {
            // One process a pair: the third piece is tried with all patterns in files of their own.
            for third in pieces.iter().chain([&""]) {
                let pattern = format!("{first}{second}{third}");
                // Git is of two minds about stars after something else than a slash: it compares the head up to them by itself, and then
                // takes them for the beginning.
                let two_minds = pattern
                    .match_indices("**")
                    .any(|(at, _)| at > 0 && !matches!(pattern.as_bytes()[at - 1], b'/' | b'*'));
                if two_minds {
                    continue;
                }
                let Ok(exclude) = exclude(&[&pattern]) else {
                    continue;
                };
                std::fs::write(folder.path().join(".gitignore"), format!("{pattern}\n")).unwrap();
                let mut process = git(&["check-ignore", "--no-index", "--stdin", "-z", "-v", "-n"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut input = process.stdin.take().unwrap();
                input.write_all(paths.join("\0").as_bytes()).unwrap();
                drop(input);
                let output = process.wait_with_output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                let fields: Vec<&str> = text.split('\0').collect();
                for (path, answer) in paths.iter().zip(fields.chunks_exact(4)) {
                    assert_eq!(answer[3], *path);
                    // git goes from the top, and knows a path without a trailing slash that is not there for a file.
                    let mut found = false;
                    for (end, _) in path.match_indices('/') {
                        found |= exclude.excludes(&path.as_bytes()[..end], true);
                    }
                    found |= exclude.excludes(path.as_bytes(), false);
                    assert_eq!(found, !answer[2].is_empty(), "{pattern} on {path}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
}
