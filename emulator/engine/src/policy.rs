//! The choices on which real NICs differ.
//!
//! The protocol leaves many things to the implementation: how often to ask for an acknowledgement, where to
//! resume after a loss, which numbers to give out. They are gathered here as values, so that a device can
//! behave like another one. A [`Personality`] is a named set of such choices.

use core::fmt;

use ferroce_wire::{NakCode, Psn};

use crate::congestion::{Congestion, Dcqcn, DcqcnParams, Timely, TimelyParams};
use crate::qp::SelectiveRepeat;

/// How numbers that name things to peers (memory keys, queue-pair numbers) are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Numbering {
    /// Hard to guess for a peer that was not told.
    Random,
    /// Counting up, as many NICs do: easy to read in a lab, and easy to attack.
    Sequential,
}

/// When a requester sets the AckReq bit on the last packet of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckRequests {
    /// Always, as Linux rxe does.
    EveryMessage,
    /// When the message is signaled, when nothing can follow it at once, and after `packets` packets without.
    Sparse {
        /// Packets that may go without; at least 1.
        packets: u32,
    },
}

/// A named set of choices.
#[derive(Clone, Debug)]
pub struct Personality {
    /// What it is called on command lines and in reports.
    pub name: &'static str,
    /// Memory keys and queue-pair numbers.
    pub numbering: Numbering,
    /// AckReq bits of the requester.
    pub ack_requests: AckRequests,
    /// Requests for acknowledgement that a responder may answer with one ACK; 1 means no coalescing. An ACK
    /// waits only for packets that have already arrived, never for a timer.
    pub ack_coalescing: u32,
    /// PSNs that a requester may have outstanding before it waits for acknowledgements.
    pub window: u32,
    /// Most packets of a READ to ask for with one request packet. A longer READ is asked for in several, each
    /// of which counts against `max_rd_atomic`, so that the responses do not overrun the network's buffers.
    pub read_chunk: u32,
    /// The MigReq bit of packets sent (IBTA 9.2.1: 1 is the "migrated" state that hardware is normally in).
    pub migrated: bool,
    /// The credit code of ACKs sent; 0x1f switches end-to-end flow control off.
    pub credits: u8,
    /// Whether `retry_cnt` 7 means "for ever", as in Linux rxe, or seven, as in the specification.
    pub retry_7_is_infinite: bool,
    /// How many times its value the local ACK timeout may reach, 1..=4. It doubles while nothing is heard of the peer:
    /// one that has to wait for a processor is given time before the tries are used up, and one lost packet costs no
    /// more than without. The specification allows up to four times (IBTA 9.7.6.1.3).
    pub timeout_growth: u32,
    /// Whether ATOMIC WRITE and FLUSH (IBTA annex A19) can be posted, and are known when they come. Off unless both
    /// ends know them: for others they are invalid requests, which end the connection.
    pub placement: bool,
    /// The NAK for a SEND that is longer than the receive posted for it.
    pub too_long_nak: NakCode,
    /// What it does about congestion.
    pub congestion: Congestion,
    /// How many PSNs a receiver of an unreliable connection remembers: a packet that comes so little behind the one
    /// it expects is late or a duplicate, and is dropped. With 0, as the specification has it, any packet that
    /// begins a message is taken for a new one (IBTA 9.8.2.2.1), which is right where the network neither repeats
    /// nor reorders.
    pub uc_memory: u32,
    /// Whether a Q_Key with its highest bit set in a work request stands for the queue pair's own (IBTA 10.2.5).
    pub own_qkey: bool,
    /// Whether a datagram that is too long for the port fails, or is silently not sent.
    pub long_datagram_fails: bool,
    /// Whether a send that fails on an unreliable queue pair stops the send queue only (SQE), or all of it (ERR).
    pub sqe: bool,
    /// Where to resume after a loss.
    pub recovery: Box<dyn Recovery>,
}

impl Personality {
    /// Ferroce's own choices: what the specification recommends, numbers hard to guess.
    pub fn ferroce() -> Personality {
        Personality {
            name: "default",
            numbering: Numbering::Random,
            ack_requests: AckRequests::Sparse { packets: 16 },
            ack_coalescing: u32::MAX,
            window: 512,
            read_chunk: 1 << 22,
            migrated: true,
            credits: 0x1f,
            retry_7_is_infinite: false,
            timeout_growth: 4,
            placement: false,
            too_long_nak: NakCode::InvalidRequest,
            congestion: Congestion::default(),
            uc_memory: 1 << 16,
            own_qkey: true,
            long_datagram_fails: true,
            sqe: true,
            recovery: Box::new(GoBackN),
        }
    }

    /// The choices of Linux's soft-RoCE driver.
    pub fn rxe() -> Personality {
        Personality {
            name: "rxe",
            ack_requests: AckRequests::EveryMessage,
            ack_coalescing: 1,
            window: 128,
            migrated: false,
            retry_7_is_infinite: true,
            timeout_growth: 1,
            too_long_nak: NakCode::RemoteOperational,
            uc_memory: 0,
            own_qkey: false,
            long_datagram_fails: false,
            sqe: false,
            ..Personality::ferroce()
        }
    }

