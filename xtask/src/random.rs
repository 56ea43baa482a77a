//! Numbers, words and rows that look random and are the same in every run and on every machine.
//!
//! In: a seed. Out: bytes that nothing compresses, sentences that compress like prose, and rows that compress like a database dump.

use std::io::{self, Write};

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and good enough that zstd finds nothing in it.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Two seeds that differ in one bit give unrelated numbers.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        Self(random.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// A fraction from 0 to just below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A size between the two, small ones being as frequent as their order of magnitude: how files are in real folders.
    pub(crate) fn size_between(&mut self, least: f64, most: f64) -> u64 {
        (least * (most / least).powf(self.fraction())) as u64
    }

    /// Writes `length` incompressible bytes.
    pub(crate) fn write_bytes(&mut self, out: &mut impl Write, length: u64) -> io::Result<()> {
        let mut block = [0; 1 << 14];
        let mut left = length;
        while left > 0 {
            for eight in block.as_chunks_mut::<8>().0 {
                *eight = self.next().to_le_bytes();
            }
            let part = left.min(block.len() as u64);
            out.write_all(block.get(..part as usize).unwrap_or(&block))?;
            left -= part;
        }
        Ok(())
    }
}

/// A vocabulary, in which few words are frequent and many are rare, as in any language.
#[derive(Debug)]
pub(crate) struct Words(Vec<String>);

const FREQUENT: &str = "the of and to a in that it is was for on with as be at by this have from or had not but which are all one \
    they you we there been her their were when who will more no out so said what up its about into than them can only other new \
    some could time these two may then do first any my now such like our over man me even most made after also did many before";
const ONSETS: [&str; 16] = [
    "b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "st", "tr", "ch", "v",
];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "io"];
const CODAS: [&str; 10] = ["", "", "", "n", "r", "s", "t", "ng", "l", "nt"];

impl Words {
    /// About six thousand words, always the same.
    pub(crate) fn new() -> Self {
        let mut words: Vec<String> = FREQUENT.split_whitespace().map(str::to_owned).collect();
        let mut random = Random::new(1);
        while words.len() < 6_000 {
            let mut word = String::new();
            for _ in 0..=random.below(3) {
                word.push_str(pick(&ONSETS, &mut random));
                word.push_str(pick(&VOWELS, &mut random));
                word.push_str(pick(&CODAS, &mut random));
            }
            words.push(word);
        }
        Self(words)
    }

    /// A word; the first is a thousand times as frequent as the thousandth (Zipf's law).
    pub(crate) fn word(&self, random: &mut Random) -> &str {
        let rank = (self.0.len() as f64).powf(random.fraction()) as usize - 1;
        self.0.get(rank).map_or("the", String::as_str)
    }

    /// Writes sentences and paragraphs of about `length` bytes.
    pub(crate) fn write_text(
        &self,
        random: &mut Random,
        out: &mut impl Write,
        length: u64,
    ) -> io::Result<()> {
        let mut written = 0;
        let mut sentence = String::new();
        while written < length {
            sentence.clear();
            for position in 0..6 + random.below(14) {
                let word = self.word(random);
                match (position, word.chars().next()) {
                    (0, Some(first)) => {
                        sentence.extend(first.to_uppercase());
                        sentence.push_str(word.get(first.len_utf8()..).unwrap_or_default());
                    }
                    _ => sentence.push_str(word),
                }
                sentence.push_str(if random.below(12) == 0 { ", " } else { " " });
            }
            sentence.truncate(sentence.trim_end_matches([' ', ',']).len());
            sentence.push_str(if random.below(6) == 0 { ".\n\n" } else { ". " });
            out.write_all(sentence.as_bytes())?;
            written += sentence.len() as u64;
        }
        Ok(())
    }

    /// Writes a table as PostgreSQL's `COPY` does, of about `length` bytes.
    pub(crate) fn write_rows(
        &self,
        random: &mut Random,
        out: &mut impl Write,
        length: u64,
    ) -> io::Result<()> {
        let head = b"COPY public.orders (id, placed, customer, email, state, amount, reference, remark) FROM stdin;\n";
        out.write_all(head)?;
        let mut written = head.len() as u64;
        let mut moment = 1_600_000_000;
        for id in 1_u64.. {
            if written >= length {
                break;
            }
            moment += random.below(90);
            let (first, last) = (self.word(random), self.word(random));
            let state = pick(&["paid", "shipped", "returned", "open"], random);
            let (cents, reference) = (random.below(100_000), random.next());
            let (one, two, three) = (self.word(random), self.word(random), self.word(random));
            let row = format!(
                "{id}\t{moment}\t{first} {last}\t{first}.{last}@example.net\t{state}\t{}.{:02}\t{reference:016x}\t{one} {two} {three}\n",
                cents / 100,
                cents % 100
            );
            out.write_all(row.as_bytes())?;
            written += row.len() as u64;
        }
        out.write_all(b"\\.\n")
    }
}

pub(crate) fn pick<'a>(from: &[&'a str], random: &mut Random) -> &'a str {
    from.get(random.below(from.len() as u64) as usize)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_text() {
        let text = |seed| {
            let mut text = Vec::new();
            Words::new()
                .write_text(&mut Random::new(seed), &mut text, 2_000)
                .unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn bytes_are_as_many_as_asked_for_and_spread_evenly() {
        let mut bytes = Vec::new();
        Random::new(3).write_bytes(&mut bytes, 100_001).unwrap();
        assert_eq!(bytes.len(), 100_001);
        let mut counts = [0_u32; 256];
        bytes
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(
            counts.iter().all(|count| (280..520).contains(count)),
            "{counts:?}"
        );
    }
}
