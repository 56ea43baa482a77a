//! Settings that a server has for everybody, as a restore needs them: a session comes in, a guard goes out that puts them back when it goes, at whatever
//! end.

use strongroom_plugin::{ErrorKind, Result, log};

use crate::client::{Session, connect};
use crate::config::Config;

/// What the programs of a restore send at most, and the most that a server takes.
const PACKET_BYTES: u64 = 1 << 30;

/// What was set, for as long as this is kept.
pub(crate) struct Settings<'a> {
    config: &'a Config,
    /// Each with the value that it had.
    before: Vec<(&'static str, String)>,
}

impl<'a> Settings<'a> {
    /// Lets statements be as long as they can be, and, where a log is to be replayed, stops events: they would change rows before the log does. What
    /// the user may not set is warned of.
    pub(crate) fn for_restore(
        session: &mut Session,
        config: &'a Config,
        has_log: bool,
    ) -> Result<Self> {
        let mut settings = Self {
            config,
            before: Vec::new(),
        };
        let name = "max_allowed_packet";
        let packet = value(session, name)?;
        if packet.parse().is_ok_and(|bytes: u64| bytes < PACKET_BYTES) {
            let otherwise = "rows of more than half of that may not come back";
            settings.set(session, name, packet, &PACKET_BYTES.to_string(), otherwise)?;
        }
        if !has_log {
            return Ok(settings);
        }
        let name = "event_scheduler";
        let scheduler = value(session, name)?;
        if scheduler == "ON" {
            let otherwise = "events of the databases that are restored may run, and change what the log is replayed into";
            settings.set(session, name, scheduler, "OFF", otherwise)?;
        }
        Ok(settings)
    }

    fn set(
        &mut self,
        session: &mut Session,
        name: &'static str,
        before: String,
        value: &str,
        otherwise: &str,
    ) -> Result<()> {
        let statement = set(name, value);
        match session.query(&statement) {
            Ok(_) => self.before.push((name, before)),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => log::warn(format!(
                "{name} of the server stays {before}, so that {otherwise}: {error}. For the time of a restore, have it set: {statement}"
            )),
        }
        Ok(())
    }
}

impl Drop for Settings<'_> {
    fn drop(&mut self) {
        if self.before.is_empty() {
            return;
        }
        // The session of the restore may be what has failed.
        let mut session = connect(self.config);
        for (name, before) in &self.before {
            let statement = set(name, before);
            let result = match &mut session {
                Ok(session) => session.query(&statement).map(drop),
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = result {
                log::warn(format!(
                    "{name} of the server could not be put back: {error}. Have it set: {statement}"
                ));
            }
        }
    }
}

fn value(session: &mut Session, name: &str) -> Result<String> {
    let row = session.query_row(&format!("SELECT @@global.{name} AS value"))?;
    let value = row.as_ref().and_then(|row| row.get("value"));
    Ok(value.unwrap_or_default().to_owned())
}

fn set(name: &str, value: &str) -> String {
    format!("SET GLOBAL {name} = {value}")
}
