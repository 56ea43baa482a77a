//! Names of databases, buckets and the like as names of files.

use std::fmt::Write;

/// `name` as the name of a file that every system can hold and every list can show: what cannot stand in one everywhere, or turns the direction of what
/// follows, becomes `%` and two hexadecimal digits for each byte, and so does a dot in front.
pub fn file_name(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for (at, letter) in name.char_indices() {
        let turns = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_awkward = letter.is_control() || turns || "/\\%:*?\"<>|".contains(letter);
        if is_awkward || (at == 0 && letter == '.') {
            escape(letter, &mut file);
        } else {
            file.push(letter);
        }
    }
    file
}

/// `name` with its first letter escaped too: another file than one that is called so already.
pub fn other_file_name(name: &str) -> String {
    let mut letters = name.chars();
    let mut file = String::new();
    if let Some(first) = letters.next() {
        escape(first, &mut file);
    }
    file + &file_name(letters.as_str())
}

fn escape(letter: char, file: &mut String) {
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a String cannot fail.
        let _ = write!(file, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_awkward_name_becomes_a_plain_file() {
        let check = |name, file| assert_eq!(file_name(name), file);
        check("shop", "shop");
        check("Größe 2-a.b", "Größe 2-a.b");
        check("a/b\\c%d", "a%2Fb%5Cc%25d");
        check("..", "%2E.");
        check("a\nb", "a%0Ab");
        check("\u{202e}a", "%E2%80%AEa");
        check("\u{1F418}", "\u{1F418}");
    }

    #[test]
    fn a_name_that_is_taken_becomes_another() {
        assert_eq!(other_file_name("users"), "%75sers");
        assert_eq!(other_file_name("a/b"), "%61%2Fb");
    }
}
