//! Why a handshake failed, in words: in goes rustls's error, out comes what a person can do about it.

use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use strongroom_repository::{Error, ErrorKind};

use crate::certificates::is_authority_itself;
use crate::convert::tidy;

/// What a person can do about a handshake that failed.
pub(crate) fn explain(error: &rustls::Error, server: &str) -> Error {
    let refused = |what: String, hint: &str| {
        Error::new(
            ErrorKind::Unauthenticated,
            format!("the certificate of {server} {what}"),
        )
        .hint(hint)
    };
    let authority_hint =
        "give the certificate of the server's authority in the plugin's configuration";
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired => refused("has expired".into(), "renew it on the server"),
            CertificateError::ExpiredContext { time, not_after } => refused(
                format!("expired {} ago", age(*time, *not_after)),
                "renew it on the server, and look at this machine's clock",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => refused(
                "is not valid yet".into(),
                "look at the clocks of the server and of this machine",
            ),
            // Another authority may have the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => refused(
                "comes from an authority that is not trusted".into(),
                authority_hint,
            ),
            CertificateError::NotValidForName => refused(
                "is for another name".into(),
                "connect by a name that it is for",
            ),
            CertificateError::NotValidForNameContext { presented, .. } => {
                other_name(server, presented)
            }
            _ if is_authority_itself(error) => refused(
                "is that of an authority itself, and not trusted".into(),
                authority_hint,
            ),
            other => refused(format!("is refused: {other}"), authority_hint),
        },
        rustls::Error::InvalidMessage(_) => Error::new(
            ErrorKind::Failed,
            format!("{server} does not answer in TLS"),
        )
        .hint("turn TLS off, or connect to a port where the server speaks it"),
        rustls::Error::AlertReceived(alert) => Error::new(
            ErrorKind::Failed,
            format!("{server} refused the TLS handshake: {alert:?}"),
        )
        .hint("its log says why; it may want a client's certificate, or a version before TLS 1.2"),
        other => Error::new(
            ErrorKind::Failed,
            format!(
                "the TLS handshake with {server} failed: {}",
                tidy(&other.to_string())
            ),
        ),
    }
}

fn other_name(server: &str, presented: &[String]) -> Error {
    let (whose, hint) = match presented {
        [] => (
            "is for no name at all: a common name alone does not count".to_owned(),
            "make one with a subject alternative name, or check the authority only",
        ),
        names => (
            format!(
                "is for {}",
                tidy(
                    &names
                        .iter()
                        .map(|name| bare(name))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            ),
            "connect by a name that it is for, or check the authority only",
        ),
    };
    Error::new(
        ErrorKind::Unauthenticated,
        format!("the certificate of {server} {whose}"),
    )
    .hint(hint)
}

/// `DnsName("db.internal")` is `db.internal`, and `IpAddress(10.0.0.7)` is `10.0.0.7`.
fn bare(name: &str) -> &str {
    let address = || name.strip_prefix("IpAddress(")?.strip_suffix(')');
    let quoted = name.split('"').nth(1);
    quoted.or_else(address).unwrap_or(name)
}

/// How long ago, in the largest unit that gives a whole number.
fn age(now: UnixTime, then: UnixTime) -> String {
    let seconds = now.as_secs().saturating_sub(then.as_secs());
    let (count, unit) = match seconds {
        0..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_a_unit_that_fits() {
        let check = |seconds: u64, expected| {
            let at =
                |seconds: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            assert_eq!(
                age(at(1_000_000_000 + seconds), at(1_000_000_000)),
                expected
            );
        };
        check(30, "0 minutes");
        check(90, "1 minute");
        check(7200, "2 hours");
        check(86_400, "1 day");
        check(900_000, "10 days");
    }
}
