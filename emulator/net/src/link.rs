//! What a device is connected to.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::slice::Chunks;

use ferroce_engine::{Flow, Ident, RxMeta, Time, Train, TxLimits};
use ferroce_wire::ICRC_LEN;
use ferroce_wire::cm::ServiceId;

use crate::faults::Faults;
use crate::record::Medium;

/// Something that carries packets: a set of sockets, a queue in memory, or middleware around another link.
///
/// A link is driven by one caller at a time and never waits.
pub trait Link: Send {
    /// How this link can take packets. May change after any [`send`](Self::send).
    fn tx_limits(&self) -> TxLimits;

    /// Whether a burst will go through memory to a NIC on this machine. Nobody looks at its ICRC there, which need not
    /// be there if [`tx_limits`](Self::tx_limits) leave it open.
    fn goes_through_memory(&self, _burst: &Burst<'_>) -> bool {
        false
    }

    /// When to offer again what a full link has not taken; `None` when its descriptors tell.
    fn retry_at(&self, _now: Time) -> Option<Time> {
        None
    }

    /// Sends trains in order, and tells how many it is done with. Done does not mean delivered: what cannot be
    /// sent for a reason that waiting does not cure is counted and forgotten, as on any network. When fewer are
    /// done than were given, the link is full: offer the rest again, first one first, before anything else.
    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize;

    /// Delivers some packets that have arrived, a bounded number, and tells how many. Zero means that no more
    /// are there now.
    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize;

    /// When the link wants [`receive`](Self::receive) to be called even though nothing arrived.
    fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// From now on packets to this multicast group are to be delivered too, those included that this link sends.
    /// What goes wrong is counted, and told by [`info`](Self::info): the device then misses those packets.
    fn join(&mut self, group: IpAddr);

    /// No longer.
    fn leave(&mut self, group: IpAddr);

    /// Has requests for a service at `addr` (`None`: at all addresses of the device) come to this device and to no
    /// other that shares the address. False when another answers them.
    fn claim(&mut self, _service: ServiceId, _addr: Option<IpAddr>) -> bool {
        true
    }

    /// Ends that, at all addresses.
    fn release(&mut self, _service: ServiceId) {}

    /// Adds to `to` the descriptors that become readable when there is something to receive, and writable when
    /// a full link has room again. They may change after any call of [`receive`](Self::receive),
    /// [`join`](Self::join) and [`leave`](Self::leave).
    fn descriptors(&self, to: &mut Vec<RawFd>);

    /// Changes the layer that does what `layer` is about; what it carries may be taken out of it. False if the link
    /// has no such layer.
    fn change(&mut self, _layer: &mut Layer, _now: Time) -> bool {
        false
    }

    /// What the link has done.
    fn counters(&self) -> LinkCounters;

    /// What the link is.
    fn info(&self) -> LinkInfo;
}

/// What a layer of a running link is to do from now on.
pub enum Layer {
    /// It injects these faults.
    Faults(Faults),
    /// It records into this, or no longer.
    Recording(Option<Medium>),
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn change(&mut self, layer: &mut Layer, now: Time) -> bool {
        (**self).change(layer, now)
    }

    fn tx_limits(&self) -> TxLimits {
        (**self).tx_limits()
    }

    fn goes_through_memory(&self, burst: &Burst<'_>) -> bool {
        (**self).goes_through_memory(burst)
    }

    fn retry_at(&self, now: Time) -> Option<Time> {
        (**self).retry_at(now)
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        (**self).send(now, bursts)
    }

    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        (**self).receive(now, deliver)
    }

    fn next_timeout(&self) -> Option<Time> {
        (**self).next_timeout()
    }

    fn join(&mut self, group: IpAddr) {
        (**self).join(group);
    }

    fn leave(&mut self, group: IpAddr) {
        (**self).leave(group);
    }

    fn claim(&mut self, service: ServiceId, addr: Option<IpAddr>) -> bool {
        (**self).claim(service, addr)
    }

    fn release(&mut self, service: ServiceId) {
        (**self).release(service);
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        (**self).descriptors(to);
    }

    fn counters(&self) -> LinkCounters {
        (**self).counters()
    }

    fn info(&self) -> LinkInfo {
        (**self).info()
    }
}

/// A train on its way through links: packets of one flow, of the same length except for the last.
#[derive(Clone, Copy, Debug)]
pub struct Burst<'a> {
    /// Addresses, ports and header fields of all of them.
    pub flow: &'a Flow,
    /// The UDP payloads, one after the other.
    pub bytes: &'a [u8],
    /// Length of every payload but the last, in bytes; at least 1.
    pub segment: usize,
    /// By how much the IPv4 Identification, for which the ICRCs were computed, grows from packet to packet. The
    /// first has 0.
    pub ident_step: u16,
    /// The packets have ICRCs.
    pub sealed: bool,
}

