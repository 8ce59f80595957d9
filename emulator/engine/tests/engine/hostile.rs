//! Forged packets: what somebody can do who is not the peer. The book's page on security promises what is tested
//! here.

use std::net::IpAddr;

use ferroce_engine::*;
use ferroce_wire::{
    Aeth, AtomicEth, Bth, Deth, Feth, Headers, Ieth, Opcode, Packet, Part, PseudoHeader, Reth, Syndrome,
};

use crate::pair::{Fate, Pair, QKEY, Setup};

/// A packet with the ICRC that it needs, as whoever can send from `src` can make it.
struct Forgery {
    src: IpAddr,
    headers: Headers,
    payload: Vec<u8>,
    /// Bytes of pad, if not those that the payload needs.
    pad: Option<u8>,
}

impl Forgery {
    /// With every extension header that the opcode has, about `remote`.
    fn new(src: IpAddr, opcode: Opcode, dest: Qpn, psn: Psn, remote: Remote) -> Forgery {
        let mut headers = Headers::new(Bth { ack_request: true, ..Bth::new(opcode, dest, psn) });
        let set = opcode.headers();
        let has = |part| set.contains(part);
        let Remote { addr: va, rkey } = remote;
        headers.deth = has(Part::Deth).then(|| Deth::new(QKEY, Qpn::new(0x77)));
        headers.reth = has(Part::Reth).then_some(Reth { va, rkey, len: 8 });
        headers.atomic = has(Part::AtomicEth).then_some(AtomicEth { va, rkey, swap_or_add: 1, compare: 0 });
        let syndrome = Syndrome::Ack { credits: 0x1f };
        headers.aeth = has(Part::Aeth).then_some(Aeth { syndrome, msn: 1 });
        let atomic_ack = ferroce_wire::AtomicAckEth { original: 7 };
        headers.atomic_ack = has(Part::AtomicAckEth).then_some(atomic_ack);
        headers.imm = has(Part::ImmDt).then_some(ImmDt(*b"evil"));
        headers.feth = has(Part::Feth).then(|| Feth::parse(&[0; Feth::LEN]));
        headers.ieth = has(Part::Ieth).then_some(Ieth { rkey });
        Forgery { src, headers, payload: vec![0xbd; 8], pad: None }
    }

    fn strike(&self, pair: &mut Pair, end: usize) {
        let mut bytes = vec![0; 256 + self.payload.len()];
        let mut packet = Packet::new(self.headers, &self.payload);
        packet.headers.bth.pad = self.pad.unwrap_or(packet.headers.bth.pad);
        let len = packet.emit(&mut bytes).unwrap();
        bytes.truncate(len);
        let (dst, ident) = (pair.ends[end].addr, 0);
        let (IpAddr::V4(src), IpAddr::V4(to)) = (self.src, dst) else { panic!("the pair speaks IPv4") };
        let header = PseudoHeader::V4 {
            src,
            dst: to,
            ident,
            flags_fragment: DONT_FRAGMENT,
            src_port: 0xc000,
            dst_port: ferroce_wire::UDP_PORT,
        };
        let icrc = header.compute(&bytes[..len - 4]).to_le_bytes();
        bytes[len - 4..].copy_from_slice(&icrc);
        let ident = Ident::Known { ident, flags_fragment: DONT_FRAGMENT };
        let meta = RxMeta { src: self.src, dst, src_port: 0xc000, traffic_class: 0, ident };
        pair.ends[end].device.handle_packet(pair.now, &meta, &bytes);
    }
}

/// Everything of the struck end but its counters.
fn state(pair: &Pair) -> (Vec<QpSnapshot>, Vec<CqSnapshot>, Vec<u8>) {
    let Snapshot { qps, cqs, .. } = pair.ends[1].device.snapshot();
    (qps, cqs, pair.ends[1].buffer.to_vec(0, 1 << 16))
}

/// Opcodes of a service, requests and responses.
fn opcodes(service: ferroce_wire::Service) -> impl Iterator<Item = Opcode> {
    Opcode::ALL.iter().copied().filter(move |opcode| opcode.service() == service)
}

fn expected(pair: &Pair) -> Psn {
    pair.ends[1].device.query_qp(pair.ends[1].qp).unwrap().attr.rq_psn.unwrap()
}

