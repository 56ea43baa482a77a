//! SHA-256 of several messages at once. Messages in, ids out.
//!
//! One message alone leaves a CPU waiting: each step needs the result of the one before. Four messages side by side fill the gaps, which
//! about halves the time a byte takes on processors with SHA instructions (Intel and AMD; found out when the program runs). Elsewhere the
//! messages are hashed one after another by `sha2`, which the tests compare every kernel with.

#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::block_api::compress256;

use crate::id::Id;

/// Messages that are hashed side by side.
const LANES: usize = 4;
const BLOCK: usize = 64;
/// FIPS 180-4, 5.3.3.
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

type State = [u32; 8];
type Block = [u8; BLOCK];

/// A message whose bytes come piece by piece.
#[derive(Clone)]
pub(crate) struct Hasher {
    state: State,
    /// Bytes so far.
    length: u64,
    /// Those that do not fill a block yet, at its beginning.
    rest: Block,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            state: INITIAL,
            length: 0,
            rest: [0; BLOCK],
        }
    }
}

impl Hasher {
    /// Appends `bytes` to the message.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let blocks = self.take_in(bytes);
        compress256(&mut self.state, blocks);
    }

    /// The id of the message.
    pub(crate) fn finish(mut self) -> Id {
        let bits = self.length.wrapping_mul(8).to_be_bytes();
        let zeros = (BLOCK * 2 - 1 - bits.len() - self.filled()) % BLOCK;
        let mut padding = [0; BLOCK * 2];
        padding[0] = 0x80;
        padding[1 + zeros..1 + zeros + bits.len()].copy_from_slice(&bits);
        self.update(&padding[..1 + zeros + bits.len()]);
        let mut hash = [0; 32];
        for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        Id::from_bytes(hash)
    }

    fn filled(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Keeps what does not fill a block, and returns the blocks that are to be compressed. One that was begun before is compressed here.
    fn take_in<'b>(&mut self, bytes: &'b [u8]) -> &'b [Block] {
        let filled = self.filled();
        self.length += bytes.len() as u64;
        let mut bytes = bytes;
        if filled > 0 {
            let (head, tail) = bytes.split_at(bytes.len().min(BLOCK - filled));
            self.rest[filled..filled + head.len()].copy_from_slice(head);
            bytes = tail;
            if filled + head.len() < BLOCK {
                return &[];
            }
            compress256(&mut self.state, &[self.rest]);
        }
        let (blocks, rest) = bytes.as_chunks();
        self.rest[..rest.len()].copy_from_slice(rest);
        blocks
    }
}

/// The ids of `messages`, in their order.
pub(crate) fn ids_of<'m>(messages: impl IntoIterator<Item = &'m [u8]>) -> Vec<Id> {
    let messages: Vec<&[u8]> = messages.into_iter().collect();
    let mut hashers = vec![Hasher::default(); messages.len()];
    update_all(hashers.iter_mut().zip(messages));
    hashers.into_iter().map(Hasher::finish).collect()
}

/// Appends bytes to many messages, side by side. The longest come first, so that the lanes end together.
pub(crate) fn update_all<'m>(messages: impl IntoIterator<Item = (&'m mut Hasher, &'m [u8])>) {
    let mut waiting: Vec<Lane<'m>> = messages
        .into_iter()
        .map(|(hasher, bytes)| {
            let blocks = hasher.take_in(bytes);
            Lane {
                state: &mut hasher.state,
                blocks,
            }
        })
        .filter(|lane| !lane.blocks.is_empty())
        .collect();
    waiting.sort_unstable_by_key(|lane| lane.blocks.len());
    let mut lanes = Vec::with_capacity(LANES);
    loop {
        let free = LANES - lanes.len();
        lanes.extend(waiting.drain(waiting.len().saturating_sub(free)..).rev());
        let Some(shortest) = lanes.iter().map(|lane: &Lane| lane.blocks.len()).min() else {
            return;
        };
        advance(&mut lanes, shortest);
        lanes.retain(|lane| !lane.blocks.is_empty());
    }
}

/// A message that is being hashed.
struct Lane<'m> {
    state: &'m mut State,
    blocks: &'m [Block],
}

impl<'m> Lane<'m> {
    fn take(&mut self, count: usize) -> &'m [Block] {
        let (now, later) = self.blocks.split_at(count);
        self.blocks = later;
        now
    }
}

/// Hashes `count` blocks of every lane.
fn advance(lanes: &mut [Lane<'_>], count: usize) {
    #[cfg(target_arch = "x86_64")]
    if x86::is_supported() {
        match lanes {
            [a, b] => return side_by_side([a, b], count),
            [a, b, c] => return side_by_side([a, b, c], count),
            [a, b, c, d] => return side_by_side([a, b, c, d], count),
            _ => {}
        }
    }
    for lane in lanes {
        let blocks = lane.take(count);
        compress256(lane.state, blocks);
    }
}

#[cfg(target_arch = "x86_64")]
fn side_by_side<const N: usize>(mut lanes: [&mut Lane<'_>; N], count: usize) {
    let mut states = lanes.each_ref().map(|lane| *lane.state);
    let blocks = lanes.each_mut().map(|lane| lane.take(count));
    x86::compress(&mut states, blocks);
    for (lane, state) in lanes.iter_mut().zip(states) {
        *lane.state = state;
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::testing::noise;

    fn expected(bytes: &[u8]) -> Id {
        Id::from_bytes(Sha256::digest(bytes).into())
    }

    #[test]
    fn every_number_of_messages_of_any_length_hashes_as_sha2_does() {
        let data = noise(9000, 1);
        for count in 0..12 {
            for step in [0, 1, 55, 56, 63, 64, 65, 700] {
                let messages: Vec<&[u8]> = (0..count)
                    .map(|number| &data[number..number + (number * step) % 8000])
                    .collect();
                let ids: Vec<Id> = messages.iter().copied().map(expected).collect();
                assert_eq!(
                    ids_of(messages),
                    ids,
                    "{count} messages, {step} bytes apart"
                );
            }
        }
    }

    #[test]
    fn a_message_may_come_in_pieces_of_any_length() {
        let data = noise(1000, 2);
        for piece in 1..200 {
            let mut alone = Hasher::default();
            let mut together = vec![Hasher::default(); 3];
            for bytes in data.chunks(piece) {
                alone.update(bytes);
                update_all(together.iter_mut().map(|hasher| (hasher, bytes)));
            }
            assert_eq!(alone.finish(), expected(&data), "pieces of {piece}");
            for hasher in together {
                assert_eq!(hasher.finish(), expected(&data), "pieces of {piece}");
            }
        }
    }

    /// What a processor without the instructions does is compared with what this one does.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_kernel_gives_the_state_that_sha2_gives() {
        fn check<const N: usize>(blocks: &[Block]) {
            let mut states = [INITIAL; N];
            let messages = std::array::from_fn(|lane| &blocks[lane..lane + 20]);
            x86::compress(&mut states, messages);
            for (state, message) in states.into_iter().zip(messages) {
                let mut expected = INITIAL;
                compress256(&mut expected, message);
                assert_eq!(state, expected, "{N} lanes");
            }
        }
        if !x86::is_supported() {
            return;
        }
        let data = noise(64 * 30, 3);
        let (blocks, _) = data.as_chunks();
        check::<1>(blocks);
        check::<2>(blocks);
        check::<3>(blocks);
        check::<4>(blocks);
    }
}
