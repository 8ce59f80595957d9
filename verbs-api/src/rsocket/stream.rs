//! A byte stream over RDMA WRITEs.
//!
//! Each side has a ring of memory that the other writes to. It offers the ring in halves, by writing to a table of
//! the other's where they are; and it counts the messages that may be on their way, so that the receive queue is
//! never empty. A message is a WRITE with its length as immediate data. Nothing here waits.

use std::collections::VecDeque;

use ferroce_engine::{Access, Payload, Remote, SendOp, SendWr, Wc, WcStatus};

use crate::completion::CompletionQueue;
use crate::context::Context;
use crate::error::Error;
use crate::memory::{MemoryRegion, ProtectionDomain};
use crate::queue_pair::QueuePair;

use super::format::{Hello, Mapping, Target, Word};
use super::{Options, SocketError};

/// Entries of a table of targets.
const TARGETS: usize = 2;
/// Words of control that can be on their way at once.
const CONTROL: usize = 4;
/// The `wr_id` of receives; those of sends are [`Tag`]s.
const RECEIVE: u64 = 0;
/// The least room in the send buffer that is worth a message, and the size of a first message.
const FIRST: usize = 2048;
/// The largest message.
const LARGEST: usize = 65_536;

pub(super) struct Stream {
    pub qp: QueuePair,
    pub cq: CompletionQueue,
    domain: ProtectionDomain,

    // What comes.
    ring: MemoryRegion,
    read_at: usize,
    /// Lengths of messages that are in the ring.
    arrived: VecDeque<usize>,
    /// Bytes that were read and not offered again.
    free: usize,
    /// Which half is offered next.
    next_half: usize,
    /// Messages that were read, and how many when credits are due next.
    consumed: u16,
    credits_due: u16,
    receives: u16,

    // What goes.
    outgoing: MemoryRegion,
    write_at: usize,
    room: usize,
    /// Sends that can be posted, control apart.
    slots: usize,
    control_slots: usize,
    sends: usize,
    sent: u16,
    may_send: u16,

    /// Written by the peer: its targets and mappings.
    table: MemoryRegion,
    mappings: usize,
    target: Target,
    next_target: usize,

    // What the peer has.
    peer: Option<Hello>,
    next_peer_target: usize,
    mapped: Vec<bool>,

    pub readable: bool,
    pub writable: bool,
    pub connected: bool,
    pub failed: bool,
}

impl Stream {
    /// With everything that can be made before the peer is known; the queue pair is in INIT.
    pub(super) fn new(context: &Context, options: &Options) -> Result<Stream, Error> {
        let domain = context.protection_domain()?;
        let (sends, receives) = (options.send_queue, options.receive_queue);
        let cq = context.completion_queue(u32::from(sends) + u32::from(receives))?;
        let qp = domain
            .queue_pair(&cq)
            .max_send_wr(sends.into())
            .max_recv_wr(receives.into())
            .max_send_sge(2)
            .max_recv_sge(1)
            .max_inline_data(64)
            .signal_all(true)
            .access(Access::REMOTE_WRITE)
            .build()?;
        let open = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let ring = domain.register(options.receive_buffer, open)?;
        let outgoing = domain.register(options.send_buffer, Access::LOCAL_WRITE)?;
        let mappings = super::format::unscale(super::format::scale(options.mappings));
        let table = domain.register(TARGETS * Target::LEN + mappings * Mapping::LEN, open)?;
        let mut stream = Stream {
            qp,
            cq,
            domain,
            read_at: 0,
            arrived: VecDeque::new(),
            free: ring.len() / 2,
            next_half: 1,
            ring,
            consumed: 0,
            credits_due: receives / 2,
            receives,
            write_at: 0,
            room: outgoing.len(),
            outgoing,
            slots: usize::from(sends) - CONTROL,
            control_slots: CONTROL,
            sends: usize::from(sends),
            sent: 0,
            may_send: 0,
            table,
            mappings,
            target: Target::default(),
            next_target: 1,
            peer: None,
            next_peer_target: 1,
            mapped: Vec::new(),
            readable: true,
            writable: true,
            connected: false,
            failed: false,
        };
        for _ in 0..receives {
            stream.post_receive()?;
        }
        Ok(stream)
    }

