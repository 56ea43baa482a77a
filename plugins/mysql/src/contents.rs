//! What of a database a dump of it will hold: a server and what the user may do there come in; what the dump program is told to pass over, what is written in
//! its place, and what will be missing go out.
//!
//! Dump programs pass over much without a word, and end at what they cannot read. So it is looked for before they run.

use std::collections::BTreeSet;

use strongroom_plugin::{ErrorKind, Result, progress};

use crate::client::Session;
use crate::config::Kind;
use crate::grants::Grants;
use crate::guard::Guard;
use crate::name::{identifier, literal, shown};
use crate::series::Lacks;
use crate::server::Database;
use crate::views;

/// What is known of one database.
#[derive(Default)]
pub(crate) struct Contents {
    /// Why there is no dump of it.
    pub(crate) refused: Option<String>,
    pub(crate) without_routines: bool,
    pub(crate) without_events: bool,
    /// Tables of which only the definition is dumped.
    pub(crate) without_rows: Vec<String>,
    /// Views that the program cannot read.
    pub(crate) left_out: Vec<String>,
    /// SQL of those whose definition is known all the same.
    pub(crate) views: String,
    /// Why the log cannot be replayed for it, so that every backup dumps it anew.
    pub(crate) no_log: Option<String>,
    pub(crate) lacks: Lacks,
}

/// How a database is looked at.
pub(crate) struct Looking<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) kind: Kind,
    pub(crate) grants: &'a Grants,
    pub(crate) database: &'a Database,
}

