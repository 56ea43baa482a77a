//! A path of a backup as a person gives it: any bytes, or what `ls` prints for them; out comes the path that the backup has.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use strongroom_repository::contents::Contents;
use strongroom_repository::restore::normal;

/// The path that is meant: as it is written, or as `ls` writes it where the backup has no such path.
pub fn meant(contents: &Contents, given: &OsStr) -> Vec<u8> {
    let literal = normal(given.as_bytes());
    if contents.find(&literal).is_ok() {
        return literal;
    }
    let escaped = normal(&unescaped(given.as_bytes()));
    match escaped != literal && contents.find(&escaped).is_ok() {
        true => escaped,
        false => literal,
    }
}

/// As [`meant`], of several.
pub fn all_meant(contents: &Contents, given: &[OsString]) -> Vec<Vec<u8>> {
    given.iter().map(|path| meant(contents, path)).collect()
}

/// What [`clean_bytes`](crate::render::text::clean_bytes) was given. What it would not have written stays as it is.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match (first == b'\\').then(|| escape(after)).flatten() {
            Some((value, after)) => {
                bytes.extend(value);
                rest = after;
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// What the text after a backslash stands for, and what follows.
fn escape(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let number = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (letter, rest) = text.split_first()?;
    match letter {
        b'n' => Some((b"\n".to_vec(), rest)),
        b'r' => Some((b"\r".to_vec(), rest)),
        b't' => Some((b"\t".to_vec(), rest)),
        b'x' => {
            let (digits, rest) = rest.split_at_checked(2)?;
            Some((vec![u8::try_from(number(digits)?).ok()?], rest))
        }
        b'u' => {
            let rest = rest.strip_prefix(b"{")?;
            let end = rest.iter().position(|byte| *byte == b'}')?;
            let letter = char::from_u32(number(rest.get(..end)?)?)?;
            Some((letter.to_string().into_bytes(), rest.get(end + 1..)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::clean_bytes;

    #[test]
    fn what_ls_prints_leads_back_to_the_path() {
        for path in [
            &b"plain"[..],
            b"new\nline\ttab",
            b"\xff\xfe.jpg",
            b"half \xe2\x80",
            "\u{1b}[2J \u{202e}gpj".as_bytes(),
            "Gr\u{fc}\u{df}e".as_bytes(),
            b"back\\slash",
        ] {
            assert_eq!(unescaped(clean_bytes(path).as_bytes()), path);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["\\", "a\\b", "\\x", "\\xg0", "\\u{", "\\u{110000}", "\\u12"] {
            assert_eq!(unescaped(text.as_bytes()), text.as_bytes());
        }
    }
}
