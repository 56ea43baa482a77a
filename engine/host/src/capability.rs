//! What a plugin needs to touch: a capability, what makes sense as one, and when the operator's table covers it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use strongroom_repository::{Error, ErrorKind, Result};

use crate::allow::Allow;
use crate::bindings::imports::types;

/// One thing that a plugin needs for a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Read files under this host directory.
    Read(String),
    /// Read, create, change and delete files under this host directory.
    Write(String),
    /// Open TCP connections to this `host:port`.
    Connect(String),
    /// Send HTTP requests to this `scheme://authority`.
    Http(String),
    /// Run this program, by bare name.
    Command(String),
}

impl Capability {
    /// Refuses what is no directory, address or program name.
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Self::Read(path) | Self::Write(path) => normalise(path).map(drop),
            Self::Connect(address) => connect_address(address).map(drop),
            Self::Http(origin) => http_origin(origin).map(drop),
            Self::Command(name) => program_name(name).map(drop),
        }
    }

    /// The program, where it is one.
    pub(crate) fn program(&self) -> Option<&str> {
        match self {
            Self::Command(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the operator's table covers this.
    pub(crate) fn is_allowed_by(&self, allow: &Allow) -> Result<bool> {
        Ok(match self {
            Self::Read(path) => covers(&allow.read, path)? || covers(&allow.write, path)?,
            Self::Write(path) => covers(&allow.write, path)?,
            Self::Connect(address) => any_equal(&allow.connect, address, connect_address)?,
            Self::Http(origin) => any_equal(&allow.http, origin, http_origin)?,
            Self::Command(name) => {
                let name = program_name(name)?;
                for entry in &allow.command {
                    program_entry(entry)?;
                }
                allow.command.iter().any(|entry| program_of(entry) == name)
            }
        })
    }
}

impl From<types::Capability> for Capability {
    fn from(capability: types::Capability) -> Self {
        match capability {
            types::Capability::Read(path) => Self::Read(path),
            types::Capability::Write(path) => Self::Write(path),
            types::Capability::Connect(address) => Self::Connect(address),
            types::Capability::Http(origin) => Self::Http(origin),
            types::Capability::Command(name) => Self::Command(name),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path) => write!(f, "read {path}"),
            Self::Write(path) => write!(f, "write to {path}"),
            Self::Connect(address) => write!(f, "connect to {address}"),
            Self::Http(origin) => write!(f, "send requests to {origin}"),
            Self::Command(name) => write!(f, "run {name}"),
        }
    }
}

/// An absolute path without `.`, doubled and trailing slashes. `..` is refused: what it means depends on symbolic links.
pub(crate) fn normalise(path: &str) -> Result<PathBuf> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidConfig, format!("'{path}' {what}"));
    let mut normal = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::Normal(_) => normal.push(component),
            Component::CurDir => {}
            Component::ParentDir => return Err(wrong("contains '..'")),
            Component::Prefix(_) => return Err(wrong("is no absolute path")),
        }
    }
    if !normal.is_absolute() {
        return Err(wrong("is no absolute path"));
    }
    Ok(normal)
}