    fn post_receive(&mut self) -> Result<(), Error> {
        // Messages land in the ring; a receive takes only their immediate data.
        self.qp.receive(RECEIVE, &[])
    }

    /// What the peer must be told.
    pub(super) fn hello(&self) -> Hello {
        let half = (self.ring.len() / 2) as u32;
        Hello {
            credits: self.receives,
            mappings: self.mappings,
            table: Target { addr: self.table.addr(), key: self.table.rkey(), len: TARGETS as u32 },
            buffer: Target { addr: self.ring.addr(), key: self.ring.rkey(), len: half },
            swap: false,
        }
    }

    /// What the peer has told.
    pub(super) fn meet(&mut self, hello: Hello) {
        self.target = hello.buffer;
        self.may_send = hello.credits;
        self.mapped = vec![false; hello.mappings];
        self.peer = Some(hello);
    }

    /// From now on messages can go.
    pub(super) fn connect(&mut self) {
        self.connected = true;
    }

    // --- the network ---------------------------------------------------------------------------------------------

    /// Deals with completions that came, and offers the room that was made.
    pub(super) fn progress(&mut self) {
        let mut wcs = [Wc::default(); 16];
        loop {
            self.offer();
            let count = self.cq.poll(&mut wcs);
            self.completed(&wcs[..count]);
            if count == 0 {
                return;
            }
        }
    }

    /// Deals with completions.
    pub(super) fn completed(&mut self, wcs: &[Wc]) {
        for wc in wcs {
            if wc.wr_id == RECEIVE {
                self.received(wc);
            } else {
                self.was_sent(wc);
            }
        }
    }

    fn was_sent(&mut self, wc: &Wc) {
        match Tag::of(wc.wr_id) {
            Tag::Control => self.control_slots += 1,
            Tag::Data(len) => {
                self.slots += 1;
                self.room += len;
            }
        }
        if wc.status != WcStatus::Success && self.connected {
            self.fail();
        }
    }

    fn received(&mut self, wc: &Wc) {
        let Some(imm) = wc.imm.filter(|_| wc.status == WcStatus::Success) else { return };
        match Word::from_imm(imm) {
            Word::Data(len) => {
                self.arrived.push_back(len as usize);
                // More than was ever offered: the peer does not play by the rules.
                let total: usize = self.arrived.iter().sum();
                if self.arrived.len() > usize::from(self.receives) || total > self.ring.len() {
                    return self.fail();
                }
            }
            Word::Credits(count) => self.may_send = count,
            Word::Disconnect => self.end(),
            Word::Shutdown if self.writable => self.readable = false,
            Word::Shutdown => self.end(),
            Word::Mapped(_) | Word::KeepAlive | Word::Unknown => {}
        }
        if self.connected && self.post_receive().is_err() {
            self.fail();
        }
    }

    /// Neither side will say any more.
    pub(super) fn end(&mut self) {
        self.connected = false;
        self.readable = false;
        self.writable = false;
    }

    fn fail(&mut self) {
        self.failed = true;
        self.end();
    }

    /// Tells the peer of room in the ring, and of messages that it may send.
    fn offer(&mut self) {
        let half = self.ring.len() / 2;
        let due = self.consumed.wrapping_sub(self.credits_due) < 1 << 15;
        let has_room = self.free >= half;
        let Some(peer) = self.peer else { return };
        if !self.connected || self.control_slots == 0 || !(has_room || due) {
            return;
        }
        self.control_slots -= 1;
        self.credits_due = self.consumed.wrapping_add(self.receives / 2);
        let word = Word::Credits(self.consumed.wrapping_add(self.receives));
        let posted = if has_room {
            let addr = self.ring.addr() + (self.next_half * half) as u64;
            let target = Target { addr, key: self.ring.rkey(), len: half as u32 };
            let at = peer.table.addr.wrapping_add((self.next_peer_target * Target::LEN) as u64);
            self.free -= half;
            self.next_half = 1 - self.next_half;
            self.next_peer_target = (self.next_peer_target + 1) % (peer.table.len.max(1) as usize);
            let to = Remote { addr: at, rkey: peer.table.key };
            self.post_inline(&target.to_memory(peer.swap), to, word)
        } else {
            self.post_inline(&[], Remote { addr: 0, rkey: 0 }, word)
        };
        if posted.is_err() {
            self.fail();
        }
    }

