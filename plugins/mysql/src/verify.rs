//! Proving a backup: it is restored into a server of its own, and what came of it is compared, checked and asked.

mod ask;
mod scratch;
mod tables;

use std::collections::BTreeSet;

use strongroom_plugin::{
    Attributes, Error, ErrorKind, Feed, Finding, Needs, Result, Scratch, Verification,
    VerifyRequest, log, progress, several,
};

use crate::backup::FOLDS;
use crate::client::Session;
use crate::config::Config;
use crate::load::{Loader, Order};
use crate::name::USERS_FILE;
use crate::replay::Replay;
use crate::restore::{check_family, check_history, users_file};
use crate::series::{Dump, Series};
use crate::server;
use crate::users;
use crate::version::Version;

use ask::ask;
use scratch::ScratchServer;
use tables::{check_tables, compare_rows};

/// What a verification of a backup with these attributes takes.
pub(crate) fn needs(config: &Config, backup: &Attributes, scratch: &Scratch) -> Result<Needs> {
    let series = Series::parse(backup)?;
    let has_log = Replay::plan(&series, None)?.is_some();
    Ok(scratch::needs(config.server, scratch, has_log))
}

/// Verifies a backup.
pub(crate) fn verify(
    config: &Config,
    request: &VerifyRequest,
    feed: &Feed,
) -> Result<Verification> {
    let attributes = feed.attributes();
    let series = Series::parse(&attributes)?;
    let log = Replay::plan(&series, None)?;
    let folds = attributes.iter().any(|(key, _)| key == FOLDS);
    let server = ScratchServer::start(config.server, &request.scratch, folds)?;
    let mut session = server.connect()?;
    let version = server::version(&mut session, &server.config)?;
    check_family(&attributes, version)?;
    check_age(&attributes, version)?;
    check_history(&series, version)?;
    let mut proof = Proof {
        server,
        session,
        feed,
        sums: Sums::default(),
        findings: Vec::new(),
    };
    let accounts = proof.accounts()?;
    let restored = proof.restored(&series, folds)?;
    for order in &restored {
        proof.rows(&order.dump)?;
    }
    if let Some(log) = log.as_ref().filter(|_| !restored.is_empty()) {
        proof.replayed(&restored, &series.databases(), log)?;
    }
    for order in &restored {
        proof.tables(&order.dump)?;
    }
    if let Some(accounts) = accounts {
        proof.rights(accounts)?;
    }
    if series.dumps.is_empty() {
        let nothing = Finding::skipped("restore", "the backup holds no database");
        proof.findings.push(nothing);
    }
    let mut findings = proof.sums.findings(log.as_ref());
    findings.append(&mut proof.findings);
    // The log has dropped the others.
    let databases = series.dumps.iter().filter(|(_, dump)| dump.gone.is_none());
    let databases: Vec<&str> = databases.map(|(_, dump)| dump.database.as_str()).collect();
    for assertion in &request.assertions {
        progress::check_cancelled()?;
        let answer = ask(&mut proof.session, assertion, &databases);
        findings.push(answer.map_err(|error| proof.server.explain(error))?);
    }
    Ok(Verification {
        findings,
        attributes: vec![("scratch server".into(), version.to_string())],
    })
}

/// What was as it should be.
#[derive(Default)]
struct Sums {
    restored: Vec<String>,
    is_replayed: bool,
    tables: u64,
    rows: u64,
    sound: u64,
}

impl Sums {
    /// What is fine is told together.
    fn findings(&self, log: Option<&Replay>) -> Vec<Finding> {
        let log = log.filter(|_| self.is_replayed).map(Replay::describe);
        let counts = format!(
            "{}, {} as at the backup",
            several(self.tables, "table"),
            several(self.rows, "row")
        );
        let sound = format!("{} with all indexes", several(self.sound, "table"));
        let told = [
            (!self.restored.is_empty()).then(|| ("restore", self.restored.join(", "))),
            (self.tables > 0).then_some(("row counts", counts)),
            log.map(|log| ("binary log", log)),
            (self.sound > 0).then_some(("CHECK TABLE EXTENDED", sound)),
        ];
        let told = told.into_iter().flatten();
        told.map(|(subject, detail)| Finding::passed(subject, detail))
            .collect()
    }
}

