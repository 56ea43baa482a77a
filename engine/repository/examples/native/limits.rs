//! What this machine can do at best, on one core, for each stage: the primitive alone, on bytes that lie in the first-level cache; or copying
//! bytes once, where there is no primitive.
//!
//! In: nothing. Out: processor seconds per GB.

use std::hint::black_box;

use strongroom_repository::crypto::{MasterKey, OVERHEAD};
use strongroom_repository::testing::stages::{ids_of, zstd};
use strongroom_repository::{Error, Result};

use crate::stages::{CHUNK, CHUNKS, each, seconds_per_gb};

/// Fits into the first-level cache.
const TILE: usize = 16 << 10;
/// As many tiles as there are in all chunks.
const TILES: usize = CHUNK / TILE * CHUNKS;

/// Copying `content` once.
pub(crate) fn memory(content: &[u8]) -> f64 {
    let mut copy = vec![0; CHUNK];
    each(content, |chunk| {
        copy.copy_from_slice(chunk);
        black_box(&mut copy);
    })
}

/// SHA-256 of four messages side by side, which is as much as the processor's instructions for it give.
pub(crate) fn sha256() -> f64 {
    let tile = [7; TILE];
    seconds_per_gb(|| {
        for _ in 0..TILES / 4 {
            black_box(ids_of(black_box(&[&tile[..]; 4])));
        }
    })
}

/// AES-256 in counter mode and Poly1305, which is as much as the processor's vector instructions for them give.
pub(crate) fn cipher() -> f64 {
    let key = MasterKey::generate();
    let tile = [7; TILE];
    let mut sealed = Vec::with_capacity(TILE + OVERHEAD);
    seconds_per_gb(|| {
        for _ in 0..TILES {
            sealed.clear();
            key.seal_into(black_box(&tile), &mut sealed);
            black_box(&sealed);
        }
    })
}

/// zstd with the engine's parameters, and nothing proven.
pub(crate) fn compress(content: &[u8]) -> Result<f64> {
    let mut compressor = zstd()?;
    let mut buffer = vec![0; zstd::zstd_safe::compress_bound(CHUNK)];
    Ok(each(content, |chunk| {
        black_box(compressor.compress_to_buffer(chunk, &mut buffer).ok());
    }))
}

/// Decompressing `content`, which the engine's parameters compressed: the seconds, per GB of plain bytes, and what is left of a byte.
pub(crate) fn decompress(content: &[u8]) -> Result<(f64, f64)> {
    let failed = |error| Error::io("zstd", error);
    let mut compressor = zstd()?;
    let compressed: Vec<Vec<u8>> = content
        .chunks_exact(CHUNK)
        .map(|chunk| compressor.compress(chunk).map_err(failed))
        .collect::<Result<_>>()?;
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(failed)?;
    let mut plain = vec![0; CHUNK];
    let seconds = seconds_per_gb(|| {
        for bytes in compressed.iter().cycle().take(CHUNKS) {
            black_box(decompressor.decompress_to_buffer(bytes, &mut plain).ok());
        }
    });
    let left: usize = compressed.iter().map(Vec::len).sum();
    Ok((seconds, left as f64 / content.len() as f64))
}
