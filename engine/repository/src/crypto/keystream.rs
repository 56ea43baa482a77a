//! AES-256 in counter mode with a 128-bit big-endian counter (NIST SP 800-38A, 6.5). Bytes in, the same bytes under the keystream out.
//!
//! Processors with AVX-512 and VAES encrypt four blocks with an instruction, and bytes are read and written once (found out when the program
//! runs). Elsewhere the crates `aes` and `ctr` do it, which the tests compare every kernel with.

#[cfg(target_arch = "x86_64")]
mod x86;

use aes::Aes256Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors::Ctr128BE};
use zeroize::ZeroizeOnDrop;

const BLOCK: usize = 16;

/// A key with its schedule.
#[derive(ZeroizeOnDrop)]
pub(super) struct Cipher {
    portable: Aes256Enc,
    #[cfg(target_arch = "x86_64")]
    wide: Option<x86::Schedule>,
}

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            portable: Aes256Enc::new(key.into()),
            #[cfg(target_arch = "x86_64")]
            wide: x86::Schedule::new(key),
        }
    }

    /// The keystream that begins with the encrypted `iv`.
    pub(super) fn keystream(&self, iv: &[u8; BLOCK]) -> Keystream<'_> {
        Keystream {
            cipher: self,
            counter: u128::from_be_bytes(*iv),
        }
    }
}

/// What bytes are hidden under, block after block.
pub(super) struct Keystream<'k> {
    cipher: &'k Cipher,
    /// Of the next block.
    counter: u128,
}

impl Keystream<'_> {
    /// Appends `input` under the keystream to `output`. Only the last piece may end within a block.
    pub(super) fn append(&mut self, input: &[u8], output: &mut Vec<u8>) {
        let counter = self.counter;
        let blocks = input.len().div_ceil(BLOCK);
        self.counter = counter.wrapping_add(blocks as u128);
        #[cfg(target_arch = "x86_64")]
        if let Some(schedule) = &self.cipher.wide
            // Its lanes count in 64 bits.
            && (counter as u64).checked_add(blocks as u64).is_some()
        {
            return schedule.append(counter, input, output);
        }
        self.append_portably(counter, input, output);
    }

    fn append_portably(&self, counter: u128, input: &[u8], output: &mut Vec<u8>) {
        let iv = counter.to_be_bytes();
        let core =
            CtrCore::<&Aes256Enc, Ctr128BE>::inner_iv_init(&self.cipher.portable, (&iv).into());
        let start = output.len();
        output.extend_from_slice(input);
        StreamCipherCoreWrapper::from_core(core).apply_keystream(&mut output[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_gives_the_keystream_of_the_crates() {
        let cipher = Cipher::new(&std::array::from_fn(|i| (i * 37) as u8));
        let input: Vec<u8> = (0..3000_u32).map(|i| (i * i) as u8).collect();
        for iv in [0, 1, u64::MAX as u128 - 5, u128::MAX - 5, 1 << 127] {
            for length in (0..600).chain([1023, 1024, 1025, 3000]) {
                let input = &input[..length];
                let mut expected = b"before".to_vec();
                let mut keystream = cipher.keystream(&u128::to_be_bytes(iv));
                keystream.append_portably(iv, input, &mut expected);
                let mut output = b"before".to_vec();
                keystream.append(input, &mut output);
                assert_eq!(output, expected, "{length} bytes from {iv}");
            }
        }
    }

    #[test]
    fn pieces_of_whole_blocks_continue_each_other() {
        let cipher = Cipher::new(&[7; 32]);
        let input = [0; 2000];
        let mut whole = Vec::new();
        cipher.keystream(&[0xff; BLOCK]).append(&input, &mut whole);
        let mut pieces = Vec::new();
        let mut keystream = cipher.keystream(&[0xff; BLOCK]);
        for piece in input.chunks(560) {
            keystream.append(piece, &mut pieces);
        }
        assert_eq!(pieces, whole);
    }
}
