//! Who has which port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ferroce_wire::cm::PortSpace;

/// Ports that are given out when any will do, as Linux does.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

#[derive(Default)]
pub(super) struct Ports {
    taken: BTreeMap<(PortSpace, u16), Vec<Bound>>,
    next: u16,
}

/// One owner's claim.
#[derive(Clone, Copy, Debug)]
struct Bound {
    owner: u64,
    /// `None`: at all addresses.
    addr: Option<IpAddr>,
    /// Others may have the port too, as long as nobody listens.
    shared: bool,
}

impl Ports {
    /// Takes a port for `owner`, any that is free for 0; `None` when it cannot be had.
    pub(super) fn bind(
        &mut self,
        owner: u64,
        space: PortSpace,
        addr: SocketAddr,
        shared: bool,
    ) -> Option<u16> {
        let bound = Bound { owner, addr: Some(addr.ip()).filter(|ip| !ip.is_unspecified()), shared };
        if addr.port() != 0 {
            return self.claim(space, addr.port(), bound).then_some(addr.port());
        }
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        (0..count).find_map(|_| {
            self.next = (self.next + 1) % count;
            let port = EPHEMERAL.start() + self.next;
            self.claim(space, port, Bound { shared: false, ..bound }).then_some(port)
        })
    }

    /// Makes ephemeral ports begin somewhere else.
    pub(super) fn start_at(&mut self, offset: u16) {
        self.next = offset % (EPHEMERAL.end() - EPHEMERAL.start());
    }

    fn claim(&mut self, space: PortSpace, port: u16, bound: Bound) -> bool {
        let others = self.taken.entry((space, port)).or_default();
        let meets = |other: &Bound| match (other.addr, bound.addr) {
            (Some(other), Some(addr)) => other == addr,
            _ => true,
        };
        let free = others.iter().all(|other| !meets(other) || (other.shared && bound.shared));
        if free {
            others.push(bound);
        }
        free
    }

    /// A listener shares its port with nobody: false if others have it.
    pub(super) fn listen(&mut self, owner: u64, space: PortSpace, port: u16) -> bool {
        let Some(all) = self.taken.get_mut(&(space, port)) else { return false };
        let Some(own) = all.iter().position(|bound| bound.owner == owner) else { return false };
        let addr = all[own].addr;
        let meets = |other: &Bound| {
            other.owner != owner && (other.addr.is_none() || addr.is_none() || other.addr == addr)
        };
        if all.iter().any(meets) {
            return false;
        }
        all[own].shared = false;
        true
    }

    pub(super) fn release(&mut self, owner: u64, space: PortSpace, port: u16) {
        if let Some(all) = self.taken.get_mut(&(space, port)) {
            all.retain(|bound| bound.owner != owner);
            if all.is_empty() {
                self.taken.remove(&(space, port));
            }
        }
    }

    /// Whether anybody has a port.
    pub(super) fn is_taken(&self, space: PortSpace, port: u16) -> bool {
        self.taken.contains_key(&(space, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addr: &str) -> SocketAddr {
        addr.parse().unwrap()
    }

    #[test]
    fn a_port_has_one_owner_at_an_address() {
        let mut ports = Ports::default();
        assert_eq!(ports.bind(1, PortSpace::Tcp, at("192.0.2.1:7"), false), Some(7));
        assert_eq!(ports.bind(2, PortSpace::Tcp, at("192.0.2.1:7"), false), None);
        assert_eq!(
            ports.bind(2, PortSpace::Tcp, at("0.0.0.0:7"), false),
            None,
            "all addresses include that one"
        );
        assert_eq!(ports.bind(2, PortSpace::Tcp, at("192.0.2.2:7"), false), Some(7));
        assert_eq!(ports.bind(3, PortSpace::Udp, at("192.0.2.1:7"), false), Some(7), "another space");
        ports.release(1, PortSpace::Tcp, 7);
        assert_eq!(ports.bind(4, PortSpace::Tcp, at("192.0.2.1:7"), false), Some(7));
    }

    #[test]
    fn sharing_ends_when_somebody_listens() {
        let mut ports = Ports::default();
        assert_eq!(ports.bind(1, PortSpace::Tcp, at("192.0.2.1:7"), true), Some(7));
        assert_eq!(ports.bind(2, PortSpace::Tcp, at("192.0.2.1:7"), true), Some(7));
        assert!(!ports.listen(1, PortSpace::Tcp, 7), "another has it");
        ports.release(2, PortSpace::Tcp, 7);
        assert!(ports.listen(1, PortSpace::Tcp, 7));
        assert_eq!(ports.bind(3, PortSpace::Tcp, at("192.0.2.1:7"), true), None);
    }

    #[test]
    fn any_port_is_a_free_one_until_there_is_none() {
        let mut ports = Ports::default();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(port) = ports.bind(1, PortSpace::Tcp, at("192.0.2.1:0"), true) {
            assert!(EPHEMERAL.contains(&port) && seen.insert(port));
        }
        assert_eq!(seen.len(), EPHEMERAL.count());
    }
}