fn covers(allowed: &[String], path: &str) -> Result<bool> {
    let path = normalise(path)?;
    for entry in allowed {
        if path.starts_with(normalise(entry)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn any_equal(
    allowed: &[String],
    wanted: &str,
    parse: impl Fn(&str) -> Result<String>,
) -> Result<bool> {
    let wanted = parse(wanted)?;
    for entry in allowed {
        if parse(entry)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `host:port` in lower case. An IPv6 address stands in brackets.
fn connect_address(address: &str) -> Result<String> {
    match host_and_port(address) {
        Some(_) => Ok(address.to_ascii_lowercase()),
        None => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("'{address}' is no 'host:port'"),
        )),
    }
}

/// The parts of `host:port`, brackets included.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host(host).then_some((host, port))
}

/// `scheme://host:port` in lower case, with the scheme's own port filled in.
fn http_origin(origin: &str) -> Result<String> {
    let wrong = || {
        Error::new(
            ErrorKind::InvalidConfig,
            format!("'{origin}' is no 'https://host' or 'http://host'"),
        )
    };
    let lower = origin.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(wrong)?;
    let default_port = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return Err(wrong()),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if is_host(authority) {
        return Ok(format!("{scheme}://{authority}:{default_port}"));
    }
    connect_address(authority)
        .map(|authority| format!("{scheme}://{authority}"))
        .map_err(|_| wrong())
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// The name by which a plugin asks for an entry of `allow.command`.
pub(crate) fn program_of(entry: &str) -> &str {
    entry.rsplit('/').next().unwrap_or(entry)
}

/// A bare name or an absolute path: what a relative one means would depend on where the engine was started.
fn program_entry(entry: &str) -> Result<()> {
    if entry.starts_with('/') {
        return normalise(entry).map(drop);
    }
    program_name(entry).map(drop).map_err(|_| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!("'{entry}' is neither a program's bare name nor its absolute path"),
        )
    })
}

fn program_name(name: &str) -> Result<&str> {
    if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("'{name}' is no bare program name"),
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_normal(path: &str, expected: Option<&str>) {
        assert_eq!(
            normalise(path).ok(),
            expected.map(PathBuf::from),
            "for {path}"
        );
    }

    #[test]
    fn a_path_is_normalised_without_asking_the_file_system() {
        check_normal("/srv/media", Some("/srv/media"));
        check_normal("//srv/./media//", Some("/srv/media"));
        check_normal("/", Some("/"));
        check_normal("/srv/../etc", None);
        check_normal("srv/media", None);
        check_normal("", None);
    }

    fn check_allowed(capability: Capability, allow: &Allow, expected: Option<bool>) {
        assert_eq!(
            capability.is_allowed_by(allow).ok(),
            expected,
            "for {capability}"
        );
    }

    #[test]
    fn an_allowed_directory_covers_what_is_below_it_and_nothing_beside_it() {
        let allow = Allow {
            read: vec!["/srv".into()],
            write: vec!["/mnt/nas/".into()],
            ..Allow::default()
        };
        check_allowed(Capability::Read("/srv".into()), &allow, Some(true));
        check_allowed(Capability::Read("/srv/media/".into()), &allow, Some(true));
        check_allowed(Capability::Read("/srvother".into()), &allow, Some(false));
        check_allowed(Capability::Read("/".into()), &allow, Some(false));
        check_allowed(Capability::Read("/srv/../etc".into()), &allow, None);
        check_allowed(Capability::Write("/srv".into()), &allow, Some(false));
        check_allowed(Capability::Write("/mnt/nas/a".into()), &allow, Some(true));
        check_allowed(Capability::Read("/mnt/nas/a".into()), &allow, Some(true));
    }

    #[test]
    fn addresses_origins_and_programs_are_compared_by_what_they_mean() {
        let allow = Allow {
            connect: vec!["DB.internal:5432".into(), "[::1]:3306".into()],
            http: vec!["https://s3.example.net".into()],
            command: vec!["/opt/pg/bin/pg_dump".into(), "psql".into()],
            ..Allow::default()
        };
        check_allowed(
            Capability::Connect("db.internal:5432".into()),
            &allow,
            Some(true),
        );
        check_allowed(
            Capability::Connect("db.internal:5433".into()),
            &allow,
            Some(false),
        );
        check_allowed(Capability::Connect("[::1]:3306".into()), &allow, Some(true));
        check_allowed(Capability::Connect("db.internal".into()), &allow, None);
        check_allowed(Capability::Connect("db.internal:0".into()), &allow, None);
        check_allowed(
            Capability::Http("https://S3.example.net:443/".into()),
            &allow,
            Some(true),
        );
        check_allowed(
            Capability::Http("http://s3.example.net".into()),
            &allow,
            Some(false),
        );
        check_allowed(
            Capability::Http("ftp://s3.example.net".into()),
            &allow,
            None,
        );
        check_allowed(
            Capability::Http("https://u:p@s3.example.net".into()),
            &allow,
            None,
        );
        check_allowed(Capability::Command("pg_dump".into()), &allow, Some(true));
        check_allowed(Capability::Command("psql".into()), &allow, Some(true));
        check_allowed(Capability::Command("sh".into()), &allow, Some(false));
        check_allowed(Capability::Command("/bin/sh".into()), &allow, None);
        let relative = Allow {
            command: vec!["bin/psql".into()],
            ..Allow::default()
        };
        check_allowed(Capability::Command("psql".into()), &relative, None);
    }
}
