//! Socket addresses as the kernel lays them out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A `sockaddr_in`, `sockaddr_in6` or `sockaddr_ll`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct SockAddr {
    bytes: [u8; SockAddr::ROOM],
    len: u32,
}

impl SockAddr {
    /// Bytes of the longest of them, rounded up.
    pub(super) const ROOM: usize = 32;

    /// No address, for a socket that knows where its packets go.
    pub(crate) const NONE: SockAddr = SockAddr::EMPTY;

    /// Nothing; room for an address that the kernel will write.
    pub(super) const EMPTY: SockAddr = SockAddr { bytes: [0; SockAddr::ROOM], len: 0 };

    /// An address and port. `scope` is the interface that a link-local IPv6 address belongs to, else 0.
    pub(crate) fn ip(addr: IpAddr, port: u16, scope: u32) -> SockAddr {
        let mut this = SockAddr::EMPTY;
        this.bytes[2..4].copy_from_slice(&port.to_be_bytes());
        let (family, len) = match addr {
            IpAddr::V4(addr) => {
                this.bytes[4..8].copy_from_slice(&addr.octets());
                (libc::AF_INET, size_of::<libc::sockaddr_in>())
            }
            IpAddr::V6(addr) => {
                this.bytes[8..24].copy_from_slice(&addr.octets());
                this.bytes[24..28].copy_from_slice(&scope.to_ne_bytes());
                (libc::AF_INET6, size_of::<libc::sockaddr_in6>())
            }
        };
        this.bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        this.len = len as u32;
        this
    }

    /// For binding a packet socket: an EtherType, and an interface or 0 for all.
    pub(crate) fn link(ethertype: u16, interface: u32) -> SockAddr {
        let mut this = SockAddr::EMPTY;
        this.bytes[..2].copy_from_slice(&(libc::AF_PACKET as u16).to_ne_bytes());
        this.bytes[2..4].copy_from_slice(&ethertype.to_be_bytes());
        this.bytes[4..8].copy_from_slice(&interface.to_ne_bytes());
        this.len = size_of::<libc::sockaddr_ll>() as u32;
        this
    }

    /// IP address and port, if it is one.
    pub(crate) fn ip_and_port(&self) -> Option<(IpAddr, u16)> {
        let port = u16::from_be_bytes([self.bytes[2], self.bytes[3]]);
        let octets = |at: usize| std::array::from_fn::<u8, 16, _>(|i| self.bytes[at + i]);
        match i32::from(self.family()) {
            libc::AF_INET => {
                let [a, b, c, d, ..] = octets(4);
                Some((Ipv4Addr::new(a, b, c, d).into(), port))
            }
            libc::AF_INET6 => Some((Ipv6Addr::from(octets(8)).into(), port)),
            _ => None,
        }
    }

    /// For the source of a frame from a packet socket: the interface's hardware type (`ARPHRD_…`).
    pub(crate) fn hardware_type(&self) -> Option<u16> {
        (i32::from(self.family()) == libc::AF_PACKET)
            .then(|| u16::from_ne_bytes([self.bytes[8], self.bytes[9]]))
    }

    fn family(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[0], self.bytes[1]])
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        self.bytes.as_mut_ptr().cast()
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_layout() {
        for addr in ["127.1.2.3", "2001:db8::7", "fe80::1"] {
            let addr: IpAddr = addr.parse().unwrap();
            assert_eq!(SockAddr::ip(addr, 4791, 3).ip_and_port(), Some((addr, 4791)));
        }
        assert_eq!(SockAddr::link(0x0800, 1).ip_and_port(), None);
    }
}
