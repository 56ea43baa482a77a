//! Which part of a log is wanted: databases, each from a place on and maybe under another name, come in; what is done with a statement goes out.
//!
//! A log of rows has statements for whatever changes no rows: `CREATE`, `ALTER`, `TRUNCATE`, `DROP`. One is replayed for the databases that it
//! changes, whichever was the current one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::event::Checksum;
use super::position::Position;
use super::statement::{Statement, changed_to};
use super::target::{Change, Named, Reading, What, qualifiers, read};
use crate::config::Kind as Family;
use crate::name::identifier;

/// A database that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) database: String,
    /// What it is called now.
    pub(crate) name: String,
    /// What comes before it is there already.
    pub(crate) from: Position,
}

/// All that is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// By their names, or by these in small letters.
    parts: BTreeMap<String, Part>,
    /// Databases that are not wanted, and that may be missing.
    others: BTreeSet<String>,
    /// Whether names that differ in capitals only are the same to the server that wrote the log, where that is known.
    folds: Option<bool>,
}

/// What is done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is replayed, as this event.
    Keep {
        event: Vec<u8>,
        /// Whether it takes things from one database to another.
        crosses: bool,
    },
    /// It changes nothing that is wanted.
    Skip,
    /// It cannot be replayed: why.
    Impossible(String),
}

impl Scope {
    pub(crate) fn new(
        parts: impl IntoIterator<Item = Part>,
        others: impl IntoIterator<Item = String>,
        folds: Option<bool>,
    ) -> Self {
        let mut scope = Self {
            folds,
            ..Self::default()
        };
        scope.others = others.into_iter().map(|name| scope.key(&name)).collect();
        for part in parts {
            scope.parts.insert(scope.key(&part.database), part);
        }
        scope.others.retain(|name| !scope.parts.contains_key(name));
        scope
    }

    /// Where the first of them begins.
    pub(crate) fn from(&self) -> Option<&Position> {
        self.parts.values().map(|part| &part.from).min()
    }

    /// What this database is called now, if what happens to it at that place is wanted.
    pub(crate) fn name_at(&self, database: &str, at: &Position) -> Option<&str> {
        let part = self.parts.get(&self.key(database))?;
        (part.from <= *at).then_some(part.name.as_str())
    }

    /// What is done with a statement that begins at that place.
    pub(crate) fn judge(
        &self,
        event: &[u8],
        checksum: Checksum,
        at: &Position,
        family: Family,
    ) -> Verdict {
        let Some(statement) = Statement::parse(event, checksum) else {
            return Verdict::Impossible("a statement that is damaged".into());
        };
        let mut verdict = self.decide(&statement, event, checksum, at);
        if matches!(verdict, Ok(Verdict::Keep { .. })) && statement.is_cut_by_clients(family) {
            verdict = Err("a statement of which the client would run a part by itself".into());
        }
        verdict.unwrap_or_else(|why| Verdict::Impossible(format!("{why}: {}", statement.shown())))
    }

    fn decide(
        &self,
        statement: &Statement,
        event: &[u8],
        checksum: Checksum,
        at: &Position,
    ) -> Result<Verdict, String> {
        let Statement { database, sql, .. } = statement;
        let unknown = || "a statement that does not say which databases it changes".to_owned();
        if !statement.is_legible {
            return Err("a statement in a character set that is not read".into());
        }
        let keep = |current: &str, sql: Option<&str>, crosses| {
            let event = changed_to(event, checksum, current, sql);
            let event = event.ok_or("a statement that is too long")?;
            Ok(Verdict::Keep { event, crosses })
        };
        let change = match read(sql, database, statement.escapes).ok_or_else(unknown)? {
            // No database is entered for it: there may be none of that name.
            Reading::Control => return keep("", None, false),
            Reading::Apart => return Ok(Verdict::Skip),
            Reading::Change(change) => change,
        };
        self.check_letters(&change, database)?;
        let names: BTreeSet<&str> = change.targets.iter().map(|it| &*it.database).collect();
        let ours: BTreeSet<&str> = names
            .iter()
            .copied()
            .filter(|name| self.name_at(name, at).is_some())
            .collect();
        let Some(first) = ours.first().and_then(|name| self.name_at(name, at)) else {
            return Ok(Verdict::Skip);
        };
        let is_all = ours.len() == names.len();
        if !is_all && change.what != What::List {
            let other = names.difference(&ours).next().copied().unwrap_or_default();
            return Err(format!("a statement that changes {other} too"));
        }
        let current = self.parts.get(&self.key(database));
        if current.is_none() && !database.is_empty() && change.takes_from_current {
            return Err(format!("a statement that takes something from {database}"));
        }
        self.check_qualifiers(&change, statement, at)?;
        let list = (!is_all).then(|| self.shortened(sql, &change, at));
        let renamed = match list {
            Some(list) => Some(list),
            None => self.renamed(statement, &change)?,
        };
        if renamed.is_some() && !statement.is_exact {
            return Err("a statement in a character set that is not read".into());
        }
        let current = match change.what {
            // It goes, or comes anew: whoever was in it has to enter it again.
            What::Creation { .. } | What::Removal => "",
            _ => current.map_or(first, |part| part.name.as_str()),
        };
        let crosses = names.len() > 1 && change.what != What::List;
        keep(current, renamed.as_deref(), crosses)
    }

