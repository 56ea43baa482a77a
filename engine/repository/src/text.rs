//! Text that others wrote - names of files and tables, notes, messages of servers and plugins - made fit for a terminal, a log and a line of JSON. The one
//! place that says which letters are not: none may steer a terminal, forge a line, turn what follows it around, or be there without being seen.

use std::borrow::Cow;

/// `text` with every unfit letter escaped, as in `a\u{1b}[2J`.
pub fn clean(text: &str) -> Cow<'_, str> {
    replace(text, is_unfit, |letter, cleaned| {
        cleaned.extend(letter.escape_default());
    })
}

/// `text` in one line of at most `most` letters, where nobody has to find out what exactly it was.
pub fn tidy(text: &str, most: usize) -> String {
    let plain = |letter| if is_unfit(letter) { ' ' } else { letter };
    let mut tidied: String = text.trim().chars().map(plain).take(most + 1).collect();
    if let Some((end, _)) = tidied.char_indices().nth(most) {
        tidied.truncate(end);
        tidied.push('…');
    }
    tidied
}

/// JSON with every unfit letter as `\u001b`, which means the same. What may stand between its strings stays.
pub fn clean_json(json: &str) -> Cow<'_, str> {
    let is_unfit = |letter: char| !letter.is_ascii_whitespace() && is_unfit(letter);
    replace(json, is_unfit, |letter, cleaned| {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            cleaned.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// Several lines that are ready to be shown, with what is unfit escaped but for line ends and the colours that we give them ourselves. For whoever forgot
/// to clean a name: it may still begin a line, and no more.
pub fn clean_lines(text: &str) -> Cow<'_, str> {
    let is_unfit = |letter: char| letter != '\n' && is_unfit(letter);
    if !text.chars().any(is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = match colour(rest) {
            Some(length) => length,
            None => letter.len_utf8(),
        };
        let (now, later) = rest.split_at(length);
        match is_unfit(letter) && length == letter.len_utf8() {
            true => cleaned.extend(letter.escape_default()),
            false => cleaned.push_str(now),
        }
        rest = later;
    }
    Cow::Owned(cleaned)
}

/// The length of a sequence such as `\u{1b}[1;31m` that `text` begins with.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    codes.get(end..)?.starts_with('m').then_some(end + 3)
}

/// Whether a letter is not shown as what it is: control characters, marks that turn the direction of writing, and whatever a terminal shows as nothing.
/// Not among them are the joiners and variants that Persian, Hindi and many a pictogram are written with: they change how the letter before them looks.
pub fn is_unfit(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

fn replace(
    text: &str,
    is_unfit: impl Fn(char) -> bool,
    mut escape: impl FnMut(char, &mut String),
) -> Cow<'_, str> {
    if !text.chars().any(&is_unfit) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_unfit(letter) {
            true => escape(letter, &mut cleaned),
            false => cleaned.push(letter),
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must not reach a terminal: C0, DEL, C1, marks of direction, line separators, and what is invisible.
    const UNFIT: &str = "\u{0}\u{7}\u{1b}\r\n\t\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{fff9}\u{e0041}";

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(clean("Grüße 日本"), "Grüße 日本");
        // Persian with a joiner, and a heart in colour.
        let written = "می\u{200c}خواهم \u{2764}\u{fe0f}";
        assert_eq!(clean(written), written);
        for letter in UNFIT.chars() {
            let cleaned = clean(letter.encode_utf8(&mut [0; 4])).into_owned();
            assert!(cleaned.starts_with('\\'), "{letter:?}: {cleaned:?}");
        }
    }

    #[test]
    fn a_text_of_a_plugin_is_one_line_and_not_endless() {
        assert_eq!(tidy(" red \u{1b}[31m\nalert\t\n", 99), "red  [31m alert");
        assert_eq!(tidy("a\u{202e}b", 99), "a b");
        assert_eq!(tidy(&"é".repeat(9), 4), "éééé…");
        assert_eq!(tidy("éééé", 4), "éééé");
    }

    #[test]
    fn json_means_the_same_without_an_unfit_letter() {
        let value = serde_json::json!({ "name": UNFIT, UNFIT: ["a"] });
        for json in [
            serde_json::to_string(&value).expect("JSON"),
            serde_json::to_string_pretty(&value).expect("JSON"),
        ] {
            let cleaned = clean_json(&json);
            let unfit = cleaned.chars().find(|it| *it != '\n' && is_unfit(*it));
            assert_eq!(unfit, None, "{cleaned}");
            let parsed: serde_json::Value = serde_json::from_str(&cleaned).expect("JSON");
            assert_eq!(parsed, value);
        }
    }

    #[test]
    fn lines_keep_their_colours_and_nothing_else() {
        let lines = "\u{1b}[1;31merror:\u{1b}[0m a\nb";
        assert_eq!(clean_lines(lines), lines);
        let check = |text: &str, expected: &str| assert_eq!(clean_lines(text), expected);
        check("a\u{1b}[2Jb\n", "a\\u{1b}[2Jb\n");
        check("a\u{1b}", "a\\u{1b}");
        check("a\u{1b}[31", "a\\u{1b}[31");
        check("a\u{1b}]0;title\u{7}", "a\\u{1b}]0;title\\u{7}");
        check("a\rb", "a\\rb");
    }
}
