//! What each stage of a backup costs by itself, on one core, beside what the machine allows for it.
//!
//! In: a folder for a file. Out: for each stage its processor seconds per GB, and those of its limit: the same bytes through the primitive
//! alone, or through memory where there is no primitive.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use strongroom_repository::chunker::{Chunker, MAX_SIZE};
use strongroom_repository::crypto::MasterKey;
use strongroom_repository::testing::noise;
use strongroom_repository::{Error, Id, Polynomial, Result};

/// As much as is worked on at once.
const CHUNK: usize = 1 << 20;
/// Enough for a stage to take a good part of a second.
const CHUNKS: usize = 256;

/// Measures every stage.
pub(crate) fn measure(folder: &Path) -> Result<()> {
    let noise = noise(64 * CHUNK, 1);
    let text = dump(64 * CHUNK);
    let mut copy = vec![0; CHUNK];
    let mut memory = || {
        each(&noise, |chunk| {
            copy.copy_from_slice(chunk);
            black_box(&mut copy);
        })
    };

    let path = folder.join("stage");
    let failed = |error| Error::io(path.display(), error);
    let read = || -> Result<f64> {
        let mut buffer = vec![0; 8 * CHUNK];
        let started = processor_seconds();
        for _ in 0..CHUNKS / 64 {
            let mut file = File::open(&path).map_err(failed)?;
            while file.read(&mut buffer).map_err(failed)? > 0 {}
        }
        Ok((processor_seconds() - started) / per_gb())
    };
    let write = || -> Result<f64> {
        let started = processor_seconds();
        for _ in 0..CHUNKS / 64 {
            let mut file = File::create(&path).map_err(failed)?;
            for pack in noise.chunks(16 * CHUNK) {
                file.write_all(pack).map_err(failed)?;
            }
            file.sync_data().map_err(failed)?;
        }
        Ok((processor_seconds() - started) / per_gb())
    };

    // Once for pages and clocks, and not counted.
    memory();
    write()?;
    stage("write", write()?, "memory", memory());
    stage("read", read()?, "memory", memory());
    fs::remove_file(&path).map_err(failed)?;

    let chunker = Chunker::new(Polynomial::random());
    let cut = seconds_per_gb(|| {
        for _ in 0..CHUNKS / 64 {
            let mut rest = noise.as_slice();
            while let Some(length) = chunker.cut(rest.get(..MAX_SIZE).unwrap_or(rest)) {
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    });
    stage("cut", cut, "memory", memory());
    let sha2 = each(&noise, |chunk| {
        black_box(Sha256::digest(chunk));
    });
    let id = each(&noise, |chunk| {
        black_box(Id::of(chunk));
    });
    stage("hash", id, "sha2", sha2);

    for (name, content) in [("compress_noise", &noise), ("compress_dump", &text)] {
        let seconds = compress(content, 3)?;
        let limit = compress(content, 1)?;
        stage(name, seconds, "zstd_level_1", limit);
    }
    let mut compressor = zstd::bulk::Compressor::new(3).map_err(zstd_failed)?;
    let compressed: Vec<(Vec<u8>, usize)> = text
        .chunks(CHUNK)
        .map(|chunk| {
            Ok((
                compressor.compress(chunk).map_err(zstd_failed)?,
                chunk.len(),
            ))
        })
        .collect::<Result<_>>()?;
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(zstd_failed)?;
    let decompress = seconds_per_gb(|| {
        for (bytes, length) in (0..CHUNKS / 64).flat_map(|_| &compressed) {
            black_box(decompressor.decompress(bytes, *length).ok());
        }
    });
    stage("decompress_dump", decompress, "memory", memory());

    let key = MasterKey::generate();
    let mut sealed = Vec::new();
    let seal = each(&noise, |chunk| {
        sealed.clear();
        key.seal_into(chunk, &mut sealed);
        black_box(&mut sealed);
    });
    stage("seal", seal, "memory", memory());
    let mut opened = Vec::new();
    let open = each(&noise, |_| {
        black_box(key.open_into(&sealed, &mut opened).is_ok());
    });
    stage("open", open, "memory", memory());
    let verify = each(&noise, |_| {
        black_box(key.open_into(&sealed, &mut opened).is_ok());
        black_box(Id::of(&opened));
    });
    stage("verify", verify, "memory", memory());
    Ok(())
}

fn stage(name: &str, seconds: f64, limit: &str, limit_seconds: f64) {
    println!("{name} {seconds} {limit} {limit_seconds}");
}

fn compress(content: &[u8], level: i32) -> Result<f64> {
    let mut compressor = zstd::bulk::Compressor::new(level).map_err(zstd_failed)?;
    let mut buffer = vec![0; zstd::zstd_safe::compress_bound(CHUNK)];
    Ok(each(content, |chunk| {
        black_box(compressor.compress_to_buffer(chunk, &mut buffer).ok());
    }))
}

fn zstd_failed(error: std::io::Error) -> Error {
    Error::io("zstd", error)
}

/// Has `work` done for [`CHUNKS`] chunks of `content`, over and over; out come processor seconds per GB.
fn each(content: &[u8], mut work: impl FnMut(&[u8])) -> f64 {
    seconds_per_gb(|| {
        content
            .chunks_exact(CHUNK)
            .cycle()
            .take(CHUNKS)
            .for_each(&mut work)
    })
}

fn seconds_per_gb(work: impl FnOnce()) -> f64 {
    let started = processor_seconds();
    work();
    (processor_seconds() - started) / per_gb()
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
