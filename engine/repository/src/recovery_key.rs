//! Recovery keys: a second password that is generated, printed, and kept off the machine.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::crypto::random;
use crate::{Error, ErrorKind};

/// 200 random bits as eight groups of five digits: `7Q2XK-…-M4WTD`. Hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryKey(Zeroizing<String>);

const GROUPS: usize = 8;
const GROUP_DIGITS: usize = 5;

/// Crockford's base 32: no I, L, O and U, so that what a person copies by hand is read as it was meant.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RecoveryKey {
    /// A new one.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; GROUPS * GROUP_DIGITS]);
        random(bytes.as_mut_slice());
        Self::from_digits(bytes.iter().map(|byte| byte % 32))
    }

    /// The text that the key file is locked with: what is shown, groups and dashes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_digits(digits: impl Iterator<Item = u8>) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(GROUPS * (GROUP_DIGITS + 1)));
        for (position, digit) in digits.enumerate() {
            if position > 0 && position % GROUP_DIGITS == 0 {
                text.push('-');
            }
            text.push(DIGITS[usize::from(digit % 32)].into());
        }
        Self(text)
    }
}

impl fmt::Display for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

impl FromStr for RecoveryKey {
    type Err = Error;

    /// Takes what a person typed back: any case, any grouping, and the letters that look like digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut digits = Zeroizing::new(Vec::with_capacity(GROUPS * GROUP_DIGITS));
        for letter in text.chars() {
            let digit = match letter.to_ascii_uppercase() {
                letter if letter.is_whitespace() || letter == '-' => continue,
                'O' => '0',
                'I' | 'L' => '1',
                letter => letter,
            };
            match DIGITS.iter().position(|known| char::from(*known) == digit) {
                Some(value) if digits.len() < GROUPS * GROUP_DIGITS => digits.push(value as u8),
                _ => return Err(no_recovery_key()),
            }
        }
        if digits.len() < GROUPS * GROUP_DIGITS {
            return Err(no_recovery_key());
        }
        Ok(Self::from_digits(digits.iter().copied()))
    }
}

fn no_recovery_key() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "that is no recovery key: it has eight groups of five letters and digits",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_eight_groups_of_five() {
        let key = RecoveryKey::generate();
        let groups: Vec<_> = key.as_str().split('-').collect();
        assert_eq!(groups.len(), GROUPS);
        for group in groups {
            assert_eq!(group.len(), GROUP_DIGITS);
            assert!(group.bytes().all(|digit| DIGITS.contains(&digit)));
        }
        assert_ne!(key, RecoveryKey::generate());
    }

    #[test]
    fn what_a_person_types_back_is_read_as_it_was_meant() {
        let key = "01ABC-DEF01-GHJKM-NPQRS-TVWXY-Z2345-67890-ABCDE";
        for typed in [
            key,
            "01abc def01 ghjkm npqrs tvwxy z2345 67890 abcde\n",
            "O1ABCDEFOLGHJKMNPQRSTVWXYZ234567890ABCDE",
            " oiabc-defoi-ghjkm-npqrs-tvwxy-z2345-6789o-abcde",
        ] {
            let parsed: RecoveryKey = typed.parse().expect(typed);
            assert_eq!(parsed.as_str(), key, "{typed}");
        }
    }

    #[test]
    fn an_ordinary_password_is_none() {
        for typed in [
            "",
            "correct horse battery staple",
            "01ABC-DEF01-GHJKM-NPQRS-TVWXY-Z2345-67890-ABCD",
            "01ABC-DEF01-GHJKM-NPQRS-TVWXY-Z2345-67890-ABCDEF",
            "01ABC-DEF01-GHJKM-NPQRS-TVWXY-Z2345-67890-ABCDU",
        ] {
            assert!(typed.parse::<RecoveryKey>().is_err(), "{typed}");
        }
    }

    #[test]
    fn it_is_hidden_from_logs() {
        assert_eq!(format!("{:?}", RecoveryKey::generate()), "RecoveryKey(…)");
    }
}
