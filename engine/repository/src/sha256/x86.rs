//! SHA-256 with the SHA instructions of x86: blocks of N messages in, their states advanced.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::{Block, State};

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
        for quarter in 0..ROUND_CONSTANTS.len() {
            let constants = vector(ROUND_CONSTANTS[quarter]);
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

/// FIPS 180-4, 4.2.2.
const ROUND_CONSTANTS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];
