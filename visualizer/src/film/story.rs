//! A run as plain data: two hosts, what they send each other, and what the network does to it. The same story
//! always makes the same film.

use std::net::Ipv4Addr;
use std::time::Duration;

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, DeviceConfig, ImmDt, MrInit, PathMtu, Payload, Personality, Psn,
    QpAttr, QpCap, QpInit, QpType, RecvWr, Remote, SendFlags, SendOp, SendWr, Sge, Time,
};
use ferroce_fabric::{Chance, End, Fabric, Fate, HostId, Link, Match, Port, Rule, ScenarioError};
use ferroce_recording::Header;
use serde::{Deserialize, Serialize};

use super::{Film, MAX_FRAMES, Origin};

/// Messages of one story.
const MAX_MESSAGES: usize = 100_000;
/// Bytes of one message.
const MAX_LEN: u32 = 1 << 20;
/// Room in every queue.
const DEPTH: u32 = 1024;
const IOVA: u64 = 0x1_0000;

/// A run that can be made again and again. As JSON, what is left out is as [`Story::default`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Story {
    /// Decides what is left to chance.
    pub seed: u64,
    /// Path MTU in bytes.
    pub mtu: u32,
    /// Nanoseconds from one host to the other.
    pub latency_ns: u64,
    /// Bits per second of either host; 0 for no limit.
    pub rate: u64,
    /// Packets lost by chance, of a million.
    pub loss: u32,
    /// Packets that arrive twice, of a million.
    pub duplicate: u32,
    /// Packets that others overtake, of a million.
    pub reorder: u32,
    /// Packets that are damaged, of a million.
    pub corrupt: u32,
    /// Local ACK timeout, 1..=31: 4.096 µs · 2^timeout.
    pub timeout: u8,
    /// Retransmissions before giving up, 0..=7.
    pub retry_cnt: u8,
    /// The same after "receiver not ready"; 7 for ever.
    pub rnr_retry: u8,
    /// What is sent, in order of time.
    pub messages: Vec<Message>,
    /// Packets that meet a fate of their own.
    pub faults: Vec<Fault>,
}

/// One message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Message {
    /// When it is posted, in nanoseconds.
    pub at_ns: u64,
    /// The host that posts it: 0 or 1.
    pub from: u8,
    /// What it asks for.
    pub op: Op,
    /// Bytes.
    pub len: u32,
    /// The peer posts no receive for it.
    pub no_receive: bool,
    /// It names a key that opens nothing.
    pub bad_key: bool,
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the operation of its name")]
pub enum Op {
    #[default]
    Send,
    SendImm,
    Write,
    WriteImm,
    Read,
    CompareSwap,
    FetchAdd,
}

/// A packet that meets a fate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The host that sends it.
    pub host: u32,
    /// Which of its packets it is, from 1.
    pub nth: u64,
    /// Its fate.
    pub kind: FaultKind,
}

/// What can happen to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives 5 µs late, so that others overtake it.
    Delay,
    /// Bits of it flip.
    Corrupt,
    /// It arrives as if nothing ever happened to packets.
    Deliver,
}

