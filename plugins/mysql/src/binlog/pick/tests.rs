use std::collections::BTreeMap;
use std::io::Cursor;

use super::super::event::tests::{event, format_event};
use super::super::statement::tests::statement_event;
use super::*;

const TRANSACTION: u8 = 162;
const ROWS: u8 = 23;

/// A file with a transaction at each of these times, and where each begins.
fn file(created: u32, times: &[u32]) -> (Vec<u8>, Vec<u64>) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format_event(created, true));
    let mut begins = Vec::new();
    for &time in times {
        begins.push(bytes.len() as u64);
        bytes.extend(event(TRANSACTION, time, 1, b"begin", true));
        bytes.extend(event(ROWS, time, 1, &[7; 100_000], true));
    }
    (bytes, begins)
}

fn wanted(from: Position, until: Option<u64>) -> Wanted {
    Wanted {
        database: "shop".into(),
        is_renamed: false,
        from,
        until,
    }
}

fn pick(files: &BTreeMap<String, Vec<u8>>, wanted: Wanted) -> Result<Vec<u8>> {
    let names = files.keys().cloned().collect();
    let mut pick = Pick::new(wanted, names, |name: &str| {
        Ok(Cursor::new(files[name].clone()))
    })?;
    let mut out = Vec::new();
    while pick.next(&mut out)? {}
    Ok(out)
}

/// The times of the transactions in a stream, and how many format events there are.
fn content(stream: &[u8]) -> (Vec<u32>, usize) {
    assert_eq!(stream[..4], MAGIC);
    let (mut times, mut formats, mut at) = (Vec::new(), 0, 4);
    while at < stream.len() {
        let event = Event::parse(stream[at..].first_chunk().expect("a header"));
        match event.kind {
            Kind::Transaction => times.push(event.timestamp),
            Kind::Format => formats += 1,
            _ => {}
        }
        at += event.length as usize;
    }
    assert_eq!(at, stream.len());
    (times, formats)
}

fn files() -> (BTreeMap<String, Vec<u8>>, Vec<u64>) {
    let (first, begins) = file(1, &[10, 20, 30]);
    let (second, _) = file(2, &[40, 50]);
    let files = [("log.1".to_owned(), first), ("log.2".to_owned(), second)];
    (files.into(), begins)
}

fn check(from: usize, until: Option<u64>, expected: &[u32], formats: usize) {
    let (files, begins) = files();
    let from = Position::new("log.1", begins[from]);
    let stream = pick(&files, wanted(from, until)).expect("picked");
    assert_eq!(content(&stream), (expected.to_vec(), formats), "{until:?}");
}

#[test]
fn what_is_in_the_dump_is_left_out_and_what_came_too_late_too() {
    check(0, None, &[10, 20, 30, 40, 50], 2);
    check(1, None, &[20, 30, 40, 50], 2);
    check(1, Some(40), &[20, 30, 40], 2);
    check(1, Some(39), &[20, 30], 2);
    check(2, Some(29), &[], 1);
}

#[test]
fn a_log_that_lacks_something_is_not_replayed() {
    let (mut files, begins) = files();
    let wanted = |file: &str| wanted(Position::new(file, begins[1]), None);
    assert!(pick(&files, wanted("log.0")).is_err());
    let first = files.get_mut("log.1").expect("there");
    first.truncate(first.len() - 1);
    let error = pick(&files, wanted("log.1")).expect_err("cut off");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
}

#[test]
fn a_statement_is_moved_left_out_or_in_the_way() {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format_event(1, true));
    let begin = bytes.len() as u64;
    for (database, sql) in [
        ("", "TRUNCATE TABLE shop.words"),
        ("", "GRANT ALL ON shop.* TO a"),
        ("blog", "DROP TABLE shop.words"),
        ("blog", "DROP TABLE words"),
        ("shop", "DROP TABLE blog.words"),
        ("blog", "DROP TABLE words, shop.words"),
    ] {
        bytes.extend(statement_event(database, sql, 5, true));
    }
    let open = |_: &str| Ok(Cursor::new(bytes.clone()));
    let wanted = |is_renamed| Wanted {
        is_renamed,
        ..wanted(Position::new("log.1", begin), None)
    };
    let mut picked = Pick::new(wanted(false), vec!["log.1".into()], open).expect("a log");
    let mut out = Vec::new();
    while picked.next(&mut out).expect("picked") {}
    let mut expected = bytes[..begin as usize].to_vec();
    for sql in ["TRUNCATE TABLE shop.words", "DROP TABLE shop.words"] {
        expected.extend(statement_event("shop", sql, 5, true));
    }
    assert!(out == expected);
    assert_eq!(picked.doubtful, ["DROP TABLE words, shop.words"]);

    let mut picked = Pick::new(wanted(true), vec!["log.1".into()], open).expect("a log");
    let mut out = Vec::new();
    let error = loop {
        match picked.next(&mut out) {
            Ok(true) => {}
            Ok(false) => panic!("it names the old name"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