/// A verification under way.
struct Proof<'a> {
    server: ScratchServer,
    session: Session,
    feed: &'a Feed<'a>,
    sums: Sums,
    /// What is not, or could not be looked at.
    findings: Vec<Finding>,
}

impl Proof<'_> {
    /// Views and routines belong to accounts. Those that this server cannot make, say because it lacks a plugin, say nothing of the backup.
    fn accounts(&mut self) -> Result<Option<users::Restored>> {
        let files: BTreeSet<String> = self
            .feed
            .entries()
            .map(|entry| entry.map(|entry| entry.path))
            .collect::<Result<_>>()?;
        if !files.contains(USERS_FILE) {
            return Ok(None);
        }
        progress::step("accounts");
        let text = users_file(self.feed)?;
        let made = users::restore(&mut self.session, self.server.config.server, &text);
        made.map(Some).or_else(|error| {
            let error = self.about_the_backup(error)?;
            self.findings.push(Finding::skipped("accounts", error));
            Ok(None)
        })
    }

    /// Rights on what came with the databases. Those that this server does not give say nothing of the backup either.
    fn rights(&mut self, accounts: users::Restored) -> Result<()> {
        let failed = accounts.give_rest(&mut self.session);
        for (account, error) in failed.map_err(|error| self.server.explain(error))? {
            log::warn(format!("rights of {account}: {error}"));
        }
        Ok(())
    }

    /// The databases that could be restored.
    fn restored(&mut self, series: &Series, folds: bool) -> Result<Vec<Order>> {
        let config = &self.server.config;
        let mut loader = Loader::new(&mut self.session, config, self.feed, folds)?;
        let (mut restored, mut failed) = (Vec::new(), Vec::new());
        for (file, dump) in &series.dumps {
            progress::check_cancelled()?;
            let order = Order::new(file, dump);
            match loader.database(&mut self.session, &order) {
                Ok(()) => restored.push(order),
                Err(error) => failed.push((dump.database.clone(), error)),
            }
        }
        failed.extend(loader.views(false)?);
        for (database, error) in failed {
            restored.retain(|order| order.dump.database != database);
            let finding = self.judge(format!("restore of {database}"), error)?;
            self.findings.push(finding);
        }
        let names = restored.iter().map(|order| order.dump.database.clone());
        self.sums.restored = names.collect();
        Ok(restored)
    }

    fn rows(&mut self, dump: &Dump) -> Result<()> {
        progress::step(format!("rows of {}", dump.database));
        let compared = compare_rows(&mut self.session, dump);
        let compared = compared.map_err(|error| self.server.explain(error))?;
        self.sums.tables += compared.tables;
        self.sums.rows += compared.rows;
        self.findings.extend(compared.findings);
        // It is not there to be looked at, or not as it was.
        let missing = dump.lacks.missing.iter();
        let missing = missing
            .map(|(what, why)| Finding::skipped(what.clone(), format!("not in the backup: {why}")));
        let warnings = dump.lacks.warnings.iter();
        let subject = format!("what the backup warns of in {}", dump.database);
        let warnings = warnings.map(|warning| Finding::skipped(subject.clone(), warning));
        self.findings.extend(missing.chain(warnings));
        Ok(())
    }

    fn replayed(&mut self, orders: &[Order], others: &[String], log: &Replay) -> Result<()> {
        let config = &self.server.config;
        match log.run(&mut self.session, config, orders, others, self.feed) {
            Ok(()) => self.sums.is_replayed = true,
            Err(error) => {
                let finding = self.judge("binary log", error)?;
                self.findings.push(finding);
            }
        }
        Ok(())
    }

    fn tables(&mut self, dump: &Dump) -> Result<()> {
        progress::step(format!("tables of {}", dump.database));
        let checked = check_tables(&mut self.session, &dump.database);
        let checked = checked.map_err(|error| self.server.explain(error))?;
        self.sums.sound += checked.tables;
        self.findings.extend(checked.findings);
        Ok(())
    }

    /// What an error says of the backup: nothing where it is the scratch server that lacks something.
    fn judge(&self, subject: impl Into<String>, error: Error) -> Result<Finding> {
        if self.server.is_alive() && lacks_software(error.message()) {
            return Ok(Finding::skipped(
                subject.into(),
                format!(
                    "the scratch server lacks what the backed-up one has (`programs` names its folder): {error}"
                ),
            ));
        }
        Ok(Finding::failed(
            subject.into(),
            self.about_the_backup(error)?,
        ))
    }

    /// An error that the backup is to blame for. Any other says nothing of it, and ends the verification.
    fn about_the_backup(&self, error: Error) -> Result<Error> {
        if !self.server.is_alive() {
            return Err(self.server.explain(error));
        }
        if is_full(error.message()) {
            let problem = format!("there is no room for what is restored: {error}");
            return Err(Error::new(ErrorKind::OutOfSpace, problem));
        }
        match error.kind() {
            ErrorKind::Failed
            | ErrorKind::Corrupted
            | ErrorKind::NotFound
            | ErrorKind::Unsupported
            // What a restore refuses to hand to a client.
            | ErrorKind::Denied => Ok(error),
            _ => Err(error),
        }
    }
}

