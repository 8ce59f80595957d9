//! What the student's function is given.

use std::fmt::Write;
use std::net::Ipv4Addr;

use ferroce_wire::{Bth, Headers, Opcode, Packet, PseudoHeader, Psn, Qpn, Reth, UDP_PORT};

use super::{BTH, ICRC, PAD, judge};
use crate::course::Question;
use crate::dice::Dice;
use crate::talk::{Players, Stop};

/// "Don't fragment", offset 0.
const FLAGS_FRAGMENT: u16 = 0x4000;

/// A message that fits one packet, and the flow it travels in.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) step: &'static str,
    pub(super) headers: Headers,
    pub(super) payload: Vec<u8>,
    pub(super) flow: PseudoHeader,
}

/// Draws a message. The payloads grow with `number`, so that the simplest wrong one is met first.
pub(super) fn draw(step: &'static str, number: usize, dice: &mut Dice) -> Message {
    let len = match step {
        BTH => 4 * (number / 4),
        PAD => number,
        _ if number < 24 => number,
        _ => dice.number(10) as usize,
    };
    let is_write = match step {
        BTH | PAD => false,
        ICRC => dice.flag(),
        _ => true,
    };
    let opcode = if is_write { Opcode::RC_WRITE_ONLY } else { Opcode::RC_SEND_ONLY };
    let bth = Bth {
        // Counts on a SEND only.
        solicited: !is_write && dice.flag(),
        migrated: dice.flag(),
        pkey: dice.number(16) as u16,
        ack_request: dice.flag(),
        ..Bth::new(opcode, Qpn::new(dice.number(24) as u32), Psn::new(dice.number(24) as u32))
    };
    let reth = Reth { va: dice.bits(), rkey: dice.number(32) as u32, len: len as u32 };
    Message {
        step,
        headers: Headers { reth: is_write.then_some(reth), ..Headers::new(bth) },
        payload: dice.bytes(len),
        flow: PseudoHeader::V4 {
            src: Ipv4Addr::from_bits(dice.number(32) as u32),
            dst: Ipv4Addr::from_bits(dice.number(32) as u32),
            ident: dice.number(16) as u16,
            flags_fragment: FLAGS_FRAGMENT,
            src_port: 0xC000 | dice.number(14) as u16,
            dst_port: UDP_PORT,
        },
    }
}

impl Message {
    /// The packet as it must be, ICRC included.
    pub(super) fn packet(&self) -> Packet<'_> {
        let mut packet = Packet::new(self.headers, &self.payload);
        let mut head = [0; Headers::MAX_LEN];
        let len = packet.headers.emit(&mut head).expect("a RETH exactly when it is a WRITE");
        packet.icrc = self.flow.compute_parts(&head[..len], &self.payload, packet.headers.bth.pad.into());
        packet
    }
}

impl Message {
    /// The message as the harness reads it.
    fn line(&self) -> String {
        let Bth { solicited, migrated, pkey, dest_qp, ack_request, psn, .. } = self.headers.bth;
        let mut line = match self.headers.reth {
            None => "send".to_owned(),
            Some(Reth { va, rkey, .. }) => format!("write {va} {rkey}"),
        };
        let flags = [solicited, migrated, ack_request].map(u8::from);
        let [solicited, migrated, ack_request] = flags;
        let (dest_qp, psn) = (dest_qp.value(), psn.value());
        let PseudoHeader::V4 { src, dst, ident, src_port, .. } = self.flow else {
            unreachable!("drawn as IPv4")
        };
        let (src, dst) = (src.to_bits(), dst.to_bits());
        write!(line, " {solicited} {migrated} {pkey} {dest_qp} {ack_request} {psn}").expect("a String");
        write!(line, " {src} {dst} {ident} {src_port} ").expect("a String");
        for byte in &self.payload {
            write!(line, "{byte:02x}").expect("a String");
        }
        line
    }
}

impl Question for Message {
    fn describe(&self) -> String {
        let packet = self.packet();
        let PseudoHeader::V4 { src, dst, ident, src_port, .. } = self.flow else {
            unreachable!("drawn as IPv4")
        };
        if self.step == ICRC {
            format!("{packet}, from {src} port {src_port} to {dst}, Identification {ident:#06x}")
        } else {
            packet.to_string()
        }
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let answer = players.ask(&self.line())?;
        Ok(judge::judge(self, &answer)?)
    }
}