impl<'a> Burst<'a> {
    /// What is in `train`, which was filled under `limits`.
    pub fn new(train: &'a Train, limits: &TxLimits) -> Burst<'a> {
        let segment = train.segment().max(1);
        let (ident_step, sealed) = (limits.ident_step, train.is_sealed());
        Burst { flow: train.flow(), bytes: train.bytes(), segment, ident_step, sealed }
    }

    /// A single packet, whose ICRC was computed for Identification 0.
    pub fn single(flow: &'a Flow, bytes: &'a [u8]) -> Burst<'a> {
        Burst { flow, bytes, segment: bytes.len().max(1), ident_step: 0, sealed: true }
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.bytes.len().div_ceil(self.segment)
    }

    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The UDP payloads.
    pub fn packets(&self) -> Chunks<'a, u8> {
        self.bytes.chunks(self.segment)
    }
}

/// A packet with the ICRC that it would have if it had not come a way on which nobody looks at that; `None` if it came
/// another.
pub(crate) fn sealed(meta: &RxMeta, packet: &[u8]) -> Option<(RxMeta, Vec<u8>)> {
    if meta.ident != Ident::Vouched {
        return None;
    }
    let RxMeta { src, dst, src_port, traffic_class, .. } = *meta;
    let flow = Flow { src, dst, src_port, traffic_class, hop_limit: 64, flow_label: 0 };
    Some((RxMeta { ident: Ident::Local { ident: 0 }, ..*meta }, seal(&flow, packet)))
}

/// A packet with an ICRC for Identification 0 at its end, where what stands there is none.
pub(crate) fn seal(flow: &Flow, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    // The addresses may be what somebody has told us.
    if let Some((covered, icrc)) = packet.split_last_chunk_mut::<ICRC_LEN>()
        && flow.src.is_ipv4() == flow.dst.is_ipv4()
    {
        *icrc = flow.pseudo_header(0).compute(covered).to_le_bytes();
    }
    packet
}

/// How much of the ICRC of received IPv4 packets is to be checked. Over IPv6 it is always all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IcrcCheck {
    /// All of it where this process has the privilege, else what can be checked without. At loopback addresses
    /// the latter, which is twice as fast: there is no cable that could damage packets.
    #[default]
    Auto,
    /// All of it, or no device.
    Full,
    /// What an ordinary socket allows: the check fails to notice one damaged packet in 65,536. (The IPv4
    /// Identification enters the ICRC, and an ordinary socket does not show it.)
    Partial,
}

/// How much of the ICRC *is* checked at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcrcMode {
    /// All 32 bits.
    Full,
    /// 16 of its 32 bits.
    Partial,
}

impl fmt::Display for IcrcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IcrcMode::Full => "full",
            IcrcMode::Partial => "partial (16 of 32 bits)",
        })
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a link has done since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct LinkCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl LinkCounters {
            /// All counters by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Packets handed to the network.
    tx_packets,
    /// Bytes of UDP payload in them.
    tx_bytes,
    /// Pieces in which they were handed over: trains that the kernel segments, or single packets.
    tx_pieces,
    /// Packets that the network refused, for instance because there is no route.
    tx_errors,
    /// Packets lost because no station answers for their destination.
    tx_unresolved,
    /// Times that the network was full and the sender had to wait.
    tx_full,
    /// Packets delivered to the device.
    rx_packets,
    /// Bytes of UDP payload in them.
    rx_bytes,
    /// Pieces in which they came: packets that the kernel joined, or single ones.
    rx_pieces,
    /// Failed receives, multicast groups that could not be joined, and packets that make no sense to the link.
    rx_errors,
    /// Parts of fragmented IP packets, which are ignored: RoCEv2 does not fragment.
    rx_fragments,
    /// Packets whose IP, UDP or ICMP checksum is wrong.
    rx_checksum_errors,
    /// Packets lost because they came faster than they were taken.
    rx_overflows,
    /// Packets for another NIC on the same address that came here and were handed over to it.
    rx_handed_over,
    /// Packets that another NIC on the same address has handed over to this one.
    rx_taken_over,
    /// Packets that went to NICs on this machine through shared memory.
    tx_local,
    /// Packets that came from NICs on this machine through shared memory.
    rx_local,
    /// Faults injected into sent packets.
    tx_faults,
    /// Faults injected into received packets.
    rx_faults,
    /// Packets and events that a recording has missed: its file took no more, or is full.
    unrecorded,
}

/// What a link is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// From the device outwards, such as `["faults", "udp"]`.
    pub layers: Vec<&'static str>,
    /// The first 8 bits of the device's queue-pair numbers, by which packets are told apart from those of other
    /// NICs on the same address; 0 where addresses are not shared.
    pub lane: u8,
    /// One entry for each address of the device, in the device's order.
    pub ports: Vec<PortInfo>,
    /// The last failed send or receive.
    pub last_error: Option<String>,
}

/// What a link is at one address of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The address.
    pub addr: IpAddr,
    /// Name of the network interface that has it.
    pub interface: String,
    /// MTU of that interface in bytes.
    pub mtu: usize,
    /// How much of the ICRC of received packets is checked.
    pub icrc: IcrcMode,
    /// Why not all of it, if that could be changed.
    pub icrc_reason: Option<String>,
    /// The kernel segments trains (`UDP_SEGMENT`).
    pub segmentation: bool,
    /// Bytes of packets, with the kernel's own bookkeeping, that can wait to be received.
    pub receive_buffer: usize,
}

/// A failed operation of a link, kept until somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if let Some(peer) = self.peer {
            write!(f, " {peer}")?;
        }
        write!(f, ": {}", io::Error::from_raw_os_error(self.errno))
    }
}
