//! Content-defined chunking: a stream in, the lengths of its chunks out.
//!
//! FastCDC (Xia et al., USENIX ATC 2016): a gear hash with normalised masks. Where a stream is cut depends on its content alone, so that
//! bytes inserted near its beginning change a chunk or two and no more. The gear table is derived from the repository's polynomial,
//! which is secret: the lengths of chunks do not tell which known file they belong to.

use sha2::{Digest, Sha256};

use crate::polynomial::Polynomial;

/// No chunk is shorter, but for the last of a stream.
pub const MIN_SIZE: usize = 512 * 1024;
/// Cuts become sixteen times as likely from here on.
const NORMAL_SIZE: usize = 1024 * 1024;
/// No chunk is longer.
pub const MAX_SIZE: usize = 8 * 1024 * 1024;

/// The high bits of a gear hash see the widest window, 64 bytes.
const MASK_BEFORE_NORMAL: u64 = high_bits(22);
const MASK_AFTER_NORMAL: u64 = high_bits(18);

const fn high_bits(count: u32) -> u64 {
    u64::MAX << (64 - count)
}

/// Finds the cuts of one repository.
#[derive(Clone)]
pub struct Chunker {
    gear: Box<[u64; 256]>,
}

impl Chunker {
    /// The chunker that all repositories with this polynomial share.
    pub fn new(polynomial: Polynomial) -> Self {
        let mut gear = Box::new([0; 256]);
        for (byte, value) in (0..=u8::MAX).zip(gear.iter_mut()) {
            let digest = Sha256::new()
                .chain_update(b"strongroom gear table")
                .chain_update(polynomial.bits().to_be_bytes())
                .chain_update([byte])
                .finalize();
            *value = digest
                .iter()
                .take(8)
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        Self { gear }
    }

    /// The length of the chunk at the beginning of `data`, or `None` where more bytes are needed to tell.
    ///
    /// Whoever has no more bytes takes all of `data` as the last chunk. Never `None` for [`MAX_SIZE`] bytes and more.
    pub fn cut(&self, data: &[u8]) -> Option<usize> {
        let end = data.len().min(MAX_SIZE);
        let normal = end.min(NORMAL_SIZE);
        let mut hash = 0;
        self.scan(data, MIN_SIZE, normal, MASK_BEFORE_NORMAL, &mut hash)
            .or_else(|| {
                self.scan(
                    data,
                    normal.max(MIN_SIZE),
                    end,
                    MASK_AFTER_NORMAL,
                    &mut hash,
                )
            })
            .or((end == MAX_SIZE).then_some(MAX_SIZE))
    }

    fn scan(
        &self,
        data: &[u8],
        from: usize,
        to: usize,
        mask: u64,
        hash: &mut u64,
    ) -> Option<usize> {
        let window = data.get(from..to)?;
        let gear = |byte: u8| self.gear[usize::from(byte)];
        let mut value = *hash;
        // Two bytes a step: the next step waits for one shift and one addition, not for two.
        let (pairs, last) = window.as_chunks();
        for (number, &[first, second]) in pairs.iter().enumerate() {
            let middle = (value << 1).wrapping_add(gear(first));
            value = (value << 2).wrapping_add((gear(first) << 1).wrapping_add(gear(second)));
            if middle & mask == 0 {
                return Some(from + 2 * number + 1);
            }
            if value & mask == 0 {
                return Some(from + 2 * number + 2);
            }
        }
        for byte in last {
            value = (value << 1).wrapping_add(gear(*byte));
            if value & mask == 0 {
                return Some(to);
            }
        }
        *hash = value;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    fn chunker() -> Chunker {
        Chunker::new(Polynomial::new(0x003D_A335_8B4D_C173).expect("irreducible"))
    }

    fn chunks(mut data: &[u8]) -> Vec<&[u8]> {
        let chunker = chunker();
        let mut chunks = Vec::new();
        while !data.is_empty() {
            let (chunk, rest) = data.split_at(chunker.cut(data).unwrap_or(data.len()));
            chunks.push(chunk);
            data = rest;
        }
        chunks
    }

    #[test]
    fn chunks_are_between_minimum_and_maximum_and_about_a_mebibyte() {
        let data = noise(64 << 20, 7);
        let chunks = chunks(&data);
        let (_, all_but_last) = chunks.split_last().expect("chunks");
        assert!(
            all_but_last
                .iter()
                .all(|chunk| (MIN_SIZE..=MAX_SIZE).contains(&chunk.len()))
        );
        let average = data.len() / chunks.len();
        assert!(
            (900 << 10..1400 << 10).contains(&average),
            "average of {average} bytes"
        );
    }

    #[test]
    fn bytes_inserted_at_the_beginning_leave_most_chunks_alone() {
        let data = noise(16 << 20, 9);
        let shifted = [&b"inserted"[..], &data].concat();
        let before = chunks(&data);
        let after = chunks(&shifted);
        let kept = after.iter().filter(|chunk| before.contains(chunk)).count();
        assert!(
            kept + 3 >= before.len(),
            "{kept} of {} chunks kept",
            before.len()
        );
    }

    /// As the paper has it, a byte at a time.
    fn plain_cut(chunker: &Chunker, data: &[u8]) -> Option<usize> {
        let mut hash = 0_u64;
        for (position, byte) in data.iter().enumerate().take(MAX_SIZE).skip(MIN_SIZE) {
            hash = (hash << 1).wrapping_add(chunker.gear[usize::from(*byte)]);
            let mask = if position < NORMAL_SIZE {
                MASK_BEFORE_NORMAL
            } else {
                MASK_AFTER_NORMAL
            };
            if hash & mask == 0 {
                return Some(position + 1);
            }
        }
        (data.len() >= MAX_SIZE).then_some(MAX_SIZE)
    }

    #[test]
    fn two_bytes_a_step_cut_where_one_byte_a_step_cuts() {
        let chunker = chunker();
        let data = noise(16 << 20, 13);
        // Odd and even starts and ends.
        for start in (0..6 << 20).step_by(777_777) {
            for length in [
                MIN_SIZE + 1,
                NORMAL_SIZE - 1,
                3 << 20,
                (3 << 20) + 1,
                9 << 20,
            ] {
                let data = &data[start..start + length];
                assert_eq!(
                    chunker.cut(data),
                    plain_cut(&chunker, data),
                    "{length} bytes from {start}"
                );
            }
        }
    }

    #[test]
    fn a_constant_stream_is_cut_at_the_maximum() {
        assert_eq!(chunker().cut(&vec![0; MAX_SIZE + 1]), Some(MAX_SIZE));
    }

    #[test]
    fn a_short_stream_needs_more_bytes() {
        assert_eq!(chunker().cut(&noise(MIN_SIZE, 3)), None);
        assert_eq!(chunker().cut(&[]), None);
    }

    #[test]
    fn the_cut_does_not_depend_on_what_follows() {
        let data = noise(12 << 20, 11);
        let cut = chunker().cut(&data).expect("a cut");
        assert_eq!(chunker().cut(&data[..cut]), Some(cut));
        assert_eq!(chunker().cut(&data[..cut - 1]), None);
    }
}
