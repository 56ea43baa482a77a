//! Statements of a dump: how one begins comes in, whether a dump program writes such, and what it sets for those that follow, go out.

/// What decides how the text after it is read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    /// A backslash is itself.
    pub(crate) no_escapes: bool,
    /// Double quotes are for names.
    pub(crate) ansi_quotes: bool,
    /// Letters may have a byte that is a sign by itself.
    pub(crate) is_split_by_bytes: bool,
}

/// Character sets in which the second byte of a letter may be a backslash or a backtick.
const SPLIT_BY_BYTES: [&str; 5] = ["big5", "cp932", "gbk", "gb18030", "sjis"];

/// How statements of dumps begin, and for some what comes next.
const KNOWN: [&str; 12] = [
    "SET",
    "CREATE",
    "DROP",
    "INSERT",
    "REPLACE",
    "ALTER",
    "LOCK",
    "UNLOCK",
    "DO",
    "COMMIT",
    "ANALYZE",
    "DELIMITER",
];

/// What is of the server and not of one database.
const OF_THE_SERVER: [&str; 11] = [
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "UNDO",
    "LOGFILE",
    "RESOURCE",
    "GLOBAL",
    "PERSIST",
    "PERSIST_ONLY",
    "PASSWORD",
];

impl Modes {
    pub(crate) fn of(sql_mode: &str, character_set: &str) -> Self {
        let mut modes = Self::default();
        modes.set_sql_mode(sql_mode);
        modes.set_character_set(character_set);
        modes
    }

    fn set_sql_mode(&mut self, value: &str) {
        self.no_escapes = value.contains("NO_BACKSLASH_ESCAPES");
        self.ansi_quotes = value.contains("ANSI_QUOTES");
    }

    fn set_character_set(&mut self, value: &str) {
        let value = value.trim_matches(['\'', '"', '`']);
        self.is_split_by_bytes = SPLIT_BY_BYTES
            .iter()
            .any(|set| value.eq_ignore_ascii_case(set));
    }
}

/// Checks how a statement begins, and notes what it sets.
pub(crate) fn check_statement(head: &[u8], modes: &mut Modes) -> Result<(), &'static str> {
    let text = String::from_utf8_lossy(head);
    let mut words = words(&text).into_iter();
    let Some(first) = words.next() else {
        return Ok(());
    };
    let is_filler = |word: &&str| {
        ["OR", "REPLACE"]
            .iter()
            .any(|it| it.eq_ignore_ascii_case(word))
    };
    let rest: Vec<&str> = words.skip_while(is_filler).collect();
    let begin = first.to_ascii_uppercase();
    if !KNOWN.contains(&begin.as_str()) {
        return Err("it begins as no statement of a dump does");
    }
    let second = rest.first().map(|word| word.to_ascii_uppercase());
    let is_of_the_server =
        |word: &str| OF_THE_SERVER.contains(&word) || word.starts_with("@@GLOBAL");
    match begin.as_str() {
        "SET" => {
            let is_of_the_server = second.as_deref().is_some_and(is_of_the_server);
            if is_of_the_server || matches!(second.as_deref(), Some("DEFAULT" | "STATEMENT")) {
                return Err("it sets what is of the whole server");
            }
            note_settings(&rest, modes);
        }
        "CREATE" | "DROP" | "ALTER" if second.as_deref().is_some_and(is_of_the_server) => {
            return Err("it is about what is of the whole server");
        }
        "DROP" if second.as_deref() == Some("DATABASE") => return Err("it drops a database"),
        "DO" if second.as_deref() != Some("SETVAL") => {
            return Err("it begins as no statement of a dump does");
        }
        "INSERT" | "REPLACE" if is_elsewhere(&text) => {
            return Err("it writes into another database");
        }
        _ => {}
    }
    Ok(())
}

/// The first words of a statement, without the signs around versions of servers, and without what stands in quotes being cut.
fn words(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut words = Vec::new();
    while words.len() < 64 {
        rest = rest.trim_start_matches(|letter: char| {
            letter.is_whitespace() || matches!(letter, '/' | '*' | '=' | ',' | '(' | ')')
        });
        let Some(first) = rest.chars().next() else {
            break;
        };
        let end = match first {
            '\'' | '"' | '`' => rest
                .get(1..)
                .and_then(|inside| inside.find(first))
                .map_or(rest.len(), |at| at + 2),
            _ => rest
                .find(|letter: char| {
                    letter.is_whitespace()
                        || matches!(letter, '/' | '*' | '=' | ',' | '(' | ')' | '\'' | '"' | '`')
                })
                .unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        words.push(word);
        rest = after;
    }
    words
}

fn note_settings(words: &[&str], modes: &mut Modes) {
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let name = word.rsplit('.').next().unwrap_or(word);
        let name = name.trim_start_matches('@');
        // What a variable of ours keeps is how the dump began.
        let is_kept = word.starts_with('@') && !word.starts_with("@@");
        let Some(value) = words.peek() else { break };
        if is_kept {
            continue;
        } else if name.eq_ignore_ascii_case("sql_mode") {
            modes.set_sql_mode(value);
        } else if ["character_set_client", "names"]
            .iter()
            .any(|setting| name.eq_ignore_ascii_case(setting))
        {
            modes.set_character_set(value);
        }
    }
}

/// Whether rows go into a table that is named with its database.
fn is_elsewhere(text: &str) -> bool {
    let Some((_, rest)) = text.split_once('`') else {
        return true;
    };
    let mut rest = rest;
    loop {
        let Some((_, after)) = rest.split_once('`') else {
            return true;
        };
        match after.strip_prefix('`') {
            Some(inside) => rest = inside,
            None => return !after.starts_with([' ', '(', '\n']),
        }
    }
}
