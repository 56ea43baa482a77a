//! Poly1305-AES (D. J. Bernstein, "The Poly1305-AES message-authentication code", 2005). A ciphertext in, its authenticator out.
//!
//! Processors with AVX-512 IFMA take sixteen blocks a step (found out when the program runs). Elsewhere the crate `poly1305` does it, which
//! the tests compare every kernel with.

#[cfg(target_arch = "x86_64")]
mod limbs;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::marker::PhantomData;

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use poly1305::universal_hash::{UniversalHash, common::array::Array};
use poly1305::{Block, Poly1305};
use zeroize::{ZeroizeOnDrop, Zeroizing};

pub(super) const SIZE: usize = 16;
const BLOCK: usize = 16;

/// The two halves of the key, and what is worked out of them once.
#[derive(ZeroizeOnDrop)]
pub(super) struct MacKey {
    k: [u8; 16],
    r: [u8; 16],
    cipher: Aes128Enc,
    #[cfg(target_arch = "x86_64")]
    wide: Option<x86::Powers>,
}

impl MacKey {
    /// `r` is clamped here, so it may be any 16 bytes.
    pub(super) fn new(k: &[u8; 16], r: &[u8; 16]) -> Self {
        let r = clamped(*r);
        Self {
            k: *k,
            r,
            cipher: Aes128Enc::new(k.into()),
            #[cfg(target_arch = "x86_64")]
            wide: x86::Powers::new(&r),
        }
    }

    /// The key of AES-128.
    pub(super) fn k(&self) -> &[u8; 16] {
        &self.k
    }

    /// The point at which the polynomial is evaluated, clamped.
    pub(super) fn r(&self) -> &[u8; 16] {
        &self.r
    }

    /// The authenticator of a message that comes piece by piece.
    pub(super) fn begin(&self, nonce: &[u8; 16]) -> Mac<'_> {
        let mut pad = Array::from(*nonce);
        self.cipher.encrypt_block(&mut pad);
        let pad = pad.into();
        #[cfg(target_arch = "x86_64")]
        if let Some(powers) = &self.wide {
            return Mac(Evaluation::Wide(x86::Evaluation::new(powers, &pad)));
        }
        let portable = Box::new(Portable::new(&self.r, &pad));
        Mac(Evaluation::Portable(portable, PhantomData))
    }
}

/// A polynomial whose coefficients are the blocks of a message.
pub(super) struct Mac<'k>(Evaluation<'k>);

enum Evaluation<'k> {
    #[cfg(target_arch = "x86_64")]
    Wide(x86::Evaluation<'k>),
    Portable(Box<Portable>, PhantomData<&'k MacKey>),
}

impl Mac<'_> {
    /// Only the last piece may end within a block.
    pub(super) fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            #[cfg(target_arch = "x86_64")]
            Evaluation::Wide(wide) => wide.update(piece),
            Evaluation::Portable(portable, _) => portable.update(piece),
        }
    }

    pub(super) fn finish(self) -> [u8; SIZE] {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Evaluation::Wide(wide) => wide.finish(),
            Evaluation::Portable(portable, _) => portable.finish(),
        }
    }
}

/// By the crate.
struct Portable {
    polynomial: Poly1305,
    rest: [u8; BLOCK],
    filled: usize,
}

impl Portable {
    fn new(r: &[u8; 16], pad: &[u8; 16]) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        key[..16].copy_from_slice(r);
        key[16..].copy_from_slice(pad);
        Self {
            polynomial: Poly1305::new((&*key).into()),
            rest: [0; BLOCK],
            filled: 0,
        }
    }

    fn update(&mut self, piece: &[u8]) {
        debug_assert_eq!(self.filled, 0, "a piece after the last");
        let (blocks, rest) = Block::slice_as_chunks(piece);
        self.polynomial.update(blocks);
        self.rest[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    fn finish(self) -> [u8; SIZE] {
        let rest = &self.rest[..self.filled];
        self.polynomial.compute_unpadded(rest).into()
    }
}

fn clamped(r: [u8; 16]) -> [u8; 16] {
    const MASK: u128 = 0x0ffffffc_0ffffffc_0ffffffc_0fffffff;
    (u128::from_le_bytes(r) & MASK).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::tests::bytes;
    use crate::id::hex;

    fn authenticator(key: &MacKey, nonce: &[u8; 16], pieces: &[&[u8]]) -> [u8; SIZE] {
        let mut mac = key.begin(nonce);
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.finish()
    }

    #[test]
    fn authenticators_are_those_of_the_paper() {
        // Appendix B: r, k, n, message, authenticator.
        for (r, k, n, message, expected) in [
            (
                "851fc40c3467ac0be05cc20404f3f700",
                "ec074c835580741701425b623235add6",
                "fb447350c4e868c52ac3275cf9d4327e",
                "f3f6",
                "f4c633c3044fc145f84f335cb81953de",
            ),
            (
                "a0f3080000f46400d0c7e9076c834403",
                "75deaa25c09f208e1dc4ce6b5cad3fbf",
                "61ee09218d29b0aaed7e154a2c5509cc",
                "",
                "dd3fab2251f11ac759f0887129cc2ee7",
            ),
            (
                "48443d0bb0d21109c89a100b5ce2c208",
                "6acb5f61a7176dd320c5c1eb2edcdc74",
                "ae212a55399729595dea458bc621ff0e",
                "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
                "0ee1c16bb73f0f4fd19881753c01cdbe",
            ),
        ] {
            let message: Vec<u8> = (0..message.len() / 2)
                .map(|i| u8::from_str_radix(&message[2 * i..2 * i + 2], 16).expect("is hex"))
                .collect();
            let key = MacKey::new(&bytes(k), &bytes(r));
            assert_eq!(hex(&authenticator(&key, &bytes(n), &[&message])), expected);
        }
    }

    #[test]
    fn every_kernel_gives_the_authenticator_of_the_crate() {
        let ragged: Vec<u8> = (0..2100_u32).map(|i| ((i * i) >> 3) as u8).collect();
        // All ones carry the furthest; a sum of exactly 2^130 - 5 or a little more must still be reduced.
        for (r, message) in [
            ([0x5a; 16], ragged.as_slice()),
            ([0xff; 16], &[0xff; 2100]),
            ([0xff; 16], ragged.as_slice()),
            ([0; 16], &[0xff; 2100]),
            (2_u128.to_le_bytes(), &[0xff; 2100]),
            (1_u128.to_le_bytes(), &[0xfb; 2100]),
        ] {
            let key = MacKey::new(&[3; 16], &r);
            for length in (0..=600).chain([1023, 1024, 2047, 2100]) {
                let message = &message[..length];
                let mut pad = Array::from([9; 16]);
                key.cipher.encrypt_block(&mut pad);
                let mut expected = Portable::new(&key.r, &pad.into());
                expected.update(message);
                let expected = expected.finish();
                let (head, tail) = message.split_at(length / 2 / BLOCK * BLOCK);
                for pieces in [&[message][..], &[head, tail]] {
                    assert_eq!(
                        authenticator(&key, &[9; 16], pieces),
                        expected,
                        "{length} bytes with r {r:?}"
                    );
                }
            }
        }
    }
}
