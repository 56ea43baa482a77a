//! The way to the server: a configuration comes in, a session that is ready for questions goes out.

use strongroom_plugin::net::{self, Connection};
use strongroom_plugin::{Context, Result, tls};

use crate::config::Config;
use crate::wire::{self, Login, Transport, log_in};

/// A session with the configured server.
pub(crate) type Session = wire::Session<Connection>;

/// What a session was given as the most rows that a question has as its answer, before we set it.
pub(crate) const ROWS_BEFORE: &str = "@strongroom_rows_before";

/// How every session is set up, before its first question: names and texts as we read and write them, times in UTC, statements as we write them, and no end of a session that waits
/// for long dumps, of all databases together: a year is what servers take at most. One that we read the log from waits for the destination.
const SET_UP: &str = "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', sql_quote_show_create = 1, \
                      @strongroom_rows_before = @@sql_select_limit, sql_select_limit = 18446744073709551615, \
                      wait_timeout = 31536000, net_read_timeout = 3600, net_write_timeout = 86400";

/// Connects and logs in.
pub(crate) fn connect(config: &Config) -> Result<Session> {
    let server = config.address();
    let stream = net::connect(server.host(), server.port())?;
    let login = Login {
        user: &config.user,
        password: config.password(),
        tls: config
            .tls()
            .options(&server, config.tls_authority.as_ref())?,
    };
    let mut session = log_in(stream, &login).on(server)?;
    session.query(SET_UP).on(server)?;
    Ok(session)
}

impl Transport for Connection {
    fn upgrade(self, options: &tls::Options) -> Result<Self> {
        self.upgrade(options)
    }
}
