//! Verbs for the labs. Read this file; the check uses its own copy, so changing it changes nothing.
//!
//! Your program has a network card, the `Nic`. Everything that the card does it does by itself, at its own time: you
//! *post* work requests to a queue pair, and find out from a completion queue when they are done. Names are those of
//! libibverbs where there is one.
//!
//! Time in a lab is simulated: it passes while you poll or wait, and a long run takes no longer than it must.

use crate::talk::{Talk, hex, unhex};
use std::fmt;
use std::ops::{BitOr, Range};
use std::panic::Location;
use std::rc::Rc;

/// Your network card.
#[derive(Clone)]
pub struct Nic {
    talk: Rc<Talk>,
}

/// Memory that the card may use: a memory region, `ibv_mr`. The card reads and writes it while your program runs.
#[derive(Clone)]
pub struct Memory {
    nic: Nic,
    id: u64,
    addr: u64,
    len: usize,
    key: u32,
}

/// Where completed work requests come back: `ibv_cq`.
#[derive(Clone)]
pub struct CompletionQueue {
    nic: Nic,
    id: u64,
}

/// One end of a reliable connection: `ibv_qp`.
#[derive(Clone)]
pub struct QueuePair {
    nic: Nic,
    id: u64,
    qpn: u32,
}

/// What peers and the card may do to memory, or through a queue pair: `ibv_access_flags`. Combine with `|`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(pub u32);

impl Access {
    /// The card may read it, for sending.
    pub const LOCAL_READ: Access = Access(0);
    /// The card may write it, for receiving.
    pub const LOCAL_WRITE: Access = Access(1);
    /// Peers may write it. Needs LOCAL_WRITE.
    pub const REMOTE_WRITE: Access = Access(2);
    /// Peers may read it.
    pub const REMOTE_READ: Access = Access(4);
    /// Peers may do atomics on it. Needs LOCAL_WRITE.
    pub const REMOTE_ATOMIC: Access = Access(8);
}

impl BitOr for Access {
    type Output = Access;
    fn bitor(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }
}

/// States of a queue pair: `ibv_qp_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Reset,
    Init,
    /// Ready to receive.
    Rtr,
    /// Ready to send.
    Rts,
    Err,
    Other,
}

/// Memory of a peer: its address there, and the key for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    pub addr: u64,
    pub rkey: u32,
}

/// What a send work request asks for: `ibv_wr_opcode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Into the next buffer that the peer has posted.
    Send,
    /// The same, with a number for the peer's completion.
    SendImm(u32),
    /// Into the peer's memory; the peer's program is told nothing.
    Write(Remote),
    /// The same, and one of the peer's receives completes with the number.
    WriteImm(Remote, u32),
    /// From the peer's memory into yours.
    Read(Remote),
    /// Adds to a word of 8 bytes of the peer's; what was there before comes into your memory.
    FetchAdd(Remote, u64),
    /// If the peer's word is `compare` it becomes `swap`; what was there before comes into your memory.
    CompareSwap { remote: Remote, compare: u64, swap: u64 },
}

/// How a work request ended: `ibv_wc`. Unless `status` is "success" only `wr_id` means anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The number you gave the work request.
    pub wr_id: u64,
    /// "success", or as `ibv_wc_status_str` names it in short, such as "RemAccessErr".
    pub status: String,
    /// True for a receive, false for what you have sent.
    pub is_receive: bool,
    /// Bytes that were moved.
    pub byte_len: usize,
    /// The number that came with the message.
    pub imm: Option<u32>,
}

impl Completion {
    pub fn is_success(&self) -> bool {
        self.status == "success"
    }
}

/// A call was refused; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A peer asks for a connection: `RDMA_CM_EVENT_CONNECT_REQUEST`.
pub struct Request {
    nic: Nic,
    id: u64,
    /// What the peer's program says with it, filled up with zeros.
    pub private_data: Vec<u8>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The peer rejects it, and says this, filled up with zeros.
    Rejected(Vec<u8>),
    /// The peer does not answer, or the call was wrong.
    Failed(String),
}

