//! What every destination owes, as tests over `&dyn Destination`. In goes a function that opens an empty destination, out comes one
//! `#[test]` for each promise:
//!
//! ```ignore
//! mod conformance;
//!
//! conformance::suite! {
//!     open: fresh_folder,             // fn() -> impl Deref<Target = dyn Destination>
//!     expectations: Expectations { page_objects: 1024, atomic_create_only: true },
//! }
//! ```

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_repository::destination::{Body, Content, Destination, PutOptions};
use strongroom_repository::{Error, ErrorKind};

/// Where destinations differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expectations {
    /// The most objects on a page of a listing, so that the suite can go beyond it.
    pub(crate) page_objects: usize,
    /// Whether create-only holds even between two writers in the same instant.
    pub(crate) atomic_create_only: bool,
}

/// One `#[test]` for each promise.
macro_rules! suite {
    (open: $open:expr, expectations: $expectations:expr $(,)?) => {
        $crate::conformance::suite! {
            @tests $open, $expectations;
            what_was_put_is_read_back_whole
            a_range_is_exact
            a_range_beyond_the_end_is_an_error
            what_is_absent_is_not_found
            stat_tells_size_and_time
            a_listing_holds_exactly_what_starts_with_the_prefix
            a_listing_longer_than_a_page_is_complete
            delete_removes_and_what_is_absent_is_no_error
            put_replaces
            create_only_refuses_to_replace
            of_many_that_create_one_key_exactly_one_wins
            concurrent_puts_of_one_key_leave_one_of_them_whole
            nobody_sees_half_an_object
        }
    };
    (@tests $open:expr, $expectations:expr; $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let destination = $open();
                $crate::conformance::$name(&*destination, $expectations);
            }
        )*
    };
}
pub(crate) use suite;

/// Bytes that differ everywhere and between seeds.
pub(crate) fn content(seed: u64, length: usize) -> Vec<u8> {
    strongroom_repository::testing::noise(length, seed)
}

/// Stores `bytes`, replacing what was there.
pub(crate) fn put(destination: &dyn Destination, key: &str, bytes: &[u8]) -> Result<(), Error> {
    put_with(destination, key, bytes, false)
}

/// Stores `bytes` where nothing is yet.
pub(crate) fn create(destination: &dyn Destination, key: &str, bytes: &[u8]) -> Result<(), Error> {
    put_with(destination, key, bytes, true)
}

fn put_with(
    destination: &dyn Destination,
    key: &str,
    bytes: &[u8],
    create_only: bool,
) -> Result<(), Error> {
    let options = PutOptions {
        create_only,
        content: Content::Data,
    };
    destination.put(key, &Body::of(bytes.to_vec()), options)
}

/// The whole object.
pub(crate) fn get(destination: &dyn Destination, key: &str) -> Vec<u8> {
    destination
        .get(key, 0, None)
        .unwrap_or_else(|error| panic!("get {key}: {error:?}"))
        .to_vec()
}

/// The keys of a listing, which must hold each once.
pub(crate) fn keys(destination: &dyn Destination, prefix: &str) -> BTreeSet<String> {
    let objects = destination
        .list(prefix)
        .unwrap_or_else(|error| panic!("list {prefix}: {error:?}"));
    let count = objects.len();
    let keys: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
    assert_eq!(keys.len(), count, "a key is listed twice below '{prefix}'");
    keys
}

pub(crate) fn what_was_put_is_read_back_whole(destination: &dyn Destination, _: Expectations) {
    let mebibyte = 1 << 20;
    let sizes = [
        0,
        1,
        4095,
        mebibyte - 1,
        mebibyte,
        mebibyte + 1,
        17 * mebibyte + 3,
    ];
    for (seed, size) in sizes.into_iter().enumerate() {
        let bytes = content(seed as u64, size);
        let key = format!("data/{seed:02x}/{seed:064x}");
        put(destination, &key, &bytes).unwrap_or_else(|error| panic!("put {size}: {error:?}"));
        assert!(
            get(destination, &key) == bytes,
            "{size} bytes came back changed"
        );
    }
    for key in ["config", "README-RESTORE.txt", "keys/00ff"] {
        put(destination, key, key.as_bytes()).expect(key);
        assert_eq!(get(destination, key), key.as_bytes());
    }
}

