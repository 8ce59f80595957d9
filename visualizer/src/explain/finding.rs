//! What can be said about a capture beyond counting: each finding is of a kind, names its packets and can be
//! put into a sentence.

use std::fmt;

use ferroce_wire::cm::{RejectReason, SidrStatus};
use ferroce_wire::{NakCode, Psn, RnrTimer};
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something was lost or repeated, and the transport is made for that.
    Warning,
    /// Something failed.
    Error,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The packets say so.
    Certain,
    /// The packets can hardly be read otherwise.
    Likely,
}

/// A finding, ready to be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Stable name of its kind, as in `psn.gap`.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// The `id` of the connection it is about, if it is about one.
    pub connection: Option<usize>,
    /// The packets that show it, by number from 1; at most [`MAX_EVIDENCE`].
    pub packets: Vec<u64>,
    /// How many packets show it.
    pub packet_count: u64,
    /// It in plain language.
    pub text: String,
}

/// Packet numbers kept per finding.
pub const MAX_EVIDENCE: usize = 64;
/// Findings kept per capture.
pub const MAX_FINDINGS: usize = 20_000;

/// Why something was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A sequence NAK, in this packet.
    SequenceNak(u64),
    /// An RNR NAK, in this packet.
    RnrNak(u64),
    /// Responses to a READ were missing, seen at this packet.
    LostResponse(u64),
    /// Nothing that was captured; so many nanoseconds had passed since the requester's last packet.
    Silence(u64),
}

impl Cause {
    /// The packet that asked for it.
    pub(super) fn packet(self) -> Option<u64> {
        match self {
            Self::SequenceNak(packet) | Self::RnrNak(packet) | Self::LostResponse(packet) => Some(packet),
            Self::Silence(_) => None,
        }
    }
}

/// What a finding is about.
#[derive(Clone, Debug)]
pub(super) enum Detail {
    FileDamaged { reason: String },
    PacketsCut { count: u64 },
    TooMuch { what: &'static str, count: u64 },
    RoceV1 { count: u64 },
    Undecodable { reason: String },
    IcrcWrong { found: u32, expected: u32 },
    IcrcRxeFlush,
    Retransmission { from: Psn, to: Psn, cause: Cause, acked_by: Option<u64> },
    Gap { from: Psn, to: Psn, fate: Fate },
    LateArrival { from: Psn, to: Psn },
    Copy { of: u64, psn: Psn },
    SeenBefore { psn: Psn },
    Restart { from: Psn, to: Psn },
    SequenceNak { psn: Psn },
    RnrNak { psn: Psn, timer: RnrTimer },
    FatalNak { psn: Psn, code: NakCode },
    ReadGap { from: Psn, to: Psn },
    Unanswered { requests: u64, sends: u32, first: Psn, idle: u64, peer: Peer },
    Congestion { notifications: u64 },
    Rejected { reason: RejectReason },
    SidrRefused { status: SidrStatus },
    CmUnanswered { sends: u32 },
}

/// What the peer of an unanswered request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// It sent nothing at all.
    Silent,
    /// It said that it was not ready.
    NotReady,
    /// It sent other things.
    Busy,
}

/// What became of missing packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They were never seen.
    Open,
    /// This packet began to bring them.
    Came(u64),
    /// They arrived all the same: this packet acknowledges them.
    Acked(u64),
}

