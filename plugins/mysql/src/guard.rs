//! A reader in front of the client: the text of a dump comes in, part by part, and whether the client will send the server nothing but the statements
//! that a dump program wrote.
//!
//! Names, bodies of routines and texts in a dump are their owners'. The client cuts the text into statements by rules of its own, which are not the
//! server's: where the two disagree about where a string or a comment ends, what stands inside of a routine is run as a statement of its own, by whoever
//! restores. So the reader cuts as the client does, and refuses the text at the first place where the server would read on otherwise.

use strongroom_plugin::{Error, ErrorKind, Result};

use crate::config::Kind;
use crate::guard_statement::{Modes, check_statement};
use crate::name::shown;

/// What is kept of a statement: how it begins, with all that settings are.
const HEAD_BYTES: usize = 4096;

/// No comment of a dump program is longer.
const COMMENT_BYTES: usize = 4096;

/// What switches the client to another end of statements.
const DELIMITER: &[u8] = b"delimiter ";

/// Versions in comments that some server of the family passes over, while the client reads on in them.
const PASSED_OVER: [(Kind, std::ops::RangeInclusive<u32>); 3] = [
    (Kind::Mariadb, 50_700..=99_999),
    (Kind::Mariadb, 130_000..=u32::MAX),
    (Kind::Mysql, 100_000..=u32::MAX),
];

/// Where in the text the reader is, as the client has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Dash,
    DashDash,
    /// A comment up to the end of the line; between statements it is one of the dump program's.
    Line,
    Slash,
    /// After `/*`, and after `/*M`.
    Opened,
    OpenedM,
    /// The digits after `/*!`.
    Version(u32),
    Comment,
    CommentStar,
    Hint,
    HintStar,
    Quoted(u8),
    Escaped(u8),
    Star,
    Backslash,
}

/// The reader.
pub(crate) struct Guard {
    kind: Kind,
    state: State,
    modes: Modes,
    delimiter: Vec<u8>,
    /// How much of the delimiter, and of the word that changes it, the last bytes were.
    matched: usize,
    word: usize,
    /// Inside of `/*!…*/`, and whether a server may pass over what is in it.
    is_versioned: bool,
    is_passed_over: bool,
    /// One body, in which nothing ends.
    is_body: bool,
    last: u8,
    head: Vec<u8>,
    /// How much of the head stood before a version.
    before_version: usize,
    comment: Vec<u8>,
}

