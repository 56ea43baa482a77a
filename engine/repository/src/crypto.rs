//! Sealing: bytes go in, `IV(16) ‖ ciphertext ‖ MAC(16)` comes out, and the other way round. AES-256-CTR with a 128-bit big-endian counter,
//! and Poly1305-AES over the ciphertext (D. J. Bernstein, "The Poly1305-AES message-authentication code", 2005), as restic has it.

use std::fmt;

use aes::cipher::{
    BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{CtrCore, flavors::Ctr128BE};
use poly1305::universal_hash::{UniversalHash, common::array::Array};
use poly1305::{Block, Poly1305};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{Error, Result};

/// Bytes that sealing adds: the IV before and the MAC behind.
pub const OVERHEAD: usize = IV_SIZE + MAC_SIZE;

/// Bytes of the IV at the head of everything sealed.
pub const IV_SIZE: usize = 16;

const MAC_SIZE: usize = 16;

/// The key of a repository, or of a key file. Its schedules are built once; sealing and opening take `&self`, from any thread.
///
/// Overwritten in memory when dropped, and hidden from `Debug`.
#[derive(ZeroizeOnDrop)]
pub struct MasterKey {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
    cipher: Aes256Enc,
    mac_cipher: Aes128Enc,
}

impl MasterKey {
    /// From its three parts. `mac_r` is clamped here, so it may be any 16 bytes.
    pub fn new(encrypt: &[u8; 32], mac_k: &[u8; 16], mac_r: &[u8; 16]) -> Self {
        Self {
            encrypt: *encrypt,
            mac_k: *mac_k,
            mac_r: clamped(*mac_r),
            cipher: Aes256Enc::new(encrypt.into()),
            mac_cipher: Aes128Enc::new(mac_k.into()),
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
        &self.mac_k
    }

    /// The point at which the MAC's polynomial is evaluated, clamped.
    pub(crate) fn mac_r(&self) -> &[u8; 16] {
        &self.mac_r
    }

    /// Seals what stands at the end of `buffer`, in place: `buffer[start..]` is [`IV_SIZE`] bytes of room and then the plaintext. The IV is
    /// filled in, the plaintext becomes ciphertext, and the MAC is appended.
    ///
    /// # Panics
    /// When the caller left no room for the IV.
    pub fn seal_in_place(&self, buffer: &mut Vec<u8>, start: usize) {
        let (iv, content) = buffer[start..]
            .split_first_chunk_mut::<IV_SIZE>()
            .expect("the caller leaves room for the IV");
        random(iv);
        let iv = *iv;
        self.keystream(&iv).apply_keystream(content);
        let mac = self.mac(&iv, content);
        buffer.extend_from_slice(&mac);
    }

    /// Seals `plaintext` into a new buffer of [`OVERHEAD`] more bytes.
    pub fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(plaintext.len() + OVERHEAD);
        buffer.extend_from_slice(&[0; IV_SIZE]);
        buffer.extend_from_slice(plaintext);
        self.seal_in_place(&mut buffer, 0);
        buffer
    }

    /// Verifies `sealed` and replaces `plaintext` by its content. Memory that `plaintext` has is used again.
    ///
    /// Fails with [`ErrorKind::Corrupted`](crate::ErrorKind::Corrupted), and leaves `plaintext` empty, where the bytes or the key are not those of sealing.
    pub fn open_into(&self, sealed: &[u8], plaintext: &mut Vec<u8>) -> Result<()> {
        let Some((iv, content)) = self.verified(sealed) else {
            plaintext.clear();
            return Err(Error::corrupted(match sealed.len() {
                0..OVERHEAD => "it is too short to be encrypted data",
                _ => "its encrypted data is damaged",
            }));
        };
        // Every byte is written below, so only growth needs a first value.
        plaintext.resize(content.len(), 0);
        self.keystream(iv).apply_keystream_b2b(content, plaintext);
        Ok(())
    }

    /// Verifies `sealed` and returns its content.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut plaintext = Vec::new();
        self.open_into(sealed, &mut plaintext)?;
        Ok(plaintext)
    }

    /// IV and ciphertext, once the MAC has been compared in constant time.
    fn verified<'a>(&self, sealed: &'a [u8]) -> Option<(&'a [u8; IV_SIZE], &'a [u8])> {
        let (iv, rest) = sealed.split_first_chunk::<IV_SIZE>()?;
        let (content, mac) = rest.split_last_chunk::<MAC_SIZE>()?;
        same(&self.mac(iv, content), mac).then_some((iv, content))
    }

    fn keystream(
        &self,
        iv: &[u8; IV_SIZE],
    ) -> StreamCipherCoreWrapper<CtrCore<&Aes256Enc, Ctr128BE>> {
        StreamCipherCoreWrapper::from_core(CtrCore::inner_iv_init(&self.cipher, iv.into()))
    }

    fn mac(&self, iv: &[u8; IV_SIZE], ciphertext: &[u8]) -> [u8; MAC_SIZE] {
        let mut one_time = Zeroizing::new([0; 32]);
        let (r, s) = one_time.split_at_mut(16);
        r.copy_from_slice(&self.mac_r);
        s.copy_from_slice(iv);
        let mut block = Array::from(*iv);
        self.mac_cipher.encrypt_block(&mut block);
        s.copy_from_slice(&block);

        let (blocks, rest) = Block::slice_as_chunks(ciphertext);
        let mut poly = Poly1305::new((&*one_time).into());
        // Whole blocks through `update`, which works on several at once; `compute_unpadded` takes them one by one.
        poly.update(blocks);
        poly.compute_unpadded(rest).into()
    }
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
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

fn clamped(mut r: [u8; 16]) -> [u8; 16] {
    const MASK: u128 = 0x0ffffffc_0ffffffc_0ffffffc_0fffffff;
    r = (u128::from_le_bytes(r) & MASK).to_le_bytes();
    r
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8; MAC_SIZE], b: &[u8; MAC_SIZE]) -> bool {
    let difference = u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b);
    std::hint::black_box(difference) == 0
}
