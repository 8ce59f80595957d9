//! Remote memory, as far as packets tell: who touched which bytes, what stands there, what was denied.
//!
//! A pure function of the latest frames. What a WRITE carries stands in the owner's memory once the owner has received
//! it in its turn; what a READ brings back stood there.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ferroce_engine::{Psn, Qpn, Time, TraceEvent};
use ferroce_recording::{PacketRecord, Record, What};
use ferroce_wire::{Operation, Packet, Position};

use super::{Film, tell};

/// Frames back from the present that are looked at.
const LOOKED_AT: usize = 20_000;
/// Accesses that are kept, the latest.
const ACCESSES: usize = 64;
/// Lines of sixteen bytes that are kept of all memory together.
const LINES: usize = 1 << 14;
/// Keys of which something is kept.
const KEYS: usize = 256;
/// Bytes of a line.
pub const LINE: u64 = 16;

/// A line of memory: whose, by which R_Key, and its address divided by [`LINE`].
pub type Place = (u32, u32, u64);

/// What is known of remote memory at a moment.
#[derive(Debug, Default)]
pub struct Memory {
    /// The latest accesses, oldest first.
    pub accesses: VecDeque<Access>,
    /// Bytes that were seen.
    lines: BTreeMap<Place, [Option<u8>; LINE as usize]>,
    /// What is known of each key: whose it is, and the key.
    pub keys: BTreeMap<(u32, u32), Key>,
    /// The latest bytes that were touched: whose, by which key, from where to where.
    pub last: Option<(u32, u32, u64, u64)>,
}

/// A region or window, as far as its use shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Key {
    /// The lowest address that was touched, and the one after the highest.
    pub range: Option<(u64, u64)>,
    /// Packets that wrote, or asked for an atomic.
    pub writes: u64,
    /// Packets that brought back what was read.
    pub reads: u64,
    /// Packets that were refused.
    pub denied: u64,
}

/// A packet touched memory, or was not allowed to.
#[derive(Debug)]
pub struct Access {
    /// When.
    pub at: Time,
    /// What happened, in a line.
    pub text: String,
    /// It was refused.
    pub denied: bool,
}

/// Where the next packet of a message goes on.
#[derive(Clone, Copy)]
struct Cursor {
    owner: u32,
    rkey: u32,
    va: u64,
}

/// A packet that is said to have been received: it counts if nothing is wrong with it.
struct Arrival<'a> {
    at: Time,
    from: u32,
    host: u32,
    qp: Qpn,
    packet: &'a PacketRecord,
}

#[derive(Default)]
struct Reader<'a> {
    memory: Memory,
    /// Packets under way, by receiver, queue pair and PSN.
    sent: HashMap<(u32, Qpn, Psn), (u32, &'a PacketRecord)>,
    pending: Option<Arrival<'a>>,
    /// Of messages that are being received, by receiver and queue pair.
    cursors: HashMap<(u32, Qpn), Cursor>,
    /// Of READs that were asked for, by the requester and the PSN.
    reads: HashMap<(u32, Psn), Cursor>,
}

impl Memory {
    /// What is known at this position of a film.
    pub fn at(film: &Film, position: usize) -> Memory {
        let end = position.min(film.frames.len());
        let mut reader = Reader::default();
        for frame in &film.frames[end.saturating_sub(LOOKED_AT)..end] {
            reader.read(film, frame);
        }
        reader.commit(film);
        reader.memory
    }

    /// The bytes of a line, as far as they were seen.
    pub fn line(&self, place: Place) -> [Option<u8>; LINE as usize] {
        self.lines.get(&place).copied().unwrap_or_default()
    }

    fn put(&mut self, to: Cursor, bytes: &[u8]) {
        for (offset, byte) in bytes.iter().enumerate() {
            let at = to.va.wrapping_add(offset as u64);
            let place = (to.owner, to.rkey, at / LINE);
            if self.lines.len() < LINES || self.lines.contains_key(&place) {
                self.lines.entry(place).or_default()[(at % LINE) as usize] = Some(*byte);
            }
        }
    }

    fn touch(&mut self, at: Time, text: String, to: Cursor, len: u64) {
        self.last = Some((to.owner, to.rkey, to.va, to.va.saturating_add(len)));
        self.add(Access { at, text, denied: false });
    }

    /// The use of a key, if it is known already or there is room for it.
    fn key(&mut self, owner: u32, rkey: u32) -> Option<&mut Key> {
        let key = (owner, rkey);
        let known = self.keys.len() < KEYS || self.keys.contains_key(&key);
        known.then(|| self.keys.entry(key).or_default())
    }

    fn add(&mut self, access: Access) {
        if self.accesses.len() == ACCESSES {
            self.accesses.pop_front();
        }
        self.accesses.push_back(access);
    }
}

