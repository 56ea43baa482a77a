//! Snapshots without what is lost, and nothing else of them touched.

use super::*;

#[test]
fn what_is_lost_is_left_out_and_named_and_the_rest_stays() {
    let fixture = two_backups();
    fs::remove_file(pack_of(&fixture, &noise(3 << 20, 2))).expect("removed");
    let error = snapshots(&fixture, false).expect_err("the index names a pack that is not there");
    assert!(
        error
            .message()
            .contains("is missing, and the index names it"),
        "{error}"
    );
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.missing_packs.len(), 1);
    let before = objects(&fixture, "snapshots");

    let planned = snapshots(&fixture, true).expect("planned");
    assert!(objects(&fixture, "snapshots") == before);
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((planned.sound, done.sound), (1, 1));
    let [repair] = &done.repairs[..] else {
        panic!("one is damaged: {done:?}")
    };
    let Fate::Replaced {
        new: Some(new),
        changes,
    } = &repair.fate
    else {
        panic!("it is replaced: {repair:?}")
    };
    let paths: Vec<_> = changes.iter().map(|it| it.path.as_str()).collect();
    // The manifest was stored in the same pack.
    assert_eq!(paths, ["/.strongroom/manifest.json", "second"]);
    for change in changes {
        let message = &change.message;
        assert!(message.starts_with("is lost: data blob"), "{message}");
    }

    let after = objects(&fixture, "snapshots");
    let kept = after
        .iter()
        .filter(|(path, bytes)| before.get(*path) == Some(bytes));
    assert_eq!(
        (kept.count(), after.len()),
        (1, 2),
        "the sound one is the same, byte for byte"
    );
    let repository = fixture.reopen();
    let listed = repository.snapshots().expect("listed").good;
    let (_, snapshot) = listed
        .iter()
        .find(|(id, _)| id == new)
        .expect("the new one");
    assert_eq!(snapshot.tag("state"), Some("incomplete"));
    assert_eq!(snapshot.tag("job"), Some("nightly"));
    assert_eq!(snapshot.original, Some(repair.id));
    assert_sound(&fixture);
    for restic in Restic::installed() {
        let listed = fixture.restic(&restic, &["ls", &new.to_string()]);
        assert!(listed.contains("/media/folder/first"), "{listed}");
        assert!(!listed.contains("/media/second"), "{listed}");
    }
    assert_eq!(snapshots(&fixture, false).expect("again").repairs, []);
    prune(&repository, &PruneOptions::default(), &Progress::default()).expect("pruned");
    assert_sound(&fixture);
}

/// All packs are there: only what they hold is not known.
#[test]
fn backups_that_lack_only_an_index_object_are_left_alone() {
    let fixture = two_backups();
    let kept = objects(&fixture, "snapshots");
    for gone in objects(&fixture, "index").into_keys() {
        let content = fs::read(&gone).expect("read");
        fs::remove_file(&gone).expect("removed");
        for dry_run in [true, false] {
            let error = snapshots(&fixture, dry_run).expect_err("the index comes first");
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
            assert!(
                error
                    .message()
                    .ends_with("holds what snapshots lack, and no index names it"),
                "{error}"
            );
            let hint = error.hint_text();
            assert_eq!(hint, Some("run `strongroom repair index nas` first"));
            assert!(objects(&fixture, "snapshots") == kept);
        }
        fs::write(&gone, content).expect("written");
    }
    let gone = objects(&fixture, "index").into_keys().next();
    fs::remove_file(gone.expect("an index object")).expect("removed");
    assert!(index(&fixture, false, false).expect("repaired").changed);
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((done.sound, done.repairs), (2, vec![]));
    assert_sound(&fixture);
}

/// Nobody gets anything out of it, so it must not be in the way.
#[test]
fn a_damaged_pack_that_no_index_names_is_no_reason_to_wait() {
    let fixture = two_backups();
    let pack = pack_of(&fixture, &noise(3 << 20, 2));
    let bytes = fs::read(&pack).expect("read");
    fs::write(&pack, &bytes[..bytes.len() / 2]).expect("cut short");
    let done = index(&fixture, false, false).expect("repaired");
    assert_eq!(done.unreadable_packs.len(), 1);
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((done.sound, done.repairs.len()), (1, 1));
}