    fn post_inline(&mut self, data: &[u8], to: Remote, word: Word) -> Result<(), Error> {
        let op = SendOp::WriteImm(to, word.to_imm());
        self.qp.post_send(&[SendWr::new(Tag::Control.wr_id(), op, Payload::Inline(data))])
    }

    // --- reading ---------------------------------------------------------------------------------------------------

    pub(super) fn has_data(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Moves what has come to `out`, as much as fits. With `peek` it stays.
    pub(super) fn read(&mut self, out: &mut [u8], peek: bool) -> usize {
        let (mut at, mut done) = (self.read_at, 0);
        let mut messages = self.arrived.iter().copied();
        let mut whole = 0;
        let mut rest = None;
        while done < out.len()
            && let Some(len) = messages.next()
        {
            let take = len.min(out.len() - done);
            at = self.copy_out(at, &mut out[done..done + take]);
            done += take;
            if take == len {
                whole += 1;
            } else {
                rest = Some(len - take);
            }
        }
        if !peek {
            self.arrived.drain(..whole);
            if let (Some(rest), Some(front)) = (rest, self.arrived.front_mut()) {
                *front = rest;
            }
            self.read_at = at;
            self.free += done;
            self.consumed = self.consumed.wrapping_add(whole as u16);
            self.offer();
        }
        done
    }

    fn copy_out(&self, at: usize, out: &mut [u8]) -> usize {
        let first = out.len().min(self.ring.len() - at);
        let (head, tail) = out.split_at_mut(first);
        self.ring.read(at, head);
        self.ring.read(0, tail);
        (at + out.len()) % self.ring.len()
    }

    // --- writing ---------------------------------------------------------------------------------------------------

    pub(super) fn can_send(&mut self) -> bool {
        self.find_target();
        let room = self.room >= FIRST.min(self.outgoing.len());
        self.writable && self.slots > 0 && room && self.sent != self.may_send && self.target.len > 0
    }

    /// Takes the next target once the one before is full.
    fn find_target(&mut self) {
        if self.target.len > 0 {
            return;
        }
        let mut bytes = [0; Target::LEN];
        let at = self.next_target * Target::LEN;
        self.table.read(at, &mut bytes);
        let target = Target::from_memory(&bytes);
        if target.len > 0 {
            // The peer writes here again only after it has got what goes to this target.
            self.table.write(at, &[0; Target::LEN]);
            self.target = target;
            self.next_target = (self.next_target + 1) % TARGETS;
        }
    }

    /// Sends as much as there is room for. The first messages are small, so that they are on their way early.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<usize, SocketError> {
        let (mut done, mut size) = (0, FIRST);
        while done < data.len() && self.can_send() {
            let left = data.len() - done;
            let len = left.min(size).min(self.room).min(self.target.len as usize);
            size = (size * 2).min(LARGEST);
            let to = Remote { addr: self.target.addr, rkey: self.target.key };
            self.post(&data[done..done + len], to, Some(Word::Data(len as u32)))?;
            self.target.addr = self.target.addr.wrapping_add(len as u64);
            self.target.len -= len as u32;
            self.sent = self.sent.wrapping_add(1);
            done += len;
        }
        Ok(done)
    }

    /// Copies data to the send buffer and posts it.
    fn post(&mut self, data: &[u8], to: Remote, word: Option<Word>) -> Result<(), SocketError> {
        let (at, len) = (self.write_at, data.len());
        let first = len.min(self.outgoing.len() - at);
        self.outgoing.write(at, &data[..first]);
        self.outgoing.write(0, &data[first..]);
        let sges = [self.outgoing.slice(at..at + first), self.outgoing.slice(..len - first)];
        let sges = &sges[..if first < len { 2 } else { 1 }];
        self.write_at = (at + len) % self.outgoing.len();
        self.room -= len;
        self.slots -= 1;
        let batch = self.qp.post();
        let wr_id = Tag::Data(len).wr_id();
        let posted = match word {
            Some(word) => batch.write_imm(wr_id, sges, to, word.to_imm()).submit(),
            None => batch.write(wr_id, sges, to).submit(),
        };
        posted.map_err(|_| {
            self.fail();
            SocketError::Io
        })
    }

