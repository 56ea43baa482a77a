//! A repair that is killed after any of its changes: nothing more is lost, and the next one finishes it.

use super::*;

/// What the repository at `path` has, by kind, without the folder's own name.
fn inventory(path: &Path, kind: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let objects = objects_at(path, kind).into_iter();
    let relative = objects.map(|(file, bytes)| (file.strip_prefix(path).map(PathBuf::from), bytes));
    relative
        .map(|(file, bytes)| (file.expect("below"), bytes))
        .collect()
}

/// Ids of the blobs that index objects which can be read describe.
fn described(repository: &Repository) -> BTreeSet<Id> {
    let files = repository.list(FileType::Index).expect("listed");
    let good = files
        .iter()
        .filter_map(|(id, _)| repository.load_json::<IndexFile>(FileType::Index, id).ok());
    good.flat_map(|file| file.packs)
        .flat_map(|pack| pack.blobs)
        .map(|blob| blob.id)
        .collect()
}

#[test]
fn a_repair_of_the_index_may_be_killed_at_any_moment() {
    let fixture = two_backups();
    fixture.backup();
    let restics = Restic::installed();
    let damaged = objects(&fixture, "index").into_keys().next();
    let damaged = damaged.expect("an index object");
    flip_middle(&damaged);
    let known = described(&fixture.reopen());
    let whole = fixture.path("repository");
    let [packs, snapshots] = ["data", "snapshots"].map(|kind| inventory(&whole, kind));
    // The first change is the lock itself.
    for changes in 2.. {
        let (_folder, path) = copy(&fixture);
        let options = IndexRepairOptions::default();
        let dead = dying(&path, changes, Death::Killed);
        let result = repair_index(&dead, options, &Progress::default());
        without_locks(&path);
        let repository = open(&path);
        // What was known before is known still, and nothing else was touched.
        assert!(described(&repository).is_superset(&known), "{changes}");
        assert!(inventory(&path, "data") == packs, "{changes}");
        assert!(inventory(&path, "snapshots") == snapshots, "{changes}");
        let is_damaged = path
            .join("index")
            .join(damaged.file_name().expect("a name"));
        if !is_damaged.exists() {
            restics[changes % restics.len()].run(&path, PASSWORD, &["check"]);
        }
        if result.is_ok() {
            // The lock, a new index, three old ones, and the lock.
            assert!(changes > 5, "{changes}");
            return;
        }
        let done = repair_index(&repository, options, &Progress::default()).expect("finished");
        assert_eq!(done.unreadable_packs, []);
        assert_eq!(problems_of(&repository), [] as [String; 0], "{changes}");
        restics[changes % restics.len()].run(&path, PASSWORD, &["check", "--read-data"]);
        let again = repair_index(&repository, options, &Progress::default()).expect("again");
        assert!(!again.changed, "after {changes} changes");
    }
}

#[test]
fn a_repair_of_snapshots_may_be_killed_at_any_moment() {
    let fixture = two_backups();
    fs::remove_file(fixture.data().join("folder/first")).expect("removed");
    fixture.backup();
    let restics = Restic::installed();
    fs::remove_file(pack_of(&fixture, &noise(3 << 20, 2))).expect("removed");
    index(&fixture, false, false).expect("repaired");
    // What several snapshots lack is named with the first of them, which is another one when that was replaced.
    let paths = |problems: Vec<String>| -> BTreeSet<String> {
        let named = problems.iter().filter_map(|it| it.split_once(" /"));
        named.map(|(_, path)| path.to_owned()).collect()
    };
    let before = paths(problems(&fixture));
    let planned = snapshots(&fixture, true).expect("planned");
    let lost: Vec<Id> = planned.repairs.iter().map(|repair| repair.id).collect();
    assert_eq!((planned.sound, lost.len()), (1, 2), "{planned:?}");
    for changes in 2.. {
        let (_folder, path) = copy(&fixture);
        let result = repair_snapshots(
            &dying(&path, changes, Death::Killed),
            false,
            &Progress::default(),
        );
        without_locks(&path);
        let repository = open(&path);
        let found = paths(problems_of(&repository));
        assert!(
            found.is_subset(&before),
            "after {changes} changes: {found:?}"
        );
        // Each is there, or what is left of it.
        let listed = repository.snapshots().expect("listed").good;
        for id in &lost {
            let is_it =
                |(it, snapshot): &&(Id, Snapshot)| it == id || snapshot.original == Some(*id);
            assert!(
                listed.iter().any(|it| is_it(&it)),
                "after {changes} changes"
            );
        }
        if result.is_ok() {
            // The lock, a pack of trees, its index, two snapshots for two others, and the lock.
            assert!(changes > 7, "{changes}");
            return;
        }
        repair_snapshots(&repository, false, &Progress::default()).expect("finished");
        assert_eq!(problems_of(&repository), [] as [String; 0], "{changes}");
        let listed = repository.snapshots().expect("listed").good;
        let of = |id: &Id| {
            listed
                .iter()
                .filter(|(_, it)| it.original == Some(*id))
                .count()
        };
        assert_eq!(lost.iter().map(of).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(listed.len(), 3, "after {changes} changes");
        restics[changes % restics.len()].run(&path, PASSWORD, &["check", "--read-data"]);
        let again = repair_snapshots(&repository, false, &Progress::default()).expect("again");
        assert_eq!((again.sound, again.repairs), (3, vec![]));
    }
}
