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
