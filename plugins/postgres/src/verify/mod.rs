//! Proving a backup: a scratch server is started on what the backup holds, and looked at.

mod amcheck;
mod assertions;
mod counts;
mod logical;
mod machine;
mod needs;
mod physical;
mod server;

use strongroom_plugin::{Attributes, Error, ErrorKind, Feed, Result, Verification, VerifyRequest};

pub(crate) use needs::needs;

/// Verifies what the feed holds, whatever the source is configured to make now.
pub(crate) fn verify(request: &VerifyRequest, feed: &Feed) -> Result<Verification> {
    match method(&feed.attributes())? {
        Method::Logical => logical::verify(request, feed),
        Method::Physical => physical::verify(request, feed),
    }
}

enum Method {
    Logical,
    Physical,
}

fn method(attributes: &Attributes) -> Result<Method> {
    match attribute(attributes, "method") {
        Some("logical") => Ok(Method::Logical),
        Some("physical") => Ok(Method::Physical),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            "this is no backup of PostgreSQL",
        )),
    }
}

fn attribute<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}
