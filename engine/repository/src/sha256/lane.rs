//! Messages side by side: as many blocks of each in, their states advanced, by whichever kernel is fastest for so many.

use sha2::block_api::compress256;

use super::{Block, State};

/// A message that is being hashed.
pub(super) struct Lane<'m> {
    state: &'m mut State,
    blocks: &'m [Block],
}

impl<'m> Lane<'m> {
    pub(super) fn new(state: &'m mut State, blocks: &'m [Block]) -> Self {
        Self { state, blocks }
    }

    /// How many blocks are still to be hashed.
    pub(super) fn left(&self) -> usize {
        self.blocks.len()
    }

    fn take(&mut self, count: usize) -> &'m [Block] {
        let (now, later) = self.blocks.split_at(count);
        self.blocks = later;
        now
    }
}

/// How many messages side by side are as fast as it gets: with more to come it is worth waiting for so many.
pub(crate) fn width() -> usize {
    #[cfg(target_arch = "x86_64")]
    return super::choice::Choice::of_this_machine().width();
    #[cfg(not(target_arch = "x86_64"))]
    1
}

/// Hashes `count` blocks of every lane, of which there are at most [`width`].
#[cfg(target_arch = "x86_64")]
pub(super) fn advance(lanes: &mut [Lane<'_>], count: usize) {
    super::choice::Choice::of_this_machine().advance(lanes, count);
}

/// Hashes `count` blocks of every lane, one lane after another.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn advance(lanes: &mut [Lane<'_>], count: usize) {
    lanes.iter_mut().for_each(|lane| lane.advance(count));
}

impl Lane<'_> {
    /// By itself.
    pub(super) fn advance(&mut self, count: usize) {
        let blocks = self.take(count);
        compress256(self.state, blocks);
    }
}

/// Hashes `count` blocks of `lanes` with a kernel that takes `N`. There may be fewer: then the kernel hashes the first one several times.
#[cfg(target_arch = "x86_64")]
pub(super) fn advance_with<const N: usize>(
    kernel: impl FnOnce(&mut [State; N], [&[Block]; N]),
    lanes: &mut [Lane<'_>],
    count: usize,
) {
    let Some(first) = lanes.first() else {
        return;
    };
    let mut states = [*first.state; N];
    let mut blocks = [first.blocks.split_at(count).0; N];
    for ((lane, state), blocks) in lanes.iter_mut().zip(&mut states).zip(&mut blocks) {
        *state = *lane.state;
        *blocks = lane.take(count);
    }
    kernel(&mut states, blocks);
    for (lane, state) in lanes.iter_mut().zip(states) {
        *lane.state = state;
    }
}
