//! Sealing: bytes go in, `IV(16) ‖ ciphertext ‖ MAC(16)` comes out, and the other way round. AES-256-CTR with a 128-bit big-endian counter,
//! and Poly1305-AES over the ciphertext, as restic has it.

mod keystream;
mod mac;

use std::fmt;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use self::keystream::Cipher;
use self::mac::MacKey;
use crate::{Error, Result};

/// Bytes that sealing adds: the IV before and the MAC behind.
pub const OVERHEAD: usize = IV_SIZE + MAC_SIZE;

/// Bytes of the IV at the head of everything sealed.
const IV_SIZE: usize = 16;

const MAC_SIZE: usize = mac::SIZE;

/// The key of a repository, or of a key file. Its schedules are built once; sealing and opening take `&self`, from any thread.
///
/// Overwritten in memory when dropped, and hidden from `Debug`.
#[derive(ZeroizeOnDrop)]
pub struct MasterKey {
    encrypt: [u8; 32],
    cipher: Cipher,
    mac: MacKey,
}

impl MasterKey {
    /// From its three parts. `mac_r` is clamped here, so it may be any 16 bytes.
    pub fn new(encrypt: &[u8; 32], mac_k: &[u8; 16], mac_r: &[u8; 16]) -> Self {
        Self {
            encrypt: *encrypt,
            cipher: Cipher::new(encrypt),
            mac: MacKey::new(mac_k, mac_r),
        }
    }

    /// A new random key.
    pub fn generate() -> Self {
        let mut encrypt = Zeroizing::new([0; 32]);
        let mut mac = Zeroizing::new([[0; 16]; 2]);
        random(encrypt.as_mut_slice());
        random(mac.as_flattened_mut());
        Self::new(&encrypt, &mac[0], &mac[1])
    }

    /// The key of AES-256.
    pub(crate) fn encrypt(&self) -> &[u8; 32] {
        &self.encrypt
    }

    /// The key of AES-128 within the MAC.
    pub(crate) fn mac_k(&self) -> &[u8; 16] {
        self.mac.k()
    }

    /// The point at which the MAC's polynomial is evaluated, clamped.
    pub(crate) fn mac_r(&self) -> &[u8; 16] {
        self.mac.r()
    }

    /// Appends `plaintext`, sealed, to `buffer`.
    pub fn seal_into(&self, plaintext: &[u8], buffer: &mut Vec<u8>) {
        let mut iv = [0; IV_SIZE];
        random(&mut iv);
        self.seal_with(&iv, plaintext, buffer);
    }

    /// Seals `plaintext` into a new buffer of [`OVERHEAD`] more bytes.
    pub fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(plaintext.len() + OVERHEAD);
        self.seal_into(plaintext, &mut buffer);
        buffer
    }

    fn seal_with(&self, iv: &[u8; IV_SIZE], plaintext: &[u8], buffer: &mut Vec<u8>) {
        buffer.reserve(plaintext.len() + OVERHEAD);
        buffer.extend_from_slice(iv);
        let mut keystream = self.cipher.keystream(iv);
        let mut mac = self.mac.begin(iv);
        for tile in plaintext.chunks(TILE) {
            let start = buffer.len();
            keystream.append(tile, buffer);
            mac.update(&buffer[start..]);
        }
        buffer.extend_from_slice(&mac.finish());
    }

    /// Verifies `sealed` and replaces `plaintext` by its content. Memory that `plaintext` has is used again.
    ///
    /// Fails with [`ErrorKind::Corrupted`](crate::ErrorKind::Corrupted), and leaves `plaintext` empty, where the bytes or the key are not those of sealing.
    pub fn open_into(&self, sealed: &[u8], plaintext: &mut Vec<u8>) -> Result<()> {
        plaintext.clear();
        let (iv, content, expected) = parts(sealed)?;
        plaintext.reserve(content.len());
        let mut keystream = self.cipher.keystream(iv);
        let mut mac = self.mac.begin(iv);
        for tile in content.chunks(TILE) {
            mac.update(tile);
            keystream.append(tile, plaintext);
        }
        if !same(&mac.finish(), expected) {
            plaintext.clear();
            return Err(damaged());
        }
        Ok(())
    }

    /// Verifies that `sealed` opens to `plaintext`, without room for a second copy of it.
    ///
    /// Fails with [`ErrorKind::Corrupted`](crate::ErrorKind::Corrupted) where it does not.
    pub fn expect_opens_to(&self, sealed: &[u8], plaintext: &[u8]) -> Result<()> {
        let (iv, content, expected) = parts(sealed)?;
        let mut keystream = self.cipher.keystream(iv);
        let mut mac = self.mac.begin(iv);
        let mut opened = Vec::with_capacity(TILE);
        let mut equal = content.len() == plaintext.len();
        for (tile, plain) in content.chunks(TILE).zip(plaintext.chunks(TILE)) {
            mac.update(tile);
            opened.clear();
            keystream.append(tile, &mut opened);
            equal &= opened == plain;
        }
        if equal && same(&mac.finish(), expected) {
            Ok(())
        } else {
            Err(damaged())
        }
    }

    /// Verifies `sealed` and returns its content.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut plaintext = Vec::new();
        self.open_into(sealed, &mut plaintext)?;
        Ok(plaintext)
    }
}

/// What a pass over the bytes works on at a time: cipher and MAC find it in the first-level cache.
const TILE: usize = 16 * 1024;

/// IV, ciphertext and MAC.
fn parts(sealed: &[u8]) -> Result<(&[u8; IV_SIZE], &[u8], &[u8; MAC_SIZE])> {
    sealed
        .split_first_chunk()
        .and_then(|(iv, rest)| {
            let (content, mac) = rest.split_last_chunk()?;
            Some((iv, content, mac))
        })
        .ok_or_else(|| Error::corrupted("it is too short to be encrypted data"))
}

