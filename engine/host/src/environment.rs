//! Which variables a guest may set for a program. In go names and values, out comes an error for one that is not passed on.
//!
//! A variable can make another program of the one that the operator allowed: name a library to load, a module, a file of settings that name one, a
//! folder to find programs in. Nobody can list all of those, so the harmless ones are listed.

use strongroom_repository::{Error, ErrorKind};

use crate::convert::tidy;

/// Values, and files that are only read. Not here: what leads to files of settings (`PGSERVICEFILE`, `PGSYSCONFDIR`, `HOME`), `PGSSLKEY`, which may name
/// an engine of OpenSSL, and `PGLOCALEDIR`, whose texts are formats.
const PASSED: &[&str] = &[
    "LANG",
    "MYSQL_HOST",
    "MYSQL_PWD",
    "MYSQL_TCP_PORT",
    "MYSQL_UNIX_PORT",
    "PATH",
    "PGAPPNAME",
    "PGCHANNELBINDING",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATA",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGLOADBALANCEHOSTS",
    "PGMAXPROTOCOLVERSION",
    "PGMINPROTOCOLVERSION",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGSSLCERT",
    "PGSSLCERTMODE",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGSSLSNI",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
    "TZ",
];

/// What begins so names a locale.
const LOCALE: &str = "LC_";

/// No program knows what begins so: it is for a script that the operator allows in a program's place.
const FOR_SCRIPTS: &str = "PLUGIN_";

/// Where the system has its programs, which `PATH` may name.
const FOLDERS: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Refuses what the system would refuse, and what could make a program run code that nobody allowed.
pub(crate) fn check(environment: &[(String, String)]) -> Result<(), Error> {
    for (name, value) in environment {
        let shown = tidy(name);
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("'{shown}' is no variable of an environment"),
            ));
        }
        let refused = match (is_known(name), is_harmless(name, value)) {
            (true, true) => continue,
            (true, false) => format!("this value of the variable {shown} is not passed on"),
            (false, _) => format!("the variable {shown} is not passed on"),
        };
        return Err(Error::new(ErrorKind::Denied, refused)
            .hint("allow a script that sets it in the program's place"));
    }
    Ok(())
}

fn is_known(name: &str) -> bool {
    PASSED.contains(&name) || name.starts_with(LOCALE) || name.starts_with(FOR_SCRIPTS)
}

fn is_harmless(name: &str, value: &str) -> bool {
    match name {
        "PATH" => value.split(':').all(|folder| FOLDERS.contains(&folder)),
        // With a slash a locale is a folder from anywhere.
        _ if name == "LANG" || name.starts_with(LOCALE) => !value.contains('/'),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_variable(name: &str, value: &str, expected: Option<&str>) {
        let checked = check(&[(name.to_owned(), value.to_owned())]);
        let message = checked.err().map(|error| error.to_string());
        assert_eq!(message.as_deref(), expected, "for {name}={value}");
    }

    #[test]
    fn what_could_load_code_is_not_passed_on() {
        for name in [
            "LD_PRELOAD",
            "OPENSSL_CONF",
            "OPENSSL_MODULES",
            "SSLKEYLOGFILE",
            "GCONV_PATH",
            "LOCPATH",
            "LIBMYSQL_PLUGINS",
            "LIBMYSQL_PLUGIN_DIR",
            "MARIADB_PLUGIN_DIR",
            "PERL5OPT",
            "PYTHONPATH",
            "RUBYOPT",
            "BASH_ENV",
            "ENV",
            "GLIBC_TUNABLES",
            "PGSERVICEFILE",
            "PGSYSCONFDIR",
            "PGSSLKEY",
            "PGLOCALEDIR",
            "PSQLRC",
            "HOME",
            "TMPDIR",
            "pguser",
        ] {
            let expected = format!("the variable {name} is not passed on");
            check_variable(name, "x", Some(&expected));
        }
    }

    #[test]
    fn a_path_or_a_locale_from_elsewhere_is_not_passed_on() {
        let check_value = |name: &str, value: &str| {
            let expected = format!("this value of the variable {name} is not passed on");
            check_variable(name, value, Some(&expected));
        };
        for path in [
            "/tmp",
            "/usr/bin:/tmp",
            "/usr/bin:",
            "bin",
            "/usr/bin/../../tmp",
        ] {
            check_value("PATH", path);
        }
        check_value("LC_ALL", "/tmp/locale");
        check_value("LANG", "../locale");
    }

    #[test]
    fn what_programs_of_databases_are_told_is_passed_on() {
        for (name, value) in [
            ("PGPASSWORD", "hunter 2"),
            ("PGSSLROOTCERT", "/etc/ssl/certs/ca-certificates.crt"),
            ("MYSQL_PWD", ""),
            ("LC_ALL", "C.UTF-8"),
            ("LANG", "de_DE.UTF-8@euro"),
            ("TZ", "Europe/Berlin"),
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("PLUGIN_TOKEN", "/x"),
        ] {
            check_variable(name, value, None);
        }
    }
}
