//! Which snapshots are missing: those of the source and those of the target in, those to copy out. Pure.
//!
//! A copy has another id than what it was made from, because another key seals it, and its parent and `original` differ. Everything else
//! is the same, in whichever direction and by whichever program it was copied; so it is recognised by that.

use std::collections::BTreeMap;

use crate::id::Id;
use crate::snapshot::Snapshot;
use crate::time::Time;

/// Those of `wanted` of which `held` has no copy, in their order.
pub(super) fn missing(wanted: Vec<(Id, Snapshot)>, held: &[(Id, Snapshot)]) -> Vec<(Id, Snapshot)> {
    let mut by_moment: BTreeMap<(Time, Id), Vec<&Snapshot>> = BTreeMap::new();
    for (_, snapshot) in held {
        let moment = (snapshot.time, snapshot.tree);
        by_moment.entry(moment).or_default().push(snapshot);
    }
    wanted
        .into_iter()
        .filter(|(_, snapshot)| {
            let candidates = by_moment.get(&(snapshot.time, snapshot.tree));
            !candidates
                .into_iter()
                .flatten()
                .any(|held| is_same(held, snapshot))
        })
        .collect()
}

/// Of two snapshots of one moment and tree: whether they are the same backup. A run stores its snapshots at several destinations, and tags
/// that somebody adds later make no other backup of one; what stock restic made has nothing but its fields.
fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    match (run(one), run(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            one.hostname == other.hostname
                && one.username == other.username
                && (one.uid, one.gid) == (other.uid, other.gid)
                && one.excludes == other.excludes
                && sorted(&one.paths) == sorted(&other.paths)
                && sorted(&one.tags) == sorted(&other.tags)
        }
        _ => false,
    }
}

fn run(snapshot: &Snapshot) -> Option<(&str, &str)> {
    Some((snapshot.tag("run")?, snapshot.tag("source")?))
}

fn sorted(words: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = words.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted
}

/// The snapshot as the target gets it. `restic copy` recognises copies by `original`, and a parent means nothing in another repository.
pub(super) fn copy_of(id: &Id, snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        parent: None,
        original: Some(snapshot.original.unwrap_or(*id)),
        ..snapshot.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(change: impl FnOnce(&mut Snapshot)) -> (Id, Snapshot) {
        let mut snapshot: Snapshot = serde_json::from_str(&format!(
            r#"{{"time":"2026-07-01T12:00:00+02:00","tree":"{}","paths":["/data"],"hostname":"vault","username":"ann","tags":["a","b"]}}"#,
            Id::of(b"tree")
        ))
        .expect("a snapshot");
        change(&mut snapshot);
        let json = serde_json::to_vec(&snapshot).expect("JSON");
        (Id::of(&json), snapshot)
    }

    fn tags(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|&tag| tag.to_owned()).collect()
    }

    /// Whether a snapshot is missing where another one is.
    fn check(wanted: &(Id, Snapshot), held: &(Id, Snapshot), expected_missing: bool) {
        let is_missing = |wanted: &(Id, Snapshot), held: &(Id, Snapshot)| {
            !missing(vec![wanted.clone()], std::slice::from_ref(held)).is_empty()
        };
        assert_eq!(is_missing(wanted, held), expected_missing, "{held:?}");
        assert_eq!(is_missing(held, wanted), expected_missing, "{held:?} back");
    }

    #[test]
    fn a_copy_is_recognised_in_both_directions() {
        let (id, made) = snapshot(|_| {});
        let copied = copy_of(&id, &made);
        assert_eq!((copied.parent, copied.original), (None, Some(id)));
        let other_id = Id::of(b"sealed with another key");
        check(&(id, made.clone()), &(other_id, copied.clone()), false);
        // Copied on, the first id stays the original.
        assert_eq!(copy_of(&other_id, &copied).original, Some(id));
        let elsewhere = snapshot(|it| it.time = "2026-07-01T10:00:00Z".parse().expect("a time"));
        check(&(id, made.clone()), &elsewhere, false);
        let reordered = snapshot(|it| it.tags = tags(&["b", "a"]));
        check(&(id, made), &reordered, false);
    }

    #[test]
    fn what_differs_is_no_copy() {
        let made = snapshot(|_| {});
        let changes: [fn(&mut Snapshot); 8] = [
            |it| it.time = "2026-07-01T12:00:00Z".parse().expect("a time"),
            |it| it.tree = Id::of(b"another tree"),
            |it| it.hostname = "attic".into(),
            |it| it.username = "bob".into(),
            |it| it.uid = 7,
            |it| it.paths.push("/more".into()),
            |it| it.tags.push("c".into()),
            |it| it.excludes.push("*.tmp".into()),
        ];
        for change in changes {
            check(&made, &snapshot(change), true);
        }
    }

    #[test]
    fn a_run_is_known_by_its_tags_whatever_else_they_say() {
        let of = |words: &'static [&'static str]| {
            snapshot(move |it| {
                it.tags = tags(words);
            })
        };
        let made = of(&["run:7k3m9x2p4q", "source:media"]);
        check(
            &made,
            &of(&["source:media", "run:7k3m9x2p4q", "kept"]),
            false,
        );
        check(&made, &of(&["run:7k3m9x2p4q", "source:notes"]), true);
        check(&made, &of(&["run:aaaaaaaaaa", "source:media"]), true);
        check(&made, &of(&["source:media"]), true);
    }
}
