//! Runs in a fabric, and what a capture at one of the two hosts has of them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ferroce_engine::Flow;
use ferroce_engine::*;
use ferroce_fabric::*;
use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header};
use ferroce_wire::{Headers, Packet, PseudoHeader, UDP_PORT};

/// Bytes of memory at either end.
const MEMORY: usize = 1 << 16;
const IOVA: u64 = 0x10_0000;

/// Two hosts with a connection.
pub(super) struct World {
    pub(super) fabric: Fabric,
    pub(super) ends: [End; 2],
    pub(super) mrs: [Mr; 2],
    pub(super) dice: Dice,
}

/// How two queue pairs are connected, where it is not as usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) psn: u32,
    /// What the responder expects, if that is not the same.
    pub(super) expected: Option<u32>,
    pub(super) mtus: [PathMtu; 2],
    pub(super) rnr_retry: u8,
    /// The right end has a second address, and its queue pair that one, which the left end does not know.
    pub(super) other_address: bool,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { psn: 0x1000, expected: None, mtus: [PathMtu::Mtu1024; 2], rnr_retry: 6, other_address: false }
    }
}

impl World {
    pub(super) fn new(seed: u64, terms: Terms) -> World {
        let mut fabric: Fabric = Fabric::new(seed);
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
        let sides = [("left", 1), ("right", 2)].map(|(name, number)| {
            let second = (terms.other_address && number == 2).then_some(Ipv4Addr::new(10, 0, 1, number));
            let gids = [Ipv4Addr::new(10, 0, 0, number)].into_iter().chain(second).map(IpAddr::from);
            let host = fabric.add_device(DeviceConfig::new(name, gids.collect::<Vec<_>>()));
            fabric.set_port(host, Port { rate: Some(10_000_000_000), train: 1, ..Port::default() });
            let buffer = Buffer::new(MEMORY);
            let init = MrInit { iova: IOVA, ..MrInit::new(&buffer, access) };
            fabric.with(host, |device, _| {
                let pd = device.alloc_pd().unwrap();
                let cq = device.create_cq(256).unwrap();
                let init_qp = QpInit { signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
                (End { host, qp: device.create_qp(&init_qp).unwrap() }, device.reg_mr(pd, init).unwrap())
            })
        });
        let (ends, mrs) = (sides.map(|side| side.0), sides.map(|side| side.1));
        let sends = [Psn::new(terms.psn), Psn::new(0x8000)];
        let expects = [sends[1], Psn::new(terms.expected.unwrap_or(terms.psn))];
        for (me, peer) in [(0, 1), (1, 0)] {
            let sgid_index = u8::from(terms.other_address && me == 1);
            let av = AddressVector::new(sgid_index, fabric.address(ends[peer].host));
            let changes = [
                QpAttr::init(access),
                QpAttr::rtr(av, ends[peer].qp, expects[me], terms.mtus[me]),
                QpAttr { rnr_retry: Some(terms.rnr_retry), ..QpAttr::rts(sends[me]) },
            ];
            changes.iter().for_each(|change| fabric.modify_qp(ends[me], change).unwrap());
        }
        World { fabric, ends, mrs, dice: Dice::new(seed ^ 0x7772) }
    }

    pub(super) fn remote(&self) -> Remote {
        Remote { addr: IOVA + MEMORY as u64 / 2, rkey: self.mrs[1].rkey }
    }

    /// Posts a request at the left end, and the receive that it needs.
    pub(super) fn post(&mut self, op: SendOp, len: u32) {
        if op.consumes_receive() {
            self.receive();
        }
        let sges = [Sge { addr: IOVA, len, lkey: self.mrs[0].lkey }];
        let wr = SendWr::new(1, op, Payload::Sges(&sges));
        self.fabric.post_send(self.ends[0], &[wr]).unwrap();
    }

    pub(super) fn receive(&mut self) {
        let sges = [Sge { addr: IOVA, len: MEMORY as u32 / 2, lkey: self.mrs[1].lkey }];
        self.fabric.post_recv(self.ends[1], &[RecvWr { wr_id: 2, sges: &sges }]).unwrap();
    }

    /// Messages of these operations, some microseconds apart, until nothing is left to happen.
    pub(super) fn traffic(&mut self, messages: u64, longest: u64, kinds: &[fn(Remote) -> SendOp]) {
        for _ in 0..messages {
            let op = kinds[self.dice.below(kinds.len() as u64) as usize](self.remote());
            let len = if op.is_atomic() { 8 } else { 1 + self.dice.below(longest) as u32 };
            self.post(op, len);
            let pause = Duration::from_nanos(self.dice.below(8_000));
            self.fabric.run_for(pause);
        }
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        assert!(self.fabric.run_until_idle(1_000_000));
    }

    /// What a capture at the host of this end has.
    pub(super) fn tap(&self, end: usize) -> Vec<Caught> {
        let here = self.ends[end].host;
        let mut caught = Vec::new();
        let mut nth = [0; 2];
        for (at, host, sent) in self.fabric.log().packets() {
            let from = usize::from(host != self.ends[0].host);
            let index = nth[from];
            nth[from] += 1;
            let as_sent = Caught::new(at, from, index, sent);
            if host == here {
                caught.push(as_sent);
                continue;
            }
            for arrival in &sent.arrivals {
                let mut copy = Caught { at: arrival.at, ..as_sent.clone() };
                if arrival.damaged {
                    let last = copy.bytes.len() - 5;
                    copy.bytes[last] ^= 4;
                }
                caught.push(copy);
            }
        }
        caught.sort_by_key(|caught| caught.at);
        caught
    }
}

pub(super) const SEND: fn(Remote) -> SendOp = |_| SendOp::Send;
pub(super) const WRITE: fn(Remote) -> SendOp = SendOp::Write;
pub(super) const READ: fn(Remote) -> SendOp = SendOp::Read;
pub(super) const ADD: fn(Remote) -> SendOp = |remote| SendOp::FetchAdd { remote, add: 3 };

/// A packet in a capture.
#[derive(Clone, Debug)]
pub(super) struct Caught {
    pub(super) at: Time,
    /// The end that sent it, and which of its packets it is.
    pub(super) from: usize,
    pub(super) index: usize,
    pub(super) addrs: [IpAddr; 2],
    pub(super) src_port: u16,
    pub(super) ident: u16,
    pub(super) tos: u8,
    pub(super) bytes: Vec<u8>,
}

impl Caught {
    pub(super) fn new(at: Time, from: usize, index: usize, sent: &Sent) -> Caught {
        let Flow { src, dst, src_port, traffic_class: tos, .. } = sent.flow;
        let (addrs, ident, bytes) = ([src, dst], sent.ident, sent.bytes.to_vec());
        Caught { at, from, index, addrs, src_port, ident, tos, bytes }
    }