impl Detail {
    fn class(&self) -> (&'static str, Severity, Confidence) {
        use Confidence::{Certain, Likely};
        use Severity::{Error, Note, Warning};
        match self {
            Self::FileDamaged { .. } => ("file.damaged", Warning, Certain),
            Self::PacketsCut { .. } => ("cap.truncated", Note, Certain),
            Self::TooMuch { .. } => ("cap.too-much", Note, Certain),
            Self::RoceV1 { .. } => ("cap.roce-v1", Note, Certain),
            Self::Undecodable { .. } => ("wire.undecodable", Error, Certain),
            Self::IcrcWrong { .. } => ("wire.icrc-bad", Error, Certain),
            Self::IcrcRxeFlush => ("wire.icrc-rxe-flush", Warning, Certain),
            Self::Retransmission { cause: Cause::SequenceNak(_), .. } => ("rtx.nak", Warning, Likely),
            Self::Retransmission { cause: Cause::RnrNak(_), .. } => ("rtx.rnr", Warning, Likely),
            Self::Retransmission { cause: Cause::LostResponse(_), .. } => ("rtx.read", Warning, Likely),
            Self::Retransmission { cause: Cause::Silence(_), .. } => ("rtx.timeout", Warning, Likely),
            Self::Gap { fate: Fate::Acked(_), .. } => ("cap.unseen-acked", Note, Certain),
            Self::Gap { .. } => ("psn.gap", Warning, Certain),
            Self::LateArrival { .. } => ("psn.reorder", Warning, Likely),
            Self::Copy { .. } => ("cap.duplicate", Warning, Certain),
            Self::SeenBefore { .. } => ("psn.dup-req", Warning, Certain),
            Self::Restart { .. } => ("psn.restart", Note, Likely),
            Self::SequenceNak { .. } => ("nak.seq", Warning, Certain),
            Self::RnrNak { .. } => ("rnr.nak", Warning, Certain),
            Self::FatalNak { code: NakCode::RemoteAccess, .. } => ("mem.access", Error, Certain),
            Self::FatalNak { code: NakCode::InvalidRequest, .. } => ("op.invalid", Error, Certain),
            Self::FatalNak { .. } => ("op.failed", Error, Certain),
            Self::ReadGap { .. } => ("read.gap", Warning, Certain),
            Self::Unanswered { sends: 2.., .. } => ("req.unanswered", Error, Certain),
            Self::Unanswered { .. } => ("req.unanswered", Note, Certain),
            Self::Congestion { .. } => ("ecn.cnp", Note, Certain),
            Self::Rejected { .. } | Self::SidrRefused { .. } => ("cm.rejected", Error, Certain),
            Self::CmUnanswered { sends: 2.. } => ("cm.unanswered", Error, Certain),
            Self::CmUnanswered { .. } => ("cm.unanswered", Note, Certain),
        }
    }
}

/// A finding while packets may still change it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) connection: Option<usize>,
    /// Which end's requests it is about: the index into the ends of the connection.
    pub(super) requester: usize,
    pub(super) detail: Detail,
    packets: Vec<u64>,
    packet_count: u64,
}

impl Draft {
    /// Adds a packet to those that show it.
    pub(super) fn add_packet(&mut self, number: u64) {
        self.packet_count += 1;
        if self.packets.len() < MAX_EVIDENCE {
            self.packets.push(number);
        }
    }

    pub(super) fn first_packet(&self) -> u64 {
        self.packets.first().copied().unwrap_or(0)
    }

    /// The finding in words; the two names are those of the requester and the responder.
    pub(super) fn finish(self, connection: Option<usize>, requester: &str, responder: &str) -> Finding {
        let (kind, severity, confidence) = self.detail.class();
        let text = Sentence { draft: &self, requester, responder }.to_string();
        let Self { packets, packet_count, .. } = self;
        Finding { kind, severity, confidence, connection, packets, packet_count, text }
    }
}

/// Findings being collected, at most [`MAX_FINDINGS`] of them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) drafts: Vec<Draft>,
    pub(super) left_out: u64,
}

/// Which draft; of one that was left out, nothing.
pub(super) type DraftId = Option<usize>;

impl Findings {
    /// Notes a finding that shows in the packet `number`.
    pub(super) fn add(&mut self, connection: Option<(usize, usize)>, number: u64, detail: Detail) -> DraftId {
        if self.drafts.len() >= MAX_FINDINGS {
            self.left_out += 1;
            return None;
        }
        let (connection, requester) = match connection {
            Some((connection, requester)) => (Some(connection), requester),
            None => (None, 0),
        };
        let (packets, packet_count) = if number == 0 { (Vec::new(), 0) } else { (vec![number], 1) };
        self.drafts.push(Draft { connection, requester, detail, packets, packet_count });
        Some(self.drafts.len() - 1)
    }