fn damaged() -> Error {
    Error::corrupted("its encrypted data is damaged")
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Fills `bytes` from the operating system's generator: half a microsecond, and safe after a fork or when a virtual machine is cloned, where
/// a generator of our own would repeat an IV and give the plaintext away.
///
/// # Panics
/// When the system has no generator, which it would have said before anything was read or written.
pub(crate) fn random(bytes: &mut [u8]) {
    #[cfg(test)]
    if crate::interleavings::random(bytes) {
        return;
    }
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8; MAC_SIZE], b: &[u8; MAC_SIZE]) -> bool {
    let difference = u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b);
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::hex;

    /// `tests/fixtures/restic-v2/config`, sealed by restic, and what restic said its key and content are.
    const SEALED: &[u8] = include_bytes!("../tests/fixtures/restic-v2/config");
    const OPENED: &str = r#"{"version":2,"id":"a91b7e279cfe8755b8945d4dd5ef560bae890412ca3b2a593bf859d506262660","chunker_polynomial":"31ea1b0d36f095"}"#;

    fn restics_key() -> MasterKey {
        MasterKey::new(
            &bytes("fa5684b31b153d6627f00b582c530ee5ab6fcae5794246c4df28be150d312e53"),
            &bytes("cd644492e464a1c1ae3cfbf7d2fbc460"),
            &bytes("c8a61905c4a47b08e0c8340954b7450f"),
        )
    }

    pub(super) fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("is hex"))
    }

    #[test]
    fn what_restic_sealed_is_opened_and_sealed_again_alike() {
        let key = restics_key();
        assert_eq!(key.open(SEALED).expect("opens"), OPENED.as_bytes());

        let iv = SEALED.first_chunk().expect("is long enough");
        let mut sealed = Vec::new();
        key.seal_with(iv, OPENED.as_bytes(), &mut sealed);
        assert_eq!(sealed, SEALED);
    }

    #[test]
    fn the_counter_carries_through_all_128_bits() {
        // Expected by `openssl enc -aes-256-ctr` of zeroes, with keys of zeroes and of 00 01 02 …
        for (key, keystream) in [
            (
                [0; 32],
                "acdace8078a32b1a182bfa4987ca1347dc95c078a2408989ad48a21492842087530f8afbc74536b9",
            ),
            (
                std::array::from_fn(|i| i as u8),
                "e999e41d4ca770da5387117b5d8f57eef29000b62a499fd0a9f39a6add2e7780f05d76ae4ab99fe5",
            ),
        ] {
            let key = MasterKey::new(&key, &[0; 16], &[0; 16]);
            let mut sealed = Vec::new();
            key.seal_with(&[0xff; 16], &[0; 40], &mut sealed);
            assert_eq!(hex(&sealed[IV_SIZE..IV_SIZE + 40]), keystream);
        }
    }

    #[test]
    fn every_length_survives_in_a_used_buffer() {
        let key = MasterKey::generate();
        let content: Vec<u8> = (0..3 * TILE).map(|i| (i * 7) as u8).collect();
        let mut opened = vec![0xee; 500];
        for length in (0..=130).chain([1000, TILE - 1, TILE, TILE + 1, 2 * TILE, 3 * TILE]) {
            let content = &content[..length];
            let sealed = key.seal(content);
            assert_eq!(sealed.len(), length + OVERHEAD);
            key.open_into(&sealed, &mut opened).expect("opens");
            assert_eq!(opened, content);
            key.expect_opens_to(&sealed, content).expect("the same");
        }
    }

    #[test]
    fn sealing_leaves_what_stands_before() {
        let key = MasterKey::generate();
        let mut buffer = b"before".to_vec();
        for content in [&b"first"[..], b"second"] {
            let start = buffer.len();
            key.seal_into(content, &mut buffer);
            assert_eq!(key.open(&buffer[start..]).expect("opens"), content);
        }
        assert!(buffer.starts_with(b"before"));
    }

    #[test]
    fn what_opens_to_something_else_is_noticed() {
        let key = MasterKey::generate();
        let content = vec![7; TILE + 20];
        let sealed = key.seal(&content);
        for position in [0, TILE - 1, TILE, TILE + 19] {
            let mut other = content.clone();
            other[position] ^= 1;
            key.expect_opens_to(&sealed, &other)
                .expect_err("differs by a bit");
        }
        for length in [0, TILE, TILE + 19] {
            key.expect_opens_to(&sealed, &content[..length])
                .expect_err("is shorter");
        }
        key.expect_opens_to(&sealed, &[content.clone(), vec![7]].concat())
            .expect_err("is longer");
        for position in [0, IV_SIZE, sealed.len() - 1] {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1;
            key.expect_opens_to(&damaged, &content)
                .expect_err("is damaged");
        }
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_is_accepted() {
        let key = MasterKey::generate();
        let sealed = key.seal(b"content");
        let mut opened = b"old".to_vec();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            key.open_into(&damaged, &mut opened)
                .expect_err("is damaged");
            assert_eq!(opened, b"", "nothing of a damaged blob comes out");
        }
        for length in 0..sealed.len() {
            key.open(&sealed[..length]).expect_err("is too short");
        }
        MasterKey::generate()
            .open(&sealed)
            .expect_err("is another key's");
    }

    #[test]
    fn the_same_content_never_looks_the_same_twice() {
        let key = MasterKey::generate();
        assert_ne!(key.seal(b"content"), key.seal(b"content"));
    }

    #[test]
    fn a_key_is_hidden_from_logs() {
        assert_eq!(format!("{:?}", MasterKey::generate()), "MasterKey(…)");
    }
}