    // --- ending ----------------------------------------------------------------------------------------------------

    pub(super) fn can_control(&self) -> bool {
        self.control_slots > 0
    }

    pub(super) fn send_control(&mut self, word: Word) {
        self.control_slots -= 1;
        if self.post_inline(&[], Remote { addr: 0, rkey: 0 }, word).is_err() {
            self.fail();
        }
    }

    /// Everything that was sent has arrived.
    pub(super) fn is_drained(&self) -> bool {
        self.slots + self.control_slots == self.sends
    }

    // --- mappings --------------------------------------------------------------------------------------------------

    /// The domain of memory that is to be mapped.
    pub(super) fn domain(&self) -> &ProtectionDomain {
        &self.domain
    }

    /// Tells the peer of memory that it may write to at `offset`; gives the entry of its table. The caller sees
    /// that it [can send](Self::can_send).
    pub(super) fn map(&mut self, offset: u64, target: Target) -> Result<usize, SocketError> {
        let peer = self.peer.ok_or(SocketError::NotConnected)?;
        let index = self.mapped.iter().position(|used| !used).ok_or(SocketError::NoRoom)?;
        self.write_mapping(peer, index, Mapping { offset, target })?;
        self.mapped[index] = true;
        Ok(index)
    }

    /// Takes a mapping back.
    pub(super) fn unmap(&mut self, index: usize) {
        if let Some(used) = self.mapped.get_mut(index) {
            *used = false;
        }
    }

    fn write_mapping(&mut self, peer: Hello, index: usize, mapping: Mapping) -> Result<(), SocketError> {
        let table = peer.table.addr.wrapping_add(u64::from(peer.table.len) * Target::LEN as u64);
        let at = table.wrapping_add((index * Mapping::LEN) as u64);
        let to = Remote { addr: at, rkey: peer.table.key };
        self.sent = self.sent.wrapping_add(1);
        self.post(&mapping.to_memory(peer.swap), to, Some(Word::Mapped(index as u16)))
    }

    /// Writes to memory that the peer has mapped, as much as there is room for; `None` if nothing is mapped there.
    pub(super) fn write_mapped(&mut self, data: &[u8], offset: u64) -> Option<Result<usize, SocketError>> {
        let mapping = (0..self.mappings).find_map(|index| {
            let mut bytes = [0; Mapping::LEN];
            self.table.read(TARGETS * Target::LEN + index * Mapping::LEN, &mut bytes);
            let mapping = Mapping::from_memory(&bytes);
            let within = offset.checked_sub(mapping.offset)?;
            (within < u64::from(mapping.target.len)).then_some((mapping.target, within))
        });
        let (target, within) = mapping?;
        let room = self.room.min(LARGEST).min((u64::from(target.len) - within) as usize);
        let len = data.len().min(room);
        if len == 0 || self.slots == 0 || !self.writable {
            return Some(Ok(0));
        }
        let to = Remote { addr: target.addr.wrapping_add(within), rkey: target.key };
        Some(self.post(&data[..len], to, None).map(|()| len))
    }
}

/// What a send was, in its `wr_id`, which is never that of a receive.
#[derive(Clone, Copy, Debug)]
enum Tag {
    Control,
    Data(usize),
}

impl Tag {
    fn wr_id(self) -> u64 {
        match self {
            Tag::Control => 1,
            Tag::Data(len) => (len as u64) << 1 | 1 << 40,
        }
    }

    fn of(wr_id: u64) -> Tag {
        if wr_id == 1 { Tag::Control } else { Tag::Data((wr_id & ((1 << 40) - 1)) as usize >> 1) }
    }
}
