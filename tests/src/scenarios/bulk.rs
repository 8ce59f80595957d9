//! Every operation with messages of many sizes, many at a time: data, completions and states of both sides.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::end::End;
use super::{Setup, Stage};
use crate::peer::{Access, Completion, Mr, Opcode, Peer, SendWr, Status, WcOpcode};
use crate::tally::Verdict;
use crate::vm::Direction;

/// Sizes of messages in bytes, around the path MTUs and far above.
pub const SIZES: &[u32] = &[0, 1, 7, 8, 64, 1023, 1024, 1025, 4096, 10_000, 65_536, 1 << 20];

/// One connection over which all operations go.
#[derive(Debug, Clone, Copy)]
pub struct Bulk {
    /// Path MTU in bytes.
    pub mtu: u32,
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// Shortest message.
    pub shortest: u32,
    /// Longest message, one of [`SIZES`].
    pub longest: u32,
}

impl fmt::Display for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        write!(f, "bulk, MTU {}, {family}, up to {} bytes", self.mtu, self.longest)
    }
}

impl Bulk {
    /// The cases of a run, with what is lost; `full`: every path MTU with both families.
    pub fn cases(full: bool) -> Vec<(Self, Option<Direction>)> {
        let mut cases = Vec::new();
        for (row, mtu) in [256, 512, 1024, 2048, 4096].into_iter().enumerate() {
            for (column, loss) in
                [None, Some(Direction::Sent), Some(Direction::Received)].into_iter().enumerate()
            {
                for ipv6 in [false, true] {
                    // Three cases that meet each kind of loss, both families, and small and large packets.
                    if full || (row == 2 * column && ipv6 == (row % 4 == 2)) {
                        // Go-back-N repeats much of a long message for every packet that is lost.
                        let longest = if loss.is_none() { 1 << 20 } else { 65_536 };
                        // Soft-RoCE does not answer a READ of no bytes when it comes again: it compares its key with
                        // that of the request before.
                        let shortest = u32::from(loss.is_some());
                        cases.push((Self { mtu, ipv6, shortest, longest }, loss));
                    }
                }
            }
        }
        cases
    }
}

/// Longest wait for the operations of one size; an emulated CPU moves about a thousand packets a second.
const PATIENCE: Duration = Duration::from_secs(90);
/// Sources and destinations start at offsets below this that change from size to size.
const SLACK: u32 = 4096;
const WORDS: u64 = 16;

/// What carries data, and the number that it adds to the round's for its work requests.
const CARRIERS: [Opcode; 5] = [Opcode::Send, Opcode::Write, Opcode::SendImm, Opcode::WriteImm, Opcode::Read];

impl Bulk {
    /// Plays it and compares. Both peers must be fresh.
    ///
    /// # Errors
    /// When a peer is lost or refuses something; what differs is a [`Verdict::Failed`].
    pub fn run(&self, requester: &mut dyn Peer, responder: &mut dyn Peer) -> Result<Verdict> {
        let mut stage = Stage::new(requester, responder);
        let mut memory = self.prepare(&mut stage)?;
        let mut problems = Vec::new();
        for (round, size) in
            SIZES.iter().copied().filter(|size| (self.shortest..=self.longest).contains(size)).enumerate()
        {
            let round = Round { number: round as u32, size };
            memory.post(&mut stage, round)?;
            problems.extend(round.completions(&mut stage)?);
            for (name, end) in [("requester", &mut stage.req), ("responder", &mut stage.resp)] {
                if !end.is_as_expected("into")? || !end.is_as_expected("words")? {
                    let found = end.memory_problems()?.join("; ");
                    problems.push(format!("{size} bytes: {name}'s memory: {found}"));
                }
            }
            if !problems.is_empty() {
                break;
            }
        }
        let states = format!("{}/{}", stage.req.states()?, stage.resp.states()?);
        if states != "RTS/RTS" {
            problems.push(format!("states: {states}"));
        }
        for end in [&mut stage.req, &mut stage.resp] {
            let events = end.events(false)?;
            ensure!(events.is_empty(), "events {events:?}; {}", problems.join("\n"));
        }
        Ok(if problems.is_empty() { Verdict::Passed } else { Verdict::Failed(problems.join("\n")) })
    }

    fn prepare(&self, stage: &mut Stage<'_>) -> Result<Memory> {
        let room = (self.longest + SLACK) as usize;
        let setup = Setup {
            gid_index: if self.ipv6 { 2 } else { 1 },
            mtu: (self.mtu, self.mtu),
            // Across the end of the PSN space on the way.
            psn: (0xFF_FF80, 0xFF_FFF0),
            // 268 ms: an emulated CPU on a busy host may take its time.
            timeout: 16,
            retry_cnt: 7,
            rnr_retry: 7,
            buf: room,
            pattern: (false, false),
            ..Setup::default()
        };
        stage.connect(&setup)?;
        let source = noise(room);
        let area = |end: &mut End<'_>, areas: usize| {
            end.store("buf", 0, &source)?;
            end.region("into", areas * room, Access::ALL)
        };
        // The requester's only data are what it READs.
        let into = [area(&mut stage.req, 1)?, area(&mut stage.resp, CARRIERS.len())?];
        let words = [
            stage.req.region("words", WORDS as usize, Access::ALL)?,
            stage.resp.region("words", WORDS as usize, Access::ALL)?,
        ];
        Ok(Memory { source, room: room as u64, into, words, sum: 0, swapped: 0 })
    }
}

/// What both sides have, requester first.
struct Memory {
    source: Vec<u8>,
    /// Bytes of one area of `into`; each operation has its own.
    room: u64,
    into: [Mr; 2],
    words: [Mr; 2],
    /// The responder's two words.
    sum: u64,
    swapped: u64,
}