    /// In which letters a statement was sent is not known, so that of others than ASCII only an equal name says anything. To a server of which it
    /// is not known, names that differ in capitals may be the same.
    fn check_letters(&self, change: &Change, current: &str) -> Result<(), String> {
        let is_known = |name: &str| {
            let key = self.key(name);
            name == current || self.parts.contains_key(&key) || self.others.contains(&key)
        };
        let foreign = change.targets.iter().map(|it| it.database.as_str());
        for name in foreign.filter(|name| !is_known(name)) {
            let mut wanted = self.parts.keys();
            let is_alike = |other: &String| match name.is_ascii() {
                true => self.folds.is_none() && other.eq_ignore_ascii_case(name),
                false => !other.is_ascii(),
            };
            if let Some(other) = wanted.find(|other| is_alike(other)) {
                return Err(format!("a statement that may be of {other}"));
            }
        }
        Ok(())
    }

    /// What a statement takes from databases that may be missing. Programs take nothing before they run.
    fn check_qualifiers(
        &self,
        change: &Change,
        statement: &Statement,
        at: &Position,
    ) -> Result<(), String> {
        if !matches!(change.what, What::Thing | What::View) {
            return Ok(());
        }
        for (name, _) in qualifiers(&statement.sql, statement.escapes) {
            let is_later = self.parts.get(&self.key(&name)).is_some_and(|part| {
                // It is there, as it was later.
                part.from > *at
            });
            if self.others.contains(&self.key(&name)) || is_later {
                return Err(format!("a statement that takes something from {name}"));
            }
        }
        Ok(())
    }

    /// A list without what is not wanted.
    fn shortened(&self, sql: &str, change: &Change, at: &Position) -> String {
        let begin = change.targets.first().map_or(0, |first| first.whole.start);
        let kept = change.targets.iter().filter_map(|target| {
            let name = self.name_at(&target.database, at)?;
            let whole = sql.get(target.whole.clone())?;
            let rest = match &target.qualifier {
                Some(qualifier) => whole.get(qualifier.len()..)?.to_owned(),
                None => format!(".{whole}"),
            };
            Some(identifier(name) + &rest)
        });
        let kept: Vec<String> = kept.collect();
        sql.get(..begin).unwrap_or_default().to_owned() + &kept.join(", ")
    }

    /// The statement with the names that databases have now, where it names one that has another.
    fn renamed(&self, statement: &Statement, change: &Change) -> Result<Option<String>, String> {
        let Statement { sql, escapes, .. } = statement;
        let new_name = |name: &str| {
            let part = self.parts.get(&self.key(name))?;
            (part.name != part.database).then_some(part)
        };
        let mut places: Vec<(Range<usize>, &Part)> = Vec::new();
        let of_target = |target: &Named| {
            let part = new_name(&target.database)?;
            Some((target.qualifier.clone()?, part))
        };
        places.extend(change.targets.iter().filter_map(of_target));
        // In other statements a name before a point may as well be a table's.
        if matches!(change.what, What::Thing | What::List) {
            let all = qualifiers(sql, *escapes);
            places.extend(
                all.into_iter()
                    .filter_map(|(name, at)| Some((at, new_name(&name)?))),
            );
        }
        // Left out, and nowhere near: it has to stand there, because no current database is entered for it.
        if let [target] = change.targets.as_slice()
            && let Some(at) = target.qualifier.as_ref().filter(|at| at.is_empty())
            && let Some(part) = self.parts.get(&self.key(&target.database))
        {
            places = vec![(at.clone(), part)];
        }
        places.sort_by_key(|(at, _)| at.start);
        places.dedup_by_key(|(at, _)| at.start);
        let (mut text, mut between, mut done) = (String::new(), String::new(), 0);
        for (at, part) in &places {
            let kept = sql.get(done..at.start).unwrap_or_default();
            let space = if at.is_empty() { " " } else { "" };
            text += &format!("{kept}{space}{}", identifier(&part.name));
            between += &format!("{kept} ");
            done = at.end;
        }
        let rest = sql.get(done..).unwrap_or_default();
        (text, between) = (text + rest, between + rest);
        if matches!(change.what, What::View | What::Program) {
            let mut renamed = self.parts.values().filter(|it| it.name != it.database);
            if let Some(part) = renamed.find(|part| names(&between, &part.database)) {
                return Err(format!("a statement that names {}", part.database));
            }
        }
        Ok((!places.is_empty()).then_some(text))
    }

    pub(crate) fn key(&self, name: &str) -> String {
        match self.folds {
            Some(true) => name.to_lowercase(),
            _ => name.to_owned(),
        }
    }
}

/// Whether the name stands there as a word.
fn names(sql: &str, database: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    sql.match_indices(database).any(|(at, _)| {
        let before = sql.get(..at).unwrap_or_default();
        let after = sql.get(at + database.len()..).unwrap_or_default();
        !before.ends_with(is_letter) && !after.starts_with(is_letter)
    })
}

#[cfg(test)]
mod tests;
