//! The polynomial over GF(2) in a repository's configuration. restic cuts files with it (Rabin fingerprints), so it must be irreducible and
//! of degree 53; we derive our own chunker's table from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// An irreducible polynomial of degree 53 over GF(2): bit n is the coefficient of xⁿ. Secret, as it would betray where files are cut.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Polynomial(u64);

impl Polynomial {
    /// The degree that restic's chunker wants.
    pub const DEGREE: u32 = 53;

    /// A random one.
    pub fn random() -> Self {
        loop {
            let mut bytes = [0; 8];
            crate::crypto::random(&mut bytes);
            let below = u64::from_le_bytes(bytes) & ((1 << Self::DEGREE) - 1);
            // One in 53 is irreducible; an even one never is, being divisible by x.
            if let Some(found) = Self::new(below | 1 << Self::DEGREE | 1) {
                return found;
            }
        }
    }

    /// From its coefficients, if they are those of an irreducible polynomial of degree 53.
    pub fn new(bits: u64) -> Option<Self> {
        (degree(bits) == Some(Self::DEGREE) && is_irreducible(bits)).then_some(Self(bits))
    }

    /// Its coefficients.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Polynomial(…)")
    }
}

impl FromStr for Polynomial {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        u64::from_str_radix(text, 16)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| {
                Error::corrupted(
                    "the chunker polynomial is not an irreducible polynomial of degree 53",
                )
            })
    }
}

impl Serialize for Polynomial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Polynomial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Ben-Or's test: a polynomial f of degree n is irreducible when it has no factor in common with x^(2^i) − x for each i up to n/2, as
/// x^(2^i) − x is the product of all irreducible polynomials whose degree divides i.
fn is_irreducible(f: u64) -> bool {
    let Some(n) = degree(f) else { return false };
    const X: u64 = 0b10;
    let mut power = X;
    for _ in 0..n / 2 {
        power = multiply(power, power, f);
        if greatest_common_divisor(f, power ^ X) != 1 {
            return false;
        }
    }
    n > 0
}

fn degree(f: u64) -> Option<u32> {
    f.checked_ilog2()
}

fn remainder(mut a: u64, b: u64) -> u64 {
    let Some(b_degree) = degree(b) else { return a };
    while let Some(a_degree) = degree(a)
        && a_degree >= b_degree
    {
        a ^= b << (a_degree - b_degree);
    }
    a
}

/// `a · b mod f`, by shifting and reducing at each step. `f` has a degree below 63.
fn multiply(mut a: u64, mut b: u64, f: u64) -> u64 {
    let mut product = 0;
    a = remainder(a, f);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = remainder(a << 1, f);
        b >>= 1;
    }
    product
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, remainder(a, b));
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_polynomials_are_told_apart() {
        // The irreducible ones stand in restic's chunker and in repositories that restic made.
        for bits in [0x3DA3358B4DC173, 0x3548c936b338d5] {
            assert!(Polynomial::new(bits).is_some(), "{bits:x}");
        }
        let product = {
            // (x² + x + 1) · (x⁵¹ + x⁶ + x³ + x + 1)
            let b: u64 = 1 << 51 | 0b100_1011;
            b << 2 ^ b << 1 ^ b
        };
        for bits in [
            0,
            1,
            0b10,
            0b111,
            0x3DA3358B4DC172,
            0x3DA3358B4DC175,
            product,
        ] {
            assert!(Polynomial::new(bits).is_none(), "{bits:x}");
        }
    }

    #[test]
    fn the_test_agrees_with_trial_division_in_small_degrees() {
        for f in 2_u64..1 << 12 {
            let by_division = (2..f)
                .take_while(|d| 2 * degree(*d).unwrap_or(0) <= degree(f).unwrap_or(0))
                .all(|d| remainder(f, d) != 0);
            assert_eq!(is_irreducible(f), by_division, "{f:b}");
        }
    }

    #[test]
    fn a_random_one_is_read_back_from_its_text() {
        let polynomial = Polynomial::random();
        assert_eq!(
            polynomial.to_string().parse::<Polynomial>().ok(),
            Some(polynomial)
        );
        assert_ne!(polynomial, Polynomial::random());
    }

    #[test]
    fn a_reducible_one_is_refused() {
        for text in ["3DA3358B4DC172", "", "xyz", "-1"] {
            assert!(text.parse::<Polynomial>().is_err(), "{text}");
        }
    }
}
