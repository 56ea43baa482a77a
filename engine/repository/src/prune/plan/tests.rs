//! Packs and options in, what becomes of each pack out.

use super::*;
use crate::ErrorKind;

const MIB: u64 = 1024 * 1024;

/// A pack of data with so many bytes of used and unused blobs, each of one MiB.
fn pack(used: u64, unused: u64) -> PackUse {
    let tally = |mebibytes: u64| Tally {
        blobs: mebibytes,
        bytes: mebibytes * MIB,
    };
    let described = (used + unused) * MIB + 500;
    PackUse {
        id: Id::of(&described.to_le_bytes()),
        size: Some(described),
        described,
        kind: PackKind::Data,
        used: tally(used),
        unused: tally(unused),
    }
}

fn of_kind(kind: PackKind, pack: PackUse) -> PackUse {
    PackUse { kind, ..pack }
}

/// What becomes of each pack, as a letter: kept, copied, removed, forgotten.
fn check(packs: &[PackUse], max_unused: MaxUnused, max_repack: Option<u64>, expected: &str) {
    let options = PruneOptions {
        max_unused,
        max_repack,
        ..PruneOptions::default()
    };
    let plan = plan(packs, &[], None, &options).expect("a plan");
    let fate = |number| {
        let fates = [
            (&plan.keep, 'k'),
            (&plan.repack, 'c'),
            (&plan.remove, 'r'),
            (&plan.gone, 'f'),
        ];
        let mut found = fates.iter().filter(|(list, _)| list.contains(&number));
        let (_, letter) = found.next().expect("every pack has a fate");
        assert!(found.next().is_none(), "pack {number} has one fate");
        *letter
    };
    let fates: String = (0..packs.len()).map(fate).collect();
    assert_eq!(fates, expected, "{max_unused:?} {max_repack:?}");
}

const NONE: MaxUnused = MaxUnused::Bytes(0);

#[test]
fn packs_without_anything_used_go_whatever_is_allowed() {
    let packs = [pack(16, 0), pack(0, 16)];
    for max_unused in [NONE, MaxUnused::Percent(100.0), MaxUnused::Unlimited] {
        check(&packs, max_unused, Some(0), "kr");
    }
}

#[test]
fn only_as_much_is_copied_as_the_allowed_unused_space_asks_for() {
    // 37 MiB of 64 are used.
    let packs = [pack(12, 4), pack(1, 15), pack(9, 7), pack(15, 1)];
    check(&packs, NONE, None, "cccc");
    check(&packs, MaxUnused::Bytes(MIB), None, "ccck");
    check(&packs, MaxUnused::Bytes(12 * MIB), None, "kckk");
    check(&packs, MaxUnused::Bytes(5 * MIB), None, "kcck");
    check(&packs, MaxUnused::Bytes(27 * MIB), None, "kkkk");
    // A tenth of what is there in the end: 4.1 MiB.
    check(&packs, MaxUnused::Percent(10.0), None, "ccck");
    check(&packs, MaxUnused::Percent(50.0), None, "kkkk");
    check(&packs, MaxUnused::Unlimited, None, "kkkk");
}

#[test]
fn what_may_be_copied_goes_where_most_is_gained() {
    let packs = [pack(12, 4), pack(1, 15), pack(9, 7)];
    check(&packs, NONE, Some(17 * MIB), "kck");
    check(&packs, NONE, Some(33 * MIB), "kcc");
    check(&packs, NONE, Some(0), "kkk");
}

#[test]
fn packs_of_trees_and_mixed_ones_are_tidied_up_first() {
    let packs = [
        pack(15, 1),
        of_kind(PackKind::Tree, pack(15, 1)),
        of_kind(PackKind::Mixed, pack(16, 0)),
        of_kind(PackKind::Tree, pack(16, 0)),
    ];
    check(&packs, MaxUnused::Bytes(2 * MIB), None, "kcck");
    check(&packs, NONE, Some(17 * MIB), "kckk");
}

