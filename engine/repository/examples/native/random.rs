//! Numbers that look random and are the same in every run.

/// SplitMix64 (Steele, Lea and Flood, 2014).
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

    /// A number around `mean`: from half of it to half more.
    pub(crate) fn around(&mut self, mean: u32) -> u32 {
        mean / 2 + (self.next() % u64::from(mean)) as u32
    }
}