/// How large the queues of a queue pair are: `ibv_qp_cap`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Send requests that can be posted and not completed.
    pub send: u32,
    /// Receive requests that can be posted and not completed.
    pub receive: u32,
    /// Treat every send request as signaled (`sq_sig_all`).
    pub signal_all: bool,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { send: 16, receive: 16, signal_all: true }
    }
}

impl Nic {
    pub fn new(talk: Rc<Talk>) -> Nic {
        Nic { talk }
    }

    /// Registers `len` zero bytes: `ibv_reg_mr`.
    #[track_caller]
    pub fn memory(&self, len: usize, access: Access) -> Memory {
        let words = self.must(format!("memory {len} {}", access.0));
        Memory { nic: self.clone(), id: words[0], addr: words[1], len, key: words[2] as u32 }
    }

    /// Makes a completion queue with room for `capacity` completions: `ibv_create_cq`. If more come than are taken
    /// out, completions are lost and queue pairs fail.
    #[track_caller]
    pub fn completion_queue(&self, capacity: u32) -> CompletionQueue {
        CompletionQueue { nic: self.clone(), id: self.must(format!("cq {capacity}"))[0] }
    }

    /// Makes a queue pair, in the state Reset: `ibv_create_qp`. Completions of both its queues go to `cq`.
    #[track_caller]
    pub fn queue_pair(&self, cq: &CompletionQueue, sizes: Sizes) -> QueuePair {
        let Sizes { send, receive, signal_all } = sizes;
        let words = self.must(format!("qp {} {send} {receive} {}", cq.id, u8::from(signal_all)));
        QueuePair { nic: self.clone(), id: words[0], qpn: words[1] as u32 }
    }

    /// Tells another program something, outside of RDMA. Real programs use a TCP connection for this.
    #[track_caller]
    pub fn tell(&self, program: &str, numbers: &[u64]) {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        self.must(format!("tell {program} {}", numbers.join(" ")));
    }

    /// Waits for what another program tells.
    #[track_caller]
    pub fn hear(&self, program: &str) -> Vec<u64> {
        self.must(format!("hear {program}"))
    }

    /// From now on peers can ask for connections at this port: `rdma_listen`.
    #[track_caller]
    pub fn listen(&self, port: u16) {
        self.must(format!("listen {port}"));
    }

    /// Waits for the next request at this port: `rdma_get_request`.
    #[track_caller]
    pub fn request(&self, port: u16) -> Request {
        let words = match self.call(&format!("request {port}")) {
            Ok(words) => words,
            Err(Error(why)) => panic!("{why}"),
        };
        let (id, private_data) = words.split_once(' ').unwrap_or((&words, ""));
        Request { nic: self.clone(), id: id.parse().expect("a number"), private_data: unhex(private_data) }
    }

    /// Asks a program that listens at `port` for a connection, waits for the answer, and leads the queue pair, which is in
    /// Init, to Rts: `rdma_connect`. Numbers and PSNs are agreed upon by the cards. At most 56 bytes of private data go with
    /// it, and come with the answer.
    #[track_caller]
    pub fn dial(&self, program: &str, port: u16, qp: &QueuePair, private_data: &[u8]) -> Result<Vec<u8>, Refusal> {
        match self.call(&format!("dial {program} {port} {} {}", qp.id, hex(private_data))) {
            Ok(words) => Ok(unhex(&words)),
            Err(Error(why)) => Err(match why.strip_prefix("rejected ") {
                Some(private_data) => Refusal::Rejected(unhex(private_data)),
                None => Refusal::Failed(why),
            }),
        }
    }

    /// The time, in nanoseconds from the beginning.
    #[track_caller]
    pub fn now(&self) -> u64 {
        self.must("now".to_owned())[0]
    }

    /// Works on something else for so many nanoseconds. The card goes on meanwhile.
    #[track_caller]
    pub fn work(&self, nanos: u64) {
        self.must(format!("work {nanos}"));
    }

