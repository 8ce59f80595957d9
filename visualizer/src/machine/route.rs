//! Which of this machine's addresses talks to another.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address from which this machine sends to `peer`, as its routing table has it. Sends nothing.
///
/// # Errors
/// When there is no route, or `peer` is a link-local address without an interface.
pub fn source_towards(peer: SocketAddr) -> io::Result<IpAddr> {
    let any = match peer {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_talks_to_loopback() {
        let source = source_towards("127.0.0.9:4791".parse().unwrap()).unwrap();
        assert!(source.is_loopback(), "{source}");
    }
}
