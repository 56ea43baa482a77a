//! The server's manifest of a base backup: checked, line by line as it comes, against what was received.
//!
//! The server writes one file a line, and the SHA-256 of all lines before it on the last (PostgreSQL's documentation, "Backup Manifest Format").

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Write};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use strongroom_plugin::{Error, ErrorKind, Result};

/// Size and CRC-32C of what was received, by path.
///
/// A cluster may have a million files: of a path only a hash is kept. Its key is random, so that nobody can name files that collide.
#[derive(Default)]
pub(super) struct Received {
    files: HashMap<u64, (u64, u32)>,
    hasher: RandomState,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: String,
    #[serde(rename = "Checksum")]
    checksum: String,
}

impl Received {
    /// A file that was received. Segments of the log are not in the manifest; their records have checksums of their own.
    pub(super) fn add(&mut self, path: &str, size: u64, crc32c: u32) {
        if !is_segment(path) {
            let key = self.hasher.hash_one(path.as_bytes());
            self.files.insert(key, (size, crc32c));
        }
    }

    /// Reads the manifest to its end, hands every byte on to `copy`, and expects every file in it and no other. Returns how many there are.
    pub(super) fn verify(
        mut self,
        mut manifest: impl BufRead,
        mut copy: impl Write,
    ) -> Result<u64> {
        let mut sha256 = Sha256::new();
        let mut line = String::new();
        let mut files = 0;
        let mut is_proven = false;
        loop {
            line.clear();
            if manifest.read_line(&mut line)? == 0 {
                break;
            }
            copy.write_all(line.as_bytes())?;
            if let Some(checksum) = line.strip_prefix("\"Manifest-Checksum\": \"") {
                let computed = hex(&std::mem::take(&mut sha256).finalize());
                if checksum.split('"').next() != Some(&computed) {
                    return Err(corrupted("the server's manifest arrived damaged"));
                }
                is_proven = true;
                continue;
            }
            sha256.update(line.as_bytes());
            let text = line.trim_start_matches("\"Files\": [").trim();
            if text.starts_with("{ \"Path\"") || text.starts_with("{ \"Encoded-Path\"") {
                let text = text
                    .trim_end_matches(']')
                    .trim_end_matches(',')
                    .trim_end_matches(']');
                let entry = serde_json::from_str(text).map_err(|error| {
                    corrupted(format!(
                        "a line of the server's manifest is not understood: {error}"
                    ))
                })?;
                self.check(&entry)?;
                files += 1;
            }
        }
        if !is_proven {
            return Err(corrupted("the server's manifest ends before its checksum"));
        }
        match self.files.len() {
            0 => Ok(files),
            more => Err(corrupted(format!(
                "{more} files came that the server's manifest does not name"
            ))),
        }
    }

    fn check(&mut self, line: &Line) -> Result<()> {
        let path = match (&line.path, &line.encoded_path) {
            (Some(path), _) => path.as_bytes().to_vec(),
            (None, Some(encoded)) => from_hex(encoded).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let shown = String::from_utf8_lossy(&path);
        let key = self.hasher.hash_one(path.as_slice());
        let received = self.files.remove(&key);
        let (size, crc32c) = received.ok_or_else(|| {
            corrupted(format!(
                "{shown} is in the server's manifest and did not come"
            ))
        })?;
        if size != line.size {
            return Err(corrupted(format!(
                "{shown} came with {size} bytes instead of {}",
                line.size
            )));
        }
        // As the server's memory holds it.
        let checksum = hex(&crc32c.to_le_bytes());
        if line.algorithm == "CRC32C" && checksum != line.checksum {
            return Err(corrupted(format!(
                "{shown} came with another checksum than the server has for it"
            )));
        }
        Ok(())
    }
}

fn is_segment(path: &str) -> bool {
    let name = path.strip_prefix("pg_wal/").unwrap_or_default();
    name.len() == 24 && name.bytes().all(|letter| letter.is_ascii_hexdigit())
}

fn corrupted(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupted, problem)
        .hint("back up again; if it stays, look at the server's log")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &str = r#"{ "PostgreSQL-Backup-Manifest-Version": 1,
"Files": [
{ "Path": "backup_label", "Size": 3, "Last-Modified": "2026-03-01 14:05:09 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "fb2b8a36" },
{ "Encoded-Path": "62617365ff", "Size": 0, "Last-Modified": "2026-03-01 14:05:09 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
],
"#;

    fn manifest(files: &str) -> String {
        let checksum = hex(&Sha256::digest(files.as_bytes()));
        format!("{files}\"Manifest-Checksum\": \"{checksum}\"}}\n")
    }

    fn check(manifest: &str, received: &[(&[u8], u64, u32)], expected: Result<u64, &str>) {
        let mut all = Received::default();
        for &(path, size, crc32c) in received {
            let key = all.hasher.hash_one(path);
            all.files.insert(key, (size, crc32c));
        }
        let mut copy = Vec::new();
        let verified = all.verify(manifest.as_bytes(), &mut copy);
        let verified = verified.map_err(|error| error.message().to_owned());
        assert_eq!(verified, expected.map_err(str::to_owned));
        if expected.is_ok() {
            assert_eq!(copy, manifest.as_bytes());
        }
    }

    #[test]
    fn only_what_the_server_sent_as_it_has_it_is_whole() {
        let crc = crc32c::crc32c(b"abc");
        assert_eq!(hex(&crc.to_le_bytes()), "b73f4b36");
        let files = FILES.replace("fb2b8a36", "b73f4b36");
        let whole = manifest(&files);
        let label: (&[u8], u64, u32) = (b"backup_label", 3, crc);
        let other: (&[u8], u64, u32) = (b"base\xff", 0, 0);
        check(&whole, &[label, other], Ok(2));
        check(
            &whole,
            &[label],
            Err("base\u{fffd} is in the server's manifest and did not come"),
        );
        check(
            &whole,
            &[label, other, (b"stray", 1, 1)],
            Err("1 files came that the server's manifest does not name"),
        );
        check(
            &whole,
            &[(b"backup_label", 2, crc), other],
            Err("backup_label came with 2 bytes instead of 3"),
        );
        check(
            &whole,
            &[(b"backup_label", 3, crc ^ 1), other],
            Err("backup_label came with another checksum than the server has for it"),
        );
        check(
            &whole.replace("0/2000028", "0/2000029"),
            &[label, other],
            Err("the server's manifest arrived damaged"),
        );
        check(
            &files,
            &[label, other],
            Err("the server's manifest ends before its checksum"),
        );
    }
}
