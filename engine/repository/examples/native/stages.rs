//! What each stage of a backup and of a restore costs by itself, on one core, as the engine does it, beside what the machine allows for it.
//!
//! In: a folder for a file. Out: for each stage its processor seconds per GB of plain bytes, and those of its limit.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;

use strongroom_repository::chunker::{Chunker, MAX_SIZE};
use strongroom_repository::crypto::MasterKey;
use strongroom_repository::pack::FinishedPack;
use strongroom_repository::testing::noise;
use strongroom_repository::testing::stages::{Stages, ids_of};
use strongroom_repository::{Error, Polynomial, Result};

use crate::limits;

/// As much as is worked on at once.
pub(crate) const CHUNK: usize = 1 << 20;
/// Enough for a stage to take a good part of a second.
pub(crate) const CHUNKS: usize = 256;
/// Those of them that differ.
const DISTINCT: usize = 64;
/// Chunks in a pack, and in what is read or hashed at once.
const AT_ONCE: usize = 16;

/// Measures every stage.
pub(crate) fn measure(folder: &Path) -> Result<()> {
    let noise = noise(DISTINCT * CHUNK, 1);
    let text = dump(DISTINCT * CHUNK);
    // Once for pages and clocks, and not counted.
    limits::memory(&noise);
    files(folder, &noise)?;
    cut_and_hash(&noise);
    encode(&noise, &text)?;
    decode(&noise, &text)
}

/// A file is written and read; it stays in the page cache.
fn files(folder: &Path, noise: &[u8]) -> Result<()> {
    let path = folder.join("stage");
    let failed = |error| Error::io(path.display(), error);
    let write = || -> std::io::Result<()> {
        for _ in 0..CHUNKS / DISTINCT {
            let mut file = File::create(&path)?;
            for pack in noise.chunks(AT_ONCE * CHUNK) {
                file.write_all(pack)?;
            }
            file.sync_data()?;
        }
        Ok(())
    };
    let mut buffer = vec![0; AT_ONCE * CHUNK];
    let mut read = || -> std::io::Result<()> {
        for _ in 0..CHUNKS / DISTINCT {
            let mut file = File::open(&path)?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(())
    };
    write().and_then(|()| read()).map_err(failed)?;
    let written = try_seconds_per_gb(write).map_err(failed)?;
    stage("write", written, limits::memory(noise));
    let read = try_seconds_per_gb(read).map_err(failed)?;
    stage("read", read, limits::memory(noise));
    fs::remove_file(&path).map_err(failed)
}

fn cut_and_hash(noise: &[u8]) {
    let chunker = Chunker::new(Polynomial::random());
    let cut = seconds_per_gb(|| {
        for _ in 0..CHUNKS / DISTINCT {
            let mut rest = noise;
            while let Some(length) = chunker.cut(rest.get(..MAX_SIZE).unwrap_or(rest)) {
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    });
    stage("cut", cut, limits::memory(noise));
    let chunks: Vec<&[u8]> = noise.chunks_exact(CHUNK).collect();
    let hash = seconds_per_gb(|| {
        for chunks in (0..CHUNKS / DISTINCT).flat_map(|_| chunks.chunks(AT_ONCE)) {
            black_box(ids_of(chunks));
        }
    });
    stage("hash", hash, limits::sha256());
}

fn encode(noise: &[u8], text: &[u8]) -> Result<()> {
    let mut stages = Stages::new()?;
    for (name, content) in [("compress_noise", noise), ("compress_dump", text)] {
        let mut result = Ok(());
        let seconds = each(content, |chunk| {
            result = result.clone().and_then(|()| stages.compress(chunk));
        });
        result?;
        stage(name, seconds, limits::compress(content)?);
    }
    let key = MasterKey::generate();
    let mut sealed = Vec::new();
    let seal = each(noise, |chunk| {
        sealed.clear();
        key.seal_into(chunk, &mut sealed);
        black_box(&mut sealed);
    });
    stage("seal", seal, limits::cipher());
    let last = noise.chunks_exact(CHUNK).next_back().unwrap_or_default();
    key.expect_opens_to(&sealed, last)?;
    let prove = each(noise, |_| {
        black_box(key.expect_opens_to(&sealed, last).is_ok());
    });
    stage("prove", prove, limits::cipher());
    Ok(())
}

fn decode(noise: &[u8], text: &[u8]) -> Result<()> {
    let key = MasterKey::generate();
    let mut stages = Stages::new()?;
    let (decompress, left) = limits::decompress(text)?;
    for (name, content, unpack, sealed) in [
        ("decode_noise", noise, 0.0, 1.0),
        ("decode_dump", text, decompress, left),
    ] {
        let chunks: Vec<&[u8]> = content.chunks_exact(CHUNK).collect();
        let packs: Vec<FinishedPack> = chunks
            .chunks(AT_ONCE)
            .map(|chunks| stages.pack(&key, chunks))
            .collect::<Result<_>>()?;
        // Once for its buffers.
        packs
            .iter()
            .try_for_each(|pack| stages.decode(&key, pack))?;
        let seconds = try_seconds_per_gb(|| {
            (0..CHUNKS / DISTINCT)
                .flat_map(|_| &packs)
                .try_for_each(|pack| stages.decode(&key, pack))
        })?;
        let limit = limits::cipher() * sealed + unpack + limits::sha256();
        stage(name, seconds, limit);
    }
    Ok(())
}

fn stage(name: &str, seconds: f64, limit_seconds: f64) {
    println!("{name} {seconds} {limit_seconds}");
}

/// Has `work` done for [`CHUNKS`] chunks of `content`, over and over; out come processor seconds per GB.
pub(crate) fn each(content: &[u8], mut work: impl FnMut(&[u8])) -> f64 {
    seconds_per_gb(|| {
        content
            .chunks_exact(CHUNK)
            .cycle()
            .take(CHUNKS)
            .for_each(&mut work)
    })
}

pub(crate) fn seconds_per_gb(work: impl FnOnce()) -> f64 {
    let started = processor_seconds();
    work();
    (processor_seconds() - started) / per_gb()
}

fn try_seconds_per_gb<E>(
    work: impl FnOnce() -> std::result::Result<(), E>,
) -> std::result::Result<f64, E> {
    let mut result = Ok(());
    let seconds = seconds_per_gb(|| result = work());
    result.map(|()| seconds)
}

/// GB in all chunks.
fn per_gb() -> f64 {
    (CHUNK * CHUNKS) as f64 / 1e9
}

/// Of this thread, so that what else runs on the machine counts less.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Rows as PostgreSQL's `COPY` writes them.
fn dump(length: usize) -> Vec<u8> {
    let mut random = crate::random::Random::new(5);
    let mut rows = Vec::with_capacity(length + 200);
    let states = ["paid", "shipped", "returned", "open"];
    for id in 1.. {
        if rows.len() >= length {
            break;
        }
        let (name, place) = (random.next() % 5_000, random.next() % 900);
        let state = states.get((random.next() % 4) as usize).unwrap_or(&"open");
        let row = format!(
            "{id}\tname{name} of{place}\tname{name}@example.net\t{state}\t{}.{:02}\t{:016x}\n",
            random.next() % 1_000,
            random.next() % 100,
            random.next()
        );
        rows.extend_from_slice(row.as_bytes());
    }
    rows.truncate(length);
    rows
}