/// What a server says that lacks an engine, a plugin, a library, a key, a character set or a type which another one has.
fn lacks_software(message: &str) -> bool {
    // ER_UNKNOWN_STORAGE_ENGINE, ER_PLUGIN_IS_NOT_LOADED, ER_ILLEGAL_HA_CREATE_OPTION, ER_UNKNOWN_OPTION, ER_CANT_OPEN_LIBRARY, ER_CANT_FIND_DL_ENTRY,
    // ER_FUNCTION_NOT_DEFINED, ER_UNKNOWN_CHARACTER_SET, ER_UNKNOWN_COLLATION, ER_UNKNOWN_DATA_TYPE
    const CODES: [u16; 10] = [1286, 1524, 1478, 1911, 1126, 1127, 1128, 1115, 1273, 4161];
    // As a client says it, and as we do.
    let is_of = |code: &u16| {
        message.contains(&format!("ERROR {code} (")) || message.contains(&format!("(error {code},"))
    };
    // A table that is to be encrypted where there is no key, say.
    CODES.iter().any(is_of) || message.contains("\"Wrong create options\"")
}

/// ER_DISK_FULL, ER_RECORD_FILE_FULL, and what the operating system says.
fn is_full(message: &str) -> bool {
    ["ERROR 1021 ", "ERROR 1114 ", "No space left on device"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// An older server need not understand what a newer one has written, which would look like a fault of the backup.
fn check_age(attributes: &Attributes, version: Version) -> Result<()> {
    let noted = attributes.iter().find(|(key, _)| key == "server");
    let from = noted.and_then(|(_, text)| Version::find(text));
    match from {
        Some(from) if version.release() < from.release() => {
            let (major, minor) = from.release();
            Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the server here is {version}, older than the one that was backed up, {from}"
                ),
            )
            .hint(format!(
                "install the server of {} {major}.{minor} or newer on this machine",
                from.kind
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_older_than_the_backups_proves_nothing() {
        let version = |text| Version::find(text).expect("a version");
        let noted = vec![("server".to_owned(), "MariaDB 10.11.2".to_owned())];
        let check = |here| check_age(&noted, version(here)).map_err(|error| error.kind());
        assert_eq!(check("10.6.1-MariaDB"), Err(ErrorKind::Unsupported));
        assert_eq!(check("10.11.1-MariaDB"), Ok(()));
        assert_eq!(check("11.4.2-MariaDB"), Ok(()));
    }

    #[test]
    fn what_the_scratch_server_lacks_is_no_fault_of_the_backup() {
        let check = |message, expected| assert_eq!(lacks_software(message), expected, "{message}");
        check(
            "mariadb exited with code 1: ERROR 1286 (42000) at line 3: Unknown storage engine 'ROCKSDB'",
            true,
        );
        check(
            "mariadb exited with code 1: ERROR 1005 (HY000) at line 22: Can't create table `e`.`x` (errno: 140 \"Wrong create options\")",
            true,
        );
        check(
            "the server says: Plugin 'pam' is not loaded (error 1524, SQLSTATE HY000)",
            true,
        );
        check(
            "mariadb exited with code 1: ERROR 1064 (42000) at line 1: syntax",
            false,
        );
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_backup() {
        assert!(is_full(
            "mariadb exited with code 1: ERROR 1114 (HY000) at line 3: The table 'a' is full"
        ));
        assert!(!is_full(
            "mariadb exited with code 1: ERROR 1064 (42000) at line 1: syntax"
        ));
    }
}
