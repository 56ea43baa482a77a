//! Text as wide as a terminal. What others wrote is made fit for one before: see [`clean`].

use std::borrow::Cow;

pub use strongroom_repository::text::clean;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
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
