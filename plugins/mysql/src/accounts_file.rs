//! The text of `users.sql`: what it says comes in, headings and statements go out, each of a kind that such a file has.
//!
//! Names of accounts are anybody's who may make accounts. So nothing is taken for a heading or a statement but what the server would take for one, and
//! what is neither of the known kinds is run by nobody.

use strongroom_plugin::{Error, ErrorKind, Result};

const CREATE: &str = "-- account ";
const GRANT: &str = "-- rights of ";

/// What makes an account begins like one of these.
const MAKES: [&str; 2] = ["CREATE USER IF NOT EXISTS ", "CREATE ROLE IF NOT EXISTS "];

/// What gives rights, or takes parts of them away again.
const GIVES: [&str; 4] = ["GRANT ", "REVOKE ", "ALTER USER ", "SET DEFAULT ROLE "];

/// A part of the file: what makes one account, or gives it its rights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// As its heading says.
    pub(crate) account: &'a str,
    pub(crate) makes_account: bool,
    pub(crate) statements: Vec<&'a str>,
}

/// The heading of a part. `account` must be as [`label`] makes it.
pub(crate) fn heading(account: &str, makes_account: bool) -> String {
    let begin = if makes_account { CREATE } else { GRANT };
    format!("{begin}{account}\n")
}

/// A user or a host, as a heading has it: on one line, whatever letters it is made of.
pub(crate) fn label(name: &str) -> String {
    format!("'{}'", crate::name::shown(name).replace('\'', "''"))
}

/// Takes the file apart.
pub(crate) fn parts(file: &str) -> Result<Vec<Part<'_>>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut rest = file.trim_start();
    while !rest.is_empty() {
        if rest.starts_with("-- ") {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            parts.push(part(line).ok_or_else(|| foreign(line))?);
            rest = after.trim_start();
            continue;
        }
        let (statement, after) = statement(rest).ok_or_else(|| foreign(rest))?;
        let part = parts.last_mut().ok_or_else(|| foreign(statement))?;
        let known: &[&str] = if part.makes_account { &MAKES } else { &GIVES };
        if !known.iter().any(|begin| statement.starts_with(begin)) {
            return Err(foreign(statement));
        }
        part.statements.push(statement);
        rest = after.trim_start();
    }
    Ok(parts)
}

/// Whether `sql` is one statement as a file can have it: what a server says of an account has parts that are the account's own.
pub(crate) fn is_one_statement(sql: &str) -> bool {
    let text = format!("{sql};");
    statement(&text) == Some((sql, ""))
}

fn part(line: &str) -> Option<Part<'_>> {
    let creates = line.strip_prefix(CREATE).map(|account| (account, true));
    let (account, makes_account) =
        creates.or_else(|| line.strip_prefix(GRANT).map(|account| (account, false)))?;
    let after = after_label(account)?;
    let is_whole = match after.strip_prefix('@') {
        Some(host) => after_label(host)?.is_empty(),
        None => after.is_empty(),
    };
    is_whole.then_some(Part {
        account,
        makes_account,
        statements: Vec::new(),
    })
}

/// What follows a text in quotes, in which a quote stands twice.
fn after_label(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('\'')?;
    loop {
        rest = rest.split_once('\'')?.1;
        match rest.strip_prefix('\'') {
            Some(inside) => rest = inside,
            None => return Some(rest),
        }
    }
}

/// The statement that `text` begins with, without the semicolon that ends it, and what follows. None where it has a comment or does not end.
fn statement(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let follows = letters.peek().map(|(_, letter)| *letter);
        match (quote, letter) {
            // In the name of an account it is itself.
            (Some('`'), '\\') => {}
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, ';') => return Some((text.get(..at)?, text.get(at + 1..)?)),
            (None, '#' | '\\') => return None,
            (None, '-') if follows == Some('-') => return None,
            (None, '/') if follows == Some('*') => return None,
            (None, _) => {}
        }
    }
    None
}

fn foreign(text: &str) -> Error {
    let begin: String = text.chars().take(60).collect();
    let problem = format!(
        "users.sql has a line that is neither the heading nor the statement of an account: {}",
        crate::name::shown(&begin)
    );
    Error::new(ErrorKind::Denied, problem).hint(
        "look at users.sql: somebody may have made an account to have others run that line. Restore without accounts (--option users=false), and make them by hand",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "-- account 'a'@'%'\nCREATE USER IF NOT EXISTS `a`@`%`;\n\
                        -- account 'b'@'%'\nCREATE USER IF NOT EXISTS `b`@`%` COMMENT 'x; -- y';\n\
                        -- rights of 'a'@'%'\nGRANT USAGE ON *.* TO `a`@`%`;\nGRANT SELECT ON `s`.* TO `a`@`%`;\n\
                        -- rights of 'b'@'%'\n";

    #[test]
    fn a_file_is_taken_apart_by_account() {
        let found = parts(FILE).expect("a good file");
        let found: Vec<_> = found
            .iter()
            .map(|part| (part.account, part.makes_account, part.statements.len()))
            .collect();
        let expected = [
            ("'a'@'%'", true, 1),
            ("'b'@'%'", true, 1),
            ("'a'@'%'", false, 2),
            ("'b'@'%'", false, 0),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_a_name_has_made_is_run_by_nobody() {
        let check = |file: &str| {
            let error = parts(file).expect_err(file);
            assert_eq!(error.kind(), ErrorKind::Denied, "{file}");
        };
        // As older backups have it.
        check("-- account 'x\nGRANT ALL ON *.* TO m;\n#'@'h'\nCREATE USER IF NOT EXISTS `x`;\n");
        check("-- account 'a''@''%''\nGRANT ALL ON *.* TO m;\n");
        check("-- account 'a'@'%'\nCREATE USER IF NOT EXISTS `a`; GRANT ALL ON *.* TO m;\n");
        check("-- rights of 'a'@'%'\nDROP USER b;\n");
        check("-- rights of 'a'@'%'\nGRANT SELECT ON a.* /* x */ TO m;\n");
        check("-- rights of 'a'@'%'\nGRANT SELECT ON `a.* TO m;\n");
        check("GRANT ALL ON *.* TO m;\n");
    }

    #[test]
    fn a_heading_in_the_name_of_an_account_is_none() {
        let name = "x\n-- rights of 'y'@'%'\nGRANT ALL ON *.* TO m;\n";
        let file = heading(&format!("{}@{}", label(name), label("%")), true)
            + &format!("CREATE USER IF NOT EXISTS `{name}`@`%`;\n");
        let found = parts(&file).expect("a good file");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].statements.len(), 1);
    }

    #[test]
    fn what_a_server_says_of_an_account_is_one_statement_or_is_not_believed() {
        let check = |sql, expected| assert_eq!(is_one_statement(sql), expected, "{sql}");
        check(
            "CREATE USER `CORP\\`@`%` IDENTIFIED VIA x USING 'a;''\\''",
            true,
        );
        check(
            "CREATE USER a IDENTIFIED VIA x USING 'a'; GRANT ALL ON *.* TO m",
            false,
        );
        check("CREATE USER a IDENTIFIED VIA x USING 'a' -- '", false);
        check("CREATE USER a IDENTIFIED VIA x USING 'a", false);
    }
}
