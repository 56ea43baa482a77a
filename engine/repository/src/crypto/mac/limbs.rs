//! Numbers modulo 2^130 - 5 in limbs of 44, 44 and 42 bits, so that a product of two limbs and its carries fit what multiplies them.

/// `l[0] + l[1] · 2^44 + l[2] · 2^88`. A limb may be a few bits longer than its share.
pub(super) type Limbs = [u64; 3];

pub(super) const MASK44: u64 = (1 << 44) - 1;
pub(super) const MASK42: u64 = (1 << 42) - 1;

/// What a limb beyond 2^130 counts for in the limb three below it: 2^132 is 4 · 5.
pub(super) const WRAP: u64 = 20;

/// `low`, and 2^128 where `bit_128` is 1.
pub(super) fn limbs_of(low: u128, bit_128: u64) -> Limbs {
    [
        low as u64 & MASK44,
        (low >> 44) as u64 & MASK44,
        (low >> 88) as u64 | bit_128 << 40,
    ]
}

pub(super) fn sum(a: Limbs, b: Limbs) -> Limbs {
    std::array::from_fn(|i| a[i] + b[i])
}

pub(super) fn product(a: Limbs, b: Limbs) -> Limbs {
    let times = |x: u64, y: u64| u128::from(x) * u128::from(y);
    let (wrapped1, wrapped2) = (WRAP * b[1], WRAP * b[2]);
    carried([
        times(a[0], b[0]) + times(a[1], wrapped2) + times(a[2], wrapped1),
        times(a[0], b[1]) + times(a[1], b[0]) + times(a[2], wrapped2),
        times(a[0], b[2]) + times(a[1], b[1]) + times(a[2], b[0]),
    ])
}

/// Brings limbs that are too long back to their shares; the second may keep a bit more.
pub(super) fn carried(long: [u128; 3]) -> Limbs {
    let second = long[1] + (long[0] >> 44);
    let third = long[2] + (second >> 44);
    let first = (long[0] as u64 & MASK44) + 5 * (third >> 42) as u64;
    [
        first & MASK44,
        (second as u64 & MASK44) + (first >> 44),
        third as u64 & MASK42,
    ]
}

/// The number itself, below 2^130 - 5, modulo 2^128.
pub(super) fn reduced(limbs: Limbs) -> u128 {
    // Twice: the first carry out of the third limb may set off another one.
    let [a, b, c] = carried(carried(limbs.map(u128::from)).map(u128::from)).map(u128::from);
    let low = a.wrapping_add(b << 44).wrapping_add(c << 88);
    let above = (c + ((a + (b << 44)) >> 88)) >> 40;
    // At least 2^130 - 5 exactly when five more reach 2^130.
    let (plus_five, carry) = low.overflowing_add(5);
    if above + u128::from(carry) >= 4 {
        plus_five
    } else {
        low
    }
}
