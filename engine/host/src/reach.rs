//! What a guest may connect to. In go the grants, and what granted names were resolved to; out comes yes or no for an address.
//!
//! A name covers the addresses that it was resolved to for this guest, and only with the granted port. Addresses that mean the host's own
//! link or the metadata service of a cloud are none that a database has: a name that leads there is refused, because whoever answers for
//! the name would otherwise choose what the guest reaches. The operator can still grant them as addresses.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_repository::{Error, ErrorKind, Result};
use wasmtime_wasi::sockets::SocketAddrUse;

use crate::capability::{Capability, host_and_port};
use crate::convert::tidy;
use crate::grant::Grants;

/// Shared by an instance's state and the check that WASI asks before it touches a socket.
#[derive(Clone)]
pub(crate) struct Reach(Arc<Inner>);

struct Inner {
    grants: Arc<Grants>,
    targets: Vec<(Host, u16)>,
    resolved: Mutex<HashSet<(IpAddr, u16)>>,
    /// The last refusal of the call in hand: WASI has no words for it.
    refusal: Mutex<Option<Error>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Brackets around an IPv6 address are optional.
    fn parse(host: &str) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(host.to_ascii_lowercase()),
        }
    }
}

impl Reach {
    pub(crate) fn new(grants: &Arc<Grants>) -> Self {
        let targets = grants
            .capabilities()
            .iter()
            .filter_map(|capability| match capability {
                Capability::Connect(address) => host_and_port(address),
                _ => None,
            })
            .map(|(host, port)| (Host::parse(host), port))
            .collect();
        Self(Arc::new(Inner {
            grants: grants.clone(),
            targets,
            resolved: Mutex::default(),
            refusal: Mutex::default(),
        }))
    }

    /// Whether `host:port` was granted, as the guest may ask before it tries.
    pub(crate) fn check(&self, host: &str, port: u16) -> Result<()> {
        let wanted = (Host::parse(host), port);
        if self.0.targets.contains(&wanted) {
            return Ok(());
        }
        let host = match wanted.0 {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(address) => address.to_string(),
            Host::Name(name) => tidy(&name),
        };
        let capability = Capability::Connect(format!("{host}:{port}"));
        Err(self.0.grants.denied(capability))
    }

    /// Whether there may be a socket at all.
    pub(crate) fn may_open(&self) -> bool {
        let granted = !self.0.targets.is_empty();
        if !granted {
            self.refuse(
                self.0
                    .grants
                    .denied(Capability::Connect("HOST:PORT".into())),
            );
        }
        granted
    }

    /// Whether `name` may be looked up.
    pub(crate) fn may_resolve(&self, name: &str) -> bool {
        let wanted = Host::parse(name);
        let granted = self.0.targets.iter().any(|(host, _)| *host == wanted);
        if !granted {
            self.refuse(self.0.grants.denied_name(&tidy(name)));
        }
        granted
    }

    /// Takes note that `name` leads to `address`. False where that is an address that must be granted by itself.
    pub(crate) fn admit(&self, name: &str, address: IpAddr) -> bool {
        let (name, address) = (Host::parse(name), address.to_canonical());
        let is_name = matches!(name, Host::Name(_));
        if is_name && is_of_the_host_itself(address) {
            self.refuse(
                Error::new(
                    ErrorKind::Denied,
                    format!("the name leads to {address}, which is no address of a server"),
                )
                .hint("correct the name's entry, or allow the address itself"),
            );
            return false;
        }
        let ports = self.0.targets.iter().filter(|(host, _)| *host == name);
        lock(&self.0.resolved).extend(ports.map(|(_, port)| (address, *port)));
        true
    }

    /// What WASI asks before it touches a socket.
    pub(crate) fn may_use(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            // Asked before every connect, with the wildcard address. A socket that is bound to it still cannot listen.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpConnect => self.may_connect(address),
            _ => false,
        }
    }

    /// Forgets what was refused in an earlier call.
    pub(crate) fn begin(&self) {
        self.take_refusal();
    }

    /// The last refusal since the call began, once.
    pub(crate) fn take_refusal(&self) -> Option<Error> {
        lock(&self.0.refusal).take()
    }

    fn may_connect(&self, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let granted = self.0.targets.contains(&(Host::Address(ip), port))
            || lock(&self.0.resolved).contains(&(ip, port));
        if !granted {
            let capability = Capability::Connect(SocketAddr::new(ip, port).to_string());
            self.refuse(self.0.grants.denied(capability));
        }
        granted
    }

    fn refuse(&self, error: Error) {
        *lock(&self.0.refusal) = Some(error);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Link-local addresses, and those that clouds answer with credentials at.
fn is_of_the_host_itself(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_link_or_metadata_v4(address),
        IpAddr::V6(address) => {
            // fe80::/10; Amazon's fd00:ec2::/32; 64:ff9b::/96 leads to an IPv4 address (RFC 6052).
            let [first, second, .., high, low] = address.segments();
            first & 0xffc0 == 0xfe80
                || (first, second) == (0xfd00, 0x0ec2)
                || address.segments().starts_with(&[0x64, 0xff9b, 0, 0, 0, 0])
                    && is_link_or_metadata_v4(Ipv4Addr::from(
                        u32::from(high) << 16 | u32::from(low),
                    ))
                || METADATA_V6.contains(&address)
                || address == Ipv6Addr::UNSPECIFIED
        }
    }
}

