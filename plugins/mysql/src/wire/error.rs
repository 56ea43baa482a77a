//! Errors of the server: an error packet comes in, our error with code, SQLSTATE and the server's own words goes out.

use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::ErrPacket;
use strongroom_plugin::{Error, ErrorKind};

use super::packets::protocol;

/// The first byte of an error packet.
pub(super) const ERROR: u8 = 0xff;

/// Reads an error packet.
pub(crate) fn server_error(payload: &[u8]) -> Error {
    // Before the login is begun it has no state.
    let flags = [
        CapabilityFlags::CLIENT_PROTOCOL_41,
        CapabilityFlags::empty(),
    ];
    let read = flags
        .into_iter()
        .find_map(|flags| ParseBuf(payload).parse::<ErrPacket<'_>>(flags).ok());
    let Some(ErrPacket::Error(error)) = read else {
        return protocol("the server reported an error that cannot be read");
    };
    let code = error.error_code();
    let state = error
        .sql_state_ref()
        .map(|state| format!(", SQLSTATE {}", state.as_str()));
    let message = format!(
        "the server says: {} (error {code}{})",
        error.message_str(),
        state.unwrap_or_default()
    );
    let error = Error::new(kind_of(code), message);
    match hint_for(code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The codes that tell what to do next; their names are those of the server's own list.
fn kind_of(code: u16) -> ErrorKind {
    match code {
        // ER_CON_COUNT_ERROR, ER_USER_LIMIT_REACHED, ER_TOO_MANY_USER_CONNECTIONS
        1040 | 1226 | 1203 => ErrorKind::Throttled,
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ER_HOST_NOT_PRIVILEGED, ER_MUST_CHANGE_PASSWORD_LOGIN,
        // ER_ACCOUNT_HAS_BEEN_LOCKED
        1045 | 1698 | 1130 | 1862 | 3118 | 4151 => ErrorKind::Unauthenticated,
        // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR,
        // ER_PROCACCESS_DENIED_ERROR
        1044 | 1142 | 1143 | 1227 | 1370 => ErrorKind::Denied,
        // ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE, ER_PASSWORD_NO_MATCH, ER_NONEXISTING_GRANT
        1049 | 1146 | 1133 | 1141 => ErrorKind::NotFound,
        // ER_DB_CREATE_EXISTS
        1007 => ErrorKind::AlreadyExists,
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_LOCK_WAIT_TIMEOUT
        1053 | 1077 | 1205 => ErrorKind::Unavailable,
        // ER_DISK_FULL, ER_RECORD_FILE_FULL
        1021 | 1114 => ErrorKind::OutOfSpace,
        _ => ErrorKind::Failed,
    }
}

fn hint_for(code: u16) -> Option<&'static str> {
    match kind_of(code) {
        ErrorKind::Unauthenticated => {
            Some("check `user` and `password`, and from which hosts the server lets this user in")
        }
        ErrorKind::Denied => {
            Some("grant the user what the plugin's page lists under \"privileges\"")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_code_state_and_the_servers_words() {
        let mut packet = vec![ERROR, 0x15, 0x04];
        packet.extend_from_slice(b"#28000Access denied for user 'b'@'h'");
        let error = server_error(&packet);
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(
            error.message(),
            "the server says: Access denied for user 'b'@'h' (error 1045, SQLSTATE 28000)"
        );
    }

    #[test]
    fn an_error_before_the_login_has_no_state() {
        let mut packet = vec![ERROR, 0x10, 0x04];
        packet.extend_from_slice(b"Too many connections");
        let error = server_error(&packet);
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(error.message().contains("Too many connections"), "{error}");
    }

    #[test]
    fn a_packet_that_is_cut_off_is_an_error_all_the_same() {
        for packet in [&[ERROR][..], &[ERROR, 1], &[0, 0, 0]] {
            assert_eq!(server_error(packet).kind(), ErrorKind::Failed, "{packet:?}");
        }
    }
}
