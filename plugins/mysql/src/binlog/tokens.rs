//! The words of a statement: SQL comes in, one token after the other goes out.
//!
//! What a server only reads if it is new enough (`/*!50003 … */`) is read here: in its log a server leaves none of what it did not read itself.

use std::iter::Peekable;
use std::str::Chars;

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

/// Those of a statement.
pub(super) struct Tokens<'a> {
    letters: Peekable<Chars<'a>>,
    /// Within a comment that is read.
    is_opened: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(sql: &'a str) -> Self {
        Self {
            letters: sql.chars().peekable(),
            is_opened: false,
        }
    }

    /// What a quote encloses. Twice the quote is the quote.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.letters.next()? {
                '\\' if quote != '`' => text.extend(self.letters.next()),
                letter if letter != quote => text.push(letter),
                _ if self.letters.next_if_eq(&quote).is_some() => text.push(quote),
                _ => return Some(text),
            }
        }
    }

    /// After `/*`: false where the comment has no end.
    fn comment(&mut self) -> bool {
        let is_marked = self.letters.next_if_eq(&'M').is_some();
        if self.letters.next_if_eq(&'!').is_some() {
            while self.letters.next_if(char::is_ascii_digit).is_some() {}
            self.is_opened = true;
            return true;
        }
        let mut last = if is_marked { 'M' } else { ' ' };
        for letter in self.letters.by_ref() {
            if (last, letter) == ('*', '/') {
                return true;
            }
            last = letter;
        }
        false
    }

    fn line(&mut self) {
        for letter in self.letters.by_ref() {
            if letter == '\n' {
                return;
            }
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let letter = self.letters.next()?;
            let follows = self.letters.peek().copied();
            return Some(match letter {
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
                    while let Some(letter) = self.letters.next_if(is_letter) {
                        word.push(letter);
                    }
                    Token::Word(word)
                }
                _ => Token::Sign(letter),
            });
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
            let shown: Vec<String> = Tokens::of(sql)
                .map(|token| match token {
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
}
