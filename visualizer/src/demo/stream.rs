//! Messages of one requester to one responder: posted, watched and verified byte by byte.

use std::collections::VecDeque;

use ferroce_engine::{
    ImmDt, PathMtu, Payload, RecvWr, SendFlags, SendOp, SendWr, Sge, Wc, WcOpcode, WcStatus,
};

use super::error::DemoError;
use super::host::Host;
use super::layout::{GUARD, Layout, Piece};
use super::operation::{Operation, Sizes};
use super::pattern::{self, Dice};
use super::wiring::{End, Terms};

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Which of the two hosts asks.
    pub from: usize,
    ends: [End; 2],
    mtu: PathMtu,
    layout: Layout,
    sizes: Sizes,
    dice: Dice,
    /// Number of the next message; also its `wr_id`.
    number: u64,
    outstanding: VecDeque<Message>,
    /// What the responder's word for atomics holds after all messages posted so far.
    word: u64,
}

/// A message whose arrival was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub operation: Operation,
    pub bytes: u64,
}

#[derive(Debug)]
struct Message {
    number: u64,
    operation: Operation,
    len: usize,
    slot: usize,
    /// Decides the bytes.
    name: u64,
    /// Where they lie at the requester, in the order of the list.
    local: Vec<Piece>,
    /// And at the responder.
    remote: Vec<Piece>,
    inline: bool,
    /// For atomics: the value that must come back.
    old: u64,
    sent: bool,
    received: bool,
}

impl Stream {
    pub(crate) fn new(
        from: usize,
        ends: &[End; 2],
        mtu: PathMtu,
        layout: Layout,
        sizes: Sizes,
        seed: u64,
    ) -> Stream {
        let dice = Dice::new(seed, (from as u64) << 32 | mtu.bytes() as u64);
        let (ends, outstanding) = (ends.clone(), VecDeque::new());
        Stream { from, ends, mtu, layout, sizes, dice, number: 1, outstanding, word: 0 }
    }

    /// Whether another message can be posted now.
    pub(crate) fn has_room(&self) -> bool {
        self.outstanding.len() < self.layout.slots
    }

