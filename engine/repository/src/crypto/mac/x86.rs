//! Poly1305 with the vector instructions of x86: blocks of a message in, sixteen at a time, the polynomial's value out.
//!
//! Sixteen sums run side by side, each over every sixteenth block and multiplied by r^16 a step; at the end each is multiplied by the power
//! of r that its last block still lacks.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_loadu_si512, _mm512_madd52hi_epu64,
    _mm512_madd52lo_epu64, _mm512_mask_set1_epi64, _mm512_or_si512, _mm512_reduce_add_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::limbs::{Limbs, MASK42, MASK44, carried, limbs_of, product, reduced, sum};
use super::{BLOCK, SIZE};

/// Blocks in the lanes of a vector.
const LANES: usize = 8;
/// Blocks that a step takes, in two vectors: one multiplies while the other carries.
const WIDTH: usize = 2 * LANES;
const STEP: usize = WIDTH * BLOCK;
/// Which of eight blocks each lane holds, once their halves are brought together.
const ORDER: [usize; LANES] = [0, 4, 1, 5, 2, 6, 3, 7];

type Vector = [__m512i; 3];

/// What blocks are multiplied by. There is one only on a processor that has the instructions.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Powers {
    r: Limbs,
    /// r^16.
    step: Limbs,
    /// r^16 for the first block of the last step, down to r for its last, as the lanes hold them.
    last: [[[u64; LANES]; 3]; 2],
}

impl Powers {
    /// None where the processor lacks the instructions.
    pub(super) fn new(r: &[u8; 16]) -> Option<Self> {
        let is_supported =
            std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512ifma");
        is_supported.then(|| {
            let r = limbs_of(u128::from_le_bytes(*r), 0);
            let mut powers = [r; WIDTH];
            for i in 1..WIDTH {
                powers[i] = product(powers[i - 1], r);
            }
            let last = [0, LANES].map(|start| {
                [0, 1, 2].map(|limb| ORDER.map(|block| powers[WIDTH - 1 - start - block][limb]))
            });
            let step = powers[WIDTH - 1];
            powers.zeroize();
            Self { r, step, last }
        })
    }
}

/// A polynomial in the making.
pub(super) struct Evaluation<'k> {
    powers: &'k Powers,
    value: Limbs,
    pad: u128,
}

impl<'k> Evaluation<'k> {
    pub(super) fn new(powers: &'k Powers, pad: &[u8; 16]) -> Self {
        Self {
            powers,
            value: [0; 3],
            pad: u128::from_le_bytes(*pad),
        }
    }

    /// Only the last piece may end within a block.
    pub(super) fn update(&mut self, piece: &[u8]) {
        let (steps, rest) = piece.as_chunks();
        if !steps.is_empty() {
            // SAFETY: powers exist only where the processor has the instructions that the function is compiled for.
            self.value = unsafe { evaluate(self.powers, self.value, steps) };
        }
        let (blocks, rest) = rest.as_chunks();
        for block in blocks {
            self.add(limbs_of(u128::from_le_bytes(*block), 1));
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            block[rest.len()] = 1;
            self.add(limbs_of(u128::from_le_bytes(block), 0));
        }
    }

    pub(super) fn finish(self) -> [u8; SIZE] {
        reduced(self.value).wrapping_add(self.pad).to_le_bytes()
    }

    fn add(&mut self, block: Limbs) {
        self.value = product(sum(self.value, block), self.powers.r);
    }
}

/// The polynomial's value after `steps`, of which there is at least one.
#[target_feature(enable = "avx512f,avx512ifma")]
fn evaluate(powers: &Powers, value: Limbs, steps: &[[u8; STEP]]) -> Limbs {
    let r = powers
        .step
        .map(|limb| _mm512_set1_epi64(limb.cast_signed()));
    let wrapped = wrapped(r);
    // What came before belongs to the first block.
    let before =
        value.map(|limb| _mm512_mask_set1_epi64(_mm512_setzero_si512(), 1, limb.cast_signed()));
    let (mut first, mut second) = (before, [_mm512_setzero_si512(); 3]);
    for (number, step) in steps.iter().enumerate() {
        if number > 0 {
            first = times(first, r, wrapped);
            second = times(second, r, wrapped);
        }
        let (head, tail) = step.split_at(STEP / 2);
        first = plus(first, blocks(head));
        second = plus(second, blocks(tail));
    }
    let [first, second] =
        [(first, powers.last[0]), (second, powers.last[1])].map(|(sum, power)| {
            // SAFETY: 64 bytes are read of eight times eight.
            let power = power.map(|lanes| unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) });
            times(sum, power, self::wrapped(power))
        });
    carried(
        plus(first, second).map(|limb| u128::from(_mm512_reduce_add_epi64(limb).cast_unsigned())),
    )
}

