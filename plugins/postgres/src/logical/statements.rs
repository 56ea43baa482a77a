//! The statements of a script that pg_dumpall wrote: text in, statements out, whatever quotes and comments hold.

/// Each statement without its semicolon; comments of lines are left out.
pub(super) fn split(script: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut statement = String::new();
    let mut letters = script.chars().peekable();
    let mut quote: Option<Quote> = None;
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(Quote { escapes: true, .. }), '\\') => {
                statement.push(letter);
                statement.extend(letters.next());
                continue;
            }
            (Some(Quote { end, .. }), letter) if letter == end => quote = None,
            (Some(_), _) => {}
            (None, '\'') => {
                let escapes = matches!(before, 'E' | 'e');
                quote = Some(Quote { end: '\'', escapes });
            }
            (None, '"') => {
                quote = Some(Quote {
                    end: '"',
                    escapes: false,
                });
            }
            (None, '-') if letters.peek() == Some(&'-') => {
                letters.by_ref().find(|&letter| letter == '\n');
                statement.push('\n');
                before = '\n';
                continue;
            }
            (None, ';') => {
                push(&mut statements, &mut statement);
                before = ' ';
                continue;
            }
            (None, _) => {}
        }
        statement.push(letter);
        before = letter;
    }
    push(&mut statements, &mut statement);
    statements
}

/// The first words of a statement: names come without their quotes.
pub(super) fn words(statement: &str, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = statement.trim_start();
    while words.len() < count && !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_name(quoted),
            None => {
                let end = rest.find(|it: char| it.is_whitespace() || it == ',');
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                (word.to_owned(), after)
            }
        };
        words.push(word);
        rest = after.trim_start_matches(|it: char| it.is_whitespace() || it == ',');
    }
    words
}

#[derive(Clone, Copy)]
struct Quote {
    end: char,
    escapes: bool,
}

fn push(statements: &mut Vec<String>, statement: &mut String) {
    let whole = std::mem::take(statement);
    // What psql does by itself, and a server does not know (`\restrict`, since the August 2025 releases).
    let lines = whole.trim().lines();
    let kept: Vec<_> = lines
        .skip_while(|line| line.starts_with('\\') || line.is_empty())
        .collect();
    let text = kept.join("\n");
    if !text.trim().is_empty() {
        statements.push(text);
    }
}

/// Where a word stands outside of quotes, written just so.
pub(super) fn unquoted_word(text: &str, wanted: &str) -> Option<usize> {
    let (mut quote, mut start) = (None, None);
    let end = (text.len(), ' ');
    for (at, letter) in text.char_indices().chain([end]) {
        if quote.is_some() {
            quote = quote.filter(|&it| it != letter);
        } else if letter.is_alphanumeric() || letter == '_' {
            start = start.or(Some(at));
        } else {
            let from = start.take();
            if from.is_some_and(|from| text.get(from..at) == Some(wanted)) {
                return from;
            }
            quote = Some(letter).filter(|it| matches!(it, '\'' | '"'));
        }
    }
    None
}

/// After its opening quote.
pub(super) fn quoted_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once('"') {
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (name, after),
        }
    }
    (name + rest, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_in_quotes_ends_nothing() {
        let check = |script: &str, expected: &[&str]| assert_eq!(split(script), expected);
        check("", &[]);
        check("A;\nB ;;", &["A", "B"]);
        check("-- c; d\nSET a = 'x;''y';B", &["SET a = 'x;''y'", "B"]);
        check(r"COMMENT E'it\'s; --';B", &[r"COMMENT E'it\'s; --'", "B"]);
        check(r"SET a = '\';B", &[r"SET a = '\'", "B"]);
        check(
            "CREATE ROLE \"a;b\"\"--\";B",
            &["CREATE ROLE \"a;b\"\"--\"", "B"],
        );
        check(
            "\\restrict abc\n\nSET a = 1;\n\\unrestrict abc\n",
            &["SET a = 1"],
        );
    }

    #[test]
    fn a_word_in_quotes_is_no_word_of_the_statement() {
        let check = |text: &str, at| assert_eq!(unquoted_word(text, "ON"), at, "{text}");
        check("GRANT x ON y", Some(8));
        check("GRANT \"a ON b\" IS ' ON ' ON", Some(25));
        check("GRANT xON ON_ on", None);
        check("ON", Some(0));
    }

    #[test]
    fn the_names_in_a_statement_are_found() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text, 4), expected);
        check("CREATE ROLE shop", &["CREATE", "ROLE", "shop"]);
        check(
            "ALTER ROLE \"my \"\"role\" WITH LOGIN",
            &["ALTER", "ROLE", "my \"role", "WITH"],
        );
        check("GRANT a TO b GRANTED BY c", &["GRANT", "a", "TO", "b"]);
    }
}