#[test]
fn who_cannot_send_from_the_peers_address_changes_nothing() {
    for qp_type in [QpType::Rc, QpType::Uc] {
        let mut pair = Pair::new(Setup { qp_type, ..Setup::default() });
        pair.recv(1, 101, &[]);
        let before = state(&pair);
        let (dest, psn, remote) = (pair.ends[1].qp, expected(&pair), pair.ends[1].remote(0));
        let stranger = "192.0.2.66".parse().unwrap();
        for opcode in opcodes(qp_type.service()) {
            // Even with the right numbers and the right key.
            Forgery::new(stranger, opcode, dest, psn, remote).strike(&mut pair, 1);
        }
        pair.settle();
        assert_eq!(state(&pair), before);
        assert_eq!(pair.sent, [0, 0], "nobody is answered");
        assert!(pair.ends[1].device.counters().drop_not_peer > 10);
    }
}

#[test]
fn a_wrong_queue_pair_number_reaches_nobody() {
    let mut pair = Pair::new(Setup::default());
    let before = state(&pair);
    let (src, psn, remote, qp) =
        (pair.ends[0].addr, expected(&pair), pair.ends[1].remote(0), pair.ends[1].qp);
    for bit in 0..24 {
        let dest = Qpn::new(qp.value() ^ 1 << bit);
        Forgery::new(src, Opcode::RC_WRITE_ONLY, dest, psn, remote).strike(&mut pair, 1);
    }
    pair.settle();
    assert_eq!((state(&pair), pair.sent), (before, [0, 0]));
}

/// IBTA 9.4.1: payload and pad are a multiple of four bytes, and there is no more pad than that takes.
#[test]
fn a_pad_that_does_not_fit_the_payload_is_an_invalid_request() {
    for (len, pad) in [(8, 0), (6, 2)] {
        assert_eq!(struck_with_pad(len, pad), QpState::Rts, "{len} bytes and {pad} of pad are right");
    }
    for (len, pad) in [(6, 0), (7, 0), (5, 2), (6, 3)] {
        assert_eq!(struck_with_pad(len, pad), QpState::Err, "{len} bytes and {pad} of pad");
    }
}

/// What becomes of a queue pair that gets a WRITE of `len` bytes and `pad` of pad.
fn struck_with_pad(len: usize, pad: u8) -> QpState {
    let mut pair = Pair::new(Setup::default());
    let (src, dest, psn, remote) =
        (pair.ends[0].addr, pair.ends[1].qp, expected(&pair), pair.ends[1].remote(0));
    let mut forgery = Forgery::new(src, Opcode::RC_WRITE_ONLY, dest, psn, remote);
    forgery.payload = vec![7; len];
    forgery.headers.reth = Some(Reth { va: remote.addr, rkey: remote.rkey, len: len as u32 });
    forgery.pad = Some(pad);
    forgery.strike(&mut pair, 1);
    pair.ends[1].state()
}

#[test]
fn a_packet_of_another_partition_changes_nothing() {
    let mut pair = Pair::new(Setup::default());
    let before = state(&pair);
    let (src, dest, psn, remote) =
        (pair.ends[0].addr, pair.ends[1].qp, expected(&pair), pair.ends[1].remote(0));
    for pkey in [0xfffe, 0x8000, 0x1234, 0] {
        let mut forgery = Forgery::new(src, Opcode::RC_WRITE_ONLY, dest, psn, remote);
        forgery.headers.bth.pkey = pkey;
        forgery.strike(&mut pair, 1);
    }
    pair.settle();
    assert_eq!((state(&pair), pair.sent), (before, [0, 0]));
    assert_eq!(pair.ends[1].device.counters().drop_pkey, 4);
}

#[test]
fn a_wrong_psn_costs_one_small_packet_however_often_it_comes() {
    let mut pair = Pair::new(Setup::default());
    let (src, dest, remote) = (pair.ends[0].addr, pair.ends[1].qp, pair.ends[1].remote(0));
    let first = expected(&pair);
    for ahead in 1..2_000 {
        Forgery::new(src, Opcode::RC_WRITE_ONLY, dest, first + ahead * 7, remote).strike(&mut pair, 1);
        let mut old = Forgery::new(src, Opcode::RC_WRITE_ONLY, dest, first - ahead, remote);
        old.headers.bth.ack_request = false;
        old.strike(&mut pair, 1);
    }
    assert_eq!(pair.ends[1].buffer.to_vec(0, 64), [0; 64]);
    pair.settle();
    assert_eq!(pair.sent, [0, 1], "one NAK, and to the peer");
    let (source, target) = (pair.ends[0].sge(0, 100), pair.ends[1].remote(0));
    pair.ends[0].buffer.write(0, &[9; 100]);
    pair.send(0, 1, SendOp::Write(target), &[source]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)], "the connection is none the worse");
}

