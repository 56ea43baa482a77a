//! Loading a dump: its text comes in, and goes to the client, past a reader that knows what no dump program writes.

use std::io::{self, Read, Write};

use strongroom_plugin::command::Process;
use strongroom_plugin::{Error, ErrorKind, Result};

use crate::config::Kind;
use crate::guard::Guard;
use crate::name::shown;
use crate::rename;

/// Has the client load the dump of `old` into `new`.
pub(crate) fn load(
    mut client: Process,
    mut dump: impl Read,
    kind: Kind,
    old: &str,
    new: &str,
) -> Result<()> {
    if old.contains(char::is_control) {
        let problem = format!(
            "the database's name has a control character: {}",
            shown(old)
        );
        return Err(Error::new(ErrorKind::Denied, problem)
            .hint("its dump may have lines that were made to be run by others: restore it into a directory, and read it"));
    }
    let Some(stdin) = client.stdin() else {
        return client.success();
    };
    let mut guarded = Guarded {
        guard: Guard::new(kind),
        to: stdin,
    };
    let moved = match old == new {
        true => io::copy(&mut dump, &mut guarded)
            .map(drop)
            .map_err(Error::from),
        false => rename::copy(&mut dump, &mut guarded, old, new),
    };
    let Guarded { guard, to } = guarded;
    match moved.and_then(|()| guard.finish()) {
        Ok(()) => {
            drop(to);
            client.success()
        }
        // The client must not take the end of its input for the end of a statement.
        Err(error) if error.kind() == ErrorKind::Denied => {
            drop(client);
            Err(error)
        }
        Err(error) => {
            drop(to);
            Err(client.explain(error))
        }
    }
}

/// Hands on what the guard lets pass.
struct Guarded<W> {
    guard: Guard,
    to: W,
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.guard.read(bytes)?;
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