impl<'a> Reader<'a> {
    fn read(&mut self, film: &Film, frame: &'a Record) {
        match &frame.what {
            What::Packet(packet) => {
                self.commit(film);
                if let (Some(to), Ok(parsed)) = (packet.to, Packet::parse(&packet.bytes)) {
                    let bth = parsed.headers.bth;
                    self.sent.insert((to, bth.dest_qp, bth.psn), (frame.host, packet));
                }
            }
            What::Device(TraceEvent::Received { qp, psn, .. }) => {
                self.commit(film);
                if let Some((from, packet)) = self.sent.get(&(frame.host, *qp, *psn)).copied() {
                    self.pending = Some(Arrival { at: frame.at, from, host: frame.host, qp: *qp, packet });
                }
            }
            What::Device(
                TraceEvent::Gap { .. } | TraceEvent::Duplicate { .. } | TraceEvent::Dropped { .. },
            ) => {
                self.pending = self.pending.take().filter(|arrival| arrival.host != frame.host);
            }
            What::Device(TraceEvent::Refused { syndrome, denied, .. }) => {
                let arrival = self.pending.take().filter(|arrival| arrival.host == frame.host);
                let named = arrival.and_then(|arrival| named(arrival.packet));
                if let Some((_, rkey, _)) = named
                    && let Some(key) = self.memory.key(frame.host, rkey)
                {
                    key.denied += 1;
                }
                let wanted = named.map_or(String::new(), |(va, rkey, len)| {
                    format!(" {:#x}..{:#x}, R_Key {rkey:#010x}", va, va.saturating_add(len))
                });
                let why = denied.map_or(syndrome.to_string(), |denied| denied.to_string());
                let text = format!("{} DENIED{wanted}: {why}", name(film, frame.host));
                self.memory.add(Access { at: frame.at, text, denied: true });
            }
            What::Device(_) | What::Switch(_) => self.commit(film),
        }
    }

    /// Nothing was wrong with the packet that came last.
    fn commit(&mut self, film: &Film) {
        let Some(Arrival { at, from, host, qp, packet: record }) = self.pending.take() else { return };
        let Ok(packet) = Packet::parse(&record.bytes) else { return };
        let (headers, payload) = (packet.headers, packet.payload);
        let (opcode, psn, len) = (headers.bth.opcode, headers.bth.psn, payload.len() as u64);
        let (operation, goes_on) =
            (opcode.operation(), !matches!(opcode.position(), Position::First | Position::Only));
        let is_response =
            opcode.is_response() && !matches!(operation, Operation::Acknowledge | Operation::AtomicAck);
        let named = named(record);
        let cursor = match named {
            Some((va, rkey, _)) => Some(Cursor { owner: host, rkey, va }),
            None if goes_on => self.cursors.get(&(host, qp)).copied(),
            None if is_response => self.reads.get(&(host, psn)).copied(),
            None => None,
        };
        let Some(cursor) = cursor else { return };
        let label = tell::label(opcode, psn, None);
        let (owner, who) = (name(film, cursor.owner), name(film, if is_response { host } else { from }));
        let touched = if payload.is_empty() { named.map_or(0, |(_, _, len)| len) } else { len };
        let end = cursor.va.saturating_add(touched);
        let verb = if is_response { "got" } else { "touched" };
        let text = format!(
            "{who} {verb} {owner}'s {:#x}..{end:#x}, R_Key {:#010x}: {label}",
            cursor.va, cursor.rkey
        );
        if let Some(key) = self.memory.key(cursor.owner, cursor.rkey) {
            let (from, to) = key.range.unwrap_or((cursor.va, end));
            key.range = Some((from.min(cursor.va), to.max(end)));
            key.reads += u64::from(is_response);
            key.writes += u64::from(!is_response && operation != Operation::ReadRequest);
        }
        self.memory.put(cursor, payload);
        self.memory.touch(at, text, cursor, touched);
        if operation == Operation::ReadRequest {
            self.reads.insert((from, psn), cursor);
        }
        self.cursors.insert((host, qp), Cursor { va: end, ..cursor });
    }
}

/// Which memory a packet names: address, key and length.
fn named(packet: &PacketRecord) -> Option<(u64, u32, u64)> {
    let headers = Packet::parse(&packet.bytes).ok()?.headers;
    let reth = headers.reth.map(|reth| (reth.va, reth.rkey, u64::from(reth.len)));
    reth.or(headers.atomic.map(|atomic| (atomic.va, atomic.rkey, 8)))
}

fn name(film: &Film, host: u32) -> &str {
    film.hosts.get(host as usize).map_or("?", |host| host.name.as_str())
}
