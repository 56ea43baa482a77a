//! A server that a `config` names by host and port: its address, what reaching it requires, and how secret the connection is.

use std::fmt;
use std::fs;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Capability, Context, HostPath, Result, tls};

/// Where a server listens. It is shown as `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server<'a> {
    host: &'a str,
    port: u16,
}

impl<'a> Server<'a> {
    /// `host` is a name or an address, an IPv6 address with or without brackets.
    pub fn new(host: &'a str, port: u16) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Self {
            host: bare.unwrap_or(host),
            port,
        }
    }

    /// The name or the address, without brackets.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is sent to it stays on the machine.
    pub fn is_local(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// What connecting to it requires.
    pub fn capability(&self) -> Capability {
        Capability::Connect(self.to_string())
    }
}

impl fmt::Display for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How secret a connection is, in libpq's words (`sslmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// In the clear.
    Disable,
    /// Encrypted, to whoever answers.
    Require,
    /// Encrypted, to a server whose certificate comes from a trusted authority.
    VerifyCa,
    /// Encrypted, to a server whose certificate comes from a trusted authority and is made out to its very name.
    VerifyFull,
}

impl TlsMode {
    /// What is in force where the operator said nothing: a password should not travel in clear, and a server on the same machine rarely has a
    /// certificate that anybody vouches for.
    pub fn default_for(server: &Server<'_>) -> Self {
        match server.is_local() {
            true => Self::Disable,
            false => Self::VerifyFull,
        }
    }

    /// Whether the server's certificate is looked at.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }

    /// For [`tls::connect`]; none where the connection is in the clear. `authority` is a file of PEM certificates to trust in place of the
    /// system's.
    pub fn options(
        self,
        server: &Server<'_>,
        authority: Option<&HostPath>,
    ) -> Result<Option<tls::Options>> {
        let verify = match self {
            Self::Disable => return Ok(None),
            Self::Require => tls::Verify::None,
            Self::VerifyCa => tls::Verify::AuthorityOnly,
            Self::VerifyFull => tls::Verify::Full,
        };
        let authorities = authority.map(|file| fs::read_to_string(file).on(file));
        Ok(Some(tls::Options {
            server_name: server.host.to_owned(),
            verify,
            authorities: authorities.transpose()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_shown_in_brackets() {
        let check = |host, expected: &str| {
            assert_eq!(Server::new(host, 5432).to_string(), expected);
        };
        check("db.internal", "db.internal:5432");
        check("192.0.2.1", "192.0.2.1:5432");
        check("::1", "[::1]:5432");
        check("[::1]", "[::1]:5432");
    }

    #[test]
    fn a_connection_that_leaves_the_machine_is_secret() {
        let check = |host, expected| {
            let server = Server::new(host, 5432);
            assert_eq!(TlsMode::default_for(&server), expected, "{host}");
        };
        check("db.internal", TlsMode::VerifyFull);
        check("192.0.2.1", TlsMode::VerifyFull);
        // A name, whatever it looks like.
        check("127.example.com", TlsMode::VerifyFull);
        check("localhost", TlsMode::Disable);
        check("127.0.0.2", TlsMode::Disable);
        check("::1", TlsMode::Disable);
        check("[::1]", TlsMode::Disable);
    }
}