#[test]
fn many_small_packs_are_joined_and_few_are_not() {
    let few = vec![pack(1, 0); MANY_SMALL - 1];
    check(&few, NONE, None, &"k".repeat(few.len()));
    let many = vec![pack(1, 0); MANY_SMALL];
    check(&many, NONE, None, &"c".repeat(many.len()));
    check(&many, MaxUnused::Unlimited, None, &"k".repeat(many.len()));
    let trees = vec![of_kind(PackKind::Tree, pack(1, 0)); 4];
    let both = [few, trees].concat();
    check(&both, NONE, None, &"k".repeat(both.len()));
}

#[test]
fn what_the_index_does_not_describe_counts_as_unused() {
    let mut partly = pack(15, 0);
    partly.size = Some(16 * MIB);
    check(&[partly], NONE, None, "c");
}

#[test]
fn a_pack_that_is_gone_matters_only_where_it_is_needed() {
    let gone = |pack| PackUse { size: None, ..pack };
    check(&[gone(pack(0, 3)), pack(16, 0)], NONE, None, "fk");
    let short = PackUse {
        size: Some(MIB),
        ..pack(2, 0)
    };
    for (pack, expected) in [
        (gone(pack(1, 3)), "is missing, and backups need it"),
        (short, "is 1048576 bytes long where the index describes"),
    ] {
        let error = plan(&[pack], &[], None, &PruneOptions::default()).expect_err("needed");
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_figures_say_what_is_gained() {
    let orphan = orphan(1000, None);
    let packs = [pack(16, 0), pack(0, 16), pack(8, 8), pack(15, 1)];
    let options = PruneOptions {
        max_unused: MaxUnused::Bytes(MIB),
        grace: Duration::ZERO,
        ..PruneOptions::default()
    };
    let figures = plan(&packs, &[orphan], None, &options)
        .expect("a plan")
        .figures;
    assert_eq!(
        figures.used,
        Tally {
            blobs: 39,
            bytes: 39 * MIB
        }
    );
    assert_eq!(figures.unused.blobs, 25);
    assert_eq!(
        figures.copied,
        Tally {
            blobs: 8,
            bytes: 8 * MIB
        }
    );
    assert_eq!((figures.repack.packs, figures.remove.packs), (1, 1));
    assert_eq!(figures.freed_bytes, 24 * MIB + 500 + 1000);
    assert_eq!(figures.unused_after_bytes, MIB);
}

/// A pack that nothing describes, stored at that second.
fn orphan(size: u64, stored: Option<i64>) -> Listed {
    Listed {
        id: Id::of(&stored.unwrap_or_default().to_le_bytes()),
        size,
        modified: stored.map(|seconds| seconds * 1_000_000_000),
    }
}

/// Somebody who takes no lock may be writing it.
#[test]
fn what_nothing_describes_stays_until_it_is_old() {
    let now = 1_790_000_000;
    let orphans = [
        orphan(1, Some(now - 86_401)),
        orphan(10, Some(now - 86_399)),
        orphan(100, Some(now + 60)),
        orphan(1000, None),
    ];
    let check = |now: Option<i64>, grace, expected: (u64, u64)| {
        let options = PruneOptions {
            grace,
            ..PruneOptions::default()
        };
        let now = now.map(|seconds| seconds * 1_000_000_000);
        let plan = plan(&[], &orphans, now, &options).expect("a plan");
        let Figures { orphans, young, .. } = plan.figures;
        assert_eq!((orphans.bytes, young.bytes), expected);
        assert_eq!(plan.orphans.len() as u64, orphans.packs);
    };
    check(Some(now), GRACE, (1, 1110));
    check(Some(now + 86_400), GRACE, (11, 1100));
    check(Some(now), Duration::ZERO, (1111, 0));
    check(None, GRACE, (0, 1111));
    check(None, Duration::ZERO, (1111, 0));
}
