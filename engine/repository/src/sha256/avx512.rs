//! SHA-256 with vectors of sixteen words: blocks of sixteen messages in, their states advanced. A vector holds the same word of each.

use std::arch::x86_64::{
    __m512i, _mm_set_epi64x, _mm512_add_epi32, _mm512_broadcast_i32x4, _mm512_loadu_si512,
    _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::{Block, ROUND_CONSTANTS, State};

/// Messages that are hashed side by side.
pub(super) const LANES: usize = 16;

/// Truth tables of three bits: their sum without carry, a choice by the first, and their majority.
const XOR: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// Whether this processor has the instructions.
pub(super) fn is_supported() -> bool {
    std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw")
}

/// Advances each state by the blocks of its message; all must have as many.
///
/// # Panics
/// Where the processor lacks the instructions.
pub(super) fn compress(states: &mut [State; LANES], messages: [&[Block]; LANES]) {
    assert!(is_supported(), "callers ask first");
    // SAFETY: the processor has the instructions that the function is compiled for.
    unsafe { compress_all(states, messages) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress_all(states: &mut [State; LANES], messages: [&[Block]; LANES]) {
    let count = messages.iter().map(|blocks| blocks.len()).min();
    let count = count.unwrap_or(0);
    // Equal lengths, known to the compiler, keep bounds checks out of the loop.
    let messages = messages.map(|blocks| &blocks[..count]);
    let mut state: [__m512i; 8] =
        std::array::from_fn(|word| load(&states.each_ref().map(|state| state[word])));
    for number in 0..count {
        let mut words = transposed(messages.map(|blocks| &blocks[number]));
        let mut next = rounds(state, &words, 0);
        for quarter in 1..ROUND_CONSTANTS.len() / LANES {
            schedule(&mut words);
            next = rounds(next, &words, quarter);
        }
        for (word, next) in state.iter_mut().zip(next) {
            *word = _mm512_add_epi32(*word, next);
        }
    }
    for (number, word) in state.into_iter().enumerate() {
        for (state, value) in states.iter_mut().zip(stored(word)) {
            state[number] = value;
        }
    }
}

/// Sixteen rounds.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounds(state: [__m512i; 8], words: &[__m512i; 16], quarter: usize) -> [__m512i; 8] {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for (round, word) in words.iter().enumerate() {
        let constant = _mm512_set1_epi32(ROUND_CONSTANTS[16 * quarter + round].cast_signed());
        let mixed = xor(
            _mm512_ror_epi32::<6>(e),
            _mm512_ror_epi32::<11>(e),
            _mm512_ror_epi32::<25>(e),
        );
        let chosen = _mm512_ternarylogic_epi32::<CHOOSE>(e, f, g);
        let first = sum([h, mixed, chosen, _mm512_add_epi32(*word, constant)]);
        let mixed = xor(
            _mm512_ror_epi32::<2>(a),
            _mm512_ror_epi32::<13>(a),
            _mm512_ror_epi32::<22>(a),
        );
        let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
        let second = _mm512_add_epi32(mixed, majority);
        (h, g, f, e) = (g, f, e, _mm512_add_epi32(d, first));
        (d, c, b, a) = (c, b, a, _mm512_add_epi32(first, second));
    }
    [a, b, c, d, e, f, g, h]
}

/// The next sixteen words of the message schedule, in place of those that they follow.
#[inline]
#[target_feature(enable = "avx512f")]
fn schedule(words: &mut [__m512i; 16]) {
    for i in 0..16 {
        let (back15, back2) = (words[(i + 1) % 16], words[(i + 14) % 16]);
        let low = xor(
            _mm512_ror_epi32::<7>(back15),
            _mm512_ror_epi32::<18>(back15),
            _mm512_srli_epi32::<3>(back15),
        );
        let high = xor(
            _mm512_ror_epi32::<17>(back2),
            _mm512_ror_epi32::<19>(back2),
            _mm512_srli_epi32::<10>(back2),
        );
        words[i] = sum([words[i], low, words[(i + 9) % 16], high]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<XOR>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sum([a, b, c, d]: [__m512i; 4]) -> __m512i {
    _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
}

/// Word `i` of each block, for each `i`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transposed(blocks: [&Block; LANES]) -> [__m512i; 16] {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0C0D_0E0F_0809_0A0B, 0x0405_0607_0001_0203));
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, block) in rows.iter_mut().zip(blocks) {
        // SAFETY: a block has 64 bytes.
        let block = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        *row = _mm512_shuffle_epi8(block, swap);
    }
    // Squares of four by four words first, then squares of these.
    for square in rows.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *square;
        let (low_ab, high_ab) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (low_cd, high_cd) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        *square = [
            _mm512_unpacklo_epi64(low_ab, low_cd),
            _mm512_unpackhi_epi64(low_ab, low_cd),
            _mm512_unpacklo_epi64(high_ab, high_cd),
            _mm512_unpackhi_epi64(high_ab, high_cd),
        ];
    }
    let mut words = rows;
    for i in 0..4 {
        let (a, b, c, d) = (rows[i], rows[4 + i], rows[8 + i], rows[12 + i]);
        let (ab, cd) = (
            _mm512_shuffle_i32x4::<0x44>(a, b),
            _mm512_shuffle_i32x4::<0x44>(c, d),
        );
        words[i] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
        words[4 + i] = _mm512_shuffle_i32x4::<0xdd>(ab, cd);
        let (ab, cd) = (
            _mm512_shuffle_i32x4::<0xee>(a, b),
            _mm512_shuffle_i32x4::<0xee>(c, d),
        );
        words[8 + i] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
        words[12 + i] = _mm512_shuffle_i32x4::<0xdd>(ab, cd);
    }
    words
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[u32; LANES]) -> __m512i {
    // SAFETY: 64 bytes are read of sixteen times four.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn stored(vector: __m512i) -> [u32; LANES] {
    let mut values = [0; LANES];
    // SAFETY: 64 bytes are written to sixteen times four.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) };
    values
}
