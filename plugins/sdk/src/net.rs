//! TCP connections, under a `connect` capability. In goes `host:port`; out comes a [`Connection`] that reads, writes and speaks TLS.
//!
//! `std::net::TcpStream` works in a plugin too. It hides its WASI streams, though, so that nothing can be spliced from it and no protocol
//! can be upgraded to TLS on it, and its errors do not say what to allow.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::io::poll;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    Network,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

use crate::bindings::plugin::strongroom::plugin::network;
use crate::stream::{self, Input, Output};
use crate::{Error, ErrorKind, Result, Server, tls};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed after some minutes.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
/// What is collected before it is sent, and read ahead.
const BUFFER_BYTES: usize = 64 * 1024;

/// Connects to the first address of `host` that answers. `host:port` must have been required as `Capability::Connect`.
///
/// `host` is a name or an address, an IPv6 address with or without brackets. Errors are `denied`, with the line to allow it, or
/// `unavailable`; both name `host:port`.
pub fn connect(host: &str, port: u16) -> Result<Connection> {
    network::check(host, port)?;
    let server = Server::new(host, port);
    let place = server.to_string();
    let network = instance_network();
    let mut failure = None;
    for address in resolve(&network, server.host()).map_err(|code| failed(&place, code))? {
        match open(&network, address, port) {
            Ok((input, output, socket)) => {
                return Ok(Connection::new(place, input, output, Some(socket)));
            }
            Err(code) => failure = Some(code),
        }
    }
    Err(failed(
        &place,
        failure.unwrap_or(ErrorCode::NameUnresolvable),
    ))
}

/// An open connection, plain or with TLS.
///
/// Writes are collected until [`flush`](Write::flush) or a read. Reads wait for the server and cost nothing while they do.
pub struct Connection {
    /// `host:port`.
    place: String,
    // Before the socket, which must be dropped after its streams.
    reader: BufReader<Input>,
    writer: BufWriter<Output>,
    socket: Option<TcpSocket>,
}

impl Connection {
    fn new(place: String, input: Input, output: Output, socket: Option<TcpSocket>) -> Self {
        Self {
            place,
            reader: BufReader::with_capacity(BUFFER_BYTES, input),
            writer: BufWriter::with_capacity(BUFFER_BYTES, output),
            socket,
        }
    }

    /// Speaks TLS from here on, for protocols that upgrade in place.
    ///
    /// Fails where the server sent more than was read before: what is not protected must not be taken for what is.
    pub fn upgrade(self, options: &tls::Options) -> Result<Self> {
        // The socket first: what is bound last is dropped first, and a socket has to outlive its streams.
        let Self {
            socket,
            place,
            reader,
            writer,
        } = self;
        let ahead = reader.buffer().len();
        if ahead != 0 {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{place} sent {ahead} bytes where TLS should begin"),
            ));
        }
        let output = writer
            .into_inner()
            .map_err(|error| at(&place, error.into_error().into()))?;
        let (input, output) = tls::connect(options, reader.into_inner(), output)?;
        Ok(Self::new(place, input, output, socket))
    }

    /// Moves what the server sends into `to` inside the engine, until `most` bytes were moved or the server closes. Returns how many.
    pub fn splice(&mut self, to: &mut Output, most: u64) -> Result<u64> {
        self.send()?;
        let ahead = self.reader.buffer();
        let ahead = ahead
            .get(..usize::try_from(most).unwrap_or(usize::MAX))
            .unwrap_or(ahead);
        to.write_all(ahead)?;
        let ahead = ahead.len();
        self.reader.consume(ahead);
        let moved = ahead as u64;
        Ok(moved + stream::splice_at_most(self.reader.get_mut(), to, most - moved)?)
    }

    /// The streams themselves, with what was read ahead and has to be taken first.
    pub fn streams(&mut self) -> Result<(Vec<u8>, &mut Input, &mut Output)> {
        self.send()?;
        let ahead = self.reader.buffer().to_vec();
        self.reader.consume(ahead.len());
        Ok((ahead, self.reader.get_mut(), self.writer.get_mut()))
    }

    /// A request that stays in the buffer would never be answered.
    fn send(&mut self) -> io::Result<()> {
        match self.writer.buffer() {
            [] => Ok(()),
            _ => self.flush(),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.send()?;
        let read = self.reader.read(buffer);
        read.map_err(|error| about(&self.place, error))
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.send()?;
        let read = self.reader.read_exact(buffer);
        read.map_err(|error| about(&self.place, error))
    }
}