    pub(super) fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.bytes).unwrap()
    }

    /// Changes headers and payload, and makes the ICRC right.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Headers, &mut Vec<u8>)) {
        let packet = self.packet();
        let (mut headers, mut payload) = (packet.headers, packet.payload.to_vec());
        change(&mut headers, &mut payload);
        headers.bth.pad = (payload.len().wrapping_neg() & 3) as u8;
        let changed = Packet::new(headers, &payload);
        let mut bytes = vec![0; changed.wire_len()];
        changed.emit(&mut bytes).unwrap();
        self.bytes = bytes;
        self.seal();
    }

    /// Makes the ICRC right.
    pub(super) fn seal(&mut self) {
        let [IpAddr::V4(src), IpAddr::V4(dst)] = self.addrs else { panic!("all addresses are IPv4") };
        let (ident, src_port, flags_fragment) = (self.ident, self.src_port, DONT_FRAGMENT);
        let pseudo = PseudoHeader::V4 { src, dst, ident, flags_fragment, src_port, dst_port: UDP_PORT };
        let at = self.bytes.len() - 4;
        let icrc = pseudo.compute(&self.bytes[..at]);
        self.bytes[at..].copy_from_slice(&icrc.to_le_bytes());
    }

    /// The IP packet.
    pub(super) fn ip(&self) -> Vec<u8> {
        let [IpAddr::V4(src), IpAddr::V4(dst)] = self.addrs else { panic!("all addresses are IPv4") };
        let ip = IpHeader::V4(Ipv4Header { ident: self.ident, tos: self.tos, ..Ipv4Header::new(src, dst) });
        let datagram = Datagram::new(ip, self.src_port, &self.bytes).unwrap();
        let mut out = vec![0; datagram.wire_len()];
        datagram.emit(&mut out).unwrap();
        out
    }
}

/// A capture file of raw IP packets, cut to `snap` bytes each.
pub(super) fn pcap(caught: &[Caught], snap: usize) -> Vec<u8> {
    file(RAW, caught.iter().map(|caught| (caught.at, caught.ip())), snap)
}

/// Link types of capture files.
pub(super) const ETHERNET: u32 = 1;
pub(super) const RAW: u32 = 101;

pub(super) fn file(link: u32, packets: impl Iterator<Item = (Time, Vec<u8>)>, snap: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let words = |file: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| file.extend(word.to_le_bytes()));
    };
    words(&mut file, &[0xA1B2_3C4D, 4 << 16 | 2, 0, 0, 1 << 16, link]);
    for (at, ip) in packets {
        let (seconds, nanos) = (at.nanos() / 1_000_000_000, at.nanos() % 1_000_000_000);
        let kept = ip.len().min(snap);
        words(&mut file, &[seconds as u32, nanos as u32, kept as u32, ip.len() as u32]);
        file.extend(&ip[..kept]);
    }
    file
}