    /// Whether everything posted has been verified.
    pub(crate) fn is_done(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Posts a message, the `nth` of its kind from 0, and before it the receive that it needs.
    pub(crate) fn post<H: Host>(
        &mut self,
        hosts: &mut [H; 2],
        operation: Operation,
        nth: u64,
    ) -> Result<(), DemoError> {
        let message = self.plan(operation, nth);
        let (op, behind) = self.requests(&message);
        self.fill(&message);
        let [own, peer] = self.own_and_peer();
        if operation.needs_receive() {
            let into: &[Piece] = if operation == Operation::WriteImm { &[] } else { &message.remote };
            let sges: Vec<Sge> = into.iter().map(|(at, len)| peer.sge(*at, *len)).collect();
            let wr = RecvWr { wr_id: message.number, sges: &sges };
            hosts[1 - self.from].with(|device, now| device.post_recv(now, peer.qp, &[wr]))?;
        }
        let data = message.inline.then(|| pattern::bytes(message.name, message.len));
        let sges: Vec<Sge> = message.local.iter().map(|(at, len)| own.sge(*at, *len)).collect();
        let payload = data.as_deref().map_or(Payload::Sges(&sges), Payload::Inline);
        let wr_id = message.number;
        let first = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, payload) };
        let qp = own.qp;
        hosts[self.from].with(|device, now| match behind {
            None => device.post_send(now, qp, &[first]),
            Some(op) => {
                let first = SendWr { flags: SendFlags::empty(), ..first };
                let flags = SendFlags::SIGNALED | SendFlags::FENCE;
                device.post_send(now, qp, &[first, SendWr { flags, ..SendWr::new(wr_id, op, payload) }])
            }
        })?;
        self.outstanding.push_back(message);
        Ok(())
    }

    /// Takes a completion of this connection at end `end`, if it belongs to this stream.
    pub(crate) fn completed(&mut self, end: usize, wc: &Wc) -> Result<(), DemoError> {
        let is_receive = matches!(wc.opcode, WcOpcode::Recv | WcOpcode::RecvRdmaWithImm);
        if wc.status == WcStatus::Success && is_receive != (end != self.from) {
            return Ok(());
        }
        let waiting = self.outstanding.iter_mut().find(|message| {
            if is_receive { message.operation.needs_receive() && !message.received } else { !message.sent }
        });
        let Some(message) = waiting.filter(|message| message.completion(is_receive, wc)) else {
            return Err(DemoError::completion(&self.label(), wc));
        };
        if is_receive {
            message.received = true;
        } else {
            message.sent = true;
        }
        Ok(())
    }

    /// Verifies the oldest message if it is complete.
    pub(crate) fn verify(&mut self) -> Result<Option<Verified>, DemoError> {
        let complete = |message: &Message| message.sent && message.received;
        if !self.outstanding.front().is_some_and(complete) {
            return Ok(None);
        }
        let Some(message) = self.outstanding.pop_front() else { return Ok(None) };
        let check =
            if message.operation.is_atomic() { self.check_word(&message) } else { self.check(&message) };
        check.map_err(|why| {
            let Message { number, operation, len, .. } = &message;
            let (label, name) = (self.label(), operation.name());
            DemoError::Wrong(format!("{label}: message {number}, {name} of {len} bytes: {why}"))
        })?;
        // The READ brings the bytes of a fenced message once and the WRITE takes them back.
        let times = if message.operation == Operation::Fence { 2 } else { 1 };
        Ok(Some(Verified { operation: message.operation, bytes: (times * message.len) as u64 }))
    }

    /// Whether the atomics, all verified, have added up.
    pub(crate) fn check_sum(&self) -> Result<(), DemoError> {
        let held = read_word(self.own_and_peer()[1], self.layout.word());
        if held == self.word {
            return Ok(());
        }
        let (label, word) = (self.label(), self.word);
        Err(DemoError::Wrong(format!("{label}: the word for atomics is {held:#x} at the end, not {word:#x}")))
    }

    // --- before ------------------------------------------------------------------------------------------------

    fn plan(&mut self, operation: Operation, nth: u64) -> Message {
        let number = self.number;
        self.number += 1;
        let dice = &mut self.dice;
        let slot = (number % self.layout.slots as u64) as usize;
        let drawn = self.sizes.of(nth, dice);
        let len = match operation {
            Operation::CompareSwap | Operation::FetchAdd => 8,
            Operation::Fence => drawn.min(self.layout.half() - GUARD),
            _ => drawn,
        };
        let mut pieces = |at, many: bool| {
            let count = if many { 1 + dice.below(Terms::PIECES as u64) as usize } else { 1 };
            Layout::pieces(at, len, count, dice)
        };
        let local = pieces(self.layout.requester(slot), !operation.is_atomic());
        let scatters = matches!(operation, Operation::Send | Operation::SendImm);
        let remote = pieces(self.layout.responder(slot), scatters);
        let inline = operation.can_be_inline() && len <= Terms::INLINE && nth % 2 == 1;
        let name = dice.next();
        let received = !operation.needs_receive();
        let old = self.word;
        Message { number, operation, len, slot, name, local, remote, inline, old, sent: false, received }
    }

    /// Puts the bytes where they are to be fetched, and something else where they are to arrive.
    fn fill(&self, message: &Message) {
        let [own, peer] = self.own_and_peer();
        let data = pattern::bytes(message.name, message.len);
        let spoilt = vec![SPOILT; message.len + GUARD];
        let (near, far) = (self.layout.requester(message.slot), self.layout.responder(message.slot));
        match message.operation {
            Operation::CompareSwap | Operation::FetchAdd => own.buffer.write(near, &spoilt),
            Operation::Read | Operation::Fence => {
                own.buffer.write(near, &spoilt);
                peer.buffer.write(far, &data);
                if message.operation == Operation::Fence {
                    peer.buffer.write(far + self.layout.half(), &spoilt);
                }
            }
            _ => {
                peer.buffer.write(far, &spoilt);
                scatter(own, &message.local, &data);
            }
        }
    }

    /// What is to be posted: a request, and for a fenced message the one behind the fence.
    fn requests(&mut self, message: &Message) -> (SendOp, Option<SendOp>) {
        let peer = &self.ends[1 - self.from];
        let remote = peer.remote(self.layout.responder(message.slot));
        let word = peer.remote(self.layout.word());
        let op = match message.operation {
            Operation::Send => SendOp::Send,
            Operation::SendImm => SendOp::SendImm(message.imm()),
            Operation::Write => SendOp::Write(remote),
            Operation::WriteImm => SendOp::WriteImm(remote, message.imm()),
            Operation::Read | Operation::Fence => SendOp::Read(remote),
            Operation::CompareSwap => {
                let (is_meant_to_fail, swap) = (message.number.is_multiple_of(3), message.name);
                let compare = if is_meant_to_fail { !self.word } else { self.word };
                self.word = if is_meant_to_fail { self.word } else { swap };
                SendOp::CompareSwap { remote: word, compare, swap }
            }
            Operation::FetchAdd => {
                self.word = self.word.wrapping_add(message.name);
                SendOp::FetchAdd { remote: word, add: message.name }
            }
        };
        let echo = peer.remote(self.layout.responder(message.slot) + self.layout.half());
        (op, (message.operation == Operation::Fence).then_some(SendOp::Write(echo)))
    }

    // --- after -------------------------------------------------------------------------------------------------

    fn check_word(&self, message: &Message) -> Result<(), String> {
        let came = read_word(self.own_and_peer()[0], self.layout.requester(message.slot));
        if came == message.old {
            return Ok(());
        }
        Err(format!("the old value {came:#x} came back, not {:#x}", message.old))
    }

    fn check(&self, message: &Message) -> Result<(), String> {
        let [own, peer] = self.own_and_peer();
        let (near, far) = (self.layout.requester(message.slot), self.layout.responder(message.slot));
        let whole = |at| vec![(at, message.len)];
        match message.operation {
            Operation::Read => compare(own, &message.local, near, message),
            Operation::Fence => {
                compare(own, &message.local, near, message)?;
                let echo = far + self.layout.half();
                compare(peer, &whole(echo), echo, message)
            }
            _ => compare(peer, &message.remote, far, message),
        }
    }

    fn own_and_peer(&self) -> [&End; 2] {
        [&self.ends[self.from], &self.ends[1 - self.from]]
    }

    fn label(&self) -> String {
        let (from, to) = if self.from == 0 { ("A", "B") } else { ("B", "A") };
        format!("{from} to {to}, path MTU {}", self.mtu.bytes())
    }
}