    pub(super) fn draft(&mut self, id: DraftId) -> Option<&mut Draft> {
        self.drafts.get_mut(id?)
    }
}

struct Sentence<'a> {
    draft: &'a Draft,
    requester: &'a str,
    responder: &'a str,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { draft, requester, responder } = *self;
        match &draft.detail {
            Detail::SequenceNak { psn } => write!(
                f,
                "sequence NAK: {responder} still waits for PSN {psn} and got a later packet instead. \
                 {requester} must send again from there."
            ),
            Detail::RnrNak { psn, timer } => write!(
                f,
                "receiver not ready: {responder} has no receive posted for PSN {psn}. {requester} must wait \
                 {timer} and send again."
            ),
            Detail::FatalNak { psn, code } => {
                write!(f, "{responder} refuses PSN {psn}: {code}. {} ", meaning(*code))?;
                write!(f, "The connection is over: both queue pairs go to the error state.")
            }
            Detail::Retransmission { .. } => self.retransmission(f),
            Detail::Gap { .. } => self.gap(f),
            Detail::LateArrival { from, to } => write!(
                f,
                "out of order: later packets of {requester} came before {}. None of this was seen before.",
                range(*from, *to, "PSN")
            ),
            Detail::Copy { of, psn } => write!(
                f,
                "the same packet as {of} once more, PSN {psn} of {requester}: the network or the capture \
                 doubled it; it was not sent again."
            ),
            Detail::SeenBefore { psn } => {
                write!(f, "PSN {psn} of {requester} was there before; an unreliable QP never sends again.")
            }
            Detail::Restart { from, to } => write!(
                f,
                "{requester} jumps from PSN {from} to {to}, more than can be in flight: its queue pair was \
                 reset, or much is not in the capture."
            ),
            Detail::ReadGap { from, to } => write!(
                f,
                "READ {} of {responder} missing before this packet: lost, or late.",
                range(*from, *to, "response")
            ),
            Detail::Unanswered { .. } => self.unanswered(f),
            Detail::Congestion { notifications } => write!(
                f,
                "congestion: {responder} told {requester} {notifications} times to send more slowly (CNP)."
            ),
            other => about_file(other, f),
        }
    }
}

impl Sentence<'_> {
    fn retransmission(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail::Retransmission { from, to, cause, acked_by } = &self.draft.detail else { return Ok(()) };
        write!(f, "retransmission: {} sends {} again", self.requester, range(*from, *to, "PSN"))?;
        match cause {
            Cause::SequenceNak(nak) => write!(f, ", as the NAK in packet {nak} asked.")?,
            Cause::RnrNak(nak) => write!(f, ", having waited as the RNR NAK in packet {nak} asked.")?,
            Cause::LostResponse(at) => {
                write!(f, ", because responses were missing before packet {at}.")?;
            }
            Cause::Silence(nanos) => write!(
                f,
                ", {} after its last packet. No NAK in the capture asked for it: a timeout.",
                Duration(*nanos)
            )?,
        }
        match acked_by {
            Some(ack) => write!(f, " Packet {ack} had acknowledged this; that came late or was lost."),
            None => Ok(()),
        }
    }

    fn gap(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail::Gap { from, to, fate } = &self.draft.detail else { return Ok(()) };
        write!(f, "{} of {} missing before this packet", range(*from, *to, "PSN"), self.requester)?;
        match fate {
            Fate::Acked(ack) => write!(
                f,
                "; packet {ack} acknowledges what was missing, so only the capture has not seen it."
            ),
            Fate::Came(packet) => {
                write!(f, ": lost before the capture point, or late. Packet {packet} brings it.")
            }
            Fate::Open => write!(f, ": lost before the capture point, and never seen."),
        }
    }

    fn unanswered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail::Unanswered { requests, sends, first, idle, peer } = &self.draft.detail else {
            return Ok(());
        };
        let Self { requester, responder, .. } = self;
        match requests {
            1 => write!(f, "the request with PSN {first} of {requester} is never answered")?,
            _ => write!(f, "{requests} requests of {requester} from PSN {first} on are never answered")?,
        }
        match peer {
            Peer::Silent => {
                write!(f, ": there is no packet from {responder} at all, so it is silent or not captured")?;
            }
            Peer::NotReady => write!(f, " but with receiver not ready")?,
            Peer::Busy => {}
        }
        match sends {
            0 | 1 => write!(f, ".")?,
            2 => write!(f, ". The first was sent twice.")?,
            _ => write!(f, ". The first was sent {sends} times.")?,
        }
        match idle {
            0 => write!(f, " The capture ends there."),
            _ => write!(f, " The capture ends {} after that.", Duration(*idle)),
        }
    }
}