/// The limbs of eight blocks, each with the bit that ends it.
#[inline]
#[target_feature(enable = "avx512f")]
fn blocks(bytes: &[u8]) -> Vector {
    debug_assert_eq!(bytes.len(), STEP / 2);
    // SAFETY: two times 64 bytes are read of 128.
    let (a, b) = unsafe {
        let start = bytes.as_ptr();
        (
            _mm512_loadu_si512(start.cast()),
            _mm512_loadu_si512(start.add(STEP / 4).cast()),
        )
    };
    let low = _mm512_unpacklo_epi64(a, b);
    let high = _mm512_unpackhi_epi64(a, b);
    let mask = _mm512_set1_epi64(MASK44.cast_signed());
    let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
    let end = _mm512_set1_epi64(1 << 40);
    [
        _mm512_and_si512(low, mask),
        _mm512_and_si512(middle, mask),
        _mm512_or_si512(_mm512_srli_epi64::<24>(high), end),
    ]
}

/// Twenty times the second and third limb: what they count for where a product passes 2^130.
#[inline]
#[target_feature(enable = "avx512f")]
fn wrapped(r: Vector) -> [__m512i; 2] {
    [r[1], r[2]]
        .map(|limb| _mm512_add_epi64(_mm512_slli_epi64::<4>(limb), _mm512_slli_epi64::<2>(limb)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn plus(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|i| _mm512_add_epi64(a[i], b[i]))
}

/// `a · r`, lane by lane. Products come as their lower and upper 52 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn times(a: Vector, r: Vector, wrapped: [__m512i; 2]) -> Vector {
    let [wrapped1, wrapped2] = wrapped;
    let add = |a, b| _mm512_add_epi64(a, b);
    let low = |factors: [__m512i; 3]| {
        let sum = _mm512_madd52lo_epu64(_mm512_setzero_si512(), a[0], factors[0]);
        let sum = _mm512_madd52lo_epu64(sum, a[1], factors[1]);
        _mm512_madd52lo_epu64(sum, a[2], factors[2])
    };
    let high = |factors: [__m512i; 3]| {
        let sum = _mm512_madd52hi_epu64(_mm512_setzero_si512(), a[0], factors[0]);
        let sum = _mm512_madd52hi_epu64(sum, a[1], factors[1]);
        _mm512_madd52hi_epu64(sum, a[2], factors[2])
    };
    let factors = [
        [r[0], wrapped2, wrapped1],
        [r[1], r[0], wrapped2],
        [r[2], r[1], r[0]],
    ];
    let [low0, low1, low2] = factors.map(low);
    let [high0, high1, high2] = factors.map(high);
    let mask = _mm512_set1_epi64(MASK44.cast_signed());

    // 2^52 is 2^8 of the next limb, and 2^10 of what comes after the third.
    let carry = add(_mm512_srli_epi64::<44>(low0), _mm512_slli_epi64::<8>(high0));
    let low1 = add(low1, carry);
    let carry = add(_mm512_srli_epi64::<44>(low1), _mm512_slli_epi64::<8>(high1));
    let low2 = add(low2, carry);
    let carry = add(
        _mm512_srli_epi64::<42>(low2),
        _mm512_slli_epi64::<10>(high2),
    );
    let five_times = add(carry, _mm512_slli_epi64::<2>(carry));
    let low0 = add(_mm512_and_si512(low0, mask), five_times);
    [
        _mm512_and_si512(low0, mask),
        add(_mm512_and_si512(low1, mask), _mm512_srli_epi64::<44>(low0)),
        _mm512_and_si512(low2, _mm512_set1_epi64(MASK42.cast_signed())),
    ]
}
