//! The client's side of the MySQL protocol, over any stream: packets, the login, and what is asked after it.

mod error;
mod login;
mod packets;
mod query;

pub(crate) use error::server_error;
pub(crate) use login::{Login, Transport, log_in};
pub(crate) use packets::{Packets, Payload, connection};
pub(crate) use query::{Row, Session};