/// Google's and Oracle's services have addresses of their own in IPv6.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

fn is_link_or_metadata_v4(address: Ipv4Addr) -> bool {
    // Alibaba's and Azure's services lie outside of 169.254.0.0/16.
    const METADATA: [Ipv4Addr; 2] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    address.is_link_local() || address.is_unspecified() || METADATA.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::grant;

    fn reach(granted: &[&str]) -> Reach {
        let required: Vec<Capability> = granted
            .iter()
            .map(|address| Capability::Connect((*address).into()))
            .collect();
        Reach::new(&Arc::new(
            grant("sources.shop", &required, None, true).expect("granted"),
        ))
    }

    #[track_caller]
    fn check_connect(reach: &Reach, address: &str, expected: bool) {
        let address = address.parse().expect("address");
        let allowed = reach.may_use(address, SocketAddrUse::TcpConnect);
        assert_eq!(allowed, expected, "for {address}");
    }

    #[test]
    fn an_address_is_reached_with_its_port_and_no_other() {
        let reach = reach(&["10.0.0.7:5432", "[::1]:3306"]);
        check_connect(&reach, "10.0.0.7:5432", true);
        check_connect(&reach, "10.0.0.7:5433", false);
        check_connect(&reach, "10.0.0.8:5432", false);
        check_connect(&reach, "[::1]:3306", true);
        check_connect(&reach, "[::1]:5432", false);
        check_connect(&reach, "[::ffff:10.0.0.7]:5432", true);
        let refusal = reach.take_refusal().expect("refused");
        assert_eq!(
            refusal.hint_text(),
            Some(
                r#"if it should be, set in [sources.shop]: allow = { connect = ["10.0.0.7:5432", "[::1]:3306", "[::1]:5432"] }"#
            )
        );
    }

    #[test]
    fn a_name_is_reached_where_it_leads_with_its_ports() {
        let reach = reach(&["db:5432", "DB:5433", "cache:6379"]);
        let address: IpAddr = "10.0.0.7".parse().expect("address");
        check_connect(&reach, "10.0.0.7:5432", false);
        assert!(reach.may_resolve("Db") && !reach.may_resolve("other"));
        assert!(reach.admit("Db", address));
        check_connect(&reach, "10.0.0.7:5432", true);
        check_connect(&reach, "10.0.0.7:5433", true);
        check_connect(&reach, "10.0.0.7:6379", false);
        assert!(reach.check("DB", 5432).is_ok() && reach.check("db", 6379).is_err());
    }

    #[test]
    fn a_name_that_leads_to_the_host_itself_is_refused_and_such_an_address_can_be_granted() {
        for address in [
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "64:ff9b::169.254.169.254",
            "::ffff:169.254.169.254",
        ] {
            let ip: IpAddr = address.parse().expect(address);
            let (by_name, port) = (reach(&["db:80"]), 80);
            assert!(!by_name.admit("db", ip), "{address}");
            check_connect(&by_name, &SocketAddr::new(ip, port).to_string(), false);

            let by_address = reach(&[&SocketAddr::new(ip, port).to_string()]);
            assert!(by_address.admit(address, ip), "{address}");
            check_connect(&by_address, &SocketAddr::new(ip, port).to_string(), true);
        }
        for address in [
            "127.0.0.1",
            "10.0.0.7",
            "::1",
            "fd00::7",
            "fd20:ce::7",
            "64:ff9b::10.0.0.7",
        ] {
            assert!(reach(&["db:80"]).admit("db", address.parse().expect(address)));
        }
    }

    #[test]
    fn nothing_listens_and_nothing_but_tcp_is_spoken() {
        let reach = reach(&["10.0.0.7:5432"]);
        let (wildcard, granted) = ("0.0.0.0:0", "10.0.0.7:5432");
        let may = |address: &str, purpose| reach.may_use(address.parse().expect(address), purpose);
        assert!(may(wildcard, SocketAddrUse::TcpBind));
        assert!(!may("0.0.0.0:5432", SocketAddrUse::TcpBind));
        assert!(!may("127.0.0.1:0", SocketAddrUse::TcpBind));
        assert!(!may(wildcard, SocketAddrUse::TcpListen));
        assert!(!may(granted, SocketAddrUse::TcpAccept));
        assert!(!may(granted, SocketAddrUse::UdpBind));
        assert!(!may(granted, SocketAddrUse::UdpSend));
        assert!(!may(granted, SocketAddrUse::UdpReceive));
    }
}
