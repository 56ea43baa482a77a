//! What the sessions that load a dump and replay a log need otherwise than a server may have it: a session comes in, a statement that sets all of it
//! goes out.

use strongroom_plugin::{ErrorKind, Result};

use crate::client::Session;

/// How the client, which learns it from the server, reads the first texts: before the dump sets what it was written under, and after.
const SQL_MODE: &str = "sql_mode = 'NO_AUTO_VALUE_ON_ZERO'";

/// Names and values, and why. No server knows all of them.
const SETTINGS: [(&str, &str); 19] = [
    // What was made under looser rules is made again.
    ("innodb_strict_mode", "OFF"),
    ("check_constraint_checks", "OFF"),
    ("sql_require_primary_key", "OFF"),
    // A table comes back with the columns, the engine and the letters that it had, and a dump says all that differs from these.
    ("sql_generate_invisible_primary_key", "OFF"),
    ("explicit_defaults_for_timestamp", "ON"),
    ("enforce_storage_engine", "NULL"),
    ("innodb_compression_default", "OFF"),
    ("character_set_collations", "''"),
    // Statements take as long as they take, and wait for destinations.
    ("max_statement_time", "0"),
    ("idle_transaction_timeout", "0"),
    ("idle_write_transaction_timeout", "0"),
    ("wait_timeout", "31536000"),
    ("interactive_timeout", "31536000"),
    ("net_read_timeout", "3600"),
    // What the log says is done is done at once.
    ("autocommit", "ON"),
    ("completion_type", "NO_CHAIN"),
    ("transaction_read_only", "OFF"),
    ("tx_read_only", "OFF"),
    ("sql_safe_updates", "OFF"),
];

/// A statement that sets what this server knows of them and this user may set. `engine` is that of tables which name none.
pub(crate) fn settings(session: &mut Session, engine: Option<&str>) -> Result<String> {
    let engine = engine.filter(|engine| engine.chars().all(|it| it.is_ascii_alphanumeric()));
    let engine = engine.map(|engine| ("default_storage_engine", engine));
    let mut known = vec![SQL_MODE.to_owned()];
    for (name, value) in SETTINGS.into_iter().chain(engine) {
        let setting = format!("{name} = {value}");
        match session.query(&format!("SET SESSION {setting}")) {
            Ok(_) => known.push(setting),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(_) => {}
        }
    }
    Ok(format!("SET SESSION {}", known.join(", ")))
}
