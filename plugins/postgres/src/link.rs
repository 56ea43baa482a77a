//! From the configuration to a connection that is logged in, encrypted as the operator wants it.

use strongroom_plugin::net::{self, Connection};
use strongroom_plugin::{Context, Error, ErrorKind, Result};

use crate::config::Config;
use crate::wire::{self, Login};

/// A connection to the server.
pub(crate) type Client = wire::Client<Connection>;

/// A connection waits for a long dump, and a count takes as long as it takes. Which of these settings there are depends on the version.
const NO_TIMEOUTS: &str = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', \
    'idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')";

/// For SQL in one database.
pub(crate) fn connect(config: &Config, database: &str) -> Result<Client> {
    log_in(config, database, false)
}

/// For BASE_BACKUP and START_REPLICATION.
pub(crate) fn connect_for_replication(config: &Config) -> Result<Client> {
    log_in(config, "", true).map_err(|error| match error.kind() {
        ErrorKind::Denied | ErrorKind::Unauthenticated => error.hint(format!(
            "the role needs REPLICATION (ALTER ROLE {:?} REPLICATION), and pg_hba.conf a line for the database \"replication\"",
            config.user
        )),
        _ => error,
    })
}

fn log_in(config: &Config, database: &str, replication: bool) -> Result<Client> {
    let server = config.address();
    let mut stream = net::connect(server.host(), server.port())?;
    let tls = config
        .tls()
        .options(&server, config.tls_authority.as_ref())?;
    if let Some(options) = &tls {
        if !wire::wants_tls(&mut stream).on(server)? {
            let problem = format!("{server}: the server does not speak TLS");
            return Err(Error::new(ErrorKind::Denied, problem).hint(
                "turn on ssl in postgresql.conf, or set tls = \"disable\" where nobody can listen",
            ));
        }
        stream = stream.upgrade(options).on(server)?;
    }
    let login = Login {
        user: &config.user,
        password: config.password.as_ref().map(|secret| secret.expose()),
        database,
        replication,
        is_private: tls.is_some(),
    };
    let mut client = Client::log_in(stream, &login).on(server)?;
    if !replication {
        client.query(NO_TIMEOUTS)?;
    }
    Ok(client)
}
