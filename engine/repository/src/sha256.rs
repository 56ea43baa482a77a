//! SHA-256 of several messages at once. Messages in, ids out.
//!
//! One message alone leaves a CPU waiting: each step needs the result of the one before. Messages side by side fill the gaps, which about
//! halves the time a byte takes: up to four with SHA instructions, sixteen with AVX-512. Which of them is faster differs from processor to
//! processor and is found out when the program runs. Elsewhere the messages are hashed one after another by `sha2`, which the tests compare
//! every kernel with.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod choice;
mod lane;
#[cfg(target_arch = "x86_64")]
mod shani;

use sha2::block_api::compress256;

pub(crate) use self::lane::width;
use self::lane::{Lane, advance};
use crate::id::Id;

pub(crate) const BLOCK: usize = 64;
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

/// FIPS 180-4, 4.2.2.
#[cfg(target_arch = "x86_64")]
const ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
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
#[cfg(any(test, feature = "testing"))]
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
            Lane::new(&mut hasher.state, blocks)
        })
        .filter(|lane| lane.left() > 0)
        .collect();
    waiting.sort_unstable_by_key(Lane::left);
    let width = width();
    let mut lanes: Vec<Lane> = Vec::with_capacity(width);
    loop {
        let free = width - lanes.len();
        lanes.extend(waiting.drain(waiting.len().saturating_sub(free)..).rev());
        let Some(shortest) = lanes.iter().map(Lane::left).min() else {
            return;
        };
        advance(&mut lanes, shortest);
        lanes.retain(|lane| lane.left() > 0);
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
        for count in 0..40 {
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
}
