//! The index, made anew from what packs say of themselves.

use super::*;

#[test]
fn an_index_is_made_anew_from_the_packs() {
    for lost_all in [false, true] {
        let fixture = two_backups();
        let old = objects(&fixture, "index");
        let damaged = if lost_all { old.len() } else { 1 };
        for path in old.keys().take(damaged) {
            flip_middle(path);
        }
        let planned = index(&fixture, false, true).expect("planned");
        assert_eq!(planned.damaged_indexes.len(), damaged);
        assert_eq!(objects(&fixture, "index").len(), old.len());
        let done = index(&fixture, false, false).expect("repaired");
        assert!(done.changed && done.unreadable_packs.is_empty(), "{done:?}");
        // Only what no good index object describes is asked.
        let packs = objects(&fixture, "data").len();
        assert_eq!(done.packs, packs);
        assert_eq!(done.packs_read < packs, !lost_all, "{done:?}");
        assert_eq!((planned.packs, planned.blobs), (done.packs, done.blobs));
        assert!(
            objects(&fixture, "index")
                .keys()
                .all(|path| !old.contains_key(path))
        );
        assert_sound(&fixture);
    }
}

#[test]
fn every_pack_can_be_asked() {
    let fixture = two_backups();
    let done = index(&fixture, true, false).expect("repaired");
    assert_eq!(done.packs_read, objects(&fixture, "data").len());
    assert_sound(&fixture);
}

/// An index object that is undamaged and wrong shows only where every pack is asked.
#[test]
fn what_the_index_says_wrongly_is_put_right_by_the_packs() {
    let fixture = two_backups();
    let repository = fixture.reopen();
    for (id, _) in repository.list(FileType::Index).expect("listed") {
        let mut file: IndexFile = repository.load_json(FileType::Index, &id).expect("read");
        for pack in &mut file.packs {
            pack.blobs[0].id = Id::of(b"something else");
        }
        repository
            .save_json(FileType::Index, &file)
            .expect("written");
        repository.delete(FileType::Index, &id).expect("removed");
    }
    assert_ne!(problems(&fixture), [] as [String; 0]);
    assert!(!index(&fixture, false, false).expect("repaired").changed);
    assert_ne!(problems(&fixture), [] as [String; 0]);
    let done = index(&fixture, true, false).expect("repaired");
    assert!(done.changed && done.packs_read == done.packs, "{done:?}");
    assert_sound(&fixture);
}

#[test]
fn a_pack_that_cannot_say_what_it_holds_is_named() {
    let fixture = two_backups();
    let pack = pack_of(&fixture, &noise(3 << 20, 2));
    let mut bytes = fs::read(&pack).expect("read");
    let end = bytes.len();
    bytes[end - 20] ^= 1;
    fs::write(&pack, bytes).expect("written");
    let name = pack.file_name().expect("a name").to_string_lossy()[..8].to_owned();
    // Where the index knows it, its blobs can still be read.
    let done = index(&fixture, true, false).expect("repaired");
    assert_eq!(done.unreadable_packs[0].subject, format!("pack {name}"));
    assert_eq!(done.packs, objects(&fixture, "data").len());
    assert_eq!(snapshots(&fixture, true).expect("planned").sound, 2);
    for path in objects(&fixture, "index").keys() {
        fs::remove_file(path).expect("removed");
    }
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.unreadable_packs[0].subject, format!("pack {name}"));
    assert_eq!(snapshots(&fixture, true).expect("planned").sound, 1);
}

/// A run was killed where a store shows halves: named at first, as an index object may be gone, and a note from then on.
#[test]
fn half_a_pack_beside_a_whole_index_is_a_note() {
    let fixture = two_backups();
    let half = noise(5000, 7);
    let key = FileType::Pack.key(&Id::of(b"the whole of it"));
    let path = fixture.path("repository").join(key);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, half).expect("written");
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!((done.changed, done.unreadable_packs.len()), (false, 0));
    assert_eq!(done.leftover_packs.len(), 1);
    for path in objects(&fixture, "index").keys().skip(1) {
        fs::remove_file(path).expect("removed");
    }
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(
        (done.unreadable_packs.len(), done.leftover_packs.len()),
        (1, 0)
    );
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(
        (done.unreadable_packs.len(), done.leftover_packs.len()),
        (0, 1)
    );
}

#[test]
fn a_pack_that_was_cut_short_leaves_the_index_and_the_next_backup_stores_again_what_was_in_it() {
    for length in [0, 3, 1 << 20] {
        let fixture = two_backups();
        let pack = pack_of(&fixture, &noise(3 << 20, 2));
        let mut bytes = fs::read(&pack).expect("read");
        bytes.truncate(length);
        fs::write(&pack, bytes).expect("written");
        let error = snapshots(&fixture, false).expect_err("the index promises more than is there");
        assert!(error.message().contains("is too short"), "{error}");

        let packs = objects(&fixture, "data").len();
        let planned = index(&fixture, false, true).expect("planned");
        let done = index(&fixture, false, false).expect("repaired");
        for it in [&planned, &done] {
            assert_eq!(it.unreadable_packs.len(), 1, "{it:?}");
            assert_eq!((it.changed, it.packs), (true, packs - 1), "{it:?}");
        }
        // Nobody is sent back here, and nothing is there to be changed again.
        assert_eq!(snapshots(&fixture, true).expect("planned").sound, 1);
        assert!(!index(&fixture, false, false).expect("again").changed);

        fixture.backup();
        let done = snapshots(&fixture, false).expect("repaired");
        let [repair] = &done.repairs[..] else {
            panic!("one lacks its manifest, which no source has: {done:?}")
        };
        let Fate::Replaced { changes, .. } = &repair.fate else {
            panic!("it is replaced: {repair:?}")
        };
        let paths: Vec<_> = changes.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/.strongroom/manifest.json"]);
        fs::remove_file(&pack).expect("removed");
        assert_sound(&fixture);
    }
}

/// What the operator's guide says of a pack that has its size.
#[test]
fn a_pack_with_wrong_content_is_healed_by_moving_it_away_and_backing_up_again() {
    let fixture = two_backups();
    let pack = pack_of(&fixture, &noise(3 << 20, 2));
    flip_middle(&pack);
    assert!(!index(&fixture, false, false).expect("repaired").changed);
    fixture.backup();
    assert_ne!(problems(&fixture), [] as [String; 0]);

    fs::rename(&pack, fixture.path("moved")).expect("moved");
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.missing_packs.len(), 1);
    fixture.backup();
    snapshots(&fixture, false).expect("repaired");
    assert_sound(&fixture);
    for restic in Restic::installed() {
        let second = fixture.dumped(&restic, "/media/second");
        assert!(second == noise(3 << 20, 2), "the source still had it");
    }
}
