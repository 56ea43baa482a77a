//! Which packs a check reads that reads a share of them: all packs, the share and where the last check stopped in; the chosen packs and where
//! to go on out.
//!
//! Ids are hashes, so a share of their range holds about that share of the packs. And because the range does not change, every pack has had
//! its turn after 100 percent of it, whatever was added or removed meanwhile.

use crate::id::Id;

/// The range of ids, by their first eight bytes.
const ALL: u128 = 1 << 64;

/// `packs` with their sizes, in the order of their ids. At least one is chosen where there is any.
pub(super) fn choose(mut packs: Vec<(Id, u64)>, percent: f64, from: u64) -> (Vec<(Id, u64)>, u64) {
    // Rounded up, so that no gap is left after the last share.
    let millionths = (percent.clamp(0.0, 100.0) * 1e6).ceil() as u128;
    let width = (millionths * ALL).div_ceil(100_000_000);
    let distance = |id: &Id| u128::from(position(id).wrapping_sub(from));
    packs.sort_by_key(|(id, _)| distance(id));
    let inside = packs.partition_point(|(id, _)| distance(id) < width);
    packs.truncate(inside.max(1));
    let last = packs.last().map_or(0, |(id, _)| distance(id) + 1);
    let until = (u128::from(from) + width.max(last)) % ALL;
    (packs, until as u64)
}

fn position(id: &Id) -> u64 {
    let first = id.as_bytes().first_chunk();
    first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn packs(count: u32) -> Vec<(Id, u64)> {
        let ids = (0..count).map(|number| (Id::of(&number.to_le_bytes()), 1));
        let mut packs: Vec<_> = ids.collect();
        packs.sort_unstable();
        packs
    }

    /// As many checks as the share asks for come to every pack, wherever the first begins.
    fn check(count: u32, percent: f64) {
        for from in [0, 1, u64::MAX / 3, u64::MAX] {
            let runs = (100.0 / percent).ceil() as usize;
            let (mut from, mut seen) = (from, HashSet::new());
            for run in 0..runs {
                let (chosen, until) = choose(packs(count), percent, from);
                assert!(!chosen.is_empty() || count == 0, "run {run}");
                seen.extend(chosen.into_iter().map(|(id, _)| id));
                from = until;
            }
            assert_eq!(seen.len(), count as usize, "{count} packs, {percent} %");
        }
    }

    #[test]
    fn checks_in_a_row_come_to_every_pack() {
        for percent in [100.0, 99.9, 50.0, 34.0, 33.333_333, 10.0, 7.0, 3.0, 0.5] {
            for count in [0, 1, 2, 3, 10, 500] {
                check(count, percent);
            }
        }
    }

    #[test]
    fn about_the_share_is_read_each_time() {
        let (chosen, until) = choose(packs(1000), 10.0, 5);
        assert!((60..140).contains(&chosen.len()), "{}", chosen.len());
        let (next, _) = choose(packs(1000), 10.0, until);
        assert!(next.iter().all(|pack| !chosen.contains(pack)));
    }

    #[test]
    fn a_pack_that_comes_meanwhile_does_not_push_another_out() {
        let mut seen = HashSet::new();
        let mut from = 77;
        for run in 0..10 {
            let (chosen, until) = choose(packs(100 + 50 * run), 10.0, from);
            seen.extend(chosen.into_iter().map(|(id, _)| id));
            from = until;
        }
        assert!(packs(100).iter().all(|(id, _)| seen.contains(id)));
    }

    #[test]
    fn all_are_read_once_when_all_are_asked_for() {
        assert_eq!(choose(packs(100), 100.0, 1 << 63).0.len(), 100);
    }
}
