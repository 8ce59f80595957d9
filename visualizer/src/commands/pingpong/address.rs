//! Which address the NIC of a ping-pong gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ferroce::{Attachment, Context, Faults, Interface, NetError, Nic, PathMtu, Personality};
use ferroce_visualizer::machine::{NetworkInterface, interfaces, source_towards};

use crate::failure::Failure;

/// What the user said about the address.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub link: Option<Attachment>,
    pub address: Option<IpAddr>,
    pub interface: Option<String>,
    pub gid_index: Option<usize>,
}

/// What the NIC is made with besides.
#[derive(Clone, Debug)]
pub(super) struct Equipment {
    /// `None` for the largest that the interface carries.
    pub path_mtu: Option<PathMtu>,
    pub faults: Faults,
    pub personality: Personality,
    /// The file that the NIC records into.
    pub record: Option<PathBuf>,
    /// Whether packets to NICs on this machine may go through memory.
    pub shared_memory: bool,
}

/// Addresses of 127.0.0.0/8 to try when both programs run on this machine.
const LOOPBACK_ADDRESSES: u8 = 32;

impl Wish {
    /// True when the address depends on the peer.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_none()
            && self.address.is_none()
            && !(self.interface.is_some() && self.gid_index.is_some())
    }

    /// Opens a NIC that can reach `peer`, and says which of its addresses does.
    pub(super) fn open(&self, peer: Option<SocketAddr>, with: Equipment) -> Result<(Context, u8), Failure> {
        let builder = || {
            let nic = Nic::builder().visible().faults(with.faults).personality(with.personality.clone());
            let nic = nic.shared_memory(with.shared_memory);
            let nic = if let Some(mtu) = with.path_mtu { nic.path_mtu(mtu) } else { nic };
            match &with.record {
                Some(path) => nic.record_to(path).map_err(|error| failure(&error)),
                None => Ok(nic),
            }
        };
        if let Some(link) = &self.link {
            let gid_index = gid_of(&link.addresses(), self.gid_index, peer)?;
            let nic = builder()?.attach(link.clone()).open().map_err(|error| failure(&error))?;
            return Ok((Context::new(nic), gid_index));
        }
        let mut candidates = self.candidates(peer)?.into_iter().peekable();
        while let Some(address) = candidates.next() {
            match builder()?.address(address).open() {
                Err(NetError::PortInUse { rxe: false, .. }) if candidates.peek().is_some() => {}
                Ok(nic) => return Ok((Context::new(nic), 0)),
                Err(error) => return Err(failure(&error)),
            }
        }
        Err(Failure::new("no address is left to run on", "name one with --addr"))
    }

    /// Addresses to try, the best first.
    fn candidates(&self, peer: Option<SocketAddr>) -> Result<Vec<IpAddr>, Failure> {
        if let Some(address) = self.address {
            self.agrees(address)?;
            return Ok(vec![address]);
        }
        let source = |peer| {
            source_towards(peer).map_err(|error| {
                let what = format_args!("this machine has no route to {}: {error}", peer.ip());
                Failure::new(what, "check the peer's address with 'ip route get', or name ours with --addr")
            })
        };
        let near = peer.map(source).transpose()?;
        let interface = match &self.interface {
            Some(name) => Some(named(name)?),
            None if self.gid_index.is_some() => near.map(interface_of).transpose()?,
            None => None,
        };
        if let Some(interface) = interface {
            let address = choose(&interface, self.gid_index, peer)?;
            return Ok(if interface.loopback && address.is_ipv4() {
                beside(address, address)
            } else {
                vec![address]
            });
        }
        let (Some(near), Some(peer)) = (near, peer) else {
            return Err(Failure::new("no address to run on", "name one with --addr"));
        };
        Ok(beside(near, peer.ip()))
    }

    /// Checks that `--addr` and `-d` and `-g` mean the same if more than one was given.
    fn agrees(&self, address: IpAddr) -> Result<(), Failure> {
        if self.interface.is_none() && self.gid_index.is_none() {
            return Ok(());
        }
        let interface = match &self.interface {
            Some(name) => named(name)?,
            None => interface_of(address)?,
        };
        let index = interface.gids.iter().find(|gid| gid.address == address).map(|gid| gid.index);
        match (index, self.gid_index) {
            (Some(index), Some(wanted)) if index != wanted => Err(Failure::new(
                format_args!("{address} is GID {index} of {}, not {wanted}", interface.name),
                "give either --addr or -g",
            )),
            (None, _) => Err(Failure::new(
                format_args!("{address} is not among the addresses of {}", interface.name),
                "give --addr without -d and -g; 'ferroce devices' lists them",
            )),
            _ => Ok(()),
        }
    }
}

/// The place of the address that was asked for, or of the first of the peer's kind.
fn gid_of(addresses: &[IpAddr], gid_index: Option<usize>, peer: Option<SocketAddr>) -> Result<u8, Failure> {
    let suits = |address: &IpAddr| peer.is_none_or(|peer| peer.is_ipv4() == address.is_ipv4());
    let index = gid_index.or_else(|| addresses.iter().position(suits)).unwrap_or(0);
    let found = u8::try_from(index).ok().filter(|_| index < addresses.len());
    found.ok_or_else(|| {
        Failure::new(
            format_args!("the link has no address {index}"),
            format_args!("give another with -g: it has {}, counted from 0", addresses.len()),
        )
    })
}

/// Addresses for talking from `near` to `peer`. On one machine both programs need one, and 127.0.0.0/8 has
/// plenty.
fn beside(near: IpAddr, peer: IpAddr) -> Vec<IpAddr> {
    let loopback = (1..=LOOPBACK_ADDRESSES).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    if peer.is_loopback() {
        loopback.collect()
    } else if near == peer && near.is_ipv4() {
        std::iter::once(near).chain(loopback).collect()
    } else {
        vec![near]
    }
}

