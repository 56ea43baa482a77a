//! Sockets for guests: `wasi:sockets` as wasmtime has it, with name look-up cut down to granted names, and `strongroom:plugin/network`.

use std::net::IpAddr;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    self, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{
    self as wasi_network, ErrorCode, HostNetwork, IpAddress, IpAddressFamily, Network,
};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::{DynPollable, IoError, SocketError, SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsView;

use crate::bindings::imports::{network, types};
use crate::convert;
use crate::reach::Reach;
use crate::sandbox::Sandbox;

/// Sockets that an instance may have at once.
const MAX_SOCKETS: usize = 16;

/// A name being resolved for a guest.
pub(crate) struct Lookup {
    name: String,
    admitted: bool,
    refused: bool,
}

/// Puts our look-up in the place of WASI's own, which is one switch for all names, and bounds sockets, which are descriptors of the engine.
pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<_, HasSelf<_>>(linker, |sandbox| sandbox)?;
    tcp_create_socket::add_to_linker::<_, HasSelf<_>>(linker, |sandbox| sandbox)?;
    linker.allow_shadowing(false);
    network::add_to_linker::<_, HasSelf<_>>(linker, |sandbox| sandbox)
}

/// Every address is checked, so that a refusal can be explained; without a grant all are refused.
pub(crate) fn open_granted(builder: &mut WasiCtxBuilder, reach: &Reach) {
    let reach = reach.clone();
    builder
        .allow_tcp(true)
        .allow_udp(false)
        .allow_ip_name_lookup(true)
        .socket_addr_check(move |address, purpose| {
            let allowed = reach.may_use(address, purpose);
            Box::pin(async move { allowed })
        });
}

impl network::Host for Sandbox {
    fn check(
        &mut self,
        host: String,
        port: u16,
    ) -> wasmtime::Result<std::result::Result<(), types::Error>> {
        let checked = self.reach.check(&host, port);
        Ok(checked.map_err(|error| convert::error_to_guest(&error)))
    }
}

impl tcp_create_socket::Host for Sandbox {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        if !self.reach.may_open() {
            return Err(ErrorCode::AccessDenied.into());
        }
        let sockets = self.table.iter_mut().filter(|it| it.is::<TcpSocket>());
        if sockets.count() >= MAX_SOCKETS {
            return Err(ErrorCode::NewSocketLimit.into());
        }
        tcp_create_socket::Host::create_tcp_socket(&mut self.sockets(), family)
    }
}

impl ip_name_lookup::Host for Sandbox {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        if !self.reach.may_resolve(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let stream = self.sockets().resolve_addresses(network, name.clone())?;
        let lookup = Lookup {
            name,
            admitted: false,
            refused: false,
        };
        self.lookups.insert(stream.rep(), lookup);
        Ok(stream)
    }
}

impl HostResolveAddressStream for Sandbox {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        loop {
            let borrowed = Resource::new_borrow(stream.rep());
            let next = self.sockets().resolve_next_address(borrowed)?;
            let Some(lookup) = self.lookups.get_mut(&stream.rep()) else {
                return Err(SocketError::trap(wasmtime::Error::msg("no such look-up")));
            };
            match next {
                Some(address) if self.reach.admit(&lookup.name, ip(&address)) => {
                    lookup.admitted = true;
                    return Ok(Some(address));
                }
                Some(_) => lookup.refused = true,
                None if lookup.refused && !lookup.admitted => {
                    return Err(ErrorCode::AccessDenied.into());
                }
                None => return Ok(None),
            }
        }
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.sockets().subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.lookups.remove(&stream.rep());
        self.table.delete(stream)?;
        Ok(())
    }
}

/// The look-up's errors are those of WASI's network, and so is their translation.
impl wasi_network::Host for Sandbox {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<IoError>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets().network_error_code(error)
    }
}

impl HostNetwork for Sandbox {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        HostNetwork::drop(&mut self.sockets(), network)
    }
}

fn ip(address: &IpAddress) -> IpAddr {
    match *address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
