//! Blobs that lie in several packs: the packs in, and for each such blob the one place where it is kept out, which was read.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::used::Used;
use crate::blobs::BlobReader;
use crate::index::Place;
use crate::progress::Progress;
use crate::{Result, parallel};

/// For each needed blob that lies in several places, the one that is kept: where most of the pack is needed, so that the other packs can go
/// as a whole, unless it is damaged there. `order` are all places, each once; `present` the sizes of the packs that are there.
pub(super) fn keepers(
    reader: &BlobReader,
    used: &Used,
    order: &[u32],
    present: &[Option<u64>],
    progress: &Progress,
) -> Result<HashMap<u32, u32>> {
    let index = reader.index();
    let is_used = |at: &&u32| index.place(**at).is_some_and(|it| used.contains(it.number));
    let copied: HashSet<u32> = order
        .iter()
        .filter(|at| **at as usize >= index.len())
        .filter(is_used)
        .filter_map(|at| Some(index.place(*at)?.number))
        .collect();
    if copied.is_empty() {
        return Ok(HashMap::new());
    }
    let mut wanted = vec![0_u64; present.len()];
    let mut choices: HashMap<u32, Vec<(u32, Place)>> = HashMap::new();
    for at in order.iter().filter(is_used) {
        let Some(place) = index.place(*at) else {
            continue;
        };
        if let Some(wanted) = wanted.get_mut(place.pack as usize) {
            *wanted += u64::from(place.blob.length);
        }
        if copied.contains(&place.number) {
            choices.entry(place.number).or_default().push((*at, place));
        }
    }
    let worth = |place: &Place| Worth {
        wanted: wanted.get(place.pack as usize).copied().unwrap_or(0),
        size: present.get(place.pack as usize).copied().flatten(),
        pack: place.pack,
    };
    let mut choices: Vec<Vec<(u32, Place)>> = choices.into_values().collect();
    for places in &mut choices {
        places.sort_by(|(_, a), (_, b)| worth(b).cmp(&worth(a)));
    }
    // Those of one pack together, because neighbours are read together.
    choices.sort_by_key(|places| places.first().map(|(_, it)| (it.pack, it.blob.offset)));
    progress.step("reading what lies in several packs");
    let threads = reader.repository().destination().parallelism();
    let kept = parallel::map(threads, &choices, |places| {
        progress.check_cancelled()?;
        first_good(reader, places)
    })?;
    Ok(kept.into_iter().flatten().collect())
}

/// The first place where the blob can be read, or where there is none the first: nothing is lost then that was not lost before.
fn first_good(reader: &BlobReader, places: &[(u32, Place)]) -> Result<Option<(u32, u32)>> {
    for (at, place) in places {
        let Some(location) = reader.index().location_of(place) else {
            continue;
        };
        match reader.prove(&location) {
            Ok(()) => return Ok(Some((place.number, *at))),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(places.first().map(|(at, place)| (place.number, *at)))
}

/// How good it is to keep a blob in a pack.
struct Worth {
    wanted: u64,
    size: Option<u64>,
    pack: u32,
}

impl Worth {
    /// A pack that is gone is the worst. Then the share that is needed counts, then how much that is; the last word has the number, so that
    /// packs of the same worth are not mixed.
    fn cmp(&self, other: &Self) -> Ordering {
        let share =
            |this: &Self, that: &Self| u128::from(this.wanted) * u128::from(that.size.unwrap_or(1));
        self.size
            .is_some()
            .cmp(&other.size.is_some())
            .then_with(|| share(self, other).cmp(&share(other, self)))
            .then_with(|| self.wanted.cmp(&other.wanted))
            .then_with(|| other.pack.cmp(&self.pack))
    }
}
