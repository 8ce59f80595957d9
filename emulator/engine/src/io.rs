//! What crosses the border between a device and the world: datagrams, one way and the other.

use std::net::IpAddr;

use ferroce_wire::{Bth, Headers, ICRC_LEN, Opcode, PseudoHeader, Qpn, UDP_PORT};

use crate::qps::lane_of;

/// All fields of the IP and UDP headers of a packet to be sent, except lengths, checksums and the IPv4
/// Identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Source address, one of the device's own.
    pub src: IpAddr,
    /// Destination address, of the same version.
    pub dst: IpAddr,
    /// UDP source port. The destination port is always 4791.
    pub src_port: u16,
    /// IPv4 TOS or IPv6 traffic class.
    pub traffic_class: u8,
    /// IPv4 TTL or IPv6 hop limit.
    pub hop_limit: u8,
    /// IPv6 flow label, 20 bits.
    pub flow_label: u32,
}

impl Flow {
    /// What the ICRC covers of the headers; `ident` counts for IPv4 only, where "don't fragment" is set.
    pub fn pseudo_header(&self, ident: u16) -> PseudoHeader {
        pseudo_header(self.src, self.dst, self.src_port, ident, DONT_FRAGMENT)
            .expect("the device checks that both addresses are of one version")
    }
}

/// The IPv4 flags and fragment offset of every packet that the engine expects its link to send.
pub const DONT_FRAGMENT: u16 = 0x4000;

pub(crate) fn pseudo_header(
    src: IpAddr,
    dst: IpAddr,
    src_port: u16,
    ident: u16,
    flags_fragment: u16,
) -> Option<PseudoHeader> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            Some(PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port: UDP_PORT })
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            Some(PseudoHeader::V6 { src, dst, src_port, dst_port: UDP_PORT })
        }
        _ => None,
    }
}

/// How a link can take packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxLimits {
    /// Packets in one train, at least 1.
    pub max_packets: usize,
    /// Bytes (UDP payloads, summed) in one train. A train of one packet may be longer.
    pub max_bytes: usize,
    /// IPv4 Identification that the first packet of a train will carry.
    pub first_ident: u16,
    /// What each further packet adds to it: 1 where the kernel segments a train, 0 where each is sent alone.
    pub ident_step: u16,
    /// The UDP source port that all packets will leave from, where the link cannot set it per packet.
    pub src_port: Option<u16>,
    /// Whether packets get their ICRC at once. If not, the link sees to it with [`Train::seal`], or knows that nobody
    /// will look at it.
    pub seal: bool,
}

impl TxLimits {
    /// One packet at a time, with Identification 0.
    pub const SINGLE: TxLimits =
        TxLimits { max_packets: 1, max_bytes: 0, first_ident: 0, ident_step: 0, src_port: None, seal: true };

    /// What becomes of a flow on the link.
    fn through(&self, flow: Flow) -> Flow {
        Flow { src_port: self.src_port.unwrap_or(flow.src_port), ..flow }
    }
}

/// A train: packets from one address to another that differ only in content. All have the same length, except that the
/// last may be shorter; that is the form that segmentation offload takes.
///
/// Trains are filled by [`Device::poll_transmit`](crate::Device::poll_transmit) and meant to be used again,
/// which saves allocating.
#[derive(Clone, Debug)]
pub struct Train {
    flow: Flow,
    /// The lane that all its packets are for. A host that shares its address among several NICs gives a train to the one
    /// that its first packet is for.
    lane: u8,
    /// Only grows; the first `used` bytes count.
    bytes: Vec<u8>,
    used: usize,
    segment: usize,
    packets: usize,
    sealed: bool,
}

impl Train {
    /// An empty train.
    pub fn new() -> Train {
        let nowhere = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let flow =
            Flow { src: nowhere, dst: nowhere, src_port: 0, traffic_class: 0, hop_limit: 0, flow_label: 0 };
        Train { flow, lane: 0, bytes: Vec::new(), used: 0, segment: 0, packets: 0, sealed: true }
    }

    /// Where all its packets come from and go.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// All UDP payloads, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Length of every UDP payload but the last, in bytes.
    pub fn segment(&self) -> usize {
        self.segment
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.packets
    }

