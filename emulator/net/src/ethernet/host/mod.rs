//! A station on an Ethernet, without the wire: frames go in and out, time is handed in.
//!
//! RoCE packets take the short way, headers and all from `ferroce-wire`. Everything that a station must say
//! besides, such as answers to ARP, neighbour discovery and `ping`, is read and written with smoltcp's packet
//! formats. The decisions are made here, because a NIC needs what stacks for sockets do not offer: packets that
//! wait for a neighbour without loss, sight of the IPv4 Identification, and bounds on everything.

mod arp;
mod egress;
mod frames;
mod groups;
mod icmp;
mod ingress;
mod membership;
mod ndp;
mod neighbours;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ferroce_engine::{RxMeta, Time};

use self::groups::Groups;
use self::neighbours::{Due, Neighbours};
use super::trouble::Trouble;
use super::{MacAddr, Subnet};
use crate::link::LinkCounters;

pub(super) use egress::{Numbered, Way};
pub(super) use ingress::Arrived;

/// Frames that can wait to be sent, beside those of the device.
const OUTGOING: usize = 512;

/// Packets from the NIC to itself that can wait.
const LOOPED: usize = 4096;

/// How often the NIC tells everybody where it is, in case the network was not ready to listen.
const ANNOUNCEMENTS: u8 = 2;

/// Time between these (`ANNOUNCE_INTERVAL` of RFC 5227 is 2 s, `RETRANS_TIMER` of RFC 4861 is 1 s).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Host {
    mac: MacAddr,
    /// `None`: untagged.
    vlan: Option<u16>,
    /// `None`: what the traffic class says.
    priority: Option<u8>,
    /// The device's addresses in its order, then the link-local one.
    subnets: Vec<Subnet>,
    gateways: Vec<IpAddr>,
    neighbours: Neighbours,
    groups: Groups,
    outgoing: VecDeque<Vec<u8>>,
    looped: VecDeque<(RxMeta, Vec<u8>)>,
    /// Announcements to be made, and when to make the next.
    announcements: Option<(u8, Time)>,
    pub(super) counters: LinkCounters,
    pub(super) trouble: Option<Trouble>,
}

/// What a station is made with.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) mac: MacAddr,
    pub(super) vlan: Option<u16>,
    pub(super) priority: Option<u8>,
    pub(super) subnets: Vec<Subnet>,
    pub(super) gateways: Vec<IpAddr>,
}

impl Host {
    pub(super) fn new(identity: Identity) -> Host {
        let Identity { mac, vlan, priority, mut subnets, gateways } = identity;
        let link_local = Subnet::link_local(mac.link_local());
        if subnets.iter().any(|subnet| subnet.addr().is_ipv6())
            && !subnets.iter().any(|subnet| subnet.addr() == link_local.addr())
        {
            subnets.push(link_local);
        }
        let mut this = Host {
            mac,
            vlan,
            priority,
            subnets,
            gateways,
            neighbours: Neighbours::default(),
            groups: Groups::default(),
            outgoing: VecDeque::new(),
            looped: VecDeque::new(),
            announcements: Some((ANNOUNCEMENTS, Time::ZERO)),
            counters: LinkCounters::default(),
            trouble: None,
        };
        // Switches that watch who is a member of what would else keep questions for our addresses from us.
        for addr in this.own_v6().map(solicited_node).collect::<Vec<_>>() {
            this.groups.join(addr.into());
        }
        this
    }

    /// Does what is due at `now`. What is to be sent comes out of [`frames`](Self::frames).
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if let Some((left, next)) = self.announcements
            && next <= now
        {
            self.announce();
            self.announcements = (left > 1).then_some((left - 1, now + ANNOUNCE_INTERVAL));
        }
        while let Some(due) = self.neighbours.due(now) {
            self.act(due);
        }
        while let Some((group, report)) = self.groups.due(now) {
            self.report(group, report);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, or packets to the NIC itself wait.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        let looped = (!self.looped.is_empty()).then_some(Time::ZERO);
        let announcement = self.announcements.map(|(_, next)| next);
        let due = [looped, announcement, self.neighbours.next_timeout(), self.groups.next_timeout()];
        due.into_iter().flatten().min()
    }

    /// Frames that the station itself wants to send, and packets that have waited for a neighbour.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.outgoing.iter().map(Vec::as_slice)
    }

    /// So many of [`frames`](Self::frames) were sent, or are lost.
    pub(super) fn frames_done(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    /// Groups of the network below that frames must be received for.
    pub(super) fn group_macs(&self) -> impl Iterator<Item = MacAddr> {
        self.groups.iter().map(MacAddr::of_group)
    }

    fn act(&mut self, due: Due) {
        match due {
            Due::Ask(addr, mac) => self.solicit(addr, mac),
            Due::GiveUp(addr, lost) => {
                self.counters.tx_unresolved += lost as u64;
                self.trouble = Some(Trouble::Unanswered(addr));
            }
        }
    }

    fn is_own(&self, addr: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.addr() == addr)
    }

    fn own_v6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.subnets.iter().filter_map(|subnet| match subnet.addr() {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        })
    }

    /// Whether a station with this address can be a neighbour.
    fn is_on_link(&self, addr: IpAddr) -> bool {
        let link_local = |addr: Ipv6Addr| addr.is_unicast_link_local() && self.own_v6().next().is_some();
        matches!(addr, IpAddr::V6(addr) if link_local(addr))
            || self.subnets.iter().any(|subnet| subnet.contains(addr))
    }

    /// Which of our addresses talks to this neighbour.
    fn source_for(&self, neighbour: IpAddr) -> Option<IpAddr> {
        let same_kind =
            || self.subnets.iter().filter(|subnet| subnet.addr().is_ipv4() == neighbour.is_ipv4());
        let best = same_kind().find(|subnet| subnet.contains(neighbour)).or_else(|| same_kind().next());
        best.map(Subnet::addr)
    }
}

/// The group at which stations ask for an IPv6 address (RFC 4291 section 2.7.1).
fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = addr.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}
