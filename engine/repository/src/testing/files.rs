//! Content for files, and comparing folders.

use std::path::Path;
use std::process::Command;

/// Bytes that do not compress (xorshift), the same on every machine.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Whether two folders hold the same files with the same content.
///
/// # Panics
/// Where they do not, with what `diff` says.
pub fn assert_same_files(left: &Path, right: &Path) {
    let output = Command::new("diff")
        .arg("-r")
        .args([left, right])
        .output()
        .expect("diff runs");
    let differences = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{differences}");
}

/// Everything that `find`, `stat` and `getfattr` tell of each file below a folder, and of the folders themselves, and the hashes of the files.
///
/// # Panics
/// Where bash does not run.
pub fn described(root: &Path) -> String {
    let script = r#"
        cd "$1"
        each() { LC_ALL=C sort -z | xargs -0 -r "$@"; }
        find . '(' -type d -printf '%p|%y|%m|%U:%G|%T+\0' ')' -o -printf '%p|%y|%m|%U:%G|%s|%n|%T+|%l\0' | LC_ALL=C sort -z | tr '\0' '\n'
        find . '(' -type b -o -type c ')' -print0 | each stat -c '%n|%t:%T' --
        find . ! -type l -print0 | each getfattr -d -m - -e hex -- 2>/dev/null
        find . -type f -print0 | each sha256sum --"#;
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(root)
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{}", root.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
