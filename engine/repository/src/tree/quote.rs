//! Strings as Go prints them in JSON: names through `strconv.Quote`, and `encoding/json` with its HTML escapes over all.

/// Bytes that stand for themselves both in `strconv.Quote` and in Go's JSON.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

/// Appends `text` as a JSON string. Bytes that are no UTF-8 come out as `\ufffd`, as in Go.
pub(super) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    push_with(out, text, &JSON);
}

/// Appends a name as a JSON string: what Go prints for `strconv.Quote` of it, without the outer quotes.
pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    push_with(out, name, &QUOTED);
}

/// How one kind of string writes what is not plain.
struct Style {
    ascii: fn(&mut Vec<u8>, u8),
    character: fn(&mut Vec<u8>, char),
    invalid: fn(&mut Vec<u8>, u8),
}

const JSON: Style = Style {
    ascii: json_ascii,
    character: |out, character| match character {
        '\u{2028}' => out.extend_from_slice(b"\\u2028"),
        '\u{2029}' => out.extend_from_slice(b"\\u2029"),
        _ => push_character(out, character),
    },
    invalid: |out, _| out.extend_from_slice(b"\\ufffd"),
};

// Every backslash of the quoting is doubled by JSON.
const QUOTED: Style = Style {
    ascii: |out, byte| match byte {
        b'"' => out.extend_from_slice(b"\\\\\\\""),
        b'\\' => out.extend_from_slice(b"\\\\\\\\"),
        0x07 => out.extend_from_slice(b"\\\\a"),
        0x08 => out.extend_from_slice(b"\\\\b"),
        b'\t' => out.extend_from_slice(b"\\\\t"),
        b'\n' => out.extend_from_slice(b"\\\\n"),
        0x0b => out.extend_from_slice(b"\\\\v"),
        0x0c => out.extend_from_slice(b"\\\\f"),
        b'\r' => out.extend_from_slice(b"\\\\r"),
        0..0x20 | 0x7f => {
            out.extend_from_slice(b"\\\\x");
            push_hex(out, u32::from(byte), 2);
        }
        _ => json_ascii(out, byte),
    },
    character: |out, character| {
        let code = u32::from(character);
        if is_printable(character) {
            push_character(out, character);
        } else if code < 0x1_0000 {
            out.extend_from_slice(b"\\\\u");
            push_hex(out, code, 4);
        } else {
            out.extend_from_slice(b"\\\\U");
            push_hex(out, code, 8);
        }
    },
    invalid: |out, byte| {
        out.extend_from_slice(b"\\\\x");
        push_hex(out, u32::from(byte), 2);
    },
};

fn push_with(out: &mut Vec<u8>, text: &[u8], style: &Style) {
    out.push(b'"');
    if text.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                match u8::try_from(character) {
                    Ok(byte) if PLAIN[usize::from(byte)] => out.push(byte),
                    Ok(byte) if byte.is_ascii() => (style.ascii)(out, byte),
                    _ => (style.character)(out, character),
                }
            }
            for byte in chunk.invalid() {
                (style.invalid)(out, *byte);
            }
        }
    }
    out.push(b'"');
}

fn json_ascii(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        // Go since 1.22; restic built with an older one wrote \u0008 and \u000c.
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x7f => out.push(byte),
        _ => {
            out.extend_from_slice(b"\\u");
            push_hex(out, u32::from(byte), 4);
        }
    }
}

fn push_character(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_hex(out: &mut Vec<u8>, value: u32, digits: u32) {
    for digit in (0..digits).rev() {
        let nibble = value >> (4 * digit) & 0xf;
        out.push(b"0123456789abcdef"[nibble as usize]);
    }
}

/// Go's `strconv.IsPrint` beyond ASCII: letters, marks, numbers, punctuation and symbols.
///
/// Rust's standard library keeps the same table for `escape_debug`. There only the first character of a string is escaped for being
/// a combining mark, so the question is asked about a second one.
fn is_printable(character: char) -> bool {
    let mut text = [b'a', 0, 0, 0, 0];
    let length = character.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..=length])
        .is_ok_and(|text| text.escape_debug().nth(1) == Some(character))
}

