//! Whose fault it is. In goes what a server or program said at its end; an error comes out where this machine is to blame, and not the backup.

use strongroom_plugin::{Error, ErrorKind, Result};

/// What is said where there is no room, no memory, no port or no library, or where somebody ended the program.
const MACHINE: &[&str] = &[
    "No space left on device",
    "Disk quota exceeded",
    "could not bind",
    "could not create any TCP/IP sockets",
    "could not create shared memory segment",
    "could not map anonymous shared memory",
    "could not load library",
    "incompatible with operating system",
    "out of memory",
    "out of shared memory",
    "resource manager with ID",
    "was ended by signal 9",
    "was ended by signal 15",
];

/// Fails with `error` where the machine is to blame for it.
pub(super) fn check_machine(error: &Error) -> Result<()> {
    let said = |words: &&str| error.message().contains(*words);
    if !MACHINE.iter().any(said) {
        return Ok(());
    }
    let has_no_room = MACHINE.iter().take(2).any(said);
    Err(match has_no_room {
        true => Error::new(ErrorKind::OutOfSpace, error.message())
            .hint("the scratch directory needs as much room as what is restored"),
        false => error.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_not_blamed_for_a_full_disk_or_a_killed_program() {
        let check = |message: &str, expected: Option<ErrorKind>| {
            let error = Error::new(ErrorKind::Failed, message);
            let blamed = check_machine(&error).err().map(|it| it.kind());
            assert_eq!(blamed, expected, "{message}");
        };
        check(
            "pg_restore exited with code 1: could not extend file \"base/1\": No space left on device",
            Some(ErrorKind::OutOfSpace),
        );
        check("postgres was ended by signal 9: ", Some(ErrorKind::Failed));
        check(
            "pg_restore exited with code 1: error: could not execute query",
            None,
        );
    }
}