    /// What NVIDIA's ConnectX cards do, as far as their drivers, measurements and captures tell: numbers count up
    /// (ReDMArk, USENIX Security 2021), every message asks for an ACK, and an unreliable connection takes any packet
    /// that begins a message for a new one.
    pub fn connectx() -> Personality {
        Personality {
            name: "connectx",
            numbering: Numbering::Sequential,
            ack_requests: AckRequests::EveryMessage,
            timeout_growth: 1,
            uc_memory: 0,
            ..Personality::ferroce()
        }
    }

    /// Numbers that count up, so that two runs of a lab show the same keys.
    pub fn predictable() -> Personality {
        Personality { name: "predictable", numbering: Numbering::Sequential, ..Personality::ferroce() }
    }

    /// Retransmits whole messages, as early RoCE NICs did; under loss it can livelock.
    pub fn go_back_0() -> Personality {
        Personality { name: "go-back-0", recovery: Box::new(GoBack0), ..Personality::ferroce() }
    }

    /// Sends again only what is missing, and keeps what comes early.
    pub fn selective_repeat() -> Personality {
        let recovery = SelectiveRepeat::default();
        let window = recovery.keeps;
        Personality {
            name: "selective-repeat",
            window,
            recovery: Box::new(recovery),
            ..Personality::ferroce()
        }
    }

    /// Slows down when switches mark its packets, as data-centre NICs do. `line_rate` is the rate of its port
    /// in bits per second.
    pub fn dcqcn(line_rate: u64) -> Personality {
        let congestion = Congestion::with(Dcqcn::new(DcqcnParams::paper(line_rate)));
        Personality { name: "dcqcn", congestion, ..Personality::ferroce() }
    }

    /// Slows down when round trips become longer. `line_rate` is the rate of its port in bits per second.
    pub fn timely(line_rate: u64) -> Personality {
        let control = Timely::new(TimelyParams::paper(line_rate));
        let congestion = Congestion { control: Some(Box::new(control)), ..Congestion::default() };
        Personality { name: "timely", congestion, ..Personality::ferroce() }
    }

    /// All named sets, those with rate control for a port of 100 Gb/s.
    pub fn all() -> Vec<Personality> {
        const PORT: u64 = 100_000_000_000;
        vec![
            Personality::ferroce(),
            Personality::rxe(),
            Personality::connectx(),
            Personality::predictable(),
            Personality::go_back_0(),
            Personality::selective_repeat(),
            Personality::dcqcn(PORT),
            Personality::timely(PORT),
        ]
    }

    /// The set with this name.
    pub fn by_name(name: &str) -> Option<Personality> {
        Personality::all().into_iter().find(|personality| personality.name == name)
    }
}

impl Default for Personality {
    fn default() -> Personality {
        Personality::ferroce()
    }
}

/// Why a requester goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LossCause {
    /// The responder reported a gap (NAK 0x60).
    SequenceNak,
    /// A later packet was acknowledged before a READ or atomic was answered (IBTA 9.7.5.2.8).
    ImpliedNak,
    /// The responder had no receive posted, and the time it asked for is over.
    ReceiverNotReady,
    /// Nothing was heard for the local ACK timeout.
    Timeout,
}

/// What a requester knows when it must go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// How it was noticed.
    pub cause: LossCause,
    /// The oldest packet that is not acknowledged: where the trouble is.
    pub unacked: Psn,
    /// The first packet of the message that holds `unacked`.
    pub message: Psn,
}

/// Where a requester resumes after a loss.
pub trait Recovery: fmt::Debug + Send + Sync {
    /// The PSN to send next: `loss.unacked`, or an earlier one down to `loss.message`. (A later one would skip
    /// packets that nobody has, and is taken for `loss.unacked`.)
    fn resume(&self, loss: &Loss) -> Psn;

    /// How many packets behind a gap a responder keeps until the gap is closed, instead of having them sent again.
    /// A requester that keeps packets itself leaves out what its peer keeps.
    fn keeps(&self) -> u32 {
        0
    }

    /// A copy of this policy.
    fn boxed_clone(&self) -> Box<dyn Recovery>;
}

impl Clone for Box<dyn Recovery> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// Resumes at the first packet that is missing: what the specification asks for.
#[derive(Clone, Copy, Debug)]
pub struct GoBackN;

impl Recovery for GoBackN {
    fn resume(&self, loss: &Loss) -> Psn {
        loss.unacked
    }

    fn boxed_clone(&self) -> Box<dyn Recovery> {
        Box::new(*self)
    }
}

/// Resumes at the first packet of the message.
#[derive(Clone, Copy, Debug)]
pub struct GoBack0;

impl Recovery for GoBack0 {
    fn resume(&self, loss: &Loss) -> Psn {
        loss.message
    }

    fn boxed_clone(&self) -> Box<dyn Recovery> {
        Box::new(*self)
    }
}