    #[track_caller]
    fn must(&self, call: String) -> Vec<u64> {
        match self.call(&call) {
            Ok(words) => crate::talk::numbers(&words),
            Err(Error(why)) => panic!("{why}"),
        }
    }

    #[track_caller]
    fn call(&self, call: &str) -> Result<String, Error> {
        let place = Location::caller();
        // What the program around your file calls stands in no line of yours.
        let line = if place.file() == file!() { 0 } else { place.line() };
        self.talk.say(&format!("{line} {call}"));
        let answer = self.talk.hear().unwrap_or_else(|| std::process::exit(1));
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("ok", words) => Ok(words.to_owned()),
            (_, why) => Err(Error(why.to_owned())),
        }
    }
}

impl Request {
    /// Accepts: leads the queue pair, which is in Init, to Rts, and waits until the peer's is there too: `rdma_accept`.
    #[track_caller]
    pub fn accept(self, qp: &QueuePair, private_data: &[u8]) -> Result<(), Error> {
        self.nic.call(&format!("accept {} {} {}", self.id, qp.id, hex(private_data))).map(drop)
    }

    /// Rejects: `rdma_reject`.
    #[track_caller]
    pub fn reject(self, private_data: &[u8]) {
        self.nic.must(format!("reject {} {}", self.id, hex(private_data)));
    }
}

impl Memory {
    /// The address that peers use for its first byte.
    pub fn addr(&self) -> u64 {
        self.addr
    }

    /// The key that peers use: the R_Key.
    pub fn rkey(&self) -> u32 {
        self.key
    }

    /// Bytes that it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes into it, as your program writes into its own memory.
    #[track_caller]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.nic.must(format!("put {} {at} {}", self.id, hex(bytes)));
    }

    /// What is in it now.
    #[track_caller]
    pub fn read(&self, range: Range<usize>) -> Vec<u8> {
        let call = format!("take {} {} {}", self.id, range.start, range.end.saturating_sub(range.start));
        match self.nic.call(&call) {
            Ok(bytes) => unhex(&bytes),
            Err(Error(why)) => panic!("{why}"),
        }
    }

    /// The word of 8 bytes at `at`, as atomics see it.
    #[track_caller]
    pub fn word(&self, at: usize) -> u64 {
        let bytes = self.read(at..at + 8);
        u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
    }
}

impl QueuePair {
    /// Its number, which the peer needs.
    pub fn qpn(&self) -> u32 {
        self.qpn
    }

    /// Reset to Init: from now on receives can be posted. `access` is what the peer may do.
    #[track_caller]
    pub fn to_init(&self, access: Access) -> Result<(), Error> {
        self.nic.call(&format!("init {} {}", self.id, access.0)).map(drop)
    }

    /// Init to Rtr, "ready to receive": connected to queue pair `qpn` of the program's card, whose first packet will
    /// have the PSN `psn`.
    #[track_caller]
    pub fn to_rtr(&self, program: &str, qpn: u32, psn: u32) -> Result<(), Error> {
        self.nic.call(&format!("rtr {} {program} {qpn} {psn}", self.id)).map(drop)
    }

    /// Rtr to Rts, "ready to send": our first packet has the PSN `psn`.
    #[track_caller]
    pub fn to_rts(&self, psn: u32) -> Result<(), Error> {
        self.nic.call(&format!("rts {} {psn}", self.id)).map(drop)
    }

    /// Its state: `ibv_query_qp`.
    #[track_caller]
    pub fn state(&self) -> State {
        match self.nic.must(format!("state {}", self.id))[0] {
            0 => State::Reset,
            1 => State::Init,
            2 => State::Rtr,
            3 => State::Rts,
            6 => State::Err,
            _ => State::Other,
        }
    }