/// Why a story cannot be played.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoryError {
    /// It asks for what is not to be had.
    #[error("the scenario cannot be played: {0}")]
    Impossible(&'static str),
    /// A film that nobody knows how to make again.
    #[error("only a simulated run can be made again; this one was recorded or captured")]
    NoStory,
    /// It is no scenario of the simulated network.
    #[error("the scenario is wrong: {0}")]
    Scenario(#[from] ScenarioError),
    /// There is no packet to change.
    #[error("there is no packet in this place")]
    NoPacket,
}

impl Fault {
    pub(super) fn rule(&self) -> Rule {
        let fate = match self.kind {
            FaultKind::Drop => Fate::Drop,
            FaultKind::Duplicate => Fate::Duplicate(Duration::from_micros(1)),
            FaultKind::Delay => Fate::Delay(Duration::from_micros(5)),
            FaultKind::Corrupt => Fate::Corrupt,
            FaultKind::Deliver => Fate::Deliver,
        };
        Rule::new(Match::from(HostId(self.host as usize)).nth(self.nth), fate)
    }
}

impl Default for Story {
    fn default() -> Story {
        Story {
            seed: 1,
            mtu: 1024,
            latency_ns: 900,
            rate: 25_000_000_000,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            timeout: 8,
            retry_cnt: 6,
            rnr_retry: 6,
            messages: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl Story {
    /// Plays it.
    ///
    /// # Errors
    /// When it asks for what is not to be had.
    pub fn play(&self) -> Result<Film, StoryError> {
        self.check()?;
        let mut stage = Stage::build(self).map_err(|_| StoryError::Impossible("the devices refuse it"))?;
        let mut remarks = Vec::new();
        for message in &self.messages {
            let at = Time::from_nanos(message.at_ns);
            if !stage.run_until(at) {
                break;
            }
            if !stage.post(message) {
                remarks.push(format!(
                    "A message at {at} found its queue full, or in error, and was not posted."
                ));
            }
        }
        while stage.room() && stage.fabric.step() {}
        if !stage.room() {
            remarks.push(format!("Only the first {MAX_FRAMES} frames are kept."));
        }
        remarks.truncate(16);
        let Header { hosts, switches, .. } = stage.fabric.header();
        let frames = stage.fabric.log().records().take(MAX_FRAMES).collect();
        let (title, origin) = ("simulation".to_owned(), Some(Origin::Pair(self.clone())));
        Ok(Film { title, hosts, switches, frames, remarks, origin })
    }

    fn check(&self) -> Result<(), StoryError> {
        let impossible = [
            (PathMtu::from_bytes(self.mtu as usize).is_none(), "mtu is none of 256, 512, 1024, 2048, 4096"),
            (!(1..=31).contains(&self.timeout), "timeout is not from 1 to 31"),
            (self.retry_cnt > 7 || self.rnr_retry > 7, "retry_cnt and rnr_retry end at 7"),
            (self.messages.len() > MAX_MESSAGES, "there are more than 100 000 messages"),
            (self.messages.iter().any(|m| m.from > 1), "there are only hosts 0 and 1"),
            (self.faults.iter().any(|f| f.host > 1), "there are only hosts 0 and 1"),
            (self.messages.iter().any(|m| m.len > MAX_LEN), "a message is longer than 1 MiB"),
            (!self.messages.is_sorted_by_key(|m| m.at_ns), "messages are not in order of time"),
            (self.latency_ns > 1_000_000_000, "latency is more than a second"),
        ];
        match impossible.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, why)) => Err(StoryError::Impossible(why)),
            None => Ok(()),
        }
    }
}

/// Two hosts with a connection between them.
struct Stage {
    fabric: Fabric,
    ends: [End; 2],
    lkeys: [u32; 2],
    rkeys: [u32; 2],
    cqs: [Cq; 2],
    posted: u64,
}

impl Stage {
    fn build(story: &Story) -> Result<Stage, ferroce_engine::VerbsError> {
        let mut fabric: Fabric = Fabric::new(story.seed);
        let longest = story.messages.iter().map(|m| m.len).max().unwrap_or(0).max(8) as usize;
        let rate = (story.rate > 0).then_some(story.rate);
        let mut sides = Vec::new();
        for (name, last) in [("A", 1), ("B", 2)] {
            // Numbers that a person can read and compare.
            let personality = Personality::predictable();
            let address = Ipv4Addr::new(10, 0, 0, last);
            let host =
                fabric.add_device(DeviceConfig { personality, ..DeviceConfig::new(name, [address.into()]) });
            fabric.set_port(host, Port { rate, train: 1, ..Port::default() });
            let side = fabric.with(host, |device, _| {
                let pd = device.alloc_pd()?;
                let init = MrInit { iova: IOVA, ..MrInit::new(&Buffer::new(longest), access()) };
                let mr = device.reg_mr(pd, init)?;
                let cq = device.create_cq(1 << 16)?;
                let cap = QpCap { max_send_wr: DEPTH, max_recv_wr: DEPTH, ..QpCap::default() };
                let init = QpInit { cap, signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
                Ok((device.create_qp(&init)?, mr, cq))
            });
            let (qp, mr, cq) = side?;
            sides.push((End { host, qp }, mr, cq));
        }
        let [a, b] = [sides[0], sides[1]];
        let ends = [a.0, b.0];
        let mtu = PathMtu::from_bytes(story.mtu as usize).unwrap_or(PathMtu::Mtu1024);
        // Easy to tell apart.
        let psns = [Psn::new(0x10), Psn::new(0x810)];
        for (me, peer) in [(0, 1), (1, 0)] {
            let av = AddressVector::new(0, fabric.address(ends[peer].host));
            let (timeout, retry_cnt) = (Some(story.timeout), Some(story.retry_cnt));
            let rts =
                QpAttr { timeout, retry_cnt, rnr_retry: Some(story.rnr_retry), ..QpAttr::rts(psns[me]) };
            for change in [QpAttr::init(access()), QpAttr::rtr(av, ends[peer].qp, psns[peer], mtu), rts] {
                fabric.modify_qp(ends[me], &change)?;
            }
        }
        fabric.set_links(Link {
            loss: Chance::millionths(story.loss),
            duplicate: Chance::millionths(story.duplicate),
            reorder: Chance::millionths(story.reorder),
            corrupt: Chance::millionths(story.corrupt),
            ..Link::perfect(Duration::from_nanos(story.latency_ns))
        });
        story.faults.iter().for_each(|fault| fabric.add_rule(fault.rule()));
        let (lkeys, rkeys) = ([a.1.lkey, b.1.lkey], [a.1.rkey, b.1.rkey]);
        Ok(Stage { fabric, ends, lkeys, rkeys, cqs: [a.2, b.2], posted: 0 })
    }

    fn room(&self) -> bool {
        self.fabric.log().entries.len() < MAX_FRAMES
    }

    /// Lets everything up to this moment happen; false if there is too much.
    fn run_until(&mut self, at: Time) -> bool {
        while self.fabric.next_moment().is_some_and(|next| next <= at) {
            if !self.room() || !self.fabric.step() {
                return false;
            }
        }
        self.fabric.run_until(at);
        true
    }

    /// Posts a message and the receive it needs; false if it is refused.
    fn post(&mut self, message: &Message) -> bool {
        let (me, peer) = (usize::from(message.from), 1 - usize::from(message.from));
        self.posted += 1;
        let rkey = self.rkeys[peer] ^ if message.bad_key { 0x100 } else { 0 };
        let (remote, imm) = (Remote { addr: IOVA, rkey }, ImmDt((self.posted as u32).to_be_bytes()));
        let op = match message.op {
            Op::Send => SendOp::Send,
            Op::SendImm => SendOp::SendImm(imm),
            Op::Write => SendOp::Write(remote),
            Op::WriteImm => SendOp::WriteImm(remote, imm),
            Op::Read => SendOp::Read(remote),
            Op::CompareSwap => SendOp::CompareSwap { remote, compare: 0, swap: self.posted },
            Op::FetchAdd => SendOp::FetchAdd { remote, add: 1 },
        };
        let len = if op.is_atomic() { 8 } else { message.len };
        let wr_id = self.posted;
        if op.consumes_receive() && !message.no_receive {
            let sges = [Sge { addr: IOVA, len, lkey: self.lkeys[peer] }];
            if self.fabric.post_recv(self.ends[peer], &[RecvWr { wr_id, sges: &sges }]).is_err() {
                return false;
            }
        }
        let sges = [Sge { addr: IOVA, len, lkey: self.lkeys[me] }];
        let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, Payload::Sges(&sges)) };
        let posted = self.fabric.post_send(self.ends[me], &[wr]).is_ok();
        // The application takes its completions as they come.
        for (end, cq) in self.ends.iter().zip(self.cqs) {
            self.fabric.poll(end.host, cq);
        }
        posted
    }
}

fn access() -> Access {
    Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC
}