#[test]
fn answers_to_nothing_that_was_asked_change_nothing() {
    let mut pair = Pair::new(Setup::default());
    let before = state(&pair);
    let (src, dest, remote) = (pair.ends[0].addr, pair.ends[1].qp, pair.ends[1].remote(0));
    let next = pair.ends[1].device.query_qp(dest).unwrap().attr.sq_psn.unwrap();
    for opcode in opcodes(ferroce_wire::Service::Rc).filter(|opcode| opcode.is_response()) {
        for psn in [next - 1, next, next + 1, next + 0x80_0000] {
            Forgery::new(src, opcode, dest, psn, remote).strike(&mut pair, 1);
        }
    }
    pair.settle();
    assert_eq!((state(&pair), pair.sent), (before, [0, 0]));
}

/// A key with one bit wrong, an address before and one behind the region.
fn near_misses(pair: &Pair) -> Vec<Remote> {
    let right = pair.ends[1].remote(0);
    let keys = (0..32).map(|bit| Remote { rkey: right.rkey ^ 1 << bit, ..right });
    let len = pair.ends[1].buffer.len() as u64;
    let addresses = [right.addr.wrapping_sub(8), right.addr + len - 4, right.addr + len, 0, u64::MAX - 3];
    keys.chain(addresses.map(|addr| Remote { addr, ..right })).collect()
}

#[test]
fn without_key_and_address_no_memory_is_touched_and_none_is_shown() {
    let attempts = near_misses(&Pair::new(Setup::default()));
    for opcode in [Opcode::RC_WRITE_ONLY, Opcode::RC_READ_REQUEST, Opcode::RC_FETCH_ADD] {
        for attempt in 0..attempts.len() {
            let mut pair = Pair::new(Setup::default());
            let remote = near_misses(&pair)[attempt];
            let (src, dest, psn) = (pair.ends[0].addr, pair.ends[1].qp, expected(&pair));
            let mut forged = Forgery::new(src, opcode, dest, psn, remote);
            if opcode != Opcode::RC_WRITE_ONLY {
                forged.payload.clear();
            }
            forged.strike(&mut pair, 1);
            assert_eq!(pair.ends[1].buffer.to_vec(0, 1 << 16), vec![0; 1 << 16], "{opcode} {remote:?}");
            pair.settle();
            assert_eq!(pair.opcodes(), ["1>RC_ACKNOWLEDGE"], "a NAK and no data");
            // Who knows addresses, numbers and PSN can end a connection, as the specification has it.
            assert_eq!(pair.ends[1].state(), QpState::Err);
        }
    }
}

#[test]
fn an_unreliable_connection_survives_what_ends_a_reliable_one() {
    let setup = || Setup { qp_type: QpType::Uc, ..Setup::default() };
    let mut pair = Pair::new(setup());
    let src = pair.ends[0].addr;
    for remote in near_misses(&pair) {
        let psn = expected(&pair);
        Forgery::new(src, Opcode::UC_WRITE_ONLY, pair.ends[1].qp, psn, remote).strike(&mut pair, 1);
    }
    pair.settle();
    assert_eq!(pair.ends[1].buffer.to_vec(0, 1 << 16), vec![0; 1 << 16]);
    assert_eq!((pair.ends[1].state(), pair.sent), (QpState::Rts, [0, 0]));
}

#[test]
fn opcodes_out_of_order_and_lengths_that_lie_are_refused() {
    use ferroce_wire::Service::{Rc, Uc};
    for (service, qp_type, ends) in [(Rc, QpType::Rc, QpState::Err), (Uc, QpType::Uc, QpState::Rts)] {
        let continues = |opcode: &Opcode| {
            let name = opcode.name();
            opcode.is_request() && (name.contains("MIDDLE") || name.contains("LAST"))
        };
        for opcode in opcodes(service).filter(continues) {
            let mut pair = Pair::new(Setup { qp_type, ..Setup::default() });
            pair.recv(1, 101, &[]);
            let (src, remote) = (pair.ends[0].addr, pair.ends[1].remote(0));
            let (dest, psn) = (pair.ends[1].qp, expected(&pair));
            Forgery::new(src, opcode, dest, psn, remote).strike(&mut pair, 1);
            assert_eq!(pair.ends[1].state(), ends, "{opcode}");
        }
        for (len, payload) in [(8, 7), (7, 8), (u32::MAX, 8), (1 << 31, 1024), (2000, 2000)] {
            let mut pair = Pair::new(Setup { qp_type, ..Setup::default() });
            let (src, remote) = (pair.ends[0].addr, pair.ends[1].remote(0));
            let (dest, psn) = (pair.ends[1].qp, expected(&pair));
            let write = opcodes(service).find(|opcode| opcode.name().ends_with("WRITE_ONLY")).unwrap();
            let mut forged = Forgery::new(src, write, dest, psn, remote);
            forged.payload = vec![1; payload];
            forged.headers.reth = forged.headers.reth.map(|reth| Reth { len, ..reth });
            forged.strike(&mut pair, 1);
            assert_eq!(pair.ends[1].state(), ends, "{payload} bytes of {len}");
            assert_eq!(pair.ends[1].buffer.to_vec(0, 4096), [0; 4096]);
        }
    }
}

