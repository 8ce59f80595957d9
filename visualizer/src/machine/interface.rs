//! Network interfaces and the GIDs that their addresses make.

use std::io;
use std::net::IpAddr;

use ferroce_net::{Interface, NetError};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use serde::Serialize;

/// A network interface on which a NIC can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkInterface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// The longest IP packet it takes, in bytes.
    pub mtu: usize,
    /// The largest path MTU whose packets fit, in bytes; `None` when none does.
    pub path_mtu: Option<usize>,
    /// It is up.
    pub up: bool,
    /// It leads back to this machine.
    pub loopback: bool,
    /// Its addresses. Numbered as the kernel's soft-RoCE numbers the GIDs of a device on this interface.
    pub gids: Vec<GidEntry>,
}

/// An address in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GidEntry {
    /// The GID index: 0 is the link-local address, then IPv4, then other IPv6 addresses.
    pub index: usize,
    /// The address.
    pub address: IpAddr,
}

impl NetworkInterface {
    /// The address with this GID index.
    pub fn gid(&self, index: usize) -> Option<IpAddr> {
        self.gids.iter().find(|entry| entry.index == index).map(|entry| entry.address)
    }
}

/// All interfaces that have addresses, in the kernel's order.
///
/// # Errors
/// When the system does not list them.
pub fn interfaces() -> io::Result<Vec<NetworkInterface>> {
    let mut found: Vec<(NetworkInterface, Vec<IpAddr>)> = Vec::new();
    for entry in getifaddrs()? {
        let Some(address) = entry.address.as_ref().and_then(ip) else { continue };
        if let Some((_, addresses)) = found.iter_mut().find(|(known, _)| known.name == entry.interface_name) {
            addresses.push(address);
            continue;
        }
        let Ok(mtu) = mtu(address) else { continue };
        let interface = NetworkInterface {
            name: entry.interface_name,
            mtu,
            path_mtu: Interface::largest_path_mtu(mtu).map(|mtu| mtu.bytes()),
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            gids: Vec::new(),
        };
        found.push((interface, vec![address]));
    }
    let numbered = found.into_iter().map(|(interface, addresses)| {
        let gids = number(&addresses);
        NetworkInterface { gids, ..interface }
    });
    Ok(numbered.collect())
}

fn mtu(address: IpAddr) -> Result<usize, NetError> {
    Interface::of(address).map(|interface| interface.mtu)
}

/// Gives the addresses of one interface their GID indices. Index 0 belongs to the link-local address even if
/// there is none, as a kernel device makes one from its MAC address in any case.
fn number(addresses: &[IpAddr]) -> Vec<GidEntry> {
    let is_link_local = |address: &&IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let link_local = addresses.iter().find(is_link_local);
    let v4 = addresses.iter().filter(|address| address.is_ipv4());
    let v6 = addresses.iter().filter(|address| address.is_ipv6() && Some(*address) != link_local);
    let first = link_local.map(|address| GidEntry { index: 0, address: *address });
    let others = v4.chain(v6).zip(1..).map(|(address, index)| GidEntry { index, address: *address });
    first.into_iter().chain(others).collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|addr| IpAddr::V4(addr.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|addr| IpAddr::V6(addr.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(addresses: &[&str]) -> Vec<(usize, String)> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        number(&addresses).into_iter().map(|gid| (gid.index, gid.address.to_string())).collect()
    }

    #[test]
    fn gids_are_numbered_as_soft_roce_does() {
        let gids = numbered(&["10.77.0.2", "fd77::2", "fe80::1"]);
        assert_eq!(gids, [(0, "fe80::1".into()), (1, "10.77.0.2".into()), (2, "fd77::2".into())]);
        assert_eq!(numbered(&["127.0.0.1", "::1"]), [(1, "127.0.0.1".into()), (2, "::1".into())]);
        assert_eq!(numbered(&["fe80::1", "fe80::2"]).len(), 2, "a second link-local address is there too");
    }

    #[test]
    fn there_is_a_loopback_interface() {
        let all = interfaces().unwrap();
        let lo = all.iter().find(|interface| interface.loopback).expect("every machine has one");
        assert_eq!(lo.gid(1), Some("127.0.0.1".parse().unwrap()));
        assert!(lo.up && lo.path_mtu == Some(4096), "{lo:?}");
    }
}
