//! A moment as PostgreSQL writes it: nanoseconds since 1970 in, text in UTC out.

use strongroom_plugin::Timestamp;

/// `2026-03-01 14:05:09.123456+00`. Of what comes after the microseconds nothing stays.
pub(crate) fn utc(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.div_euclid(1000))
        .expect("nanoseconds in 64 bits reach from 1677 to 2262");
    time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc() {
        let check = |time: i64, expected: &str| assert_eq!(utc(time), expected);
        check(0, "1970-01-01 00:00:00.000000+00");
        check(-1, "1969-12-31 23:59:59.999999+00");
        check(1_709_164_799_123_456_789, "2024-02-28 23:59:59.123456+00");
        check(1_709_164_800_000_000_000, "2024-02-29 00:00:00.000000+00");
        check(4_107_542_399_000_000_000, "2100-02-28 23:59:59.000000+00");
        check(4_107_542_400_000_000_000, "2100-03-01 00:00:00.000000+00");
    }
}
