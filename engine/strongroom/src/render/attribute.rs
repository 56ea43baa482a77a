//! What a plugin noted of a backup, for people: moments in their own time, and nothing that only the next backup reads.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::text::clean;
use super::time;

/// The value of an attribute in words. `None` for one that is made for programs: a table or a list.
pub fn words(value: &str, zone: &TimeZone) -> Option<String> {
    let is_nested = value.starts_with(['{', '['])
        && matches!(
            serde_json::from_str(value),
            Ok(Value::Object(_) | Value::Array(_))
        );
    if is_nested {
        return None;
    }
    Some(match moment(value) {
        Some(moment) => time::second(moment, zone),
        None => clean(value).into_owned(),
    })
}

/// A point in time with its offset, as databases and programs write it: `2026-03-01 14:05:09.5+00`.
fn moment(value: &str) -> Option<Timestamp> {
    // The shortest is `2026-03-01 14:05Z`; a number by itself is none.
    let looks_like_one = value.len() >= 17 && value.as_bytes().get(4) == Some(&b'-');
    value.parse().ok().filter(|_| looks_like_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_told_in_words() {
        let zone = TimeZone::get("Europe/Zurich").expect("bundled");
        let check = |value: &str, expected: Option<&str>| {
            assert_eq!(words(value, &zone).as_deref(), expected, "{value}");
        };
        check("MariaDB 10.11.2", Some("MariaDB 10.11.2"));
        check("16777216", Some("16777216"));
        check("0-1-20260301", Some("0-1-20260301"));
        check("2026-03-01", Some("2026-03-01"));
        check("2026-03-01 14:05:09.25+00", Some("2026-03-01 15:05:09 CET"));
        check("2026-03-01T14:05:09Z", Some("2026-03-01 15:05:09 CET"));
        check(r#"{"stood":1772373909}"#, None);
        check("[1, 2]", None);
        check("[no list", Some("[no list"));
        check("a\u{1b}[2J", Some("a\\u{1b}[2J"));
    }
}