#[test]
fn a_datagram_needs_the_key_and_nothing_else() {
    let mut pair = Pair::new(Setup { qp_type: QpType::Ud, ..Setup::default() });
    let recv = pair.ends[1].sge(0, 100);
    pair.recv(1, 101, &[recv]);
    let (stranger, dest) = ("203.0.113.9".parse().unwrap(), pair.ends[1].qp);
    let forged = Forgery::new(stranger, Opcode::UD_SEND_ONLY, dest, Psn::new(0), Remote::default());
    for bit in 0..32 {
        let deth = Deth::new(QKEY ^ 1 << bit, Qpn::new(1));
        let headers = Headers { deth: Some(deth), ..forged.headers };
        Forgery { headers, payload: vec![1; 8], ..forged }.strike(&mut pair, 1);
    }
    assert_eq!(pair.ends[1].statuses(), []);
    assert_eq!(pair.ends[1].device.counters().drop_qkey, 32);
    // Datagrams have no peer: whoever knows number and key is heard, whatever address it writes.
    forged.strike(&mut pair, 1);
    assert_eq!(pair.ends[1].statuses(), [(101, WcStatus::Success)]);
    pair.settle();
    assert_eq!(pair.sent, [0, 0]);
}

#[test]
fn a_lie_about_what_has_arrived_costs_its_teller_time_and_nothing_else() {
    let personality = Personality::selective_repeat();
    let mut pair = Pair::new(Setup { personality, ..Setup::default() });
    pair.fate = Box::new(|from, number, _| if from == 0 && number < 4 { Fate::Drop } else { Fate::Deliver });
    pair.ends[0].buffer.write(0, &[7; 4096]);
    let (local, remote) = (pair.ends[0].sge(0, 4096), pair.ends[1].remote(0));
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    pair.settle();
    // The peer has received nothing, and claims to have all but the first packet.
    let (src, dest, psn) = (pair.ends[1].addr, pair.ends[0].qp, expected(&pair) - 1);
    for ahead in 2..=4 {
        let mut lie = Forgery::new(src, Opcode::RC_ACKNOWLEDGE, dest, psn, remote);
        lie.headers.bth.resv7 = ahead;
        lie.payload.clear();
        lie.strike(&mut pair, 0);
    }
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[1].buffer.to_vec(0, 4096), [7; 4096]);
}

#[test]
fn a_lie_about_the_middle_of_a_read_leaves_no_request_that_is_waited_for() {
    let personality = Personality::selective_repeat();
    let mut pair = Pair::new(Setup { personality, ..Setup::default() });
    pair.fate = Box::new(|from, number, _| if from == 0 && number < 2 { Fate::Drop } else { Fate::Deliver });
    let (word, long) = (pair.ends[0].sge(0, 64), pair.ends[0].sge(4096, 3000));
    let remote = pair.ends[1].remote(0);
    pair.send(0, 1, SendOp::Write(remote), &[word]);
    pair.send(0, 2, SendOp::Read(remote), &[long]);
    pair.settle();
    let (src, dest, psn) = (pair.ends[1].addr, pair.ends[0].qp, expected(&pair) - 1);
    let mut lie = Forgery::new(src, Opcode::RC_ACKNOWLEDGE, dest, psn, remote);
    // The READ is the second packet; its second and third response are no packets of ours.
    lie.headers.bth.resv7 = 3;
    lie.payload.clear();
    lie.strike(&mut pair, 0);
    pair.run_for(1_000_000);
    pair.send_with(0, 3, SendOp::Write(remote), &[word], SendFlags::SIGNALED | SendFlags::FENCE);
    pair.run_for(1_000_000);
    let ok: Vec<_> = (1..=3).map(|id| (id, WcStatus::Success)).collect();
    assert_eq!(pair.ends[0].statuses(), ok);
}
