//! The words of a statement: SQL comes in, one token after the other goes out.
//!
//! What a server only reads if it is new enough (`/*!50003 … */`) is read here: in its log a server leaves none of what it did not read itself.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

/// The smallest part of a statement that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, a number, or a name without quotes.
    Word(String),
    /// A name in backticks, or in double quotes, which may as well be a text.
    Quoted(String),
    /// A text in single quotes.
    Text,
    Sign(char),
    /// A quote or a comment has no end.
    Broken,
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word))
    }
}

/// Those of a statement, each with the bytes that it takes.
pub(super) struct Tokens<'a> {
    letters: Peekable<CharIndices<'a>>,
    length: usize,
    escapes: bool,
    /// Within a comment that is read.
    is_opened: bool,
}

impl<'a> Tokens<'a> {
    /// `escapes` says whether a backslash in a text takes the letter after it for itself.
    pub(super) fn of(sql: &'a str, escapes: bool) -> Self {
        Self {
            letters: sql.char_indices().peekable(),
            length: sql.len(),
            escapes,
            is_opened: false,
        }
    }

    fn next_if(&mut self, is_wanted: impl Fn(&char) -> bool) -> Option<char> {
        let letter = self.letters.next_if(|(_, letter)| is_wanted(letter));
        letter.map(|(_, letter)| letter)
    }

    fn next_if_eq(&mut self, wanted: char) -> Option<char> {
        self.next_if(|letter| *letter == wanted)
    }

    /// What a quote encloses. Twice the quote is the quote.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.letters.next()?.1 {
                '\\' if quote != '`' && self.escapes => {
                    text.extend(self.letters.next().map(|(_, letter)| letter));
                }
                letter if letter != quote => text.push(letter),
                _ if self.next_if_eq(quote).is_some() => text.push(quote),
                _ => return Some(text),
            }
        }
    }

    /// After `/*`: false where the comment has no end.
    fn comment(&mut self) -> bool {
        let is_marked = self.next_if_eq('M').is_some();
        if self.next_if_eq('!').is_some() {
            while self.next_if(char::is_ascii_digit).is_some() {}
            self.is_opened = true;
            return true;
        }
        let mut last = if is_marked { 'M' } else { ' ' };
        for (_, letter) in self.letters.by_ref() {
            if (last, letter) == ('*', '/') {
                return true;
            }
            last = letter;
        }
        false
    }

    fn line(&mut self) {
        for (_, letter) in self.letters.by_ref() {
            if letter == '\n' {
                return;
            }
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = (Token, Range<usize>);

    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        loop {
            let (from, letter) = self.letters.next()?;
            let follows = self.letters.peek().map(|(_, letter)| *letter);
            let token = match letter {
                _ if letter.is_whitespace() => continue,
                '#' => {
                    self.line();
                    continue;
                }
                '-' if follows == Some('-') => {
                    self.line();
                    continue;
                }
                '/' if follows == Some('*') => {
                    self.letters.next();
                    match self.comment() {
                        true => continue,
                        false => Token::Broken,
                    }
                }
                '*' if self.is_opened && follows == Some('/') => {
                    self.letters.next();
                    self.is_opened = false;
                    continue;
                }
                '`' | '"' => self.quoted(letter).map_or(Token::Broken, Token::Quoted),
                '\'' => self.quoted(letter).map_or(Token::Broken, |_| Token::Text),
                _ if is_letter(&letter) => {
                    let mut word = String::from(letter);
                    while let Some(letter) = self.next_if(is_letter) {
                        word.push(letter);
                    }
                    Token::Word(word)
                }
                _ => Token::Sign(letter),
            };
            let to = self.letters.peek().map_or(self.length, |(at, _)| *at);
            return Some((token, from..to));
        }
    }
}

/// Of a name without quotes. Beyond ASCII a server takes any.
fn is_letter(letter: &char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$') || !letter.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_taken_apart() {
        let check = |sql: &str, expected: &str| {
            let shown: Vec<String> = Tokens::of(sql, true)
                .map(|(token, _)| match token {
                    Token::Word(word) => word,
                    Token::Quoted(name) => format!("[{name}]"),
                    Token::Text => "'".into(),
                    Token::Sign(sign) => sign.into(),
                    Token::Broken => "broken".into(),
                })
                .collect();
            assert_eq!(shown.join(" "), expected, "{sql}");
        };
        check("DROP TABLE a.b , c", "DROP TABLE a . b , c");
        check("`a``b`.\"c\"\"d\"", "[a`b] . [c\"d]");
        check("x 'it''s \\' one' y", "x ' y");
        check("/* /*no*/ a -- no\n#no\nb", "a b");
        check(
            "/*!40000 ALTER TABLE */ a /*M!100100 b*/ * /",
            "ALTER TABLE a b * /",
        );
        check("Größe$1.é", "Größe$1 . é");
        check("a 'b", "a broken");
        check("a /* b", "a broken");
        check("a - 1 / 2", "a - 1 / 2");
    }

    #[test]
    fn a_token_knows_its_bytes_and_a_backslash_may_be_but_a_letter() {
        let sql = "DROP /*x*/ `ä``b`.c";
        let spans: Vec<&str> = Tokens::of(sql, true).map(|(_, at)| &sql[at]).collect();
        assert_eq!(spans, ["DROP", "`ä``b`", ".", "c"]);
        let count = |escapes| Tokens::of(r"'a\' b 'c'", escapes).count();
        assert_eq!((count(true), count(false)), (3, 3));
        let count = |escapes| Tokens::of(r"'a\' b", escapes).count();
        assert_eq!((count(true), count(false)), (1, 2));
    }
}
