//! Names of databases: as files of a backup, and as SQL has them.

use std::fmt::Write;

use strongroom_plugin::{file_name, other_file_name};

/// Beside the dumps, and so not free for a database of that name.
pub(crate) const USERS_FILE: &str = "users.sql";

/// What the dump of a database ends in.
const DUMP: &str = ".sql";

/// The file that holds the dump of a database: its name and `.sql`.
pub(crate) fn dump_file(database: &str) -> String {
    let name = match database {
        "users" => other_file_name(database),
        _ => file_name(database),
    };
    name + DUMP
}

/// A name in backticks, for SQL.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in quotes, for SQL that is read with backslashes as escapes or without them.
pub(crate) fn literal(text: &str) -> String {
    if text.contains('\\') {
        let mut hex = String::from("X'");
        for byte in text.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02X}");
        }
        return format!("CONVERT({hex}' USING utf8mb4)");
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// A name of somebody else's as a line of text can show it: on one line, and distinct from every other name.
pub(crate) fn shown(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            letter if letter.is_control() => text.extend(letter.escape_default()),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_a_file_of_the_databases_name_where_it_can_be() {
        let check = |database, file| assert_eq!(dump_file(database), file);
        check("shop", "shop.sql");
        check("a/b", "a%2Fb.sql");
        check("users", "%75sers.sql");
        check("users2", "users2.sql");
    }

    #[test]
    fn a_name_is_shown_on_one_line_and_as_no_other_one_is() {
        assert_eq!(shown("Größe 1"), "Größe 1");
        assert_eq!(shown("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(shown("a\\nb"), "a\\\\nb");
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'"), "CONVERT(X'615C27' USING utf8mb4)");
    }
}