/// Undoes `strconv.Quote` of a name whose outer quotes are missing. `None` where Go's `strconv.Unquote` would fail.
pub(super) fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        let (plain, special) = rest.split_at(at);
        name.extend_from_slice(plain.as_bytes());
        let mut characters = special.strip_prefix('\\')?.chars();
        match characters.next()? {
            'a' => name.push(0x07),
            'b' => name.push(0x08),
            't' => name.push(b'\t'),
            'n' => name.push(b'\n'),
            'v' => name.push(0x0b),
            'f' => name.push(0x0c),
            'r' => name.push(b'\r'),
            '\\' => name.push(b'\\'),
            '"' => name.push(b'"'),
            'x' => name.push(take_digits(&mut characters, 2, 16)?.try_into().ok()?),
            'u' => push_character(
                &mut name,
                char::from_u32(take_digits(&mut characters, 4, 16)?)?,
            ),
            'U' => push_character(
                &mut name,
                char::from_u32(take_digits(&mut characters, 8, 16)?)?,
            ),
            '0'..='7' => {
                let mut octal = special.strip_prefix('\\')?.chars();
                name.push(take_digits(&mut octal, 3, 8)?.try_into().ok()?);
                characters = octal;
            }
            _ => return None,
        }
        rest = characters.as_str();
    }
    name.extend_from_slice(rest.as_bytes());
    Some(name)
}

fn take_digits(characters: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let mut value: u32 = 0;
    for _ in 0..count {
        value = value
            .checked_mul(radix)?
            .checked_add(characters.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_name(name: &[u8], expected: &str) {
        let mut out = Vec::new();
        push_name(&mut out, name);
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        let quoted: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(unquote(&quoted).as_deref(), Some(name));
    }

    #[test]
    fn names_are_quoted_like_gos_strconv() {
        check_name(b"plain name-1.txt", r#""plain name-1.txt""#);
        check_name("é😀漢字".as_bytes(), "\"é😀漢字\"");
        check_name("e\u{301}".as_bytes(), "\"e\u{301}\"");
        check_name(b"\xff\xfe.jpg", r#""\\xff\\xfe.jpg""#);
        check_name(b"cut \xe2\x80", r#""cut \\xe2\\x80""#);
        check_name(br#"a"b\c"#, r#""a\\\"b\\\\c""#);
        check_name(b"<&>", r#""\u003c\u0026\u003e""#);
        check_name(
            b"\x07\x08\t\n\x0b\x0c\r\x01\x7f",
            r#""\\a\\b\\t\\n\\v\\f\\r\\x01\\x7f""#,
        );
        check_name(
            "\u{ad}\u{200b}\u{2028}\u{e000}\u{e0001}\u{85}\u{a0}\u{3000}".as_bytes(),
            r#""\\u00ad\\u200b\\u2028\\ue000\\U000e0001\\u0085\\u00a0\\u3000""#,
        );
    }

    #[test]
    fn other_strings_are_escaped_like_gos_json() {
        let check = |text: &[u8], expected: &str| {
            let mut out = Vec::new();
            push_string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(b"../a b", r#""../a b""#);
        check(
            b"\x01\x08\t\n\x0c\r\x7f\"\\",
            "\"\\u0001\\b\\t\\n\\f\\r\x7f\\\"\\\\\"",
        );
        check(b"<&>", r#""\u003c\u0026\u003e""#);
        check(
            "\u{2028}\u{2029}\u{ad}".as_bytes(),
            "\"\\u2028\\u2029\u{ad}\"",
        );
        check(b"\xff\xe2\x80.", r#""\ufffd\ufffd\ufffd.""#);
    }

    #[test]
    fn what_go_would_not_unquote_is_refused() {
        for wrong in [
            "\"",
            "\\",
            "\\'",
            "\\q",
            "\\x1",
            "\\xg0",
            "\\u12",
            "\\ud800",
            "\\U00110000",
            "\\400",
            "\\8",
            "a\nb",
        ] {
            assert_eq!(unquote(wrong), None, "{wrong}");
        }
        assert_eq!(unquote("\\101\\x42").as_deref(), Some(&b"AB"[..]));
    }
}
