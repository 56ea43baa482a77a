//! Bytes, counts and rates for people.

/// `0 B`, `999 B`, `1.00 KiB`, `12.3 MiB`, `123 GiB`: three digits, binary units.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 999.5 and more would round to four digits.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS[unit];
    // What rounds up to the next power of ten loses a decimal.
    if value < 9.995 {
        format!("{value:.2} {unit}")
    } else if value < 99.95 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// Bytes a second.
pub fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second.max(0.0) as u64))
}

/// `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `12,345 files`.
pub fn counted(number: u64, singular: &str) -> String {
    if number == 1 {
        return format!("1 {singular}");
    }
    let number = count(number);
    match singular.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {singular}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_three_digits_and_a_unit() {
        let check = |number, expected: &str| assert_eq!(bytes(number), expected, "{number}");
        check(0, "0 B");
        check(999, "999 B");
        check(1000, "0.98 KiB");
        check(1024, "1.00 KiB");
        check(10 * 1024, "10.0 KiB");
        check(10 * 1024 - 1, "10.0 KiB");
        check(100 * 1024 - 1, "100 KiB");
        check(1023 * 1024, "1.00 MiB");
        check(5 << 30, "5.00 GiB");
        check(u64::MAX, "16.0 EiB");
    }

    #[test]
    fn counts_are_grouped_and_agree_with_their_noun() {
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(0, "file"), "0 files");
        assert_eq!(counted(1_234_567, "file"), "1,234,567 files");
        assert_eq!(counted(2, "repository"), "2 repositories");
        assert_eq!(counted(2, "day"), "2 days");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
    }
}
