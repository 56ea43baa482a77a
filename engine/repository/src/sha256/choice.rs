//! Which kernel for how many messages: measured once, in a fraction of a millisecond, because processors with the same instructions differ
//! by a factor of three in what these cost.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::lane::{Lane, advance_with};
use super::{Block, INITIAL, avx512, shani};

/// Blocks of each message that a kernel is measured with.
const SAMPLE: usize = 32;
/// The quickest of so many counts: the others were disturbed.
const ATTEMPTS: usize = 5;

/// What hashes one or more messages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kernel {
    /// `sha2`, one message.
    Single,
    /// SHA instructions, with so many messages side by side.
    Sha(usize),
    /// AVX-512, with up to sixteen.
    Wide,
}

/// For each number of messages from one on, the kernel to begin with.
#[derive(Debug)]
pub(super) struct Choice([Kernel; avx512::LANES]);

impl Choice {
    pub(super) fn of_this_machine() -> &'static Self {
        static CHOICE: OnceLock<Choice> = OnceLock::new();
        CHOICE.get_or_init(|| Self::cheapest(&costs()))
    }

    /// From what each kernel takes for as many blocks of each message: the cheapest way to hash every number of messages.
    fn cheapest(costs: &[(Kernel, Duration)]) -> Self {
        let mut choice = [Kernel::Single; avx512::LANES];
        let mut total = [Duration::ZERO; avx512::LANES + 1];
        for count in 1..=avx512::LANES {
            let ways = costs
                .iter()
                .filter(|(kernel, _)| *kernel == Kernel::Wide || kernel.takes() <= count)
                .map(|(kernel, cost)| {
                    (*cost + total[count.saturating_sub(kernel.takes())], *kernel)
                });
            if let Some((cost, kernel)) = ways.min_by_key(|(cost, _)| *cost) {
                total[count] = cost;
                choice[count - 1] = kernel;
            }
        }
        Self(choice)
    }

    /// How many messages side by side are as fast as it gets.
    pub(super) fn width(&self) -> usize {
        let [.., most] = self.0;
        match most {
            Kernel::Single => 1,
            // Several threes are no better than one; a fourth fills the gap when one of them ends.
            Kernel::Sha(_) => shani::LANES,
            Kernel::Wide => avx512::LANES,
        }
    }

    /// Hashes `count` blocks of every lane.
    pub(super) fn advance(&self, lanes: &mut [Lane<'_>], count: usize) {
        let mut rest = lanes;
        while !rest.is_empty() {
            let kernel = self.0[rest.len().min(avx512::LANES) - 1];
            let (now, later) = rest.split_at_mut(kernel.takes().min(rest.len()));
            kernel.advance(now, count);
            rest = later;
        }
    }
}

impl Kernel {
    /// How many messages it takes at most.
    fn takes(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Sha(lanes) => lanes,
            Self::Wide => avx512::LANES,
        }
    }

    fn advance(self, lanes: &mut [Lane<'_>], count: usize) {
        match self {
            Self::Single => lanes.iter_mut().for_each(|lane| lane.advance(count)),
            Self::Sha(2) => advance_with(shani::compress::<2>, lanes, count),
            Self::Sha(3) => advance_with(shani::compress::<3>, lanes, count),
            Self::Sha(_) => advance_with(shani::compress::<{ shani::LANES }>, lanes, count),
            Self::Wide => advance_with(avx512::compress, lanes, count),
        }
    }
}

/// What each kernel that this processor has takes for `SAMPLE` blocks of as many messages as it takes.
fn costs() -> Vec<(Kernel, Duration)> {
    let message = [[0x5a; size_of::<Block>()]; SAMPLE];
    let mut states = [INITIAL; avx512::LANES];
    let mut kernels = vec![Kernel::Single];
    if shani::is_supported() {
        kernels.extend((2..=shani::LANES).map(Kernel::Sha));
    }
    if avx512::is_supported() {
        kernels.push(Kernel::Wide);
    }
    let mut time = |kernel: Kernel| {
        let mut lanes: Vec<Lane> = states
            .iter_mut()
            .take(kernel.takes())
            .map(|state| Lane::new(state, &message))
            .collect();
        let start = Instant::now();
        kernel.advance(&mut lanes, SAMPLE);
        start.elapsed()
    };
    let mut quickest = |kernel| (0..ATTEMPTS).map(|_| time(kernel)).min();
    kernels
        .iter()
        .map(|kernel| (*kernel, quickest(*kernel).unwrap_or(Duration::MAX)))
        .collect()
}

#[cfg(test)]
mod tests {
    use sha2::block_api::compress256;

    use super::*;
    use crate::testing::noise;

    fn micros(costs: &[(Kernel, u64)]) -> Choice {
        let costs = costs
            .iter()
            .map(|(kernel, cost)| (*kernel, Duration::from_micros(*cost)));
        Choice::cheapest(&costs.collect::<Vec<_>>())
    }

    #[test]
    fn the_cheapest_kernels_are_taken_together() {
        use Kernel::{Sha, Single, Wide};
        let amd = [
            (Single, 55),
            (Sha(2), 62),
            (Sha(3), 90),
            (Sha(4), 115),
            (Wide, 470),
        ];
        let intel = [
            (Single, 104),
            (Sha(2), 174),
            (Sha(3), 235),
            (Sha(4), 411),
            (Wide, 780),
        ];
        let old = [(Single, 200), (Wide, 780)];
        for (costs, width, kernels) in [
            (&amd[..], 4, [(1, Single), (4, Sha(4)), (16, Sha(4))]),
            (&amd[..4], 4, [(2, Sha(2)), (3, Sha(3)), (16, Sha(4))]),
            (&intel, 16, [(3, Sha(3)), (9, Sha(3)), (16, Wide)]),
            (&old, 16, [(3, Single), (4, Wide), (16, Wide)]),
            (&old[..1], 1, [(1, Single), (2, Single), (16, Single)]),
        ] {
            let choice = micros(costs);
            assert_eq!(choice.width(), width, "{choice:?}");
            for (count, kernel) in kernels {
                assert_eq!(choice.0[count - 1], kernel, "{count} of {choice:?}");
            }
        }
    }

    #[test]
    fn every_kernel_gives_the_states_that_sha2_gives() {
        let data = noise(64 * 60, 3);
        let (blocks, _) = data.as_chunks::<64>();
        for (kernel, _) in costs() {
            for count in 1..=kernel.takes() {
                let mut states = [INITIAL; avx512::LANES];
                let mut lanes: Vec<Lane> = states
                    .iter_mut()
                    .take(count)
                    .zip(blocks.windows(30))
                    .map(|(state, blocks)| Lane::new(state, blocks))
                    .collect();
                kernel.advance(&mut lanes, 20);
                kernel.advance(&mut lanes, 10);
                assert!(lanes.iter().all(|lane| lane.left() == 0));
                for (state, blocks) in states.iter().take(count).zip(blocks.windows(30)) {
                    let mut expected = INITIAL;
                    compress256(&mut expected, blocks);
                    assert_eq!(*state, expected, "{kernel:?} with {count} messages");
                }
            }
        }
    }
}
