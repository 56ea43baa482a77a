use std::collections::BTreeMap;
use std::io::Cursor;

use super::super::event::Event;
use super::super::event::tests::{event, format_event};
use super::super::rows::tests::{rows_event, table_event};
use super::super::scope::Part;
use super::super::statement::tests::statement_event;
use super::*;

const TRANSACTION: u8 = 162;

/// A file with a transaction at each of these times, and where each begins.
fn file(created: u32, times: &[u32]) -> (Vec<u8>, Vec<u64>) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format_event(created, true));
    let mut begins = Vec::new();
    for &time in times {
        begins.push(bytes.len() as u64);
        bytes.extend(event(TRANSACTION, time, 1, b"begin", true));
        bytes.extend(table_event(1, "shop", time));
        bytes.extend(rows_event(1, true, time, &[7; 100_000]));
    }
    (bytes, begins)
}

fn part(database: &str, name: &str, from: Position) -> Part {
    Part {
        database: database.into(),
        name: name.into(),
        from,
    }
}

fn wanted(from: Position, until: Option<u64>) -> Wanted {
    let scope = Scope::new([part("shop", "shop", from)], [], Some(false));
    Wanted {
        scope,
        until,
        family: Family::Mariadb,
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

/// What is picked of a file with these events, for a `shop` that has another name now, and a `blog` that begins after the first of them.
fn picked(events: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut bytes = [&MAGIC[..], &format_event(1, true)].concat();
    let begin = bytes.len() as u64;
    let second = begin + events[0].len() as u64;
    bytes.extend(events.concat());
    let parts = [
        part("shop", "shop_2", Position::new("log.1", begin)),
        part("blog", "blog", Position::new("log.1", second)),
    ];
    let scope = Scope::new(parts, [], Some(false));
    let files = [("log.1".to_owned(), bytes)].into();
    let wanted = Wanted {
        scope,
        until: None,
        family: Family::Mariadb,
    };
    let stream = pick(&files, wanted)?;
    Ok(stream[begin as usize..].to_vec())
}

#[test]
fn all_databases_come_in_one_stream_in_the_order_of_the_log() {
    let events = [
        statement_event("", "DROP TABLE shop.a, blog.a", 5, true),
        table_event(1, "shop", 5),
        table_event(2, "blog", 5),
        rows_event(1, false, 5, b"one"),
        rows_event(2, true, 5, b"two"),
        event(160, 5, 1, b"why", true),
        statement_event("blog", "DROP TABLE b", 5, true),
    ];
    let expected = [
        statement_event("shop_2", "DROP TABLE `shop_2`.a", 5, true),
        table_event(1, "shop_2", 5),
        table_event(2, "blog", 5),
        rows_event(1, false, 5, b"one"),
        rows_event(2, true, 5, b"two"),
        statement_event("blog", "DROP TABLE b", 5, true),
    ];
    assert!(picked(&events).is_ok_and(|found| found == expected.concat()));
}

#[test]
fn rows_that_are_not_wanted_leave_whole_statements_behind() {
    let events = [
        table_event(1, "shop", 5),
        table_event(2, "other", 5),
        rows_event(1, false, 5, b"one"),
        rows_event(2, false, 5, b"two"),
        rows_event(1, false, 5, b"three"),
        rows_event(2, true, 5, b"four"),
        table_event(2, "other", 5),
        rows_event(2, true, 5, b"five"),
    ];
    let expected = [
        table_event(1, "shop_2", 5),
        rows_event(1, false, 5, b"one"),
        rows_event(1, true, 5, b"three"),
    ];
    assert!(picked(&events).is_ok_and(|found| found == expected.concat()));
}

#[test]
fn a_table_whose_name_would_be_run_is_passed_over() {
    let hostile = |time| {
        let mut body = vec![3, 0, 0, 0, 0, 0, 1, 0, 4];
        body.extend(b"shop\0\x03a\nb\0\x01\x03\0\x01");
        event(19, time, 1, &body, true)
    };
    let events = [
        table_event(1, "shop", 5),
        hostile(5),
        rows_event(1, false, 5, b"one"),
        rows_event(3, true, 5, b"two"),
    ];
    let expected = [table_event(1, "shop_2", 5), rows_event(1, true, 5, b"one")];
    assert!(picked(&events).is_ok_and(|found| found == expected.concat()));
}

#[test]
fn what_cannot_be_replayed_is_named() {
    let first = statement_event("", "DROP TABLE shop.a", 5, true);
    for (event, named) in [
        (
            event(38, 5, 1, b"x", true),
            "a transaction in two steps (XA)",
        ),
        (event(26, 5, 1, b"x", true), "lost changes"),
        (event(99, 5, 1, b"x", true), "not known"),
        (
            statement_event("blog", "UPDATE w SET a = 1", 5, true),
            "does not say which databases it changes: UPDATE w SET a = 1",
        ),
    ] {
        let error = picked(&[first.clone(), event]).expect_err(named);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(named), "{error}");
        assert!(error.message().contains("at log.1:"), "{error}");
    }
}