impl Memory {
    /// Posts the receives and all requests of a round, and says where their data should land.
    fn post(&mut self, stage: &mut Stage<'_>, round: Round) -> Result<()> {
        let size = round.size;
        let from = u64::from(round.number * 13 % SLACK);
        let data = self.source[from as usize..][..size as usize].to_vec();
        let mut wrs = Vec::new();
        for (index, opcode) in CARRIERS.into_iter().enumerate() {
            let wr_id = round.wr_id(opcode);
            let to = index as u64 * self.room + u64::from(round.number * 29 % SLACK);
            let mut wr = SendWr::new(wr_id, opcode).imm(round.imm(opcode));
            match opcode {
                Opcode::Read => {
                    let to = to - index as u64 * self.room;
                    wr = wr.sge(self.into[0].sge(to, size)).remote(&stage.resp.buf, from as i64);
                    stage.req.lands_in("into", to as usize, &data);
                }
                Opcode::Write | Opcode::WriteImm => {
                    wr = wr.sge(stage.req.buf.sge(from, size)).remote(&self.into[1], to as i64);
                    stage.resp.lands_in("into", to as usize, &data);
                }
                _ => {
                    wr = wr.sge(stage.req.buf.sge(from, size));
                    stage.resp.lands_in("into", to as usize, &data);
                }
            }
            match opcode {
                Opcode::Send | Opcode::SendImm => {
                    stage.resp.try_recv("qp", wr_id, vec![self.into[1].sge(to, size)])?;
                }
                Opcode::WriteImm => stage.resp.try_recv("qp", wr_id, vec![])?,
                _ => {}
            }
            wrs.push(wr);
        }
        wrs.extend(self.atomics(stage, round));
        stage.req.post_list(wrs)
    }

    /// One of each; every other CMP_SWAP compares with something else.
    fn atomics(&mut self, stage: &mut Stage<'_>, round: Round) -> [SendWr; 2] {
        let wr = |opcode, offset: u64| {
            let local = self.words[0].sge(offset, 8);
            SendWr::new(round.wr_id(opcode), opcode).sge(local).remote(&self.words[1], offset as i64)
        };
        let add = 0x0123_4567_89AB_CDEF ^ u64::from(round.size);
        let compare = self.swapped ^ u64::from(round.number % 2);
        let fetch_add = SendWr { compare_add: add, ..wr(Opcode::FetchAdd, 0) };
        let cmp_swap = SendWr { compare_add: compare, swap: add, ..wr(Opcode::CmpSwap, 8) };
        for (offset, value) in [(0, self.sum), (8, self.swapped)] {
            stage.req.lands_in("words", offset, &value.to_ne_bytes());
        }
        self.sum = self.sum.wrapping_add(add);
        if compare == self.swapped {
            self.swapped = add;
        }
        for (offset, value) in [(0, self.sum), (8, self.swapped)] {
            stage.resp.lands_in("words", offset, &value.to_ne_bytes());
        }
        [fetch_add, cmp_swap]
    }
}

/// All operations with one size.
#[derive(Clone, Copy)]
struct Round {
    number: u32,
    size: u32,
}

impl Round {
    fn wr_id(self, opcode: Opcode) -> u64 {
        u64::from(self.number) * 16 + opcode as u64
    }

    fn imm(self, opcode: Opcode) -> u32 {
        0xA100_0000 | self.number << 8 | opcode as u32
    }

    /// Waits for them; says which are not as they should be.
    fn completions(self, stage: &mut Stage<'_>) -> Result<Vec<String>> {
        use Opcode::{CmpSwap, FetchAdd, Read, Send, SendImm, Write, WriteImm};
        // Undefined lengths are 0 here and not looked at.
        let sent = [
            (Send, WcOpcode::Send, 0, None),
            (Write, WcOpcode::RdmaWrite, 0, None),
            (SendImm, WcOpcode::Send, 0, None),
            (WriteImm, WcOpcode::RdmaWrite, 0, None),
            (Read, WcOpcode::RdmaRead, self.size, None),
            (FetchAdd, WcOpcode::FetchAdd, 8, None),
            (CmpSwap, WcOpcode::CompSwap, 8, None),
        ];
        let received = [
            (Send, WcOpcode::Recv, self.size, None),
            (SendImm, WcOpcode::Recv, self.size, Some(self.imm(SendImm))),
            (WriteImm, WcOpcode::RecvRdmaWithImm, self.size, Some(self.imm(WriteImm))),
        ];
        let mut problems = self.check("requester", &sent, &mut stage.req)?;
        problems.extend(self.check("responder", &received, &mut stage.resp)?);
        Ok(problems)
    }

    fn check(
        self,
        name: &str,
        expected: &[(Opcode, WcOpcode, u32, Option<u32>)],
        end: &mut End<'_>,
    ) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        while end.done.len() < expected.len() && Instant::now() < deadline {
            end.wait(expected.len() - end.done.len())?;
        }
        let done = std::mem::take(&mut end.done);
        let fits = |(opcode, as_what, byte_len, imm): &(Opcode, WcOpcode, u32, Option<u32>),
                    wc: &Completion| {
            wc.wr_id == self.wr_id(*opcode)
                && wc.status == Status::Success
                && wc.opcode == *as_what
                && (*byte_len == 0 || *byte_len == wc.byte_len)
                && imm.is_none_or(|imm| imm == wc.imm)
        };
        if done.len() == expected.len() && expected.iter().zip(&done).all(|(item, wc)| fits(item, wc)) {
            return Ok(Vec::new());
        }
        Ok(vec![format!("{} bytes: {name} expected {expected:?}, saw {done:?}", self.size)])
    }
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut word = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend(word.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