pub(crate) fn a_range_is_exact(destination: &dyn Destination, _: Expectations) {
    let bytes = content(1, 300_000);
    put(destination, "data/ab/abcd", &bytes).expect("put");
    let ranges = [
        (0, 1),
        (0, 300_000),
        (1, 65_536),
        (65_535, 131_073),
        (299_999, 1),
        (7, 0),
        (300_000, 0),
    ];
    for (offset, length) in ranges {
        let read = destination
            .get("data/ab/abcd", offset as u64, Some(length as u64))
            .unwrap_or_else(|error| panic!("{length} bytes from {offset}: {error:?}"));
        assert!(
            read == bytes[offset..offset + length],
            "{length} bytes from {offset} differ"
        );
    }
    let rest = destination
        .get("data/ab/abcd", 299_990, None)
        .expect("rest");
    assert_eq!(rest, bytes[299_990..]);
}

pub(crate) fn a_range_beyond_the_end_is_an_error(destination: &dyn Destination, _: Expectations) {
    put(destination, "data/ab/abcd", &content(1, 1000)).expect("put");
    for (offset, length) in [
        (0, 1001),
        (999, 2),
        (1001, 1),
        (5000, 1),
        (0, u64::MAX),
        (u64::MAX, 1),
    ] {
        let read = destination.get("data/ab/abcd", offset, Some(length));
        let error = read.expect_err("there are not so many bytes");
        assert_eq!(
            error.kind(),
            ErrorKind::Corrupted,
            "{length} bytes from {offset}: {error:?}"
        );
    }
}

pub(crate) fn what_is_absent_is_not_found(destination: &dyn Destination, _: Expectations) {
    put(destination, "data/ab/abcd", b"here").expect("put");
    for key in [
        "config",
        "data/ab/abce",
        "data/cd/cdef",
        "data/ab",
        "data/ab/abcd/more",
    ] {
        let stat = destination
            .stat(key)
            .unwrap_or_else(|error| panic!("stat {key}: {error:?}"));
        assert_eq!(stat, None, "{key}");
        let error = destination
            .get(key, 0, None)
            .expect_err("there is no such object");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{key}: {error:?}");
    }
}

pub(crate) fn stat_tells_size_and_time(destination: &dyn Destination, _: Expectations) {
    put(destination, "index/0123", &content(1, 12_345)).expect("put");
    let stat = destination
        .stat("index/0123")
        .expect("stat")
        .expect("it is there");
    assert_eq!((stat.key.as_str(), stat.size), ("index/0123", 12_345));
    if let Some(modified) = stat.modified {
        let modified = UNIX_EPOCH + Duration::from_nanos(modified as u64);
        let now = SystemTime::now();
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(
            modified < now + day && modified > now - day,
            "modified at {modified:?}"
        );
    }
}

pub(crate) fn a_listing_holds_exactly_what_starts_with_the_prefix(
    destination: &dyn Destination,
    _: Expectations,
) {
    let all = [
        "config",
        "data/aa/aa01",
        "data/aa/aa02",
        "data/ab/ab01",
        "data/b",
        "index/01",
        "indexed",
    ];
    for key in all {
        put(destination, key, &content(2, key.len())).expect(key);
    }
    let check = |prefix: &str, expected: &[&str]| {
        let expected = expected.iter().map(|&key| key.to_owned()).collect();
        assert_eq!(keys(destination, prefix), expected, "below '{prefix}'");
    };
    check("", &all);
    check(
        "data/",
        &["data/aa/aa01", "data/aa/aa02", "data/ab/ab01", "data/b"],
    );
    check("data/a", &["data/aa/aa01", "data/aa/aa02", "data/ab/ab01"]);
    check("data/aa/", &["data/aa/aa01", "data/aa/aa02"]);
    check("data/aa/aa02", &["data/aa/aa02"]);
    check("index", &["index/01", "indexed"]);
    check("con", &["config"]);
    check("snapshots/", &[]);
    check("data/aa/aa01/", &[]);
    for object in destination.list("").expect("list") {
        assert_eq!(object.size, object.key.len() as u64, "{}", object.key);
    }
}

pub(crate) fn a_listing_longer_than_a_page_is_complete(
    destination: &dyn Destination,
    expectations: Expectations,
) {
    let count = expectations.page_objects + expectations.page_objects / 2 + 1;
    let mut expected: BTreeSet<String> = (0..count)
        .map(|number| format!("data/{:02x}/{number:08x}", number % 7))
        .collect();
    // A page's end must not lose what is beside or below its last key.
    expected.extend([
        "data/03.x/00".into(),
        "data/03".to_owned() + "/zz/zz",
        "index/00".into(),
    ]);
    let wanted: Vec<&String> = expected.iter().collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..destination.parallelism() {
            scope.spawn(|| {
                while let Some(key) = wanted.get(next.fetch_add(1, SeqCst)) {
                    put(destination, key, b"x").expect("put");
                }
            });
        }
    });
    assert!(
        keys(destination, "") == expected,
        "the listing of all differs"
    );
    expected.remove("index/00");
    assert!(
        keys(destination, "data/") == expected,
        "the listing of data/ differs"
    );
}