    /// Posts a send request on this part of your memory: `ibv_post_send`. It gives a completion if it is signaled (or
    /// all are). The memory is the card's until the request is completed.
    #[track_caller]
    pub fn send(&self, wr_id: u64, op: Op, from: (&Memory, Range<usize>), signaled: bool) -> Result<(), Error> {
        let (memory, range) = from;
        let op = match op {
            Op::Send => "send 0 0 0 0".to_owned(),
            Op::SendImm(imm) => format!("send-imm 0 0 {imm} 0"),
            Op::Write(Remote { addr, rkey }) => format!("write {addr} {rkey} 0 0"),
            Op::WriteImm(Remote { addr, rkey }, imm) => format!("write-imm {addr} {rkey} {imm} 0"),
            Op::Read(Remote { addr, rkey }) => format!("read {addr} {rkey} 0 0"),
            Op::FetchAdd(Remote { addr, rkey }, add) => format!("fetch-add {addr} {rkey} {add} 0"),
            Op::CompareSwap { remote: Remote { addr, rkey }, compare, swap } => {
                format!("compare-swap {addr} {rkey} {compare} {swap}")
            }
        };
        let len = range.end.saturating_sub(range.start);
        let (id, start, memory) = (self.id, range.start, memory.id);
        let call = format!("send {id} {wr_id} {} {memory} {start} {len} {op}", u8::from(signaled));
        self.nic.call(&call).map(drop)
    }

    /// Posts a receive request: the next message goes to this part of your memory: `ibv_post_recv`.
    #[track_caller]
    pub fn receive(&self, wr_id: u64, into: (&Memory, Range<usize>)) -> Result<(), Error> {
        let (memory, range) = into;
        let len = range.end.saturating_sub(range.start);
        let call = format!("receive {} {wr_id} {} {} {len}", self.id, memory.id, range.start);
        self.nic.call(&call).map(drop)
    }
}

impl CompletionQueue {
    /// Takes the oldest completion out, if there is one, and does not wait: `ibv_poll_cq`.
    #[track_caller]
    pub fn poll(&self) -> Option<Completion> {
        self.take("poll")
    }

    /// Waits until there is a completion, and takes it out: `ibv_req_notify_cq` and `ibv_get_cq_event`, ready made.
    #[track_caller]
    pub fn wait(&self) -> Completion {
        self.take("wait").expect("the card has waited for one")
    }

    #[track_caller]
    fn take(&self, how: &str) -> Option<Completion> {
        let words = match self.nic.call(&format!("{how} {}", self.id)) {
            Ok(words) => words,
            Err(Error(why)) => panic!("{why}"),
        };
        let words: Vec<&str> = words.split(' ').collect();
        let &[wr_id, status, is_receive, byte_len, imm] = &words[..] else { return None };
        Some(Completion {
            wr_id: wr_id.parse().ok()?,
            status: status.to_owned(),
            is_receive: is_receive == "1",
            byte_len: byte_len.parse().ok()?,
            imm: imm.parse().ok(),
        })
    }
}

/// Connects queue pairs to those of other programs, as you did in the lab "Ping-pong": to each program in `peers` one,
/// the queue pairs in the same order. Post the first receives before.
#[track_caller]
pub fn connect(nic: &Nic, peers: &[(&str, &QueuePair)], access: Access) {
    for (peer, qp) in peers {
        if qp.state() == State::Reset {
            qp.to_init(access).unwrap_or_else(|why| panic!("{why}"));
        }
        nic.tell(peer, &[qp.qpn().into()]);
    }
    for (peer, qp) in peers {
        let qpn = nic.hear(peer)[0] as u32;
        qp.to_rtr(peer, qpn, 0x100).unwrap_or_else(|why| panic!("{why}"));
        qp.to_rts(0x100).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// Plays the parts that the check asks for, one after the other. (Called by the program around your file.)
pub fn act(play: impl Fn(&Nic, &str, &[u64]) -> u64) {
    let talk = Rc::new(Talk::new());
    let nic = Nic::new(Rc::clone(&talk));
    while let Some(line) = talk.hear() {
        let (part, arguments) = line.split_once(' ').unwrap_or((&line, ""));
        match talk.attempt(|| play(&nic, part, &crate::talk::numbers(arguments))) {
            Some(result) => talk.say(&format!("end {result}")),
            None => return,
        }
    }
}
