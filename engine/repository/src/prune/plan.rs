//! What becomes of each pack: a pure decision from what the packs hold and what the operator wants, as data that can be shown.

use std::cmp::Reverse;
use std::time::Duration;

use super::inventory::{PackKind, PackUse, Tally};
use super::unusable;
use crate::Result;
use crate::id::Id;
use crate::object::Listed;
use crate::pack::TARGET_SIZE;
use crate::source::Timestamp;

/// A pack below this is small: half-empty ones come from runs with little new data, and each costs a request.
const SMALL: u64 = TARGET_SIZE as u64 / 4;
/// Fewer small packs of a kind are not worth joining.
const MANY_SMALL: usize = 8;

/// How much unused space may stay, because taking it away means copying what it lies among.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxUnused {
    /// A share in percent of what the repository then holds.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
    /// Nothing is copied: only packs that hold nothing else go.
    Unlimited,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PruneOptions {
    /// How much unused space may stay.
    pub max_unused: MaxUnused,
    /// How many bytes of packs may be copied at most.
    pub max_repack: Option<u64>,
    /// A pack that no index object describes stays until it is so old: a program that takes no locks, as rustic, may be writing it.
    pub grace: Duration,
}

/// How long a pack stays that nothing describes, unless the operator says otherwise: longer than a backup takes.
pub const GRACE: Duration = Duration::from_hours(24);

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: MaxUnused::Percent(5.0),
            max_repack: None,
            grace: GRACE,
        }
    }
}

/// Packs, and what is in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackTally {
    /// How many.
    pub packs: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// Bytes of the packs.
    pub bytes: u64,
}

/// A plan in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// What the index describes and is there.
    pub indexed: PackTally,
    /// What a snapshot needs.
    pub used: Tally,
    /// What none needs: blobs, and every byte of the packs but those of used blobs and of lists.
    pub unused: Tally,
    /// Packs whose used blobs are copied before they go.
    pub repack: PackTally,
    /// What is copied of them.
    pub copied: Tally,
    /// Packs that hold nothing used.
    pub remove: PackTally,
    /// Packs that no index object describes: of runs that did not finish. What is in them is not known.
    pub orphans: PackTally,
    /// Packs of that kind that are too young to go, or of which the destination does not tell how old they are.
    pub young: PackTally,
    /// Packs without anything used that the index describes and that are not there.
    pub gone: u64,
    /// About how many bytes are gained.
    pub freed_bytes: u64,
    /// Unused bytes that stay.
    pub unused_after_bytes: u64,
}

impl Figures {
    /// Counts what an earlier plan has removed, so that both are told as one.
    pub(super) fn add_removed(&mut self, earlier: &Self) {
        for (all, these) in [
            (&mut self.remove, earlier.remove),
            (&mut self.orphans, earlier.orphans),
        ] {
            all.packs += these.packs;
            all.blobs += these.blobs;
            all.bytes += these.bytes;
        }
        self.gone += earlier.gone;
        self.freed_bytes += earlier.remove.bytes + earlier.orphans.bytes;
    }
}

/// What to do. Packs are meant by their place in what [`plan`] was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// These stay as they are.
    pub keep: Vec<usize>,
    /// What is used in these is copied; then they go.
    pub repack: Vec<usize>,
    /// These go.
    pub remove: Vec<usize>,
    /// So do these.
    pub orphans: Vec<Id>,
    /// Packs that are not there and that the index should forget.
    pub gone: Vec<usize>,
    /// The same in numbers.
    pub figures: Figures,
}

impl Plan {
    /// Whether packs of the index change, so that there must be a new one.
    pub fn changes_index(&self) -> bool {
        !(self.repack.is_empty() && self.remove.is_empty() && self.gone.is_empty())
    }
}

/// Decides. `orphans` are packs that nothing describes, and `now` what time it is at the destination, by its own clock. Fails where a pack that is
/// needed is missing, or too short for what it should hold.
pub fn plan(
    packs: &[PackUse],
    orphans: &[Listed],
    now: Option<Timestamp>,
    options: &PruneOptions,
) -> Result<Plan> {
    let (orphans, young): (Vec<&Listed>, Vec<&Listed>) = orphans
        .iter()
        .partition(|pack| is_old(pack, now, options.grace));
    let mut plan = Plan {
        orphans: orphans.iter().map(|pack| pack.id).collect(),
        ..Plan::default()
    };
    let mut partly_used = Vec::new();
    let mut small: [Vec<usize>; 2] = Default::default();
    for (number, pack) in packs.iter().enumerate() {
        match (pack.size, pack.used.blobs) {
            (None, 0) => plan.gone.push(number),
            (None, _) => return Err(unusable(&pack.id, "is missing")),
            (Some(_), 0) => plan.remove.push(number),
            (Some(size), _) if size < pack.described => {
                let how = format!(
                    "is {size} bytes long where the index describes {}",
                    pack.described
                );
                return Err(unusable(&pack.id, &how));
            }
            (Some(size), _) => match pack.kind {
                _ if pack.wasted_bytes() > 0 => partly_used.push(number),
                PackKind::Mixed => partly_used.push(number),
                PackKind::Data if size < SMALL => small[0].push(number),
                PackKind::Tree if size < SMALL => small[1].push(number),
                _ => plan.keep.push(number),
            },
        }
    }
    let get = |number: &usize| packs.get(*number);
    let mut candidates = Repacking {
        unused_left: sum(&partly_used, packs, PackUse::wasted_bytes),
        unused_allowed: allowed(options.max_unused, packs),
        repack_left: options.max_repack.unwrap_or(u64::MAX),
    };
    // Where most is gained for what is copied comes first; trees before all, because every run reads them.
    partly_used.sort_by_key(|number| {
        get(number).map(|pack| {
            let gain = u128::from(pack.wasted_bytes()) * 1_000_000;
            let share = gain / u128::from(pack.used.bytes.max(1));
            (pack.kind == PackKind::Data, Reverse(share), pack.id)
        })
    });
    for number in partly_used {
        match get(&number).is_some_and(|pack| candidates.takes(pack)) {
            true => plan.repack.push(number),
            false => plan.keep.push(number),
        }
    }
    for small in small {
        let joins = small.len() >= MANY_SMALL && options.max_unused != MaxUnused::Unlimited;
        for number in small {
            match get(&number).is_some_and(|pack| joins && candidates.has_room_for(pack)) {
                true => plan.repack.push(number),
                false => plan.keep.push(number),
            }
        }
    }
    plan.keep.sort_unstable();
    let (orphans, young) = (unindexed(&orphans), unindexed(&young));
    plan.figures = figures(&plan, packs, orphans, candidates.unused_left);
    plan.figures.young = young;
    Ok(plan)
}

