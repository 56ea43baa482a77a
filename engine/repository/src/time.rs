//! Points in time as restic writes them: RFC 3339 with up to nine digits of a second and the writer's offset from UTC.

use std::fmt;
use std::str::FromStr;

use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::source::Timestamp;
use crate::tree::FileTime;
use crate::{Error, Result};

/// By how much the clocks of two machines may differ without a word.
const CLOCKS_DIFFER_SECONDS: i64 = 10 * 60;

/// A point in time, and the offset from UTC that its writer had. Compared by the point alone.
#[derive(Clone, Copy)]
pub struct Time {
    point: jiff::Timestamp,
    offset: Offset,
}

impl Time {
    /// Now, in the system's time zone.
    pub fn now() -> Self {
        Self::local(jiff::Timestamp::now())
    }

    /// From nanoseconds since the epoch, in the system's time zone.
    pub fn from_nanoseconds(nanoseconds: Timestamp) -> Self {
        // Every i64 lies within the years that jiff knows: 1677 to 2262.
        Self::local(jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default())
    }

    /// From a file's time, in the system's time zone; the nearest that can be told of years before -9999 and after 9999.
    pub fn of_file(time: FileTime) -> Self {
        let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or_default();
        let nearest = match time.seconds {
            ..0 => jiff::Timestamp::MIN,
            _ => jiff::Timestamp::MAX,
        };
        Self::local(jiff::Timestamp::new(time.seconds, nanoseconds).unwrap_or(nearest))
    }

    fn local(point: jiff::Timestamp) -> Self {
        Self {
            point,
            offset: TimeZone::system().to_offset(point),
        }
    }

    /// Nanoseconds since the epoch; the nearest that fits for years before 1677 or after 2262.
    pub fn nanoseconds(&self) -> Timestamp {
        let nanoseconds = self.point.as_nanosecond();
        Timestamp::try_from(nanoseconds).unwrap_or(match nanoseconds {
            ..0 => Timestamp::MIN,
            _ => Timestamp::MAX,
        })
    }

    /// Whether this is still to come, by more than the clocks of two machines differ: one that told it, or the one that tells `now`, is wrong.
    pub fn is_to_come(&self, now: Self) -> bool {
        self.point.as_second() > now.point.as_second().saturating_add(CLOCKS_DIFFER_SECONDS)
    }

    /// The point, for calendar arithmetic.
    pub fn point(&self) -> jiff::Timestamp {
        self.point
    }
}

impl Default for Time {
    /// Go's zero time, which stands for one that was not written.
    fn default() -> Self {
        let begin = jiff::civil::date(1, 1, 1).at(0, 0, 0, 0);
        Self {
            point: Offset::UTC.to_timestamp(begin).unwrap_or_default(),
            offset: Offset::UTC,
        }
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.point.cmp(&other.point)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset == Offset::UTC {
            fmt::Display::fmt(&self.point, f)
        } else {
            fmt::Display::fmt(&self.point.display_with_offset(self.offset), f)
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let pieces = Pieces::parse(text).ok()?;
            let offset = pieces.to_numeric_offset()?;
            let civil = pieces.date().to_datetime(pieces.time()?);
            Some(Self {
                point: offset.to_timestamp(civil).ok()?,
                offset,
            })
        };
        parse().ok_or_else(|| Error::corrupted(format!("'{text}' is no time in RFC 3339")))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read_and_written_again_byte_for_byte() {
        for text in [
            "2026-11-20T13:14:37.946782413Z",
            "2026-07-01T02:00:00+02:00",
            "2026-07-01T02:00:00.1-03:30",
            "1969-12-31T23:59:59.000000001Z",
            "0001-01-01T00:00:00Z",
        ] {
            let time: Time = text.parse().expect(text);
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn times_are_compared_by_the_point_they_mean() {
        let here: Time = "2026-07-01T02:00:00+02:00".parse().expect("parses");
        let there: Time = "2026-07-01T00:00:00Z".parse().expect("parses");
        assert_eq!(here, there);
        assert_eq!(here.nanoseconds(), 1_782_864_000_000_000_000);
        assert_eq!(Time::from_nanoseconds(here.nanoseconds()), here);
    }

    #[test]
    fn any_time_of_a_file_is_one() {
        let check = |seconds, nanoseconds, expected: &str| {
            let time = Time::of_file(FileTime::new(seconds, nanoseconds));
            assert_eq!(time.point().to_string(), expected);
        };
        check(0, 5, "1970-01-01T00:00:00.000000005Z");
        check(-1, 999_999_999, "1969-12-31T23:59:59.999999999Z");
        check(13_569_465_600, 0, "2400-01-01T00:00:00Z");
        check(-62_135_596_800, 0, "0001-01-01T00:00:00Z");
        for seconds in [i64::MIN, i64::MAX] {
            let time = Time::of_file(FileTime::new(seconds, 1));
            assert!(time.to_string().contains("9999-"), "{time}");
        }
    }

    #[test]
    fn a_time_without_offset_is_refused() {
        for text in ["2026-07-01T02:00:00", "2026-07-01", "yesterday", ""] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