/// The address with this GID index, or the first of the peer's kind.
fn choose(
    interface: &NetworkInterface,
    gid_index: Option<usize>,
    peer: Option<SocketAddr>,
) -> Result<IpAddr, Failure> {
    let name = &interface.name;
    let list = || {
        let gids = interface.gids.iter().map(|gid| format!("{} is {}", gid.index, gid.address));
        gids.collect::<Vec<_>>().join(", ")
    };
    if let Some(index) = gid_index {
        let missing = || {
            Failure::new(
                format_args!("{name} has no GID {index}"),
                format_args!("give another with -g: {}", list()),
            )
        };
        return interface.gid(index).ok_or_else(missing);
    }
    let is_v4 = peer.is_none_or(|peer| peer.is_ipv4());
    let suiting = interface.gids.iter().filter(|gid| gid.address.is_ipv4() == is_v4);
    // Index 0 is link-local, which not every peer can be reached from.
    let best = suiting.min_by_key(|gid| gid.index == 0).map(|gid| gid.address);
    best.ok_or_else(|| {
        let kind = if is_v4 { "IPv4" } else { "IPv6" };
        Failure::new(format_args!("{name} has no {kind} address"), format_args!("choose with -g: {}", list()))
    })
}

fn named(name: &str) -> Result<NetworkInterface, Failure> {
    let known = known()?;
    let found = known.iter().find(|interface| interface.name == name).cloned();
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|interface| interface.name.as_str()).collect();
        let next =
            format_args!("a Ferroce NIC runs on a network interface with an address: {}", names.join(", "))
                .to_string();
        Failure::new(format_args!("there is no device {name}"), next)
    })
}

fn interface_of(address: IpAddr) -> Result<NetworkInterface, Failure> {
    named(&Interface::of(address).map_err(|error| failure(&error))?.name)
}

fn known() -> Result<Vec<NetworkInterface>, Failure> {
    interfaces().map_err(|error| {
        Failure::new(
            format_args!("cannot list the network interfaces: {error}"),
            "name an address with --addr",
        )
    })
}

/// Our errors say what is wrong, a colon, and what to do.
pub(super) fn failure(error: &dyn std::error::Error) -> Failure {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((what, next)) => Failure::new(what, next),
        None => Failure::new(text, "'ferroce doctor' looks at what this machine lacks"),
    }
}

#[cfg(test)]
mod tests {
    use ferroce_visualizer::machine::GidEntry;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interface() -> NetworkInterface {
        let gids = ["fe80::1", "10.0.0.1", "10.0.0.2", "fd00::1"].into_iter().enumerate();
        NetworkInterface {
            name: "eth0".to_owned(),
            mtu: 1500,
            path_mtu: Some(1024),
            up: true,
            loopback: false,
            gids: gids.map(|(index, address)| GidEntry { index, address: ip(address) }).collect(),
        }
    }

    #[test]
    fn a_device_gives_the_first_address_of_the_peers_kind() {
        let towards = |peer: &str| choose(&interface(), None, Some(SocketAddr::new(ip(peer), 1))).unwrap();
        assert_eq!(towards("10.0.0.9"), ip("10.0.0.1"));
        assert_eq!(towards("fd00::9"), ip("fd00::1"));
        assert_eq!(choose(&interface(), Some(2), None).unwrap(), ip("10.0.0.2"));
        let error = choose(&interface(), Some(4), None).unwrap_err().to_string();
        assert!(error.contains("no GID 4") && error.contains("3 is fd00::1"), "{error}");
    }

    #[test]
    fn a_link_gives_the_first_address_of_the_peers_kind() {
        let addresses = [ip("10.0.0.2"), ip("fd00::2")];
        let towards = |peer: &str| gid_of(&addresses, None, Some(SocketAddr::new(ip(peer), 1))).unwrap();
        assert_eq!((towards("10.0.0.9"), towards("fd00::9")), (0, 1));
        assert_eq!(gid_of(&addresses, Some(1), None).unwrap(), 1);
        assert!(gid_of(&addresses, Some(2), None).unwrap_err().to_string().contains("no address 2"));
    }

    #[test]
    fn two_programs_on_one_machine_find_two_addresses() {
        assert_eq!(beside(ip("10.0.0.1"), ip("10.0.0.2")), [ip("10.0.0.1")]);
        assert_eq!(beside(ip("10.0.0.1"), ip("10.0.0.1"))[..2], [ip("10.0.0.1"), ip("127.0.0.1")]);
        assert_eq!(beside(ip("127.0.0.1"), ip("127.0.0.1"))[..2], [ip("127.0.0.1"), ip("127.0.0.2")]);
        assert_eq!(beside(ip("::1"), ip("::1"))[0], ip("127.0.0.1"));
        assert_eq!(beside(ip("fd00::1"), ip("fd00::1")), [ip("fd00::1")]);
    }

    #[test]
    fn wishes_that_contradict_each_other_are_refused() {
        let wish =
            |gid_index| Wish { link: None, address: Some(ip("127.0.0.1")), interface: None, gid_index };
        assert!(wish(None).candidates(None).is_ok());
        assert!(wish(Some(1)).candidates(None).is_ok());
        let error = wish(Some(2)).candidates(None).unwrap_err().to_string();
        assert!(error.contains("GID 1 of lo"), "{error}");
        let unknown =
            Wish { link: None, address: None, interface: Some("nonesuch".to_owned()), gid_index: None };
        assert!(unknown.candidates(None).unwrap_err().to_string().contains("lo"));
    }
}