impl Message {
    fn imm(&self) -> ImmDt {
        ImmDt((self.name as u32).to_be_bytes())
    }

    /// Whether this is the completion that the message is to have.
    fn completion(&self, is_receive: bool, wc: &Wc) -> bool {
        let opcode = match (is_receive, self.operation) {
            (true, Operation::WriteImm) => WcOpcode::RecvRdmaWithImm,
            (true, _) => WcOpcode::Recv,
            (false, Operation::Send | Operation::SendImm) => WcOpcode::Send,
            (false, Operation::Write | Operation::WriteImm | Operation::Fence) => WcOpcode::RdmaWrite,
            (false, Operation::Read) => WcOpcode::RdmaRead,
            (false, Operation::CompareSwap) => WcOpcode::CompSwap,
            (false, Operation::FetchAdd) => WcOpcode::FetchAdd,
        };
        let has_imm = is_receive && matches!(self.operation, Operation::SendImm | Operation::WriteImm);
        wc.status == WcStatus::Success
            && wc.wr_id == self.number
            && wc.opcode == opcode
            && wc.byte_len as usize == self.len
            && wc.imm == has_imm.then(|| self.imm())
    }
}

/// What lies where nothing has arrived.
const SPOILT: u8 = 0xEE;

fn scatter(end: &End, pieces: &[Piece], mut data: &[u8]) {
    for (at, len) in pieces {
        let (here, rest) = data.split_at(*len);
        end.buffer.write(*at, here);
        data = rest;
    }
}

/// Whether the bytes of the message lie in the pieces, and the guard behind the last byte of memory, which
/// starts at `start`, is untouched.
fn compare(end: &End, pieces: &[Piece], start: usize, message: &Message) -> Result<(), String> {
    let mut came = Vec::with_capacity(message.len);
    for (at, len) in pieces {
        came.extend_from_slice(&end.buffer.to_vec(*at, *len));
    }
    let expected = pattern::bytes(message.name, message.len);
    if let Some(index) = (0..message.len).find(|index| came[*index] != expected[*index]) {
        return Err(format!("byte {index} is {:#04x}, not {:#04x}", came[index], expected[index]));
    }
    let guard = end.buffer.to_vec(start + message.len, GUARD);
    match guard.iter().position(|byte| *byte != SPOILT) {
        Some(index) => Err(format!("byte {index} behind its end was written")),
        None => Ok(()),
    }
}

fn read_word(end: &End, at: usize) -> u64 {
    let mut word = [0; 8];
    end.buffer.read(at, &mut word);
    u64::from_ne_bytes(word)
}