/// Sentences that are not about a connection.
fn about_file(detail: &Detail, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match detail {
        Detail::FileDamaged { reason } => {
            write!(f, "{reason}. What came before is explained, the rest is unknown.")
        }
        Detail::PacketsCut { count } => write!(
            f,
            "{count} packets were cut by the capture (snap length), so their ICRC cannot be checked."
        ),
        Detail::TooMuch { what, count } => {
            write!(f, "{count} {what} beyond what is kept in memory are counted, not explained.")
        }
        Detail::RoceV1 { count } => {
            write!(f, "{count} packets are RoCE version 1, which is not explained here.")
        }
        Detail::Undecodable { reason } => write!(f, "not a packet: {reason}."),
        Detail::IcrcWrong { found, expected } => write!(
            f,
            "the ICRC is {found:#010x} and should be {expected:#010x}: the packet was changed on its way and \
             the receiver drops it. It is left out of what follows."
        ),
        Detail::IcrcRxeFlush => write!(
            f,
            "the ICRC of this FLUSH is wrong in the way of Linux soft-RoCE, which counts its headers twice. \
             Another soft-RoCE accepts it; other devices drop it."
        ),
        Detail::Rejected { reason } => {
            write!(f, "connection rejected, {reason}.")
        }
        Detail::SidrRefused { status } => {
            write!(f, "datagram service refused, {status}.")
        }
        Detail::CmUnanswered { sends: 1 } => write!(f, "a connection request is not answered."),
        Detail::CmUnanswered { sends } => {
            write!(f, "a connection request was sent {sends} times and never answered.")
        }
        _ => Ok(()),
    }
}

/// What a peer means by a NAK after which nothing goes on.
fn meaning(code: NakCode) -> &'static str {
    match code {
        NakCode::InvalidRequest => {
            "The operation is not allowed on its queue pair, or packets of a message are in a wrong order or \
             of a wrong length."
        }
        NakCode::RemoteAccess => {
            "The R_Key is unknown, or does not permit this access, or the address is outside its memory."
        }
        NakCode::RemoteOperational => {
            "It could not carry out the request, for instance because the receive posted for it is too short \
             or its memory cannot be used."
        }
        NakCode::PsnSequence | NakCode::InvalidRdRequest | NakCode::Reserved(_) => "",
    }
}

fn range(from: Psn, to: Psn, what: &str) -> String {
    match to.distance(from) {
        0 => format!("{what} {from}"),
        _ => format!("{what}s {from} to {to}"),
    }
}

/// A span of time in the unit that suits it.
#[derive(Clone, Copy, Debug)]
pub struct Duration(
    /// Nanoseconds.
    pub u64,
);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        match nanos {
            0..=999 => write!(f, "{nanos} ns"),
            1_000..=999_999 => write!(f, "{:.1} us", nanos as f64 / 1e3),
            1_000_000..=999_999_999 => write!(f, "{:.1} ms", nanos as f64 / 1e6),
            _ => write!(f, "{:.2} s", nanos as f64 / 1e9),
        }
    }
}