impl BufRead for Connection {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.send()?;
        let filled = self.reader.fill_buf();
        filled.map_err(|error| about(&self.place, error))
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        written.map_err(|error| about(&self.place, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| about(&self.place, error))
    }
}

/// Where the connection leads, in an error of it. An interrupted read is none: it is tried again.
fn about(place: &str, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Interrupted => error,
        io::ErrorKind::UnexpectedEof => at(
            place,
            Error::new(ErrorKind::Unavailable, "the server closed it"),
        )
        .into(),
        _ => at(place, error.into()).into(),
    }
}

fn at(place: &str, error: Error) -> Error {
    // Whatever breaks a connection may not break the next one.
    let kind = match error.kind() {
        ErrorKind::Failed => ErrorKind::Unavailable,
        kind => kind,
    };
    Error::new(
        kind,
        format!("the connection to {place} broke: {}", error.message()),
    )
}

fn resolve(network: &Network, host: &str) -> Result<Vec<IpAddress>, ErrorCode> {
    let lookup = resolve_addresses(network, host)?;
    let mut addresses = Vec::new();
    loop {
        match lookup.resolve_next_address() {
            Ok(Some(address)) => addresses.push(address),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => lookup.subscribe().block(),
            Err(code) => return Err(code),
        }
    }
}

fn open(
    network: &Network,
    address: IpAddress,
    port: u16,
) -> Result<(Input, Output, TcpSocket), ErrorCode> {
    let (family, address) = match address {
        IpAddress::Ipv4(address) => (
            IpAddressFamily::Ipv4,
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
        ),
        IpAddress::Ipv6(address) => (
            IpAddressFamily::Ipv6,
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port,
                flow_info: 0,
                address,
                scope_id: 0,
            }),
        ),
    };
    let socket = create_tcp_socket(family)?;
    // Not every system has these; the connection works without.
    let _ = socket.set_keep_alive_enabled(true);
    let idle = u64::try_from(KEEP_ALIVE_IDLE.as_nanos()).unwrap_or(u64::MAX);
    let _ = socket.set_keep_alive_idle_time(idle);
    socket.start_connect(network, address)?;

    let patience = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
    let timer = monotonic_clock::subscribe_duration(patience);
    let connected = socket.subscribe();
    loop {
        match socket.finish_connect() {
            Ok((input, output)) => {
                drop(connected);
                return Ok((Input::new(input), Output::new(output), socket));
            }
            Err(ErrorCode::WouldBlock) if timer.ready() => return Err(ErrorCode::Timeout),
            Err(ErrorCode::WouldBlock) => drop(poll::poll(&[&connected, &timer])),
            Err(code) => return Err(code),
        }
    }
}

fn failed(place: &str, code: ErrorCode) -> Error {
    let (kind, why, hint) = match code {
        // The engine knows why, and adds it.
        ErrorCode::AccessDenied => {
            return Error::new(ErrorKind::Denied, format!("cannot connect to {place}"));
        }
        ErrorCode::NameUnresolvable
        | ErrorCode::TemporaryResolverFailure
        | ErrorCode::PermanentResolverFailure
        | ErrorCode::InvalidArgument => (
            ErrorKind::Unavailable,
            "the name leads to no address",
            "correct the host, or see to it that this machine can resolve it",
        ),
        ErrorCode::ConnectionRefused => (
            ErrorKind::Unavailable,
            "connection refused",
            "see to it that the server runs, and listens on that address and port",
        ),
        ErrorCode::Timeout => (
            ErrorKind::Unavailable,
            "no answer",
            "see to it that the server runs, and that no firewall is in between",
        ),
        ErrorCode::RemoteUnreachable => (
            ErrorKind::Unavailable,
            "the network cannot be reached",
            "correct the host, or see to it that this machine has a way to it",
        ),
        other => {
            return Error::new(
                ErrorKind::Unavailable,
                format!(
                    "cannot connect to {place}: {}",
                    other.name().replace('-', " ")
                ),
            );
        }
    };
    Error::new(kind, format!("cannot connect to {place}: {why}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_worth_another_try_and_names_the_place() {
        let error = failed("db:5432", ErrorCode::ConnectionRefused);
        assert_eq!(
            (error.kind(), error.message()),
            (
                ErrorKind::Unavailable,
                "cannot connect to db:5432: connection refused"
            )
        );
        assert_eq!(
            failed("db:5432", ErrorCode::AccessDenied).kind(),
            ErrorKind::Denied
        );
    }
}