impl Looking<'_> {
    /// Looks at it, without its rows.
    pub(crate) fn contents(&mut self) -> Result<Contents> {
        let mut contents = Contents::default();
        let name = self.database.name.as_str();
        if name.contains(char::is_control) {
            let why = "its name has a control character, with which programs would write lines of their own into the dump";
            contents.refused = Some(why.into());
            return Ok(contents);
        }
        self.tables(&mut contents)?;
        self.routines(&mut contents)?;
        self.events(&mut contents)?;
        self.triggers(&mut contents)?;
        Ok(contents)
    }

    fn tables(&mut self, contents: &mut Contents) -> Result<()> {
        let database = &self.database.name;
        let rows = self.session.query(&format!(
            "SELECT TABLE_NAME AS name, TABLE_TYPE AS type FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY 1",
            literal(database)
        ))?;
        let may_all = self.grants.reads_all_of(database);
        let mut kept = Vec::new();
        for row in &rows {
            progress::check_cancelled()?;
            let table = row.expect("name")?;
            let place = format!("{}.{}", identifier(database), identifier(table));
            if row.get("type") == Some("VIEW") {
                match views::look(self.session, database, table)? {
                    views::Found::Readable => {}
                    views::Found::Defined(view) => {
                        contents.left_out.push(table.into());
                        kept.push(view);
                    }
                    views::Found::Unknown(why) => {
                        contents.left_out.push(table.into());
                        contents
                            .lacks
                            .missing(format!("view {}", self.shown(table)), why);
                    }
                }
                continue;
            }
            if table.contains(char::is_control) {
                contents.no_log = Some(format!(
                    "table {} has a control character in its name",
                    self.shown(table)
                ));
            }
            let probe =
                |session: &mut Session| session.query(&format!("SELECT * FROM {place} LIMIT 0"));
            if !may_all
                && let Err(error) = probe(self.session)
                && error.kind() == ErrorKind::Denied
            {
                let subject = format!("rows of table {}", self.shown(table));
                let why = "the user may not read it (SELECT), and the dump has it empty";
                contents.lacks.missing(subject, why);
                contents.no_log = Some(format!("the user may not read {}", self.shown(table)));
                contents.without_rows.push(table.into());
            }
        }
        views::in_order(&mut kept);
        let (sql, refused) = views::sql(self.kind, &kept);
        for (view, why) in refused {
            contents
                .lacks
                .missing(format!("view {}", self.shown(&view)), why);
        }
        contents.views = sql;
        Ok(())
    }

    /// Routines that the user does not see the text of end the dump program.
    fn routines(&mut self, contents: &mut Contents) -> Result<()> {
        let rows = self.session.query(&format!(
            "SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS type, ROUTINE_DEFINITION IS NULL AS hidden, SQL_MODE AS sql_mode, \
             CHARACTER_SET_CLIENT AS character_set FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} ORDER BY 1",
            literal(&self.database.name)
        ))?;
        let hidden: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row.get("hidden") == Some("1"))
            .filter_map(|row| row.get("name"))
            .collect();
        if !hidden.is_empty() {
            let names: Vec<String> = hidden.iter().map(|name| shown(name)).collect();
            let privilege = match self.kind {
                Kind::Mysql => "SHOW_ROUTINE",
                Kind::Mariadb => "SELECT on mysql.proc",
            };
            let why = format!(
                "the user may not see what they do ({privilege}): {}",
                names.join(", ")
            );
            let subject = format!("routines of {}", shown(&self.database.name));
            contents.lacks.missing(subject, why);
            contents.without_routines = true;
            return Ok(());
        }
        for row in &rows {
            let kind = row.get("type").unwrap_or_default().to_owned();
            self.body(contents, &kind, row.expect("name")?, row)?;
        }
        Ok(())
    }

    /// The dump program escapes the database's name where nothing has to be escaped, and does not find it any more.
    fn events(&mut self, contents: &mut Contents) -> Result<()> {
        if !self.grants.on("EVENT", &self.database.name) {
            contents.without_events = true;
            return Ok(());
        }
        let rows = self.session.query(&format!(
            "SELECT EVENT_NAME AS name, SQL_MODE AS sql_mode, CHARACTER_SET_CLIENT AS character_set \
             FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {} ORDER BY 1",
            literal(&self.database.name)
        ))?;
        if self.database.name.contains(['\'', '"', '\\']) {
            contents.without_events = true;
            if !rows.is_empty() {
                let why = format!(
                    "{} finds none in a database with a quote or a backslash in its name",
                    self.kind.dump_program()
                );
                let subject = format!("events of {}", shown(&self.database.name));
                contents.lacks.missing(subject, why);
            }
            return Ok(());
        }
        for row in &rows {
            self.body(contents, "EVENT", row.expect("name")?, row)?;
        }
        Ok(())
    }

    fn triggers(&mut self, contents: &mut Contents) -> Result<()> {
        let rows = self.session.query(&format!(
            "SELECT TRIGGER_NAME AS name, SQL_MODE AS sql_mode, CHARACTER_SET_CLIENT AS character_set \
             FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {} ORDER BY 1",
            literal(&self.database.name)
        ))?;
        for row in &rows {
            self.body(contents, "TRIGGER", row.expect("name")?, row)?;
        }
        Ok(())
    }

    /// Refuses the database for a text that the client would not load as one statement.
    fn body(
        &mut self,
        contents: &mut Contents,
        kind: &str,
        name: &str,
        row: &crate::wire::Row,
    ) -> Result<()> {
        progress::check_cancelled()?;
        let place = format!("{}.{}", identifier(&self.database.name), identifier(name));
        let found = self
            .session
            .query_row(&format!("SHOW CREATE {kind} {place}"));
        let found = match found {
            Ok(found) => found,
            // It is gone by now, or cannot be shown, of which the dump program has the word.
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(_) => return Ok(()),
        };
        let columns = [
            "Create Procedure",
            "Create Function",
            "Create Event",
            "SQL Original Statement",
        ];
        let more = ["Create Package", "Create Package Body"];
        let mut columns = columns.iter().chain(&more);
        let text = found
            .as_ref()
            .and_then(|found| columns.find_map(|column| found.get(column)));
        let Some(text) = text else { return Ok(()) };
        let setting = |column| row.get(column).unwrap_or_default();
        let mut guard = Guard::for_body(self.kind, setting("sql_mode"), setting("character_set"));
        let is_uncertain = guard.is_uncertain_of(text);
        let read = guard
            .read(text.as_bytes())
            .and_then(|()| guard.finish_body());
        let why = match read {
            Err(error) => error.message().to_owned(),
            Ok(()) if is_uncertain => {
                "it has two semicolons, and letters of its character set may hide from a client where a text ends".into()
            }
            Ok(()) => return Ok(()),
        };
        let kind = kind.to_ascii_lowercase();
        contents.refused = Some(format!(
            "whoever loads the dump would run what is in {kind} {}: {why}",
            shown(name)
        ));
        Ok(())
    }

    fn shown(&self, table: &str) -> String {
        format!("{}.{}", shown(&self.database.name), shown(table))
    }
}
