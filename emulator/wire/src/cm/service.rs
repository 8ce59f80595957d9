//! What a request is for: service IDs, and IP addresses in private data (annex A11).

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A space of port numbers (`enum rdma_port_space`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum PortSpace {
    /// IP over InfiniBand: datagrams.
    IpoIb = 0x0002,
    /// Connections.
    Tcp = 0x0106,
    /// Datagrams.
    Udp = 0x0111,
    /// Any service.
    Ib = 0x013F,
}

impl PortSpace {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::IpoIb, Self::Tcp, Self::Udp, Self::Ib];
}

/// The 64 bits that name a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServiceId(
    /// The number on the wire.
    pub u64,
);

impl ServiceId {
    /// A port of RDMA connection management.
    pub const fn ip(space: PortSpace, port: u16) -> Self {
        Self((space as u64) << 16 | port as u64)
    }

    /// The port space, if it is a port of RDMA connection management.
    pub fn port_space(self) -> Option<PortSpace> {
        PortSpace::ALL.into_iter().find(|space| self.0 >> 16 == *space as u64)
    }

    /// The port number, if it is a port of RDMA connection management.
    pub fn port(self) -> Option<u16> {
        self.port_space().map(|_| self.0 as u16)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port_space() {
            Some(space) => write!(f, "ServiceId({space:?} port {})", self.0 as u16),
            None => write!(f, "ServiceId({:#018x})", self.0),
        }
    }
}

/// The addresses with which private data of a [`Req`](super::Req) or [`SidrReq`](super::SidrReq) begin when the
/// service is a port (annex A11). The port of the destination is in the service ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpCmHeader {
    /// Port of the sender.
    pub src_port: u16,
    /// Address of the sender.
    pub src: IpAddr,
    /// Address that is asked, of the same version.
    pub dst: IpAddr,
}

impl IpCmHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 36;

    /// Reads a header; `None` if it is of another version, or the addresses are of no version of IP.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let address = |at: usize| -> [u8; 16] { core::array::from_fn(|i| bytes[at + i]) };
        let (src, dst) = (address(4), address(20));
        let (src, dst) = match (bytes[0], bytes[1] >> 4) {
            (0, 4) => (last_four(src).into(), last_four(dst).into()),
            (0, 6) => (Ipv6Addr::from(src).into(), Ipv6Addr::from(dst).into()),
            _ => return None,
        };
        Some(Self { src_port: u16::from_be_bytes([bytes[2], bytes[3]]), src, dst })
    }

    /// Writes the header. The version of IP is that of `dst`; a `src` of another version is written as zeros.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        *out = [0; Self::LEN];
        out[2..4].copy_from_slice(&self.src_port.to_be_bytes());
        match (self.src, self.dst) {
            (src, IpAddr::V4(dst)) => {
                out[1] = 4 << 4;
                if let IpAddr::V4(src) = src {
                    out[16..20].copy_from_slice(&src.octets());
                }
                out[32..].copy_from_slice(&dst.octets());
            }
            (src, IpAddr::V6(dst)) => {
                out[1] = 6 << 4;
                if let IpAddr::V6(src) = src {
                    out[4..20].copy_from_slice(&src.octets());
                }
                out[20..].copy_from_slice(&dst.octets());
            }
        }
    }
}

fn last_four(bytes: [u8; 16]) -> Ipv4Addr {
    let [.., a, b, c, d] = bytes;
    Ipv4Addr::new(a, b, c, d)
}

/// The GID of an address: an IPv4 address becomes an IPv4-mapped IPv6 address (annex A17).
pub const fn gid_of(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
