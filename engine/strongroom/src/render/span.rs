//! Spans of time as people write them: `12h`, `90d`, `2w`, `6m`, `1y` in, seconds out. A month is 30 days, a year 365.

use std::time::Duration;

/// What may be written, for messages.
pub const FORM: &str = "a number and h, d, w, m (months) or y, such as 90d";

/// `None` where it is nothing of the kind.
pub fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let each = match unit {
        "h" => Duration::from_hours(1),
        "d" => days(1),
        "w" => days(7),
        "m" => days(30),
        "y" => days(365),
        _ => return None,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u32>().ok().filter(|_| is_number)?;
    each.checked_mul(number)
}

/// So many days.
pub const fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_letter_are_a_span() {
        let check = |text, hours: Option<u64>| {
            let expected = hours.map(Duration::from_hours);
            assert_eq!(parse(text), expected, "{text:?}");
        };
        check("0h", Some(0));
        check("12h", Some(12));
        check("90d", Some(90 * 24));
        check("2w", Some(14 * 24));
        check("6m", Some(180 * 24));
        check("1y", Some(365 * 24));
        for text in [
            "",
            "d",
            "-1d",
            "+1d",
            "90",
            "90 d",
            "90s",
            "9ü",
            "99999999999d",
        ] {
            check(text, None);
        }
    }
}