#[test]
fn a_directory_that_cannot_be_read_is_left_empty() {
    let fixture = two_backups();
    let repository = fixture.reopen();
    let reader = BlobReader::new(
        repository.clone(),
        Arc::new(Index::load(&repository, &Progress::default()).expect("loaded")),
    );
    let listed = repository.snapshots().expect("listed").good;
    let media = subtree(&reader, &listed[1].1.tree, "media");
    let folder = subtree(&reader, &media, "folder");
    let location = reader.locate(BlobType::Tree, &folder).expect("found");
    let path = fixture
        .path("repository")
        .join(FileType::Pack.key(&location.pack));
    let mut bytes = fs::read(&path).expect("read");
    bytes[location.blob.offset as usize + 20] ^= 1;
    fs::write(&path, bytes).expect("written");

    // Prune does not guess.
    let error = prune(&repository, &PruneOptions::default(), &Progress::default());
    let error = error.expect_err("it stops");
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(
        error
            .hint_text()
            .is_some_and(|hint| hint.contains("repair snapshots")),
        "{error:?}"
    );

    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!((done.sound, done.repairs.len()), (0, 2));
    for repair in &done.repairs {
        let Fate::Replaced { changes, .. } = &repair.fate else {
            panic!("it is replaced: {repair:?}")
        };
        let paths: Vec<_> = changes.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["folder"]);
    }
    assert_eq!(snapshots(&fixture, false).expect("again").sound, 2);
    for restic in Restic::installed() {
        let listed = fixture.restic(&restic, &["ls", "latest"]);
        assert!(
            listed.contains("/media/second") && listed.contains("/media/folder"),
            "{listed}"
        );
        assert!(!listed.contains("/media/folder/first"), "{listed}");
    }
    // The damaged tree is needed no more.
    prune(&repository, &PruneOptions::default(), &Progress::default()).expect("pruned");
    assert_sound(&fixture);
}

#[test]
fn a_snapshot_that_cannot_be_read_goes_and_the_others_stay() {
    let fixture = two_backups();
    let before = objects(&fixture, "snapshots");
    let damaged = before.keys().next().expect("a snapshot");
    flip_middle(damaged);
    let error = prune(
        &fixture.reopen(),
        &PruneOptions::default(),
        &Progress::default(),
    );
    let error = error.expect_err("it stops");
    assert!(error.message().contains("is damaged"), "{error}");
    let hint = error.hint_text().unwrap_or_default();
    assert!(
        hint.ends_with("; `strongroom repair snapshots nas` drops what cannot be read"),
        "{hint}"
    );
    let planned = snapshots(&fixture, true).expect("planned");
    assert!(damaged.is_file());
    let done = snapshots(&fixture, false).expect("repaired");
    assert_eq!(planned.repairs, done.repairs);
    assert!(
        matches!(&done.repairs[..], [it] if matches!(it.fate, Fate::Dropped(_))),
        "{done:?}"
    );
    let after = objects(&fixture, "snapshots");
    assert_eq!(after.len(), 1);
    assert!(
        after
            .iter()
            .all(|(path, bytes)| before.get(path) == Some(bytes))
    );
    assert_sound(&fixture);
}

/// It may be of a program that is newer than this one. Whoever understands it can remove it.
#[test]
fn a_snapshot_that_makes_no_sense_is_left_alone() {
    for restic in Restic::installed() {
        let fixture = two_backups();
        let repository = fixture.reopen();
        let listed = repository.snapshots().expect("listed").good;
        let odd = serde_json::json!({
            // Go does not mind the case of a name.
            "TIME": listed[1].1.time, "tree": listed[1].1.tree, "paths": ["/media"],
        });
        let id = repository
            .save_json(FileType::Snapshot, &odd)
            .expect("saved");
        let error = prune(&repository, &PruneOptions::default(), &Progress::default());
        assert_eq!(
            error.expect_err("it stops").hint_text(),
            Some(
                "what it needs is not known, so nothing was removed; a newer program may have made it: \
                 update strongroom, or forget it with a restic that understands it"
            )
        );
        let done = snapshots(&fixture, false).expect("repaired");
        assert!(
            matches!(&done.repairs[..], [it] if matches!(it.fate, Fate::NotUnderstood(_)) && it.id == id)
        );
        let count = || repository.list(FileType::Snapshot).expect("listed").len();
        assert_eq!(count(), 3);
        fixture.restic(&restic, &["forget", &id.to_string()]);
        assert_eq!(count(), 2);
        prune(&repository, &PruneOptions::default(), &Progress::default()).expect("pruned");
        assert_sound(&fixture);
    }
}
