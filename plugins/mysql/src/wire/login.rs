//! The login: a fresh stream and who we are come in, a session goes out, inside TLS where that is wanted.

use std::io::{BufRead, Write};

use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest,
};
use mysql_common::proto::MySerialize;
use strongroom_plugin::{Error, ErrorKind, Result, tls};

use super::error::{ERROR, server_error};
use super::packets::{Packets, protocol};
use super::query::Session;

const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const SWITCH: u8 = 0xfe;

/// What we say that we take at once. Only the server's statements are bound by it, not the events of its log.
const MAX_PACKET_BYTES: u32 = 1 << 24;

const HINT_TLS: &str = "check `user` and `password`, and from which hosts the server lets this user in; where the server or the account demands TLS \
                        (require_secure_transport, REQUIRE SSL), set `tls`: \"verify-full\", or \"require\" to check nothing";

/// utf8mb4_general_ci, which every server knows.
const COLLATION: u8 = 45;

/// A stream that can go on inside TLS.
pub(crate) trait Transport: BufRead + Write + Sized {
    /// Shakes hands, and becomes what is inside.
    fn upgrade(self, options: &tls::Options) -> Result<Self>;
}

/// Who we are, and how secret that has to be.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// None for a connection in the clear.
    pub(crate) tls: Option<tls::Options>,
}

/// Logs in.
pub(crate) fn log_in<S: Transport>(stream: S, login: &Login<'_>) -> Result<Session<S>> {
    let mut packets = Packets::new(stream);
    let payload = packets.read()?;
    if payload.first() == Some(&ERROR) {
        return Err(server_error(&payload));
    }
    let greeting: HandshakePacket<'_> = ParseBuf(&payload)
        .parse(())
        .map_err(|_| protocol("the other end does not greet like a database server"))?;
    let mut flags = flags() & greeting.capabilities();
    if let Some(options) = &login.tls {
        if !greeting
            .capabilities()
            .contains(CapabilityFlags::CLIENT_SSL)
        {
            return Err(
                Error::new(ErrorKind::Unsupported, "the server does not offer TLS").hint(
                    "set up TLS on the server, or `tls = \"disable\"` where the network is safe",
                ),
            );
        }
        flags |= CapabilityFlags::CLIENT_SSL;
        packets.write(&bytes(&SslRequest::new(flags, MAX_PACKET_BYTES, COLLATION)))?;
        let (stream, sequence) = packets.into_stream();
        packets = Packets::continuing(stream.upgrade(options)?, sequence);
    }
    let mut exchange = Exchange::begin(&greeting, login)?;
    let answer = exchange.answer(&greeting.nonce())?.unwrap_or_default();
    packets.write(&bytes(&HandshakeResponse::new(
        Some(answer),
        // It only decides the character set, which is the same for every server that is supported.
        (8, 0, 0),
        Some(login.user.as_bytes()),
        None::<&[u8]>,
        Some(exchange.plugin.clone()),
        flags,
        None,
        MAX_PACKET_BYTES,
    )))?;
    let offers_tls = greeting
        .capabilities()
        .contains(CapabilityFlags::CLIENT_SSL);
    let finished = exchange.finish(&mut packets);
    finished.map_err(|error| match error.kind() {
        // To some servers a login in the clear is a wrong one where TLS is demanded.
        ErrorKind::Unauthenticated | ErrorKind::Failed if login.tls.is_none() && offers_tls => {
            error.hint(HINT_TLS)
        }
        _ => error,
    })?;
    let version = greeting.server_version_str().into_owned();
    Ok(Session::new(packets, version))
}

fn flags() -> CapabilityFlags {
    CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
}

fn bytes(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// Questions of an authentication plugin of the server and our answers.
struct Exchange<'a> {
    login: &'a Login<'a>,
    plugin: AuthPlugin<'static>,
    process: AuthProc,
    scramble: Vec<u8>,
}

impl<'a> Exchange<'a> {
    /// With the plugin that the server proposes, if we can begin with it. Whatever the user really has, the server asks for next.
    fn begin(greeting: &HandshakePacket<'_>, login: &'a Login<'a>) -> Result<Self> {
        let plugin = match greeting.auth_plugin() {
            Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
            _ => AuthPlugin::MysqlNativePassword,
        };
        Self::with(plugin, login)
    }

    fn with(plugin: AuthPlugin<'_>, login: &'a Login<'a>) -> Result<Self> {
        let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
        let unsupported = || {
            let problem = format!("the server wants the user authenticated by `{name}`");
            Error::new(ErrorKind::Unsupported, problem)
        };
        let is_clear = plugin == AuthPlugin::MysqlClearPassword;
        if is_clear && login.tls.is_none() {
            return Err(unsupported()
                .hint("the password would go over the network in the clear: use `tls`"));
        }
        if plugin == AuthPlugin::MysqlOldPassword {
            return Err(unsupported().hint("give the user a new password: this scheme is broken"));
        }
        let process = plugin.init().map_err(|_| {
            unsupported().hint("for backups use an account that has a password of the server's own")
        })?;
        Ok(Self {
            login,
            plugin: plugin.into_owned(),
            process,
            scramble: Vec::new(),
        })
    }

    /// The answer to the plugin's first question.
    fn answer(&mut self, scramble: &[u8]) -> Result<Option<Vec<u8>>> {
        self.scramble = scramble.to_vec();
        self.step(scramble)
    }

    fn step(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>> {
        let known = Known {
            login: self.login,
            scramble: &self.scramble,
        };
        match self.process.run(known, challenge) {
            Ok(Response::Next { packet } | Response::Last { packet }) => Ok(packet),
            Err(error) => Err(Error::new(
                ErrorKind::Unauthenticated,
                format!(
                    "the login by `{}` failed: {error}",
                    String::from_utf8_lossy(self.plugin.as_bytes())
                ),
            )),
        }
    }

    /// Goes on until the server is content.
    fn finish<S: BufRead + Write>(mut self, packets: &mut Packets<S>) -> Result<()> {
        loop {
            let payload = packets.read()?;
            let answer = match payload.split_first() {
                Some((&OK, _)) => return Ok(()),
                Some((&ERROR, _)) => return Err(server_error(&payload)),
                Some((&MORE_DATA, challenge)) => self.step(challenge)?,
                Some((&SWITCH, _)) => {
                    let switch: AuthSwitchRequest<'_> = ParseBuf(&payload)
                        .parse(())
                        .map_err(|_| protocol("the server asks for a login that is too old"))?;
                    self = Self::with(switch.auth_plugin(), self.login)?;
                    self.answer(switch.plugin_data())?
                }
                _ => return Err(protocol("the server's answer to the login cannot be read")),
            };
            if let Some(answer) = answer {
                packets.write(&answer)?;
            }
        }
    }
}

struct Known<'a> {
    login: &'a Login<'a>,
    scramble: &'a [u8],
}

impl Context for Known<'_> {
    fn pass(&self) -> &[u8] {
        self.login.password.as_bytes()
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        self.login.tls.is_some()
    }

    fn scramble(&self) -> &[u8] {
        self.scramble
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}
