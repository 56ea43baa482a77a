//! What a statement changes: SQL comes in, the databases that it names go out, with the places where it names them.
//!
//! A statement's begin tells them, and for a few what follows it. Whatever is not known for sure is not read at all.

use std::iter::Peekable;
use std::ops::Range;

use super::tokens::{Token, Tokens};

/// What a statement is to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It begins or ends a transaction, or a part of one.
    Control,
    /// It changes nothing in any database: it is about accounts, the server itself, temporary tables or what the server knows of tables.
    Apart,
    Change(Change),
}

/// What a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) what: What,
    pub(crate) targets: Vec<Named>,
    /// Whether it also names, without their database, things that it takes from the current one.
    pub(crate) takes_from_current: bool,
}

/// What kind of thing it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A table or anything else of which all is said in names.
    Thing,
    /// A list of things, of which any may as well be left out.
    List,
    /// A view: what it selects from must be there.
    View,
    /// What has a text that is not run yet: a trigger, a routine, an event.
    Program,
    /// A database that is made. It may be there already.
    Creation { or_not: bool },
    /// A database that is dropped.
    Removal,
}

/// A name in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The database, the current one where none is named.
    pub(crate) database: String,
    /// Where that stands; empty where it is left out and belongs.
    pub(crate) qualifier: Option<Range<usize>>,
    /// All of the name.
    pub(crate) whole: Range<usize>,
}

impl Change {
    /// Whether one of its targets is in this database.
    pub(crate) fn is_of(&self, database: &str) -> bool {
        self.targets.iter().any(|it| it.database == database)
    }
}

/// What a statement is that was run while `current` was the current database; empty where there was none. `escapes` says whether backslashes mean
/// something in its texts. None where that cannot be read.
pub(crate) fn read(sql: &str, current: &str, escapes: bool) -> Option<Reading> {
    let mut reader = Reader {
        tokens: Tokens::of(sql, escapes).peekable(),
        current,
        at: 0,
        change: Change {
            what: What::Thing,
            targets: Vec::new(),
            takes_from_current: false,
        },
    };
    Some(match reader.statement()? {
        Class::Change => Reading::Change(reader.change),
        Class::Control => Reading::Control,
        Class::Apart => Reading::Apart,
    })
}

/// Names that stand before a point and not after one, as those of databases do, and where.
pub(crate) fn qualifiers(sql: &str, escapes: bool) -> Vec<(String, Range<usize>)> {
    let mut tokens = Tokens::of(sql, escapes).peekable();
    let (mut found, mut is_inner) = (Vec::new(), false);
    while let Some((token, at)) = tokens.next() {
        let is_before_point = matches!(tokens.peek(), Some((Token::Sign('.'), _)));
        match token {
            Token::Word(name) | Token::Quoted(name)
                if is_before_point
                    && !is_inner
                    && !name.starts_with(|letter: char| letter.is_ascii_digit()) =>
            {
                found.push((name, at));
                is_inner = false;
            }
            token => is_inner = matches!(token, Token::Sign('.' | '@')),
        }
    }
    found
}

enum Class {
    Change,
    Control,
    Apart,
}

struct Reader<'a> {
    tokens: Peekable<Tokens<'a>>,
    current: &'a str,
    /// Where what was read last ends.
    at: usize,
    change: Change,
}

