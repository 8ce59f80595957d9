//! Faults by script: "drop the packet with PSN 7 to queue pair 3 the second time it is sent".

use std::time::Duration;

use ferroce_engine::{Psn, Qpn};
use ferroce_wire::{Bth, Opcode};

use crate::fabric::HostId;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, in its place.
    Deliver,
    /// It is lost.
    Drop,
    /// It arrives twice, the second time so much later.
    Duplicate(Duration),
    /// It arrives so much later; what is sent meanwhile overtakes it.
    Delay(Duration),
    /// It arrives with flipped bits.
    Corrupt,
    /// It arrives marked "congestion experienced", as by a full switch.
    Mark,
}

/// A fault: packets that match meet this fate instead of what the link would do to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which packets.
    pub when: Match,
    /// What becomes of them.
    pub then: Fate,
}

impl Rule {
    /// Packets that match `when` meet the fate `then`.
    pub const fn new(when: Match, then: Fate) -> Rule {
        Rule { when, then }
    }
}

/// Which packets a rule is about: those that satisfy every condition that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Sent by this host.
    pub from: Option<HostId>,
    /// To this queue pair. Numbers are per host; say `to` as well where two hosts use the same.
    pub dest_qp: Option<Qpn>,
    /// To this host.
    pub to: Option<HostId>,
    /// With this opcode.
    pub opcode: Option<Opcode>,
    /// With this PSN.
    pub psn: Option<Psn>,
    /// With an IPv4 Identification that has this value in its low byte.
    pub ident_low: Option<u8>,
    /// Which of the packets that satisfy all other conditions.
    pub occurrence: Occurrence,
}

/// Which of several matching packets, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occurrence {
    /// All of them.
    #[default]
    Every,
    /// This one only.
    Nth(u64),
    /// The first so many.
    First(u64),
}

impl Match {
    /// Every packet.
    pub const ANY: Match = Match {
        from: None,
        dest_qp: None,
        to: None,
        opcode: None,
        psn: None,
        ident_low: None,
        occurrence: Occurrence::Every,
    };

    /// Packets sent by `host`.
    pub const fn from(host: HostId) -> Match {
        Match { from: Some(host), ..Match::ANY }
    }

    /// Of these, packets with this opcode.
    pub const fn opcode(self, opcode: Opcode) -> Match {
        Match { opcode: Some(opcode), ..self }
    }

    /// Of these, packets with this PSN.
    pub const fn psn(self, psn: Psn) -> Match {
        Match { psn: Some(psn), ..self }
    }

    /// Of these, packets to this queue pair.
    pub const fn dest_qp(self, qp: Qpn) -> Match {
        Match { dest_qp: Some(qp), ..self }
    }

    /// Of these, packets whose IPv4 Identification ends in this byte: one in 256.
    pub const fn ident_low(self, byte: u8) -> Match {
        Match { ident_low: Some(byte), ..self }
    }

    /// Of these, the one with this number, counted from 1.
    pub const fn nth(self, number: u64) -> Match {
        Match { occurrence: Occurrence::Nth(number), ..self }
    }

    /// Of these, the first `count`.
    pub const fn first(self, count: u64) -> Match {
        Match { occurrence: Occurrence::First(count), ..self }
    }

    fn describes(&self, from: HostId, to: Option<HostId>, ident: u16, bth: &Bth) -> bool {
        self.from.is_none_or(|host| host == from)
            && self.to.is_none_or(|host| Some(host) == to)
            && self.dest_qp.is_none_or(|qp| qp == bth.dest_qp)
            && self.opcode.is_none_or(|opcode| opcode == bth.opcode)
            && self.psn.is_none_or(|psn| psn == bth.psn)
            && self.ident_low.is_none_or(|byte| byte == ident as u8)
    }
}

/// The rules of a fabric, each with its count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    rules: Vec<(Rule, u64)>,
}

impl Script {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push((rule, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What the first rule that applies says. All rules count the packet, whichever applies.
    pub(crate) fn fate(
        &mut self,
        from: HostId,
        to: Option<HostId>,
        ident: u16,
        udp_payload: &[u8],
    ) -> Option<Fate> {
        if self.rules.is_empty() {
            return None;
        }
        let bth = Bth::parse(udp_payload.first_chunk()?).ok()?;
        let mut fate = None;
        for (rule, count) in &mut self.rules {
            if !rule.when.describes(from, to, ident, &bth) {
                continue;
            }
            *count += 1;
            let applies = match rule.when.occurrence {
                Occurrence::Every => true,
                Occurrence::Nth(number) => *count == number,
                Occurrence::First(number) => *count <= number,
            };
            if applies && fate.is_none() {
                fate = Some(rule.then);
            }
        }
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_packet_of_a_kind_is_found_among_others() {
        let mut script = Script::default();
        let when = Match::from(HostId(0)).opcode(Opcode::RC_SEND_ONLY).psn(Psn::new(7)).nth(2);
        script.add(Rule::new(when, Fate::Drop));
        let mut fate = |host, psn, opcode| {
            let mut bytes = [0; Bth::LEN];
            Bth::new(opcode, Qpn::new(3), Psn::new(psn)).emit(&mut bytes);
            script.fate(HostId(host), None, 0, &bytes)
        };
        assert_eq!(fate(0, 7, Opcode::RC_SEND_ONLY), None);
        assert_eq!(fate(1, 7, Opcode::RC_SEND_ONLY), None);
        assert_eq!(fate(0, 8, Opcode::RC_SEND_ONLY), None);
        assert_eq!(fate(0, 7, Opcode::RC_ACKNOWLEDGE), None);
        assert_eq!(fate(0, 7, Opcode::RC_SEND_ONLY), Some(Fate::Drop));
        assert_eq!(fate(0, 7, Opcode::RC_SEND_ONLY), None);
    }
}
