//! One gitignore glob: bytes in, so that names need not be UTF-8; yes or no out, in time proportional to pattern times path at worst.

/// A parsed pattern, without its `!` and its slashes at the ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Glob {
    /// No wildcards at all.
    Literal(Vec<u8>),
    /// `*` and then no wildcards: how most patterns look.
    Suffix(Vec<u8>),
    /// Anything else.
    Tokens(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    /// `?`: one byte, no slash. Git counts bytes, too.
    Any,
    /// `[…]`: which of the 256 bytes.
    Class(Box<[bool; 256]>),
    /// `*`: bytes of one component.
    Star,
    /// `**/`: components with their slashes, or none.
    Directories,
    /// `**` at the end of a path: everything.
    Everything,
}

impl Glob {
    /// The error says what is wrong.
    pub(super) fn parse(pattern: &[u8]) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(byte) = pattern.get(at) {
            at += 1;
            match byte {
                b'\\' => {
                    let escaped = pattern.get(at).ok_or("ends in a backslash")?;
                    tokens.push(Token::Byte(*escaped));
                    at += 1;
                }
                b'?' => tokens.push(Token::Any),
                b'[' => {
                    let (class, after) = parse_class(pattern, at)?;
                    tokens.push(Token::Class(class));
                    at = after;
                }
                b'*' => {
                    let more = pattern
                        .iter()
                        .skip(at)
                        .take_while(|byte| **byte == b'*')
                        .count();
                    let starts = matches!(
                        tokens.last(),
                        None | Some(Token::Byte(b'/') | Token::Directories)
                    );
                    at += more;
                    match (more > 0 && starts, pattern.get(at)) {
                        (true, None) => tokens.push(Token::Everything),
                        (true, Some(b'/')) => {
                            tokens.push(Token::Directories);
                            at += 1;
                        }
                        _ => tokens.push(Token::Star),
                    }
                }
                byte => tokens.push(Token::Byte(*byte)),
            }
        }
        if tokens.is_empty() {
            return Err("names nothing".to_owned());
        }
        Ok(match literal(&tokens) {
            Some(bytes) => Self::Literal(bytes),
            None => match tokens.split_first() {
                Some((Token::Star, rest)) => match literal(rest) {
                    Some(bytes) if !bytes.contains(&b'/') => Self::Suffix(bytes),
                    _ => Self::Tokens(tokens),
                },
                _ => Self::Tokens(tokens),
            },
        })
    }

    /// Whether all of `text` matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Literal(bytes) => bytes == text,
            Self::Suffix(bytes) => text
                .strip_suffix(bytes.as_slice())
                .is_some_and(|head| !head.contains(&b'/')),
            Self::Tokens(tokens) => matches(tokens, text),
        }
    }
}

fn literal(tokens: &[Token]) -> Option<Vec<u8>> {
    tokens
        .iter()
        .map(|token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        })
        .collect()
}

/// On a mismatch only the last star, and if that one may not go on the last `**/`, is tried further to the right: what earlier ones
/// could reach by going on, the later one reaches, too.
fn matches(tokens: &[Token], text: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    // Where to go on after the wildcard, and from which byte of the text the next attempt starts.
    let mut star: Option<(usize, usize)> = None;
    let mut directories: Option<(usize, usize)> = None;
    loop {
        let matched = match (tokens.get(token), text.get(at)) {
            (None, None) | (Some(Token::Everything), _) => return true,
            (Some(Token::Star), _) => {
                token += 1;
                star = Some((token, at));
                continue;
            }
            (Some(Token::Directories), _) => {
                token += 1;
                directories = Some((token, at));
                star = None;
                continue;
            }
            (Some(Token::Byte(expected)), Some(byte)) => expected == byte,
            (Some(Token::Any), Some(byte)) => *byte != b'/',
            (Some(Token::Class(class)), Some(byte)) => *byte != b'/' && class[usize::from(*byte)],
            (Some(_), None) | (None, Some(_)) => false,
        };
        if matched {
            token += 1;
            at += 1;
            continue;
        }
        if let Some((after, from)) = star
            && text.get(from).is_some_and(|byte| *byte != b'/')
        {
            star = Some((after, from + 1));
            (token, at) = (after, from + 1);
            continue;
        }
        star = None;
        let Some((after, from)) = directories else {
            return false;
        };
        let rest = text.get(from..).unwrap_or_default();
        let Some(slash) = rest.iter().position(|byte| *byte == b'/') else {
            return false;
        };
        directories = Some((after, from + slash + 1));
        (token, at) = (after, from + slash + 1);
    }
}

/// The class that begins after the bracket at `start`, and where it ends.
fn parse_class(pattern: &[u8], start: usize) -> Result<(Box<[bool; 256]>, usize), String> {
    let open = || "has a [ without its ]".to_owned();
    let mut class = Box::new([false; 256]);
    let mut at = start;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    loop {
        let byte = *pattern.get(at).ok_or_else(open)?;
        if byte == b']' && at > first {
            break;
        }
        let named = pattern.get(at..).and_then(|rest| rest.strip_prefix(b"[:"));
        if let Some(rest) = named {
            let length = rest
                .windows(2)
                .position(|pair| pair == b":]")
                .ok_or_else(open)?;
            let name = rest.get(..length).unwrap_or_default();
            let contains = named_class(name)
                .ok_or_else(|| format!("has an unknown class [:{}:]", name.escape_ascii()))?;
            for member in 0..=u8::MAX {
                class[usize::from(member)] |= contains(&member);
            }
            at += length + 4;
            continue;
        }
        let (low, after) = class_byte(pattern, at).ok_or_else(open)?;
        at = after;
        let ranged =
            pattern.get(at) == Some(&b'-') && !matches!(pattern.get(at + 1), None | Some(b']'));
        let high = if ranged {
            let (high, after) = class_byte(pattern, at + 1).ok_or_else(open)?;
            at = after;
            high
        } else {
            low
        };
        if high < low {
            let range = [low, b'-', high];
            return Err(format!("has the empty range {}", range.escape_ascii()));
        }
        for member in low..=high {
            class[usize::from(member)] = true;
        }
    }
    if negated {
        for member in class.iter_mut() {
            *member = !*member;
        }
    }
    Ok((class, at + 1))
}

/// A byte of a class, after its backslash if it has one, and where it ends.
fn class_byte(pattern: &[u8], at: usize) -> Option<(u8, usize)> {
    match pattern.get(at)? {
        b'\\' => Some((*pattern.get(at + 1)?, at + 2)),
        byte => Some((*byte, at + 1)),
    }
}

fn named_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}
