//! Positions in the write-ahead log: `0/16B3748` in and out, and the segment files that hold them.

use std::fmt;
use std::str::FromStr;

use strongroom_plugin::{Error, ErrorKind};

/// A position in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    /// The end of the segment that it lies in; itself, where it lies between two.
    pub(crate) fn segment_end(self, segment_bytes: u64) -> Self {
        Self(self.0.div_ceil(segment_bytes) * segment_bytes)
    }

    /// The file that holds the segment which begins here.
    pub(crate) fn segment_name(self, timeline: u32, segment_bytes: u64) -> String {
        let number = self.0 / segment_bytes;
        let in_a_log = (1 << 32) / segment_bytes;
        let (log, segment) = (number / in_a_log, number % in_a_log);
        format!("{timeline:08X}{log:08X}{segment:08X}")
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let part = |text: &str| u32::from_str_radix(text, 16).ok();
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(high, low)| Some((part(high)?, part(low)?)));
        let (high, low) = parsed.ok_or_else(|| {
            let message = format!("'{}' is no position in the log", text.escape_debug());
            Error::new(ErrorKind::Failed, message).hint("write it like 0/16B3748")
        })?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    #[test]
    fn a_position_is_written_as_the_server_writes_it() {
        let check = |text: &str, number: u64| {
            assert_eq!(text.parse::<Lsn>().expect("a position"), Lsn(number));
            assert_eq!(Lsn(number).to_string(), text);
        };
        check("0/16B3748", 0x16B_3748);
        check("1A/0", 0x1A_0000_0000);
        for wrong in ["", "0", "/", "0/x", "0/123456789"] {
            wrong.parse::<Lsn>().expect_err(wrong);
        }
    }

    #[test]
    fn a_segment_is_named_after_timeline_and_number() {
        let check = |lsn: u64, size: u64, name: &str| {
            assert_eq!(Lsn(lsn).segment_name(3, size), name);
        };
        check(0x0100_0000, SEGMENT, "000000030000000000000001");
        check(0x1_0000_0000, SEGMENT, "000000030000000100000000");
        check(0xFF_FF00_0000, SEGMENT, "00000003000000FF000000FF");
        check(0x1_4000_0000, 1 << 30, "000000030000000100000001");
    }

    #[test]
    fn a_segment_ends_where_the_next_begins() {
        let check = |lsn: u64, end: u64| assert_eq!(Lsn(lsn).segment_end(SEGMENT), Lsn(end));
        check(0, 0);
        check(1, SEGMENT);
        check(SEGMENT, SEGMENT);
        check(SEGMENT + 7, 2 * SEGMENT);
    }
}