impl Guard {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Plain,
            modes: Modes::default(),
            delimiter: b";".to_vec(),
            matched: 0,
            word: 0,
            is_versioned: false,
            is_passed_over: false,
            is_body: false,
            last: 0,
            head: Vec::new(),
            before_version: 0,
            comment: Vec::new(),
        }
    }

    /// For the text of one routine, trigger or event: it is read with these settings, and ends nowhere.
    pub(crate) fn for_body(kind: Kind, sql_mode: &str, character_set: &str) -> Self {
        let mut guard = Self::new(kind);
        guard.modes = Modes::of(sql_mode, character_set);
        guard.delimiter = b";;".to_vec();
        guard.is_body = true;
        guard
    }

    /// Whether more cannot be said of a text that is not in the bytes which the client will read: there a letter may hide the end of a statement.
    pub(crate) fn is_uncertain_of(&self, text: &str) -> bool {
        self.modes.is_split_by_bytes && text.contains(";;")
    }

    /// The next part of the text. An error is the reason not to hand it on.
    pub(crate) fn read(&mut self, part: &[u8]) -> Result<()> {
        let mut rest = part;
        while let Some((&byte, after)) = rest.split_first() {
            // Nearly all of a dump.
            if let State::Quoted(quote) = self.state
                && !self.modes.is_split_by_bytes
                && !self.is_passed_over
            {
                let ends = |&it: &u8| it == quote || it == b'\\';
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                self.keep(rest.get(..end).unwrap_or_default());
                rest = rest.get(end..).unwrap_or_default();
                let Some((&byte, after)) = rest.split_first() else {
                    break;
                };
                self.step(byte)?;
                self.last = byte;
                rest = after;
                continue;
            }
            self.step(byte)?;
            self.last = byte;
            rest = after;
        }
        Ok(())
    }

    /// The end of the text.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.read(b"\n")?;
        match self.state {
            State::Plain if self.head.is_empty() => Ok(()),
            State::Plain => self.end_statement(),
            _ => Err(self.refuse("it ends in the midst of a text or a comment")),
        }
    }

    /// Whether the text stands outside of quotes and comments, and nowhere ended: a body that can stand in a dump.
    pub(crate) fn finish_body(mut self) -> Result<()> {
        self.read(b"\n")?;
        match self.state {
            State::Plain => Ok(()),
            _ => Err(self.refuse("it ends in the midst of a text or a comment")),
        }
    }

    fn step(&mut self, byte: u8) -> Result<()> {
        // The second byte of a letter of such a character set may be one that the client takes for a sign.
        if self.modes.is_split_by_bytes && self.last >= 0x81 && matches!(byte, b'\\' | b'`') {
            return Err(self.refuse("a letter of it ends in a byte that is a sign for the client"));
        }
        match self.state {
            State::Plain => self.plain(byte),
            State::Dash if byte == b'-' => {
                self.state = State::DashDash;
                Ok(())
            }
            State::DashDash if byte == b'\n' => self.end_line(),
            State::DashDash if byte.is_ascii_whitespace() || byte == 0x0b => {
                self.begin_line(b"-- ")
            }
            State::DashDash if byte.is_ascii_control() => {
                Err(self.refuse("two dashes begin a comment for the server only"))
            }
            State::DashDash if byte == b'-' => {
                self.keep(b"-");
                Ok(())
            }
            State::Dash => self.again(b"-", byte),
            State::DashDash => self.again(b"--", byte),
            State::Line if byte == b'\n' => self.end_line(),
            State::Line => {
                self.comment.push(byte);
                if self.comment.len() > COMMENT_BYTES && self.head.is_empty() {
                    return Err(self.refuse("a comment is too long for one of a dump program"));
                }
                self.comment.truncate(COMMENT_BYTES);
                Ok(())
            }
            State::Slash if byte == b'*' => {
                self.state = State::Opened;
                Ok(())
            }
            State::Slash => self.again(b"/", byte),
            State::Opened | State::OpenedM => self.opened(byte),
            State::Version(number) => self.version(number, byte),
            State::Comment | State::CommentStar => {
                self.state = match (self.state, byte) {
                    (State::CommentStar, b'/') => State::Plain,
                    (_, b'*') => State::CommentStar,
                    _ => State::Comment,
                };
                Ok(())
            }
            State::Hint | State::HintStar => {
                if matches!(byte, b'\'' | b'"' | b'`' | b';' | b'#' | b'\\') {
                    return Err(self.refuse("a hint has a sign that the client does not pass over"));
                }
                self.state = match (self.state, byte) {
                    (State::HintStar, b'/') => State::Plain,
                    (_, b'*') => State::HintStar,
                    _ => State::Hint,
                };
                Ok(())
            }
            State::Quoted(quote) => self.quoted(quote, byte),
            State::Escaped(quote) => {
                self.keep(&[byte]);
                self.state = State::Quoted(quote);
                Ok(())
            }
            State::Star if byte == b'/' && self.is_versioned => {
                match self.is_passed_over {
                    true => self.head.truncate(self.before_version),
                    false => self.keep(b"*/"),
                }
                (self.is_versioned, self.is_passed_over) = (false, false);
                self.state = State::Plain;
                Ok(())
            }
            State::Star => self.again(b"*", byte),
            // `\N`, and the `\-` by which a dump has the client refuse its own commands, which must be the first.
            State::Backslash if byte == b'N' || (byte == b'-' && self.is_versioned) => {
                self.state = State::Plain;
                Ok(())
            }
            State::Backslash => Err(self.refuse("it has a command for the client")),
        }
    }

    /// Goes back to what stood before, which began nothing, and reads on.
    fn again(&mut self, passed: &[u8], byte: u8) -> Result<()> {
        self.keep(passed);
        self.state = State::Plain;
        self.plain(byte)
    }

    fn plain(&mut self, byte: u8) -> Result<()> {
        if byte == b'\n' && self.is_delimiter_command() {
            return self.change_delimiter();
        }
        let begun = match byte {
            b'-' => Some(State::Dash),
            b'/' => Some(State::Slash),
            b'*' => Some(State::Star),
            b'\\' => Some(State::Backslash),
            b'\'' | b'"' | b'`' => Some(State::Quoted(byte)),
            _ => None,
        };
        if let Some(state) = begun {
            (self.matched, self.word) = (0, 0);
            self.state = state;
            if let State::Quoted(_) = state {
                self.keep(&[byte]);
            }
            return Ok(());
        }
        if byte == b'#' {
            return self.begin_line(b"#");
        }
        if self.delimiter.get(self.matched) == Some(&byte) && !self.is_delimiter_command() {
            self.matched += 1;
            if self.matched == self.delimiter.len() {
                return self.end_statement();
            }
        } else {
            self.matched = 0;
        }
        self.look_for_delimiter_command(byte)?;
        self.keep(&[byte]);
        Ok(())
    }

    /// MySQL's client takes the word for a command wherever it stands.
    fn look_for_delimiter_command(&mut self, byte: u8) -> Result<()> {
        let lower = byte.to_ascii_lowercase();
        self.word = match DELIMITER.get(self.word) {
            Some(expected) if *expected == lower => self.word + 1,
            _ => usize::from(lower == b'd'),
        };
        if self.word < DELIMITER.len() {
            return Ok(());
        }
        self.word = 0;
        match self.kind {
            Kind::Mysql if self.head.len() >= DELIMITER.len() => {
                Err(self.refuse("it has a word that is a command for the client: delimiter"))
            }
            _ => Ok(()),
        }
    }

    fn is_delimiter_command(&self) -> bool {
        let begin = self.head.get(..DELIMITER.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(DELIMITER))
    }

    fn change_delimiter(&mut self) -> Result<()> {
        let word = self.head.get(DELIMITER.len()..).unwrap_or_default();
        let word = word.trim_ascii().to_vec();
        if !matches!(word.as_slice(), b";" | b";;") {
            return Err(self.refuse("it ends statements as no dump program does"));
        }
        self.delimiter = word;
        self.head.clear();
        self.matched = 0;
        Ok(())
    }

    fn opened(&mut self, byte: u8) -> Result<()> {
        match (self.state, byte) {
            (State::Opened, b'!') => self.state = State::Version(0),
            (State::OpenedM, b'!') if self.kind == Kind::Mariadb => self.state = State::Version(0),
            (State::Opened, b'M') => self.state = State::OpenedM,
            (State::Opened, b'+') => self.state = State::Hint,
            (_, b'*') => self.state = State::CommentStar,
            _ => self.state = State::Comment,
        }
        if self.is_passed_over {
            return Err(self.refuse("a comment begins in what a server may pass over"));
        }
        Ok(())
    }

    fn version(&mut self, number: u32, byte: u8) -> Result<()> {
        if byte.is_ascii_digit() {
            let digit = u32::from(byte - b'0');
            self.state = State::Version(number.saturating_mul(10).saturating_add(digit));
            return Ok(());
        }
        let mut ranges = PASSED_OVER.iter();
        self.is_passed_over =
            ranges.any(|(kind, versions)| *kind == self.kind && versions.contains(&number));
        self.is_versioned = true;
        self.before_version = self.head.len();
        self.state = State::Plain;
        self.step(byte)
    }

    fn quoted(&mut self, quote: u8, byte: u8) -> Result<()> {
        self.keep(&[byte]);
        if self.is_passed_over && (self.last, byte) == (b'*', b'/') {
            return Err(self.refuse("a text hides the end of a comment"));
        }
        if byte == quote {
            self.state = State::Plain;
        } else if byte == b'\\' && quote != b'`' && !self.modes.no_escapes {
            let is_name = quote == b'"' && self.modes.ansi_quotes;
            match self.kind {
                // MariaDB's client is told by the server; MySQL's is not.
                Kind::Mariadb if is_name => {}
                Kind::Mysql if is_name => {
                    return Err(
                        self.refuse("a name has a backslash, which the client takes for an escape")
                    );
                }
                _ => self.state = State::Escaped(quote),
            }
        }
        Ok(())
    }

    fn begin_line(&mut self, sign: &[u8]) -> Result<()> {
        self.comment.clear();
        self.comment.extend(sign);
        self.state = State::Line;
        match self.is_passed_over {
            true => Err(self.refuse("a comment begins in what a server may pass over")),
            false => Ok(()),
        }
    }

    /// A comment between statements repeats names. One that is broken by a line end leaves a quote open, and its second line is no comment.
    fn end_line(&mut self) -> Result<()> {
        self.state = State::Plain;
        let comment = std::mem::take(&mut self.comment);
        let backticks = comment.iter().filter(|&&byte| byte == b'`').count();
        let is_database = [&b"-- Dumping events for"[..], b"-- Dumping routines for"]
            .iter()
            .any(|begin| comment.starts_with(begin));
        let is_broken = backticks % 2 == 1 || (is_database && !comment.ends_with(b"'"));
        if is_broken && self.head.is_empty() {
            return Err(self.refuse("a name breaks a comment, and its second line would be run"));
        }
        self.plain(b'\n')
    }

    fn end_statement(&mut self) -> Result<()> {
        let head = std::mem::take(&mut self.head);
        self.matched = 0;
        if self.is_versioned || self.is_body {
            self.head = head;
            return Err(self.refuse("a statement ends in the midst of another one"));
        }
        match check_statement(&head, &mut self.modes) {
            Ok(()) => Ok(()),
            Err(what) => {
                self.head = head;
                Err(self.refuse(what))
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.head.is_empty() {
            let begin = bytes.trim_ascii_start();
            self.head.extend(begin.iter().take(HEAD_BYTES));
        } else if self.head.len() < HEAD_BYTES {
            let room = HEAD_BYTES - self.head.len();
            self.head.extend(bytes.iter().take(room));
        }
    }

    fn refuse(&self, what: &str) -> Error {
        let head = String::from_utf8_lossy(&self.head);
        let begin: String = head.chars().take(80).collect();
        let near = match begin.is_empty() {
            true => String::new(),
            false => format!(" (near: {})", shown(&begin)),
        };
        Error::new(
            ErrorKind::Denied,
            format!("the client would run what was not meant as a statement: {what}{near}"),
        )
        .hint("somebody may have made it so that others run it. Restore into a directory, read the dump, and load it by hand once that is mended")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the reader hands a text on, in parts of every size.
    fn passes(kind: Kind, text: &[u8]) -> bool {
        let read = |size: usize| {
            let mut guard = Guard::new(kind);
            let parts = text.chunks(size);
            let read = parts.map(|part| guard.read(part)).collect::<Result<()>>();
            read.and_then(|()| guard.finish()).is_ok()
        };
        let found = read(text.len());
        assert_eq!(read(1), found, "{}", String::from_utf8_lossy(text));
        found
    }

    const DUMP: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n--\n-- Host: h    Database: it's\n\
        /*!40101 SET NAMES utf8mb4 */;\n/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n\
        -- Table structure for table `t``1`\nDROP TABLE IF EXISTS `t``1`;\nCREATE TABLE `t``1` (`a;` int COMMENT '-- it\\'s; \\\\');\n\
        INSERT INTO `t``1` VALUES\n(1,'a;\\n\\'b''c'),\n(-2,NULL);\nDO SETVAL(`s`, 1, 0);\nLOCK TABLES `t` WRITE;\nUNLOCK TABLES;\n\
        ALTER DATABASE `shop` CHARACTER SET latin1 ;\n/*!50003 SET sql_mode              = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\n\
        /*!50003 CREATE*/ /*!50017 DEFINER=`a*/`@`b`*/ /*!50003 TRIGGER tr BEFORE INSERT ON `t` FOR EACH ROW BEGIN\n\
          # one's; comment\n  -- `another\n  /* and 'one */ SET @a = '\\', @b = 2 -- 1;\nSET @delimiter = 1; END */;;\nDELIMITER ;\n\
        /*!50003 SET sql_mode              = @saved_sql_mode */ ;\n-- Dump completed\n";

    #[test]
    fn a_dump_is_handed_on() {
        assert!(passes(Kind::Mariadb, DUMP.as_bytes()));
        // Its client knows neither the first line nor a variable of that name.
        let dump = DUMP.split_once('\n').expect("a line").1;
        let dump = dump.replace("@delimiter", "@a");
        assert!(passes(Kind::Mysql, dump.as_bytes()));
    }

    #[test]
    fn what_the_client_would_cut_out_of_a_statement_is_refused() {
        let refused = |text: &[u8]| {
            assert!(
                !passes(Kind::Mariadb, text),
                "{}",
                String::from_utf8_lossy(text)
            );
        };
        refused(b"-- Table structure for table `t\nCREATE USER evil;#`\n");
        refused(b"-- Dumping events for database 'd\nCREATE TABLE x (a int);\n");
        refused(b"CREATE USER evil;\n");
        refused(b"CREATE OR REPLACE USER evil;\n");
        refused(b"/*!50003 GRANT ALL ON *.* TO evil */;\n");
        refused(b"SET GLOBAL read_only = 0;\n");
        refused(b"SET STATEMENT max_statement_time=1 FOR GRANT ALL ON *.* TO evil;\n");
        refused(b"SET PASSWORD = 'x';\n");
        refused(b"INSERT INTO `mysql`.`global_priv` VALUES (1);\n");
        refused(b"CREATE TABLE t (a int);\n\\! touch /tmp/x\n");
        refused(b"CREATE TABLE t (a int) \\C gbk ;\n");
        refused(b"DELIMITER //\n");
        refused(b"CREATE TABLE `t (a int);\n");
        // The server ends the text before the backslash, and the client after it.
        refused(
            b"/*!50003 SET character_set_client  = gbk */ ;\nDELIMITER ;;\nCREATE PROCEDURE p() SELECT '\x81\x5c' # ' ;;\n((SELECT f())) ;;\n",
        );
        refused(b"DELIMITER ;;\nCREATE PROCEDURE p() SELECT 1 --\x01 ' \n;; INSERT '\n;;\n");
        refused(b"DELIMITER ;;\nCREATE PROCEDURE p() SELECT /*+ ' */ 1 ;;\n");
        refused(b"DELIMITER ;;\nCREATE PROCEDURE p() SELECT /*!999999 '*/ 1 ;; ' */ 1;;\n");
        refused(b"DELIMITER ;;\n/*!50003 CREATE PROCEDURE p() SELECT 1 ;; SELECT 2 */;;\n");
        assert!(!passes(
            Kind::Mysql,
            b"/*!50003 SET sql_mode = 'ANSI_QUOTES' */ ;\nDELIMITER ;;\nCREATE PROCEDURE p() CALL \"p\\\" # \" ;;\n((SELECT f())) ;;\n"
        ));
        assert!(!passes(
            Kind::Mysql,
            b"DELIMITER ;;\nCREATE PROCEDURE p() SELECT 1 delimiter ,\n(SELECT f()), 3 ;;\n"
        ));
    }

    #[test]
    fn a_body_that_ends_nowhere_can_stand_in_a_dump() {
        let check = |body: &str, sql_mode: &str, character_set: &str| {
            let mut guard = Guard::for_body(Kind::Mariadb, sql_mode, character_set);
            guard
                .read(body.as_bytes())
                .and_then(|()| guard.finish_body())
                .is_ok()
        };
        assert!(check(
            "CREATE PROCEDURE p() BEGIN SELECT ';;'; /* ;; */ END",
            "",
            "utf8mb4"
        ));
        assert!(check(
            "CREATE PROCEDURE p() SELECT '\\' -- ;;",
            "NO_BACKSLASH_ESCAPES",
            "latin1"
        ));
        assert!(!check(
            "CREATE PROCEDURE p() SELECT '\\' # ' ;;\n((SELECT 1))",
            "",
            "utf8mb4"
        ));
        assert!(!check("CREATE PROCEDURE p() SELECT 'a", "", "utf8mb4"));
    }
}
