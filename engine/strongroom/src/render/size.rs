//! Bytes, counts and rates for people, and sizes as they type them.

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

/// `1GiB`, `500 M` or `0`: binary units, of which the first letter is enough. A bare number says too little.
pub fn parse(text: &str) -> Result<u64, String> {
    const UNITS: [char; 5] = ['k', 'm', 'g', 't', 'p'];
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default().to_lowercase();
    let number: f64 = digits
        .trim()
        .parse()
        .map_err(|_| "is no size such as 500MiB or 2GiB".to_owned())?;
    let power = UNITS.iter().position(|letter| {
        let names = [
            format!("{letter}"),
            format!("{letter}b"),
            format!("{letter}ib"),
        ];
        names.contains(&unit)
    });
    let factor = match (power, &*unit) {
        (Some(power), _) => 1024_f64.powi(power as i32 + 1),
        (None, "b") => 1.0,
        (None, "") if number == 0.0 => 1.0,
        _ => return Err("needs a unit: KiB, MiB, GiB or TiB".into()),
    };
    let bytes = number * factor;
    if bytes.is_finite() && (0.0..=u64::MAX as f64).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err("is no possible size".into())
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
    fn a_size_is_typed_with_a_unit() {
        let check = |text, expected: Option<u64>| assert_eq!(parse(text).ok(), expected, "{text}");
        check("0", Some(0));
        check("512b", Some(512));
        check("500M", Some(500 << 20));
        check("1.5 GiB", Some(3 << 29));
        check("2tb", Some(2 << 40));
        for text in ["", "7", "-1M", "MiB", "1X", "1e400M", "nan", "infM"] {
            check(text, None);
        }
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