    /// True when there is no packet in it.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The UDP payloads: BTH to ICRC.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes().chunks(self.segment.max(1))
    }

    /// Gives away the memory with its packets in exchange for `other`, whatever that holds, and is empty. Says how many
    /// bytes of it are packets.
    pub fn exchange(&mut self, other: &mut Vec<u8>) -> usize {
        core::mem::swap(&mut self.bytes, other);
        let used = self.used;
        self.clear();
        used
    }

    /// Forgets its packets. The next will be the first of a train to `dest`.
    pub(crate) fn restart(&mut self, flow: Flow, dest: Qpn, limits: &TxLimits) {
        self.flow = limits.through(flow);
        self.lane = lane_of(dest);
        self.sealed = limits.seal;
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.segment = 0;
        self.packets = 0;
    }

    /// Whether packets of `flow` to `dest` may join it.
    pub(crate) fn goes_along(&self, flow: Flow, dest: Qpn, limits: &TxLimits) -> bool {
        limits.through(flow) == self.flow && lane_of(dest) == self.lane
    }

    /// Whether no packet can come next, however short.
    pub(crate) fn is_full(&self, limits: &TxLimits) -> bool {
        self.packets >= limits.max_packets || self.used < self.segment * self.packets
    }

    /// Whether a packet of `len` bytes can come next.
    pub(crate) fn takes(&self, len: usize, limits: &TxLimits) -> bool {
        self.packets == 0
            || (!self.is_full(limits) && len <= self.segment && self.used + len <= limits.max_bytes)
    }

    /// Whether its packets have their ICRCs.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Gives all packets their ICRCs, for a train that was filled without.
    pub fn seal(&mut self, limits: &TxLimits) {
        self.sealed = true;
        for (index, packet) in self.bytes[..self.used].chunks_mut(self.segment.max(1)).enumerate() {
            seal(packet, &self.flow, limits, index);
        }
    }

    /// Adds a packet with `payload` bytes of payload, which `fill` provides. When that fails, nothing is added.
    #[inline]
    pub(crate) fn push<E>(
        &mut self,
        headers: Headers,
        payload: usize,
        limits: &TxLimits,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let pad = payload.wrapping_neg() & 3;
        let headers = Headers { bth: Bth { pad: pad as u8, ..headers.bth }, ..headers };
        let header_len = headers.len();
        let len = header_len + payload + pad + ICRC_LEN;
        let (start, end) = (self.used, self.used + len);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let packet = &mut self.bytes[start..end];
        headers.emit(packet).expect("the engine builds headers that match their opcodes");
        fill(&mut packet[header_len..header_len + payload])?;
        packet[header_len + payload..].fill(0);
        if limits.seal {
            seal(packet, &self.flow, limits, self.packets);
        }
        self.used = end;
        self.packets += 1;
        if self.packets == 1 {
            self.segment = len;
        }
        Ok(())
    }
}

/// Puts the ICRC at the end of packet `index` of a train.
#[inline]
fn seal(packet: &mut [u8], flow: &Flow, limits: &TxLimits, index: usize) {
    let Some((covered, icrc)) = packet.split_last_chunk_mut::<ICRC_LEN>() else { return };
    let ident = limits.first_ident.wrapping_add(limits.ident_step.wrapping_mul(index as u16));
    *icrc = flow.pseudo_header(ident).compute(covered).to_le_bytes();
}

/// Bytes of a packet with these headers and this much payload, from BTH to ICRC.
#[inline]
pub(crate) fn packet_len(opcode: Opcode, payload: usize) -> usize {
    opcode.header_len() + payload.next_multiple_of(4) + ICRC_LEN
}

impl Default for Train {
    fn default() -> Train {
        Train::new()
    }
}

/// What a link knows about the IPv4 Identification of a packet it received, which the ICRC covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ident {
    /// The packet's own: a full check of the ICRC is possible. For IPv6 the values do not matter.
    Known {
        /// Identification.
        ident: u16,
        /// Flags and fragment offset as one word.
        flags_fragment: u16,
    },
    /// A plain UDP socket does not tell. What is checked then is that *some* Identification fits, which a
    /// damaged packet passes once in 65,536 times.
    Hidden {
        /// The one that fits usually: when it does, that is found out sooner.
        likely: u16,
    },
    /// There is none, and no ICRC: the packet came from a NIC on this machine through memory, and was not damaged.
    Vouched,
    /// The packet came from a NIC on this machine through memory, and may have been damaged on purpose: its ICRC is
    /// as if this had been its Identification.
    Local {
        /// Identification of a packet that may not be fragmented.
        ident: u16,
    },
}

impl Ident {
    /// Whether the packet came through memory.
    pub fn is_local(self) -> bool {
        matches!(self, Ident::Vouched | Ident::Local { .. })
    }
}

/// What a link tells about a received packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxMeta {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// UDP source port.
    pub src_port: u16,
    /// IPv4 TOS or IPv6 traffic class.
    pub traffic_class: u8,
    /// IPv4 Identification.
    pub ident: Ident,
}