impl Reader<'_> {
    fn statement(&mut self) -> Option<Class> {
        match self.word()?.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "RENAME" => self.rename(),
            "TRUNCATE" => {
                self.skips(&["TABLE"]);
                self.target()?;
                Some(Class::Change)
            }
            "BEGIN" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
                // MariaDB has an ALTER in two steps, with a text of its own for each.
                let is_alter = self.skips(&["ALTER"]);
                (!is_alter).then_some(Class::Control)
            }
            "START" => self.skips(&["TRANSACTION"]).then_some(Class::Control),
            "GRANT" | "REVOKE" | "FLUSH" | "ANALYZE" | "OPTIMIZE" | "REPAIR" | "INSTALL"
            | "UNINSTALL" => Some(Class::Apart),
            "SET" => self.set(),
            _ => None,
        }
    }

    /// `SET PASSWORD`, `SET ROLE`, `SET DEFAULT ROLE`, or settings for one statement.
    fn set(&mut self) -> Option<Class> {
        match self.word()?.as_str() {
            "PASSWORD" | "ROLE" => Some(Class::Apart),
            "DEFAULT" => self.skips(&["ROLE"]).then_some(Class::Apart),
            "STATEMENT" => {
                while !self.next()?.is_word("FOR") {}
                self.statement()
            }
            _ => None,
        }
    }

    fn create(&mut self) -> Option<Class> {
        if self.modifiers()? {
            return Some(Class::Apart);
        }
        let what = self.word()?;
        self.skips(&["BODY"]);
        let or_not = self.condition();
        match what.as_str() {
            "TABLE" => {
                self.target()?;
                self.template()?;
            }
            "SEQUENCE" => self.target()?,
            "VIEW" => {
                self.change.takes_from_current = true;
                self.change.what = What::View;
                self.target()?;
            }
            "TRIGGER" | "PROCEDURE" | "FUNCTION" | "EVENT" | "PACKAGE" => {
                self.change.what = What::Program;
                self.target()?;
                // `CREATE FUNCTION f RETURNS STRING SONAME 'f.so'`
                for _ in 0..3 {
                    if self.next().is_some_and(|token| token.is_word("SONAME")) {
                        return Some(Class::Apart);
                    }
                }
            }
            "INDEX" => self.index()?,
            "DATABASE" | "SCHEMA" => {
                self.change.what = What::Creation { or_not };
                self.database()?;
            }
            "USER" | "ROLE" | "SERVER" => return Some(Class::Apart),
            _ => return None,
        }
        Some(Class::Change)
    }

    fn alter(&mut self) -> Option<Class> {
        self.modifiers()?;
        let what = self.word()?;
        self.condition();
        match what.as_str() {
            "TABLE" => {
                self.target()?;
                self.others()?;
            }
            "VIEW" => {
                self.change.takes_from_current = true;
                self.change.what = What::View;
                self.target()?;
            }
            "EVENT" => {
                self.change.what = What::Program;
                self.target()?;
                self.others()?;
            }
            "PROCEDURE" | "FUNCTION" | "SEQUENCE" => self.target()?,
            "DATABASE" | "SCHEMA" => self.altered_database()?,
            "USER" | "ROLE" | "SERVER" => return Some(Class::Apart),
            _ => return None,
        }
        Some(Class::Change)
    }

    /// The name may be left out.
    fn altered_database(&mut self) -> Option<()> {
        let (next, _) = self.tokens.peek()?;
        let is_one = |options: &[&str]| options.iter().any(|option| next.is_word(option));
        if is_one(&["CHARACTER", "COLLATE", "DEFAULT"]) {
            let at = self.at..self.at;
            return self.adds(self.current.to_owned(), Some(at.clone()), at);
        }
        // These may be a name as well.
        match is_one(&["CHARSET", "COMMENT", "ENCRYPTION", "READ", "UPGRADE"]) {
            true => None,
            false => self.database(),
        }
    }

    fn drop(&mut self) -> Option<Class> {
        if self.skips(&["TEMPORARY"]) {
            return Some(Class::Apart);
        }
        let what = self.word()?;
        self.skips(&["BODY"]);
        self.condition();
        match what.as_str() {
            "TABLE" | "TABLES" | "VIEW" | "SEQUENCE" => {
                self.change.what = What::List;
                self.targets()?;
            }
            "TRIGGER" | "PROCEDURE" | "FUNCTION" | "EVENT" | "PACKAGE" => self.target()?,
            "INDEX" => self.index()?,
            "DATABASE" | "SCHEMA" => {
                self.change.what = What::Removal;
                self.database()?;
            }
            "USER" | "ROLE" | "SERVER" => return Some(Class::Apart),
            _ => return None,
        }
        Some(Class::Change)
    }

    /// `RENAME TABLE a TO b, c TO d`.
    fn rename(&mut self) -> Option<Class> {
        if self.skips(&["USER"]) {
            return Some(Class::Apart);
        }
        self.skips(&["TABLE", "TABLES"]).then_some(())?;
        self.condition();
        loop {
            self.target()?;
            if self.skips(&["WAIT"]) {
                self.next();
            }
            self.skips(&["NOWAIT"]);
            self.skips(&["TO"]).then_some(())?;
            self.target()?;
            if !self.sign(',') {
                return Some(Class::Change);
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

    /// Between `CREATE` or `ALTER` and what is created or altered. Whether that is for the session only.
    fn modifiers(&mut self) -> Option<bool> {
        let mut is_temporary = false;
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
            } else if self.skips(&["TEMPORARY"]) {
                is_temporary = true;
            } else if !self.skips(&[
                "OR",
                "REPLACE",
                "ONLINE",
                "OFFLINE",
                "IGNORE",
                "UNIQUE",
                "FULLTEXT",
                "SPATIAL",
                "VECTOR",
                "AGGREGATE",
            ]) {
                return Some(is_temporary);
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
        match self.next()? {
            Token::Word(_) | Token::Quoted(_) | Token::Text => Some(()),
            Token::Sign(_) | Token::Broken => None,
        }
    }

    /// `CREATE TABLE a LIKE b` takes from `b`.
    fn template(&mut self) -> Option<()> {
        self.sign('(');
        if self.skips(&["LIKE"]) {
            self.name()?;
            match self.sign('.') {
                true => drop(self.name()?),
                false => self.change.takes_from_current = true,
            }
        }
        Some(())
    }

    /// Other tables and events that the rest of an `ALTER` names: new names, and tables that partitions come from or go to.
    fn others(&mut self) -> Option<()> {
        while let Some(token) = self.next() {
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
            } else if token.is_word("IMPORT") || token.is_word("DISCARD") {
                // Rows that come from a file, and are in no log.
                let (next, _) = self.tokens.peek()?;
                if next.is_word("TABLESPACE") || next.is_word("PARTITION") {
                    return None;
                }
            } else if token == Token::Broken {
                return None;
            }
        }
        Some(())
    }

    /// `IF EXISTS` or `IF NOT EXISTS`.
    fn condition(&mut self) -> bool {
        let is_there = self.skips(&["IF"]);
        if is_there {
            self.skips(&["NOT"]);
            self.skips(&["EXISTS"]);
        }
        is_there
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
        let (first, at) = self.name()?;
        if !self.sign('.') {
            return self.adds(self.current.to_owned(), None, at);
        }
        let (_, last) = self.name()?;
        let whole = at.start..last.end;
        self.adds(first, Some(at), whole)
    }

    fn database(&mut self) -> Option<()> {
        let (database, at) = self.name()?;
        self.adds(database, Some(at.clone()), at)
    }

    fn adds(
        &mut self,
        database: String,
        qualifier: Option<Range<usize>>,
        whole: Range<usize>,
    ) -> Option<()> {
        if database.is_empty() {
            return None;
        }
        self.change.targets.push(Named {
            database,
            qualifier,
            whole,
        });
        Some(())
    }

    fn name(&mut self) -> Option<(String, Range<usize>)> {
        let (token, at) = self.tokens.next()?;
        self.at = at.end;
        match token {
            Token::Word(name) | Token::Quoted(name) => Some((name, at)),
            Token::Text | Token::Sign(_) | Token::Broken => None,
        }
    }

    /// A keyword, in capitals.
    fn word(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<Token> {
        let (token, at) = self.tokens.next()?;
        self.at = at.end;
        Some(token)
    }

    fn next_if(&mut self, is_wanted: impl Fn(&Token) -> bool) -> bool {
        let found = self.tokens.next_if(|(token, _)| is_wanted(token));
        if let Some((_, at)) = &found {
            self.at = at.end;
        }
        found.is_some()
    }

    /// Goes past one of these words, if it comes next.
    fn skips(&mut self, words: &[&str]) -> bool {
        self.next_if(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn sign(&mut self, sign: char) -> bool {
        self.next_if(|token| *token == Token::Sign(sign))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `expected` are the databases, and `+` where something is taken from the current one.
    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let found = match read(sql, "now", true) {
            Some(Reading::Change(change)) => {
                let names = change.targets.iter().map(|it| it.database.as_str());
                let names: BTreeSet<&str> = names.collect();
                let names: Vec<&str> = names.into_iter().collect();
                names.join(" ") + if change.takes_from_current { "+" } else { "" }
            }
            Some(Reading::Control) => "control".into(),
            Some(Reading::Apart) => "apart".into(),
            None => "?".into(),
        };
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn tables_are_targets() {
        check("TRUNCATE TABLE words", "now");
        check("truncate shop.words", "shop");
        check("TRUNCATE TABLE `sh``op` . `words`", "sh`op");
        check("CREATE TABLE IF NOT EXISTS shop.words (id INT)", "shop");
        check("CREATE OR REPLACE TEMPORARY TABLE words (id INT)", "apart");
        check("CREATE TABLE shop.words LIKE words", "shop+");
        check("CREATE TABLE shop.words (LIKE blog.words)", "shop");
        check(
            "DROP TABLE IF EXISTS `a`,b.c /* generated by server */",
            "b now",
        );
        check("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS shop.a", "apart");
        check("SET STATEMENT a = 1, b = 2 FOR DROP TABLE shop.a", "shop");
        check("RENAME TABLE a TO b, c.d WAIT 3 TO e.f", "c e now");
        check("RENAME TABLE IF EXISTS shop.a TO shop.b", "shop");
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
        check("ALTER DATABASE CHARACTER SET latin1", "now");
    }

    #[test]
    fn what_is_not_known_is_not_read() {
        for sql in [
            "",
            "UPDATE shop.a SET b = 1",
            "CALL shop.p()",
            "XA COMMIT X'61',X'',1",
            "SET @a = 1",
            "COMMIT ALTER 5",
            "ALTER TABLE shop.a IMPORT TABLESPACE",
            "ALTER TABLE shop.a DISCARD PARTITION p TABLESPACE",
            "ALTER DATABASE charset CHARACTER SET latin1",
            "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x'",
            "CREATE TABLESPACE shop",
            "DROP TABLE .a",
            "DROP TABLE a,",
            "TRUNCATE TABLE 'a'",
            "/* no end DROP TABLE a",
        ] {
            check(sql, "?");
        }
        assert_eq!(read("DROP TABLE a", "", true), None);
        assert!(read("DROP TABLE shop.a", "", true).is_some());
    }

    #[test]
    fn what_is_in_no_database_is_told_apart() {
        for sql in [
            "/* why */ GRANT ALL ON shop.* TO a",
            "SET DEFAULT ROLE a FOR b",
            "create or replace user a",
            "RENAME USER a TO b",
            "CREATE SERVER shop FOREIGN DATA WRAPPER mysql",
            "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'f.so'",
            "FLUSH TABLES shop.a",
            "OPTIMIZE LOCAL TABLE a, shop.b",
        ] {
            check(sql, "apart");
        }
        for sql in ["BEGIN", "COMMIT", "START TRANSACTION", "ROLLBACK TO `a`"] {
            check(sql, "control");
        }
    }

    #[test]
    fn names_before_a_point_are_found_where_they_stand() {
        let sql = "CREATE DEFINER=root@db.example.net VIEW `a`.v AS SELECT t.x, 1.5 FROM b . t JOIN c.d.e";
        let found: Vec<(String, &str)> = qualifiers(sql, true)
            .into_iter()
            .map(|(name, at)| (name, &sql[at]))
            .collect();
        let expected = [("a", "`a`"), ("t", "t"), ("b", "b"), ("c", "c")];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text)));
    }
}
