//! Foreign text made fit for a terminal: names of files, notes and host names may hold anything.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` with control characters escaped, so that no file name can move the cursor or forge a line.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unfit(letter) {
            cleaned.extend(letter.escape_default());
        } else {
            cleaned.push(letter);
        }
    }
    Cow::Owned(cleaned)
}

/// As [`clean`], of bytes that may be no UTF-8: `\xff` stands for those that are not.
pub fn clean_bytes(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return clean(text);
    }
    let mut cleaned = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        cleaned.push_str(&clean(chunk.valid()));
        cleaned.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    Cow::Owned(cleaned)
}

/// How many columns `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// At most `columns` of `text`; an ellipsis stands for what is left out.
pub fn truncate(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut taken = 0;
    let mut short = String::new();
    for letter in text.chars() {
        let letter_width = letter.width().unwrap_or(0);
        if taken + letter_width + 1 > columns {
            break;
        }
        taken += letter_width;
        short.push(letter);
    }
    if columns > 0 {
        short.push('…');
    }
    Cow::Owned(short)
}

/// Control characters, and those that turn the direction of what follows.
fn is_unfit(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(clean("Grüße 日本"), "Grüße 日本");
        assert_eq!(
            clean_bytes(b"\xff\x1b[2J\n\xc3\xbc"),
            "\\xff\\u{1b}[2J\\n\u{fc}"
        );
    }

    #[test]
    fn a_text_is_cut_by_columns_not_letters() {
        assert_eq!(truncate("日本語", 6), "日本語");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("abc", 0), "");
    }
}
