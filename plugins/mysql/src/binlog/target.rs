//! What a statement changes: SQL comes in, the databases that it names as its targets go out.
//!
//! A statement's begin tells them, and for a few what follows it. Whatever is not known for sure is not read at all.

use std::collections::BTreeSet;
use std::iter::Peekable;

use super::tokens::{Token, Tokens};

/// The databases that a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) databases: BTreeSet<String>,
    /// Whether it also names, without their database, things that it takes from the current one.
    pub(crate) takes_from_current: bool,
}

/// What a statement changes that was run while `current` was the current database; empty where there was none. None where that cannot be read.
pub(crate) fn changed(sql: &str, current: &str) -> Option<Change> {
    let mut reader = Reader {
        tokens: Tokens::of(sql).peekable(),
        current,
        change: Change {
            databases: BTreeSet::new(),
            takes_from_current: false,
        },
    };
    reader.statement()?;
    Some(reader.change)
}

struct Reader<'a> {
    tokens: Peekable<Tokens<'a>>,
    current: &'a str,
    change: Change,
}

impl Reader<'_> {
    fn statement(&mut self) -> Option<()> {
        match self.word()?.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "RENAME" => self.rename(),
            "TRUNCATE" => {
                self.skips(&["TABLE"]);
                self.target()
            }
            "ANALYZE" | "OPTIMIZE" | "REPAIR" => {
                self.skips(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
                self.skips(&["TABLE", "TABLES"]).then_some(())?;
                self.targets()
            }
            _ => None,
        }
    }

    fn create(&mut self) -> Option<()> {
        self.modifiers()?;
        let what = self.word()?;
        self.skips(&["BODY"]);
        self.condition();
        match what.as_str() {
            "TABLE" => {
                self.target()?;
                self.template()
            }
            "VIEW" => {
                self.change.takes_from_current = true;
                self.target()
            }
            "TRIGGER" | "PROCEDURE" | "FUNCTION" | "EVENT" | "SEQUENCE" | "PACKAGE" => {
                self.target()
            }
            "INDEX" => self.index(),
            "DATABASE" | "SCHEMA" => self.database(),
            _ => None,
        }
    }

    fn alter(&mut self) -> Option<()> {
        self.modifiers()?;
        let what = self.word()?;
        self.condition();
        match what.as_str() {
            "TABLE" => {
                self.target()?;
                self.others()
            }
            "VIEW" => {
                self.change.takes_from_current = true;
                self.target()
            }
            "EVENT" => {
                self.target()?;
                self.others()
            }
            "PROCEDURE" | "FUNCTION" | "SEQUENCE" => self.target(),
            "DATABASE" | "SCHEMA" => {
                let options = ["CHARACTER", "CHARSET", "COLLATE", "COMMENT", "DEFAULT"];
                let options = options.iter().chain(&["ENCRYPTION", "READ", "UPGRADE"]);
                let next = self.tokens.peek()?;
                // Some of these may be a name as well.
                match options.clone().any(|option| next.is_word(option)) {
                    true => None,
                    false => self.database(),
                }
            }
            _ => None,
        }
    }

    fn drop(&mut self) -> Option<()> {
        self.skips(&["TEMPORARY"]);
        let what = self.word()?;
        self.skips(&["BODY"]);
        self.condition();
        match what.as_str() {
            "TABLE" | "TABLES" | "VIEW" | "SEQUENCE" => self.targets(),
            "TRIGGER" | "PROCEDURE" | "FUNCTION" | "EVENT" | "PACKAGE" => self.target(),
            "INDEX" => self.index(),
            "DATABASE" | "SCHEMA" => self.database(),
            _ => None,
        }
    }

    /// `RENAME TABLE a TO b, c TO d`.
    fn rename(&mut self) -> Option<()> {
        self.skips(&["TABLE", "TABLES"]).then_some(())?;
        self.condition();
        loop {
            self.target()?;
            if self.skips(&["WAIT"]) {
                self.tokens.next();
            }
            self.skips(&["NOWAIT"]);
            self.skips(&["TO"]).then_some(())?;
            self.target()?;
            if !self.sign(',') {
                return Some(());
            }
        }
    }

    /// `name ON table`.
    fn index(&mut self) -> Option<()> {
        self.name()?;
        if self.skips(&["USING"]) {
            self.word()?;
        }
        self.skips(&["ON"]).then_some(())?;
        self.target()
    }

    /// Between `CREATE` or `ALTER` and what is created or altered.
    fn modifiers(&mut self) -> Option<()> {
        loop {
            if self.skips(&["ALGORITHM"]) {
                self.sign('=').then_some(())?;
                self.word()?;
            } else if self.skips(&["DEFINER"]) {
                self.sign('=').then_some(())?;
                self.account()?;
            } else if self.skips(&["SQL"]) {
                self.skips(&["SECURITY"]).then_some(())?;
                self.word()?;
            } else if !self.skips(&[
                "OR",
                "REPLACE",
                "TEMPORARY",
                "ONLINE",
                "OFFLINE",
                "IGNORE",
                "UNIQUE",
                "FULLTEXT",
                "SPATIAL",
                "VECTOR",
                "AGGREGATE",
            ]) {
                return Some(());
            }
        }
    }

    /// `'a'@'%'`, `CURRENT_USER()` or a role.
    fn account(&mut self) -> Option<()> {
        self.account_part()?;
        if self.sign('@') {
            self.account_part()?;
            while self.sign('.') {
                self.account_part()?;
            }
        }
        if self.sign('(') {
            self.sign(')').then_some(())?;
        }
        Some(())
    }

    fn account_part(&mut self) -> Option<()> {
        match self.tokens.next()? {
            Token::Word(_) | Token::Quoted(_) | Token::Text => Some(()),
            Token::Sign(_) | Token::Broken => None,
        }
    }

    /// `CREATE TABLE a LIKE b` takes from `b`.
    fn template(&mut self) -> Option<()> {
        self.sign('(');
        if self.skips(&["LIKE"]) {
            let (database, _) = self.names()?;
            self.change.takes_from_current |= database.is_none();
        }
        Some(())
    }

    /// Other tables and events that the rest of an `ALTER` names: new names, and tables that partitions come from or go to.
    fn others(&mut self) -> Option<()> {
        while let Some(token) = self.tokens.next() {
            if token.is_word("DO") {
                return Some(());
            }
            if token.is_word("RENAME") {
                let is_inner = ["COLUMN", "INDEX", "KEY"];
                if !self.skips(&is_inner) {
                    if !self.skips(&["TO", "AS"]) {
                        self.sign('=');
                    }
                    self.target()?;
                }
            } else if token.is_word("TABLE") {
                self.target()?;
            } else if token == Token::Broken {
                return None;
            }
        }
        Some(())
    }

    /// `IF EXISTS` or `IF NOT EXISTS`.
    fn condition(&mut self) {
        if self.skips(&["IF"]) {
            self.skips(&["NOT"]);
            self.skips(&["EXISTS"]);
        }
    }

    fn targets(&mut self) -> Option<()> {
        loop {
            self.target()?;
            if !self.sign(',') {
                return Some(());
            }
        }
    }

    /// A name of what is changed, with its database or in the current one.
    fn target(&mut self) -> Option<()> {
        let (database, _) = self.names()?;
        let database = database.unwrap_or_else(|| self.current.to_owned());
        self.adds(database)
    }

    fn database(&mut self) -> Option<()> {
        let database = self.name()?;
        self.adds(database)
    }

    fn adds(&mut self, database: String) -> Option<()> {
        if database.is_empty() {
            return None;
        }
        self.change.databases.insert(database);
        Some(())
    }

    /// `a.b` or `b`.
    fn names(&mut self) -> Option<(Option<String>, String)> {
        let first = self.name()?;
        match self.sign('.') {
            true => Some((Some(first), self.name()?)),
            false => Some((None, first)),
        }
    }

    fn name(&mut self) -> Option<String> {
        match self.tokens.next()? {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            Token::Text | Token::Sign(_) | Token::Broken => None,
        }
    }

    /// A keyword, in capitals.
    fn word(&mut self) -> Option<String> {
        match self.tokens.next()? {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// Goes past one of these words, if it comes next.
    fn skips(&mut self, words: &[&str]) -> bool {
        let is_one = |token: &Token| words.iter().any(|word| token.is_word(word));
        self.tokens.next_if(is_one).is_some()
    }

    fn sign(&mut self, sign: char) -> bool {
        self.tokens.next_if_eq(&Token::Sign(sign)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` are the databases, and `+` where something is taken from the current one.
    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let found = changed(sql, "now").map(|change| {
            let names: Vec<&str> = change.databases.iter().map(String::as_str).collect();
            let more = if change.takes_from_current { "+" } else { "" };
            names.join(" ") + more
        });
        assert_eq!(found.as_deref().unwrap_or("?"), expected, "{sql}");
    }

    #[test]
    fn tables_are_targets() {
        check("TRUNCATE TABLE words", "now");
        check("truncate shop.words", "shop");
        check("TRUNCATE TABLE `sh``op` . `words`", "sh`op");
        check("CREATE TABLE IF NOT EXISTS shop.words (id INT)", "shop");
        check("CREATE OR REPLACE TEMPORARY TABLE words (id INT)", "now");
        check("CREATE TABLE shop.words LIKE words", "shop+");
        check("CREATE TABLE shop.words (LIKE blog.words)", "shop");
        check(
            "DROP TABLE IF EXISTS `a`,b.c /* generated by server */",
            "b now",
        );
        check("DROP TEMPORARY TABLE IF EXISTS shop.a RESTRICT", "shop");
        check("RENAME TABLE a TO b, c.d WAIT 3 TO e.f", "c e now");
        check("RENAME TABLE IF EXISTS shop.a TO shop.b", "shop");
        check("OPTIMIZE LOCAL TABLE a, shop.b", "now shop");
        check(
            "CREATE UNIQUE INDEX i USING BTREE ON shop.words (id)",
            "shop",
        );
        check("DROP INDEX IF EXISTS i ON words", "now");
        check("CREATE SEQUENCE IF NOT EXISTS shop.s", "shop");
        check(
            "/*!40000 ALTER TABLE `shop`.`words` DISABLE KEYS */",
            "shop",
        );
        check("-- why\n/* and how */ DROP TABLE shop.a", "shop");
        check("CREATE TABLE \"shop\".\"a\" (id INT)", "shop");
    }

    #[test]
    fn an_alter_may_reach_into_other_databases() {
        check(
            "ALTER TABLE shop.a ADD COLUMN b INT COMMENT 'RENAME TO c.d'",
            "shop",
        );
        check(
            "ALTER ONLINE TABLE IF EXISTS shop.a RENAME COLUMN b TO c",
            "shop",
        );
        check(
            "ALTER TABLE shop.a RENAME KEY b TO c, RENAME INDEX d TO e",
            "shop",
        );
        check("ALTER TABLE shop.a RENAME TO blog.a", "blog shop");
        check("ALTER TABLE shop.a ADD b INT, RENAME = a2", "now shop");
        check("ALTER TABLE shop.a RENAME `to2`", "now shop");
        check(
            "ALTER TABLE shop.a EXCHANGE PARTITION p WITH TABLE blog.b",
            "blog shop",
        );
        check(
            "ALTER TABLE shop.a CONVERT TABLE shop.b TO PARTITION p VALUES LESS THAN (5)",
            "shop",
        );
        check("ALTER TABLE shop.a COMMENT 'no end", "?");
        check(
            "ALTER EVENT shop.e RENAME TO blog.e DO DROP TABLE c.d",
            "blog shop",
        );
        check("ALTER EVENT shop.e ENABLE DO RENAME TABLE a TO b", "shop");
    }

    #[test]
    fn programs_and_views_are_targets() {
        check(
            "CREATE DEFINER=`root`@`localhost` TRIGGER tr BEFORE INSERT ON a FOR EACH ROW DELETE FROM shop.b",
            "now",
        );
        check(
            "CREATE DEFINER=root@db.example.net PROCEDURE shop.p() SELECT 1",
            "shop",
        );
        check(
            "CREATE OR REPLACE DEFINER=CURRENT_USER() AGGREGATE FUNCTION shop.f() RETURNS INT",
            "shop",
        );
        check(
            "CREATE EVENT IF NOT EXISTS shop.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "shop",
        );
        check("CREATE PACKAGE BODY shop.p AS END", "shop");
        check("DROP PROCEDURE IF EXISTS shop.p", "shop");
        check("DROP TRIGGER shop.tr", "shop");
        check(
            "CREATE OR REPLACE ALGORITHM=UNDEFINED DEFINER='a'@'%' SQL SECURITY DEFINER VIEW `shop`.`v` AS SELECT 1",
            "shop+",
        );
        check("ALTER VIEW v AS SELECT * FROM shop.a", "now+");
        check("DROP VIEW IF EXISTS shop.v, w", "now shop");
    }

    #[test]
    fn databases_are_targets() {
        check("CREATE DATABASE IF NOT EXISTS shop", "shop");
        check("DROP SCHEMA `shop`", "shop");
        check("ALTER DATABASE shop CHARACTER SET latin1", "shop");
    }

    #[test]
    fn what_is_not_known_is_not_read() {
        for sql in [
            "",
            "BEGIN",
            "UPDATE shop.a SET b = 1",
            "ALTER DATABASE CHARACTER SET latin1",
            "ALTER DATABASE charset CHARACTER SET latin1",
            "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x'",
            "CREATE TABLESPACE shop",
            "CREATE SERVER shop FOREIGN DATA WRAPPER mysql",
            "FLUSH TABLES",
            "DROP TABLE .a",
            "DROP TABLE a,",
            "TRUNCATE TABLE 'a'",
            "RENAME USER a TO b",
            "/* no end DROP TABLE a",
        ] {
            check(sql, "?");
        }
        assert_eq!(changed("DROP TABLE a", ""), None);
        assert!(changed("DROP TABLE shop.a", "").is_some());
    }
}
