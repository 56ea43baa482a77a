//! From the configuration to a connection that is logged in, encrypted as the operator wants it.

use strongroom_plugin::net::{self, Connection};
use strongroom_plugin::{Context, Error, ErrorKind, Result};

use crate::config::Config;
use crate::wire::{self, Login, Session};

/// A connection to the server.
pub(crate) type Client = wire::Client<Connection>;

/// A backup waits for its destination, and that may take longer than a standby's.
const REPLICATION: &str = "-c wal_sender_timeout=0";

/// For SQL in one database.
pub(crate) fn connect(config: &Config, database: &str) -> Result<Client> {
    connect_in(config, database, Session::Pinned)
}

/// For SQL in one database, with names as `session` has them.
pub(crate) fn connect_in(config: &Config, database: &str, session: Session) -> Result<Client> {
    let mut client = log_in(config, database, &session.options(), false)?;
    client.query(&session.statements())?;
    Ok(client)
}

/// For BASE_BACKUP and START_REPLICATION.
pub(crate) fn connect_for_replication(config: &Config) -> Result<Client> {
    log_in(config, "", REPLICATION, true).map_err(|error| match error.kind() {
        ErrorKind::Denied | ErrorKind::Unauthenticated => error.hint(format!(
            "the role needs REPLICATION (ALTER ROLE {:?} REPLICATION), and pg_hba.conf a line for the database \"replication\"",
            config.user
        )),
        _ => error,
    })
}

fn log_in(config: &Config, database: &str, options: &str, replication: bool) -> Result<Client> {
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
        options,
        replication,
        is_private: tls.is_some(),
    };
    Client::log_in(stream, &login)
        .map_err(|failure| {
            let is_pooler = failure.speaks_of("startup parameter");
            match Error::from(failure) {
                error if is_pooler => {
                    error.hint("a connection pooler answers there: connect to the server itself")
                }
                error => error,
            }
        })
        .on(server)
}
