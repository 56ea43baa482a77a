//! Ids of runs: short, random, and told apart by their first few digits.

use strongroom_repository::{Error, ErrorKind, Result};

/// Crockford's base 32 in lower case: no letter that looks like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 50 bits. Random from the first digit on, rather than sorted by time: four digits tell a thousand backups apart.
pub const LENGTH: usize = 10;

/// The fewest digits that name a backup.
pub const MIN_PREFIX: usize = 4;

/// The name of the newest backup.
pub const LATEST: &str = "latest";

/// A new id. It never begins with [`LATEST`]'s letters, which hold an `l`.
pub fn generate() -> Result<String> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            ErrorKind::Failed,
            format!("the system gives no random numbers: {error}"),
        )
    })?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(DIGITS[usize::from(byte % 32)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_short_and_differ_early() {
        let ids: Vec<String> = (0..100).map(|_| generate().expect("random")).collect();
        let prefixes: HashSet<&str> = ids.iter().filter_map(|id| id.get(..MIN_PREFIX)).collect();
        // Of 100 ids, two share four digits once in 200 times; ten of them never.
        assert!(prefixes.len() > 90, "{prefixes:?}");
        for id in &ids {
            assert_eq!(id.len(), LENGTH);
            assert!(id.bytes().all(|digit| DIGITS.contains(&digit)), "{id}");
        }
    }
}
