//! Whose fault it is. In goes what a server or program said at its end; out comes an error where this machine is to blame, and not the backup, or what
//! one database needs and this machine lacks.

use strongroom_plugin::{Error, ErrorKind, Result};

/// What is said where there is no room, no memory or no port, or where somebody ended the program.
const MACHINE: &[&str] = &[
    "No space left on device",
    "Disk quota exceeded",
    "could not bind",
    "could not create any TCP/IP sockets",
    "could not create shared memory segment",
    "could not map anonymous shared memory",
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

const EXTENSION: &str =
    "install the extension on this machine, for the version of the scratch server";
const LIBRARY: &str =
    "install what has that library on this machine, for the version of the scratch server";
const PRELOADED: &str = "a scratch server loads no shared_preload_libraries";
const LOCALE: &str = "generate the locale on this machine";
const ICU: &str = "install a PostgreSQL with ICU that knows the locale";
const DICTIONARY: &str = "copy the file to the scratch server's version of tsearch_data";
const VERSION: &str = "install the version of PostgreSQL that the backup is of";

/// How a complaint begins, what it also says, and what helps. Only the begin is the server's word for certain: what follows may be a name that anybody
/// has chosen.
const LACKS: &[(&str, &str, &str)] = &[
    ("could not open extension control file", "", EXTENSION),
    ("extension \"", "\" is not available", EXTENSION),
    ("extension \"", "has no installation script", EXTENSION),
    ("extension \"", "\" must be preloaded", PRELOADED),
    ("could not access file \"", "", LIBRARY),
    ("could not load library \"", "", LIBRARY),
    ("could not find function \"", "\" in file \"", LIBRARY),
    ("", " must be loaded via ", PRELOADED),
    ("", " can only be loaded via ", PRELOADED),
    ("security label provider \"", "\" is not loaded", PRELOADED),
    (
        "no security label providers have been loaded",
        "",
        PRELOADED,
    ),
    ("unrecognized configuration parameter \"", "", PRELOADED),
    ("invalid LC_", " locale name", LOCALE),
    ("invalid locale name", "", LOCALE),
    ("could not create locale \"", "", LOCALE),
    ("collation \"pg_catalog.", " does not exist", LOCALE),
    ("database locale is incompatible", "", LOCALE),
    ("encoding \"", " does not match locale \"", LOCALE),
    ("locale \"", "\" is not supported", LOCALE),
    ("could not open collator for locale", "", ICU),
    ("could not convert locale name", "", ICU),
    ("ICU locale \"", "", ICU),
    ("ICU is not supported in this build", "", ICU),
    ("could not open dictionary file \"", "", DICTIONARY),
    ("could not open affix file \"", "", DICTIONARY),
    ("could not open stop-word file \"", "", DICTIONARY),
    ("could not open thesaurus file \"", "", DICTIONARY),
    ("could not open synonym file \"", "", DICTIONARY),
    (
        "time zone \"",
        "\" not recognized",
        "install the time zone data of the other machine",
    ),
    ("database files are incompatible with server", "", VERSION),
];

/// What would help, where a server or program complains of something that this machine lacks.
pub(super) fn lack(message: &str) -> Option<&'static str> {
    // Without what was tried, which is the backup's word.
    let message = message.split("Command was:").next().unwrap_or(message);
    let marks = ["ERROR:  ", "FATAL:  "].into_iter();
    let marked = marks.filter_map(|mark| message.split_once(mark).map(|(_, said)| said));
    let words: Vec<&str> = match marked.max_by_key(|said| said.len()) {
        // The server's word within a program's.
        Some(said) => vec![said],
        // It may come after an address, or after what was made.
        None => {
            let ends = message.match_indices(": ");
            let ends = ends.filter_map(|(at, mark)| message.get(at + mark.len()..));
            std::iter::once(message).chain(ends).collect()
        }
    };
    let complains = |of: &str, begin: &str, more: &str| of.starts_with(begin) && of.contains(more);
    let found = LACKS
        .iter()
        .find(|(begin, more, _)| words.iter().any(|it| complains(it, begin, more)));
    found.map(|(_, _, helps)| *helps)
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

    #[test]
    fn what_a_machine_lacks_is_told_from_what_a_backup_lacks() {
        let check = |message: &str, expected: Option<&str>| {
            assert_eq!(lack(message), expected, "{message}");
        };
        let restored = |said: &str| {
            format!(
                "pg_restore exited with code 1: pg_restore: error: could not execute query: {said}"
            )
        };
        check(
            &restored(
                "ERROR:  could not open extension control file \"/usr/x.control\": No such file or directory; Command was: CREATE EXTENSION x",
            ),
            Some(EXTENSION),
        );
        check(
            &restored("ERROR:  extension \"x\" is not available"),
            Some(EXTENSION),
        );
        check(
            &restored("ERROR:  invalid LC_COLLATE locale name: \"x\""),
            Some(LOCALE),
        );
        check(
            &restored("ERROR:  collation \"pg_catalog.x\" for encoding \"UTF8\" does not exist"),
            Some(LOCALE),
        );
        check(
            "127.0.0.1:6000: database locale is incompatible with operating system",
            Some(LOCALE),
        );
        check(
            "could not access file \"$libdir/x\": No such file (SQLSTATE 58P01)",
            Some(LIBRARY),
        );
        check(
            &restored("ERROR:  collation \"shop.x\" does not exist"),
            None,
        );
        check(
            "pg_restore: CREATE INDEX i ON public.t USING btree (public.f(a));: could not access file \"$libdir/x\": No such file",
            Some(LIBRARY),
        );
        check(
            &restored(
                "ERROR:  relation \"x\" does not exist; Command was: SELECT 'ERROR:  extension \"x\" is not available'",
            ),
            None,
        );
    }
}
