//! A repository that says to hold millions of blobs: index objects and nothing else. Made, then loaded and asked.
//!
//! Two of five blobs are chunks of large files, sixteen in a pack; two of five are small files, a few hundred in a pack; one of five is a
//! directory. A third of them is compressed. Ids are random, as hashes are.

use std::time::Instant;

use strongroom_repository::index::{Index, IndexFile, IndexPack};
use strongroom_repository::{BlobType, FileType, Id, PackedBlob, Progress, Repository, Result};

use crate::random::Random;

/// As restic and this engine write them.
const BLOBS_PER_INDEX: u64 = 50_000;
/// How many look-ups are timed.
const LOOKUPS: usize = 2_000_000;

/// A kind of pack: how many of five blobs lie in such, blobs in one, plain bytes of one on average.
struct Mix {
    share: u64,
    blob_type: BlobType,
    blobs: u64,
    mean_size: u32,
}

const MIX: [Mix; 3] = [
    Mix {
        share: 2,
        blob_type: BlobType::Data,
        blobs: 16,
        mean_size: 1 << 20,
    },
    Mix {
        share: 2,
        blob_type: BlobType::Data,
        blobs: 250,
        mean_size: 1 << 16,
    },
    Mix {
        share: 1,
        blob_type: BlobType::Tree,
        blobs: 2000,
        mean_size: 1 << 12,
    },
];

/// Writes the index objects of `blobs` blobs.
pub(crate) fn make(repository: &Repository, blobs: u64) -> Result<()> {
    let mut next = 0;
    while next < blobs {
        let end = blobs.min(next + BLOBS_PER_INDEX);
        let mut file = IndexFile::default();
        for mix in &MIX {
            let last = end.min(next + (BLOBS_PER_INDEX / 5) * mix.share);
            while next < last {
                let in_pack = mix.blobs.min(last - next);
                file.packs.push(pack(mix, next, in_pack));
                next += in_pack;
            }
        }
        repository.save_json(FileType::Index, &file)?;
    }
    Ok(())
}

fn pack(mix: &Mix, first: u64, blobs: u64) -> IndexPack {
    let mut random = Random::new(!first);
    let mut offset = 0;
    let blobs: Vec<PackedBlob> = (first..first + blobs)
        .map(|number| {
            let plain = random.around(mix.mean_size);
            let is_compressed = mix.blob_type == BlobType::Tree || random.next().is_multiple_of(5);
            let length = if is_compressed { plain / 3 } else { plain };
            let blob = PackedBlob {
                id: id(number),
                blob_type: mix.blob_type,
                offset,
                length: length + 32,
                uncompressed_length: is_compressed.then_some(plain),
            };
            offset += blob.length;
            blob
        })
        .collect();
    IndexPack::new(id(u64::MAX - first), &blobs)
}

/// The id of a blob, by its number.
fn id(number: u64) -> Id {
    let mut random = Random::new(number);
    let mut bytes = [0; 32];
    for eight in bytes.as_chunks_mut::<8>().0 {
        *eight = random.next().to_le_bytes();
    }
    Id::from_bytes(bytes)
}

/// Loads the index, and asks it for blobs that it has, and for blobs that it has not.
pub(crate) fn measure(repository: &Repository, blobs: u64) -> Result<()> {
    let started = Instant::now();
    let index = Index::load(repository, &Progress::default())?;
    println!("load_seconds {}", started.elapsed().as_secs_f64());
    println!("blobs {}", index.len());
    println!("memory_bytes {}", from_status("VmRSS:"));
    println!("peak_bytes {}", from_status("VmHWM:"));
    for (name, first) in [("hits", 0), ("misses", blobs)] {
        let mut random = Random::new(7);
        let ids: Vec<Id> = std::iter::repeat_with(|| random.next() % blobs)
            .filter(|number| number % BLOBS_PER_INDEX < BLOBS_PER_INDEX / 5 * 4)
            .map(|number| id(first + number))
            .take(LOOKUPS)
            .collect();
        let started = Instant::now();
        let found = ids
            .iter()
            .filter(|id| index.contains(BlobType::Data, id))
            .count();
        let rate = ids.len() as f64 / started.elapsed().as_secs_f64();
        println!("{name}_a_second {rate}");
        println!("{name}_found {}", found as f64 / ids.len() as f64);
    }
    Ok(())
}

/// What the kernel says of this process's memory.
fn from_status(field: &str) -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with(field))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kilobytes| kilobytes * 1024)
}
