//! The packets of a capture in order, each with what a ladder or a panel needs to show it.

use ferroce_wire::{Opcode, Psn, Syndrome};

use super::sighting::{IcrcCheck, Sighting};

/// Packets that are kept, the first ones of the capture.
pub const MAX_STEPS: usize = 1 << 18;

/// One RoCEv2 packet that belongs to a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// Nanoseconds since 1970; 0 if unknown.
    pub time: u64,
    /// The `id` of its connection.
    pub connection: usize,
    /// Which of the ends sent it.
    pub from: usize,
    /// What it is.
    pub opcode: Opcode,
    /// Its PSN.
    pub psn: Psn,
    /// Bytes of payload.
    pub len: u32,
    /// It asks for an acknowledgement.
    pub ack_request: bool,
    /// For packets with an AETH.
    pub syndrome: Option<Syndrome>,
    /// The ICRC is as it should be, or was not captured.
    pub intact: bool,
}

/// The packets of a capture.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// In the order of the capture.
    pub steps: Vec<Step>,
    /// Packets beyond [`MAX_STEPS`].
    pub left_out: u64,
}

impl Trail {
    pub(super) fn add(&mut self, s: &Sighting<'_>, connection: usize, from: usize) {
        if self.steps.len() == MAX_STEPS {
            self.left_out += 1;
            return;
        }
        self.steps.push(Step {
            number: s.number,
            time: s.time,
            connection,
            from,
            opcode: s.opcode(),
            psn: s.headers.bth.psn,
            len: s.payload_len as u32,
            ack_request: s.headers.bth.ack_request,
            syndrome: s.headers.aeth.map(|aeth| aeth.syndrome),
            intact: !matches!(s.check, IcrcCheck::Wrong { .. }),
        });
    }

    /// Gives every packet the place that its connection has in the end.
    pub(super) fn settle(&mut self, place: impl Fn(usize, usize) -> (usize, usize)) {
        for step in &mut self.steps {
            (step.connection, step.from) = place(step.connection, step.from);
        }
    }
}
