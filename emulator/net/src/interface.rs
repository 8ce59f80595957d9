//! Network interfaces of this machine.

use std::net::IpAddr;

use ferroce_wire::PathMtu;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use crate::error::{HEADROOM, NetError};
use crate::sys;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// The longest IP packet it takes, in bytes.
    pub mtu: usize,
    /// It leads back to this machine.
    pub loopback: bool,
}

impl Interface {
    /// The interface that has `addr`. An address that is local without being on any interface, as all of
    /// 127.0.0.0/8 are, is looked for at the loopback interface.
    ///
    /// # Errors
    /// When the interface vanishes meanwhile, or the system does not list any.
    pub fn of(addr: IpAddr) -> Result<Interface, NetError> {
        let all = list()?;
        let owner = all.iter().find(|entry| entry.address.as_ref().and_then(ip) == Some(addr));
        let loopback = || all.iter().find(|entry| entry.flags.contains(InterfaceFlags::IFF_LOOPBACK));
        let entry = owner.or_else(loopback).ok_or(NetError::NotOurs { addr })?;
        let vanished = NetError::system("read the network interface's settings (has it vanished?)");
        Ok(Interface {
            name: entry.interface_name.clone(),
            index: nix::net::if_::if_nametoindex(entry.interface_name.as_str())
                .map_err(|errno| vanished(errno.into()))?,
            mtu: sys::interface_mtu(&entry.interface_name).map_err(vanished)?,
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
        })
    }

    /// The first interface that is up, has an address and leads to other machines, if there is one.
    ///
    /// # Errors
    /// When the system does not list its interfaces.
    pub fn first_external() -> Result<Option<Interface>, NetError> {
        let mut all = list()?.into_iter();
        let is_it = |entry: &InterfaceAddress| {
            let (up, loopback) = (InterfaceFlags::IFF_UP, InterfaceFlags::IFF_LOOPBACK);
            entry.flags.contains(up) && !entry.flags.contains(loopback)
        };
        let address =
            all.find_map(|entry| if is_it(&entry) { entry.address.as_ref().and_then(ip) } else { None });
        address.map(Interface::of).transpose()
    }

    /// The addresses of an interface: IPv4, then IPv6. Link-local ones only if there are no others, because
    /// those mean something only on this interface, and cannot be used in the first second of their lives.
    ///
    /// # Errors
    /// When there is no such interface, or it has no address.
    pub fn addresses(name: &str) -> Result<Vec<IpAddr>, NetError> {
        let all = list_with(name)?;
        let of_it = all.iter().filter(|entry| entry.interface_name == name);
        let mut addresses: Vec<IpAddr> =
            of_it.filter_map(|entry| entry.address.as_ref().and_then(ip)).collect();
        if addresses.iter().any(|addr| !is_link_local(*addr)) {
            addresses.retain(|addr| !is_link_local(*addr));
        }
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() {
            return Err(NetError::Unaddressed { name: name.to_owned() });
        }
        Ok(addresses)
    }

    /// The kernel's number for an interface.
    ///
    /// # Errors
    /// When there is no such interface.
    pub(crate) fn index_of(name: &str) -> Result<u32, NetError> {
        list_with(name)?;
        nix::net::if_::if_nametoindex(name)
            .map_err(|errno| NetError::system("find the network interface's number")(errno.into()))
    }

    /// The name of the interface that has `addr`, if this machine has that address.
    pub(crate) fn having(addr: IpAddr) -> Result<Option<String>, NetError> {
        let owner = list()?.into_iter().find(|entry| entry.address.as_ref().and_then(ip) == Some(addr));
        Ok(owner.map(|entry| entry.interface_name))
    }

    /// The largest path MTU whose packets fit through an interface with this MTU, whatever their headers.
    pub fn largest_path_mtu(interface_mtu: usize) -> Option<PathMtu> {
        let sizes = [4096, 2048, 1024, 512, 256];
        sizes.into_iter().find(|bytes| bytes + HEADROOM <= interface_mtu).and_then(PathMtu::from_bytes)
    }
}

/// True for fe80::/10, whose addresses mean something only together with an interface.
pub(crate) fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

fn list() -> Result<Vec<InterfaceAddress>, NetError> {
    let entries = getifaddrs()
        .map_err(|errno| NetError::System { doing: "list the network interfaces", source: errno.into() })?;
    Ok(entries.collect())
}

/// All entries, if the interface `name` is among them.
fn list_with(name: &str) -> Result<Vec<InterfaceAddress>, NetError> {
    let all = list()?;
    if all.iter().any(|entry| entry.interface_name == name) {
        return Ok(all);
    }
    let mut known: Vec<String> = all.into_iter().map(|entry| entry.interface_name).collect();
    known.sort();
    known.dedup();
    Err(NetError::NoInterface { name: name.to_owned(), known })
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|addr| IpAddr::V4(addr.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|addr| IpAddr::V6(addr.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loopback_address_leads_to_the_loopback_interface() {
        for addr in ["127.0.0.1", "127.200.3.4"] {
            let interface = Interface::of(addr.parse().unwrap()).unwrap();
            assert!(interface.loopback, "{interface:?}");
            assert_eq!(Interface::largest_path_mtu(interface.mtu), Some(PathMtu::Mtu4096), "{interface:?}");
        }
    }

    #[test]
    fn path_mtus_leave_room_for_headers() {
        let bytes = |mtu| Interface::largest_path_mtu(mtu).map(PathMtu::bytes);
        assert_eq!(bytes(1500), Some(1024));
        assert_eq!(bytes(9000), Some(4096));
        assert_eq!(bytes(4096 + 96), Some(4096));
        assert_eq!(bytes(4096 + 95), Some(2048));
        assert_eq!(bytes(300), None);
    }

    #[test]
    fn an_unknown_interface_is_answered_with_those_there_are() {
        let error = Interface::addresses("nonesuch").unwrap_err().to_string();
        assert!(error.contains("nonesuch") && error.contains("lo"), "{error}");
    }
}
