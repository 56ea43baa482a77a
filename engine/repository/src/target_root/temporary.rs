//! Names for what is not whole yet: it is made beside the place where it belongs, and gets its own name when nothing is missing of it. What a
//! killed restore left behind is recognised by its name.

use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::split;
use crate::id::{Id, hex};
use crate::{Error, ErrorKind, Result};

const PREFIX: &str = ".strongroom-partial-";

/// Hex digits of the process's own number, and of the hash that shows that nobody made such a name by hand.
const DIGITS: usize = 16;

/// What the names of this process begin with.
fn head() -> Result<&'static str> {
    static HEAD: OnceLock<String> = OnceLock::new();
    if let Some(head) = HEAD.get() {
        return Ok(head);
    }
    let number = getrandom::u64().map_err(|error| {
        let problem = format!("the system gives no random numbers: {error}");
        Error::new(ErrorKind::Failed, problem)
    })?;
    let number = format!("{number:016x}");
    let proof = proof(&number);
    Ok(HEAD.get_or_init(|| format!("{PREFIX}{number}{proof}-")))
}

fn proof(number: &str) -> String {
    let hash = Id::of(format!("{PREFIX}{number}").as_bytes());
    hex(hash.as_bytes().get(..DIGITS / 2).unwrap_or_default())
}

/// A path beside `path` that nothing else has.
pub(crate) fn beside(path: &[u8]) -> Result<Vec<u8>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = head()?.to_owned();
    let _ = write!(name, "{number:x}");
    let (parent, _) = split(path);
    Ok(match parent {
        [] => name.into_bytes(),
        parent => [parent, name.as_bytes()].join(&b'/'),
    })
}

/// Whether a name is one that another process gave to something that it did not complete.
pub(crate) fn is_left_over(name: &[u8]) -> bool {
    let is_hex = |text: &str| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.bytes().all(is_digit)
    };
    let parts = || {
        let rest = std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?;
        let (number, rest) = rest.split_at_checked(DIGITS)?;
        let (proof, rest) = rest.split_at_checked(DIGITS)?;
        Some((number, proof, rest.strip_prefix('-')?))
    };
    let is_ours = parts().is_some_and(|(number, given, counted)| {
        is_hex(number)
            && (1..=DIGITS).contains(&counted.len())
            && is_hex(counted)
            && given == proof(number)
    });
    is_ours && !head().is_ok_and(|head| name.starts_with(head.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_process_of_ours_left_is_recognised() {
        let number = "0123456789abcdef";
        let theirs = format!("{PREFIX}{number}{}-1f", proof(number));
        assert!(is_left_over(theirs.as_bytes()));
        let own = beside(b"a/b").expect("a name");
        let own = own.strip_prefix(b"a/").expect("beside it");
        for name in [
            own,
            format!("{PREFIX}{number}{}-1f", "0".repeat(DIGITS)).as_bytes(),
            format!("{PREFIX}{number}{}-", proof(number)).as_bytes(),
            format!("{PREFIX}{number}{}-1g", proof(number)).as_bytes(),
            format!("{PREFIX}{number}{}", proof(number)).as_bytes(),
            format!("{theirs}.bak").as_bytes(),
            theirs.to_uppercase().as_bytes(),
            b".strongroom-partial-",
            b".strongroom-1234abcd",
            b"\xff",
        ] {
            assert!(!is_left_over(name), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn no_name_comes_twice() {
        let one = beside(b"file").expect("a name");
        assert_ne!(one, beside(b"file").expect("a name"));
        assert!(one.len() < 80, "every file system takes it");
    }
}
