//! AES-256-CTR with the vector instructions of x86: a key in, 32 blocks of keystream at a time out.

use std::arch::x86_64::{
    __m128i, __m512i, _mm_aeskeygenassist_si128, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_set_epi8,
    _mm_set_epi64x, _mm_set1_epi32, _mm512_add_epi64, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_loadu_si512, _mm512_set_epi64,
    _mm512_shuffle_epi8, _mm512_storeu_si512, _mm512_xor_si512,
};

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::BLOCK;

const ROUNDS: usize = 14;
/// Bytes of a vector register.
const VECTOR: usize = 64;
/// Vectors that are encrypted side by side: each round waits for the one before.
const LANES: usize = 8;
const STEP: usize = LANES * VECTOR;

/// The keys of all rounds. There is one only on a processor that has the instructions.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Schedule([[u8; BLOCK]; ROUNDS + 1]);

impl Schedule {
    /// None where the processor lacks the instructions.
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        let is_supported = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("vaes")
            && std::is_x86_feature_detected!("aes");
        // SAFETY: the processor has the instructions that the function is compiled for.
        is_supported.then(|| Self(unsafe { expand(key) }))
    }

    /// Appends `input` under the keystream from `counter` on, whose lower half must not overflow.
    pub(super) fn append(&self, counter: u128, input: &[u8], output: &mut Vec<u8>) {
        output.reserve(input.len());
        let (steps, rest) = input.as_chunks::<STEP>();
        // SAFETY: there is room for `input`; a schedule exists only where the processor has the instructions.
        unsafe {
            let room = output.as_mut_ptr().add(output.len());
            apply(&self.0, counter, steps, room);
            output.set_len(output.len() + steps.as_flattened().len());
        }
        if !rest.is_empty() {
            let mut padded = [0; STEP];
            padded[..rest.len()].copy_from_slice(rest);
            let counter = counter + (steps.len() * (STEP / BLOCK)) as u128;
            let mut last = [0; STEP];
            // SAFETY: as above, with room for one step.
            unsafe { apply(&self.0, counter, &[padded], last.as_mut_ptr()) };
            output.extend_from_slice(&last[..rest.len()]);
        }
    }
}

/// FIPS 197, 5.2.
#[target_feature(enable = "aes")]
fn expand(key: &[u8; 32]) -> [[u8; BLOCK]; ROUNDS + 1] {
    let mut words = [0_u32; 4 * (ROUNDS + 1)];
    let (key_words, _) = key.as_chunks();
    for (word, bytes) in words.iter_mut().zip(key_words) {
        *word = u32::from_le_bytes(*bytes);
    }
    for i in 8..words.len() {
        let before = words[i - 1];
        let mixed = match i % 8 {
            0 => substitute(before).rotate_right(8) ^ (1 << (i / 8 - 1)),
            4 => substitute(before),
            _ => before,
        };
        words[i] = words[i - 8] ^ mixed;
    }
    let mut keys = [[0; BLOCK]; ROUNDS + 1];
    let bytes = keys.as_flattened_mut().as_chunks_mut().0.iter_mut();
    bytes
        .zip(words)
        .for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    words.zeroize();
    keys
}

/// The S-box, of each byte.
#[target_feature(enable = "aes")]
fn substitute(word: u32) -> u32 {
    let substituted = _mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word.cast_signed()));
    _mm_cvtsi128_si32(substituted).cast_unsigned()
}

/// Writes `input` under the keystream to `output`.
///
/// # Safety
/// `output` must have room for as many bytes as `input` has.
#[target_feature(enable = "avx512f,avx512bw,vaes")]
unsafe fn apply(
    keys: &[[u8; BLOCK]; ROUNDS + 1],
    counter: u128,
    input: &[[u8; STEP]],
    output: *mut u8,
) {
    let keys = keys.map(|key| in_each_block(vector(&key)));
    // Counters are added as little-endian halves, and encrypted as big-endian numbers.
    let reverse = in_each_block(_mm_set_epi8(
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ));
    let first = _mm_set_epi64x(
        ((counter >> 64) as u64).cast_signed(),
        (counter as u64).cast_signed(),
    );
    let mut counters = _mm512_add_epi64(
        in_each_block(first),
        _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0),
    );
    let four = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
    for (number, step) in input.iter().enumerate() {
        let mut blocks = [counters; LANES];
        for block in &mut blocks {
            *block = _mm512_xor_si512(_mm512_shuffle_epi8(counters, reverse), keys[0]);
            counters = _mm512_add_epi64(counters, four);
        }
        for key in &keys[1..ROUNDS] {
            for block in &mut blocks {
                *block = _mm512_aesenc_epi128(*block, *key);
            }
        }
        for (lane, block) in blocks.into_iter().enumerate() {
            let keystream = _mm512_aesenclast_epi128(block, keys[ROUNDS]);
            // SAFETY: a step has LANES vectors, and the caller made room for all steps.
            unsafe {
                let bytes = _mm512_loadu_si512(step.as_ptr().add(lane * VECTOR).cast());
                let place = output.add(number * STEP + lane * VECTOR);
                _mm512_storeu_si512(place.cast(), _mm512_xor_si512(keystream, bytes));
            }
        }
    }
}

#[inline]
fn vector(bytes: &[u8; BLOCK]) -> __m128i {
    // SAFETY: 16 bytes are read of 16, and every x86-64 has the instruction.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn in_each_block(block: __m128i) -> __m512i {
    _mm512_broadcast_i32x4(block)
}
