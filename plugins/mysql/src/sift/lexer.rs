//! Where statements begin: lines of a dump come in, whether the next one begins a statement goes out. It reads as the client does that runs them.

/// A client's view of the lines so far.
pub(super) struct Lexer {
    delimiter: Vec<u8>,
    /// Whether something of a statement was read that has not ended.
    has_begun: bool,
    within: Option<Within>,
    /// Whether a backslash takes the letter after it for itself.
    escapes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Quote(u8),
    Comment,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self {
            delimiter: b";".to_vec(),
            has_begun: false,
            within: None,
            escapes: true,
        }
    }

    /// Whether what comes next begins a statement.
    pub(super) fn is_at_start(&self) -> bool {
        !self.has_begun && self.within.is_none()
    }

    /// For lines that are read otherwise.
    pub(super) fn set_at_start(&mut self, is_at_start: bool) {
        self.has_begun = !is_at_start;
        self.within = None;
    }

    /// Reads a line, with its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        if self.is_at_start() && self.is_directive(line) {
            return;
        }
        let mut rest = line;
        while let Some((&first, after)) = rest.split_first() {
            rest = match self.within {
                Some(Within::Comment) if rest.starts_with(b"*/") => {
                    self.within = None;
                    rest.get(2..).unwrap_or_default()
                }
                Some(Within::Comment) => after,
                Some(Within::Quote(quote)) => self.quoted(first, after, quote),
                None => match self.plain(first, rest) {
                    Some(taken) => rest.get(taken..).unwrap_or_default(),
                    None => return,
                },
            };
        }
    }

    /// What the client itself acts upon, and the mode in which texts are read.
    fn is_directive(&mut self, line: &[u8]) -> bool {
        let word = line.get(..10).unwrap_or_default();
        if word.eq_ignore_ascii_case(b"delimiter ") {
            let delimiter = line.get(10..).unwrap_or_default().trim_ascii();
            if !delimiter.is_empty() {
                self.delimiter = delimiter.to_vec();
            }
            return true;
        }
        if line.starts_with(b"/*!50003 SET sql_mode ") {
            let mode = b"NO_BACKSLASH_ESCAPES";
            self.escapes = !line.windows(mode.len()).any(|part| part == mode);
        }
        false
    }

    fn quoted<'a>(&mut self, first: u8, after: &'a [u8], quote: u8) -> &'a [u8] {
        if first == b'\\' && quote != b'`' && self.escapes {
            return after.get(1..).unwrap_or_default();
        }
        // Twice the quote ends it and begins it again, which is the same.
        if first == quote {
            self.within = None;
        }
        after
    }

    /// How many bytes are done with; none where the rest of the line is a comment.
    fn plain(&mut self, first: u8, rest: &[u8]) -> Option<usize> {
        if rest.starts_with(&self.delimiter) {
            self.has_begun = false;
            return Some(self.delimiter.len());
        }
        match first {
            b'\'' | b'"' | b'`' => {
                self.within = Some(Within::Quote(first));
                self.has_begun = true;
            }
            b'#' => return None,
            b'-' if rest.starts_with(b"--")
                && rest.get(2).is_none_or(|next| next.is_ascii_whitespace()) =>
            {
                return None;
            }
            // What a server reads if it is new enough is no comment.
            b'/' if rest.starts_with(b"/*")
                && !rest.starts_with(b"/*!")
                && !rest.starts_with(b"/*M!") =>
            {
                self.within = Some(Within::Comment);
                return Some(2);
            }
            _ if first.is_ascii_whitespace() => {}
            _ => self.has_begun = true,
        }
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines at which a statement may begin, by number.
    #[track_caller]
    fn check(text: &str, expected: &[usize]) {
        let mut lexer = Lexer::new();
        let mut found = Vec::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if lexer.is_at_start() {
                found.push(number);
            }
            lexer.line(line.as_bytes());
        }
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn statements_begin_where_the_client_says_so() {
        check("a;\nb\nc;\nd;\n", &[0, 1, 3]);
        check("-- a 'b\n# it's\n\na;\n", &[0, 1, 2, 3]);
        check("a ';\n' ;\nb;\n", &[0, 2]);
        check("a '\\';\n' ;\nb;\n", &[0, 2]);
        check("a `\\` ;\nb;\n", &[0, 1]);
        check("a /* ;\n */ ;\nb;\n", &[0, 2]);
        check("/*!50003 a 'x' ;\nb */;\nc;\n", &[0, 1, 2]);
        check("a -1;\nb --1;\nc;\n", &[0, 1, 2]);
        check(
            "DELIMITER ;;\na;\nb;;\ndelimiter ;\nc;\nd\n",
            &[0, 1, 3, 4, 5],
        );
        check("a\nDELIMITER ;\nb;\nc;\n", &[0, 2, 3]);
        check(
            "/*!50003 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */ ;\na '\\' ;\nb;\n",
            &[0, 1, 2],
        );
    }
}
