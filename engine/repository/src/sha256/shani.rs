//! SHA-256 with the SHA instructions of x86: blocks of N messages in, their states advanced.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::{Block, ROUND_CONSTANTS, State};

/// Messages side by side that keep the instructions busy.
pub(super) const LANES: usize = 4;

/// Whether this processor has the instructions.
pub(super) fn is_supported() -> bool {
    std::is_x86_feature_detected!("sha")
        && std::is_x86_feature_detected!("ssse3")
        && std::is_x86_feature_detected!("sse4.1")
}

/// Advances each state by the blocks of its message; all must have as many.
///
/// # Panics
/// Where the processor lacks the instructions.
pub(super) fn compress<const N: usize>(states: &mut [State; N], messages: [&[Block]; N]) {
    assert!(is_supported(), "callers ask first");
    // SAFETY: the processor has the instructions that the function is compiled for.
    unsafe { compress_all(states, messages) }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress_all<const N: usize>(states: &mut [State; N], messages: [&[Block]; N]) {
    let count = messages.iter().map(|blocks| blocks.len()).min();
    let count = count.unwrap_or(0);
    // Equal lengths, known to the compiler, keep bounds checks out of the loop.
    let messages = messages.map(|blocks| &blocks[..count]);
    let mut abef = states.map(|s| vector([s[5], s[4], s[1], s[0]]));
    let mut cdgh = states.map(|s| vector([s[7], s[6], s[3], s[2]]));
    for number in 0..count {
        let before = (abef, cdgh);
        let mut words = messages.map(|blocks| big_endian_words(&blocks[number]));
        for (quarter, constants) in ROUND_CONSTANTS.as_chunks().0.iter().enumerate() {
            let constants = vector(*constants);
            let mut sums = [constants; N];
            for lane in 0..N {
                let words = &mut words[lane];
                if quarter >= 4 {
                    words[quarter % 4] = next_words(words, quarter);
                }
                sums[lane] = _mm_add_epi32(words[quarter % 4], constants);
            }
            // Lane by lane within each step, not step by step within each lane: that is what fills the gaps.
            for lane in 0..N {
                cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sums[lane]);
            }
            for lane in 0..N {
                let sums = _mm_shuffle_epi32(sums[lane], 0x0E);
                abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], sums);
            }
        }
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], before.0[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], before.1[lane]);
        }
    }
    for (state, (abef, cdgh)) in states.iter_mut().zip(abef.into_iter().zip(cdgh)) {
        let [f, e, b, a] = words_of(abef);
        let [h, g, d, c] = words_of(cdgh);
        *state = [a, b, c, d, e, f, g, h];
    }
}

/// The message schedule: four words from the sixteen before them, which lie in `words` as in a ring.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn next_words(words: &[__m128i; 4], quarter: usize) -> __m128i {
    let back = |quarters: usize| words[(quarter - quarters) % 4];
    let sum = _mm_add_epi32(
        _mm_sha256msg1_epu32(back(4), back(3)),
        _mm_alignr_epi8(back(1), back(2), 4),
    );
    _mm_sha256msg2_epu32(sum, back(1))
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn big_endian_words(block: &Block) -> [__m128i; 4] {
    let swap = _mm_set_epi64x(0x0C0D_0E0F_0809_0A0B, 0x0405_0607_0001_0203);
    let (halves, _) = block.as_chunks::<8>();
    let half = |number: usize| i64::from_le_bytes(halves[number]);
    let mut words = [_mm_setzero_si128(); 4];
    for (number, words) in words.iter_mut().enumerate() {
        *words = _mm_shuffle_epi8(_mm_set_epi64x(half(2 * number + 1), half(2 * number)), swap);
    }
    words
}

/// The first word is the lowest.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn vector([a, b, c, d]: [u32; 4]) -> __m128i {
    _mm_set_epi32(
        d.cast_signed(),
        c.cast_signed(),
        b.cast_signed(),
        a.cast_signed(),
    )
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn words_of(vector: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(vector).cast_unsigned(),
        _mm_extract_epi32::<1>(vector).cast_unsigned(),
        _mm_extract_epi32::<2>(vector).cast_unsigned(),
        _mm_extract_epi32::<3>(vector).cast_unsigned(),
    ]
}