pub(crate) fn delete_removes_and_what_is_absent_is_no_error(
    destination: &dyn Destination,
    _: Expectations,
) {
    destination
        .delete("data/ab/abcd")
        .expect("it never was there");
    put(destination, "data/ab/abcd", b"first").expect("put");
    put(destination, "data/ab/abce", b"stays").expect("put");
    destination.delete("data/ab/abcd").expect("delete");
    assert_eq!(destination.stat("data/ab/abcd").expect("stat"), None);
    assert_eq!(
        keys(destination, "data/"),
        BTreeSet::from(["data/ab/abce".into()])
    );
    destination.delete("data/ab/abcd").expect("it is gone");
    create(destination, "data/ab/abcd", b"second").expect("the key is free");
    assert_eq!(get(destination, "data/ab/abcd"), b"second");
}

pub(crate) fn put_replaces(destination: &dyn Destination, _: Expectations) {
    put(destination, "config", &content(1, 5000)).expect("put");
    put(destination, "config", b"short").expect("put");
    assert_eq!(get(destination, "config"), b"short");
    assert_eq!(
        destination
            .stat("config")
            .expect("stat")
            .expect("there")
            .size,
        5
    );
}

pub(crate) fn create_only_refuses_to_replace(destination: &dyn Destination, _: Expectations) {
    create(destination, "keys/01", b"first").expect("the key is free");
    let error = create(destination, "keys/01", b"second").expect_err("the key is taken");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    assert_eq!(get(destination, "keys/01"), b"first");
    assert_eq!(keys(destination, ""), BTreeSet::from(["keys/01".into()]));
}

pub(crate) fn of_many_that_create_one_key_exactly_one_wins(
    destination: &dyn Destination,
    expectations: Expectations,
) {
    if !expectations.atomic_create_only {
        return;
    }
    for round in 0..20 {
        let key = format!("keys/{round:02}");
        let winners = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (key, winners) = (&key, &winners);
                scope.spawn(
                    move || match create(destination, key, &content(writer, 1000)) {
                        Ok(()) => {
                            winners.fetch_add(1, SeqCst);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}")
                        }
                    },
                );
            }
        });
        assert_eq!(winners.into_inner(), 1, "writers that won {key}");
    }
}

pub(crate) fn concurrent_puts_of_one_key_leave_one_of_them_whole(
    destination: &dyn Destination,
    _: Expectations,
) {
    let bodies: Vec<Vec<u8>> = (0..8).map(|seed| content(seed, 2 << 20)).collect();
    put(destination, "data/ab/abcd", &bodies[0]).expect("put");
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(move || put(destination, "data/ab/abcd", body).expect("put"));
        }
        scope.spawn(|| {
            for _ in 0..10 {
                assert!(
                    bodies.contains(&get(destination, "data/ab/abcd")),
                    "a mixture was read"
                );
            }
        });
    });
    assert!(
        bodies.contains(&get(destination, "data/ab/abcd")),
        "a mixture was left"
    );
    assert_eq!(
        keys(destination, ""),
        BTreeSet::from(["data/ab/abcd".into()])
    );
}

pub(crate) fn nobody_sees_half_an_object(destination: &dyn Destination, _: Expectations) {
    const SIZE: usize = 4 << 20;
    let bytes = content(3, SIZE);
    let done = AtomicBool::new(false);
    let looks = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let bytes = &bytes;
                scope.spawn(move || {
                    for number in 0..8 {
                        let key = format!("data/{writer:02}/{number:02}");
                        put(destination, &key, bytes).expect("put");
                        // Objects that vanish while others look must not break a listing.
                        if number % 2 == 1 {
                            destination.delete(&key).expect("delete");
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(SeqCst) {
                for object in destination.list("data/").expect("list") {
                    assert_eq!(object.size, SIZE as u64, "{} is half there", object.key);
                }
                if let Some(stat) = destination.stat("data/00/06").expect("stat") {
                    assert_eq!(stat.size, SIZE as u64);
                    assert!(get(destination, "data/00/06") == bytes);
                }
                looks.fetch_add(1, SeqCst);
            }
        });
        for writer in writers {
            writer.join().expect("a writer failed");
        }
        done.store(true, SeqCst);
    });
    assert!(looks.into_inner() > 0);
    assert_eq!(keys(destination, "").len(), 12);
}