/// Whether a pack has stood for so long. Where the destination tells no times, nobody knows.
fn is_old(pack: &Listed, now: Option<Timestamp>, grace: Duration) -> bool {
    let age = now.zip(pack.modified);
    let age = age.map(|(now, stored)| i128::from(now) - i128::from(stored));
    grace.is_zero() || age.is_some_and(|age| age > grace.as_nanos() as i128)
}

fn unindexed(packs: &[&Listed]) -> PackTally {
    PackTally {
        packs: packs.len() as u64,
        blobs: 0,
        bytes: packs.iter().map(|pack| pack.size).sum(),
    }
}

impl PackUse {
    /// Bytes that could be gained: those of unused blobs, and those that the index says nothing of.
    pub(super) fn wasted_bytes(&self) -> u64 {
        let size = self.size.unwrap_or(0);
        match self.used.blobs {
            0 => size,
            _ => self.unused.bytes + size.saturating_sub(self.described),
        }
    }
}

/// What may still be copied while packs are chosen.
struct Repacking {
    unused_left: u64,
    unused_allowed: Option<u64>,
    repack_left: u64,
}

impl Repacking {
    /// Whether a partly used pack is copied.
    fn takes(&mut self, pack: &PackUse) -> bool {
        let is_wanted = match self.unused_allowed {
            None => false,
            Some(_) if pack.kind != PackKind::Data => true,
            Some(allowed) => self.unused_left > allowed,
        };
        let takes = is_wanted && self.has_room_for(pack);
        if takes {
            self.unused_left -= pack.wasted_bytes();
        }
        takes
    }

    fn has_room_for(&mut self, pack: &PackUse) -> bool {
        match self.repack_left.checked_sub(pack.size.unwrap_or(0)) {
            Some(left) => {
                self.repack_left = left;
                true
            }
            None => false,
        }
    }
}

/// Unused bytes that may stay; `None` where all may.
fn allowed(max_unused: MaxUnused, packs: &[PackUse]) -> Option<u64> {
    let used: u64 = packs.iter().map(|pack| pack.used.bytes).sum();
    match max_unused {
        MaxUnused::Unlimited => None,
        MaxUnused::Bytes(bytes) => Some(bytes),
        MaxUnused::Percent(percent) if percent >= 100.0 => None,
        // Of all that is there afterwards, not of what is used.
        MaxUnused::Percent(percent) => Some((used as f64 * percent / (100.0 - percent)) as u64),
    }
}

fn sum(numbers: &[usize], packs: &[PackUse], bytes: impl Fn(&PackUse) -> u64) -> u64 {
    let chosen = numbers.iter().filter_map(|number| packs.get(*number));
    chosen.map(bytes).sum()
}

fn figures(plan: &Plan, packs: &[PackUse], orphans: PackTally, unused_after_bytes: u64) -> Figures {
    let tally = |numbers: &[usize]| PackTally {
        packs: numbers.len() as u64,
        blobs: sum(numbers, packs, |pack| pack.used.blobs + pack.unused.blobs),
        bytes: sum(numbers, packs, |pack| pack.size.unwrap_or(0)),
    };
    let used = |numbers: &[usize]| Tally {
        blobs: sum(numbers, packs, |pack| pack.used.blobs),
        bytes: sum(numbers, packs, |pack| pack.used.bytes),
    };
    let there = [&*plan.keep, &plan.repack, &plan.remove].concat();
    let remove = tally(&plan.remove);
    Figures {
        indexed: tally(&there),
        used: used(&there),
        unused: Tally {
            blobs: sum(&there, packs, |pack| pack.unused.blobs),
            bytes: sum(&there, packs, PackUse::wasted_bytes),
        },
        repack: tally(&plan.repack),
        copied: used(&plan.repack),
        remove,
        orphans,
        young: PackTally::default(),
        gone: plan.gone.len() as u64,
        freed_bytes: remove.bytes + orphans.bytes + sum(&plan.repack, packs, PackUse::wasted_bytes),
        unused_after_bytes,
    }
}

#[cfg(test)]
mod tests;
