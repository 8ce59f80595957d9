//! What findings can be about, and how bad and how sure each kind is.

use std::net::{IpAddr, Ipv6Addr};

use ferroce_wire::cm::{RejectReason, SidrStatus};
use ferroce_wire::{NakCode, Opcode, Psn, Reth, RnrTimer};

use super::finding::{Confidence, Severity};

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
    /// The same, when only the answer to the last packet was due, and it came after this.
    Tail(u64),
}

impl Cause {
    /// The packet that asked for it.
    pub(super) fn packet(self) -> Option<u64> {
        match self {
            Self::SequenceNak(packet) | Self::RnrNak(packet) | Self::LostResponse(packet) => Some(packet),
            Self::Silence(_) | Self::Tail(_) => None,
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
    UnknownLink { count: u64, link: u16 },
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
    FatalNak { psn: Psn, code: NakCode, target: Option<Target> },
    ReadGap { from: Psn, to: Psn },
    Unanswered { requests: u64, sends: u32, first: Psn, idle: u64, peer: Peer },
    Congestion { notifications: u64 },
    Marked { packets: u64 },
    NoNotification { packets: u64 },
    NoSlowdown { asked: u64, before: u64, after: u64 },
    PauseStorm { port: [u8; 6], priority: usize, frames: u64, paused: u64, of: u64 },
    Paused { port: [u8; 6], frames: u64, paused: u64 },
    OpcodeOrder { opcode: Opcode, psn: Psn, inside: bool },
    WrongSize { opcode: Opcode, len: usize, mtu: Option<usize> },
    MtuDiffers { len: usize, mtu: usize, responder: bool },
    Fragment,
    BadRestart { psn: Psn, asked: Psn },
    Storm { psn: Psn, sends: u32 },
    Ghost { psn: Psn, next: Psn, nak: bool },
    NeverSent { psn: Psn, first: Psn },
    MsnBackwards { from: u32, to: u32 },
    NakAgain { psn: Psn, first: u64 },
    RnrStorm { psn: Psn, times: u32 },
    AtomicDiffers { psn: Psn, first: u64, again: u64 },
    ReadShort { psn: Psn, asked: u64, came: u64 },
    Stalled { psn: Psn, request: u64, delay: u64, usual: u64 },
    OneSided { requests: u64 },
    PkeyDiffers { keys: [u16; 2] },
    AnswerElsewhere { to: IpAddr, from: IpAddr, back_to: IpAddr },
    GidNamed { named: Ipv6Addr, address: IpAddr },
    QkeyDiffers { first: u32, other: u32, gsi: bool },
    OnePort { connections: usize, port: u16 },
    Rejected { reason: RejectReason },
    SidrRefused { status: SidrStatus },
    CmUnanswered { sends: u32 },
}

/// What a request wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Its first packet.
    pub(super) packet: u64,
    /// Of its first packet.
    pub(super) opcode: Opcode,
    /// Remote memory, if it names any.
    pub(super) memory: Option<Reth>,
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
    /// Kind, severity and confidence.
    pub(super) fn class(&self) -> (&'static str, Severity, Confidence) {
        use Confidence::{Certain, Likely};
        use Severity::{Error, Note, Warning};
        match self {
            Self::FileDamaged { .. } => ("file.damaged", Warning, Certain),
            Self::PacketsCut { .. } => ("cap.truncated", Note, Certain),
            Self::TooMuch { .. } => ("cap.too-much", Note, Certain),
            Self::RoceV1 { .. } => ("cap.roce-v1", Note, Certain),
            Self::UnknownLink { .. } => ("cap.unknown-link", Warning, Certain),
            Self::Undecodable { .. } => ("wire.undecodable", Error, Certain),
            Self::IcrcWrong { .. } => ("wire.icrc-bad", Error, Certain),
            Self::IcrcRxeFlush => ("wire.icrc-rxe-flush", Warning, Certain),
            Self::Retransmission { cause: Cause::SequenceNak(_), .. } => ("rtx.nak", Warning, Likely),
            Self::Retransmission { cause: Cause::RnrNak(_), .. } => ("rtx.rnr", Warning, Likely),
            Self::Retransmission { cause: Cause::LostResponse(_), .. } => ("rtx.read", Warning, Likely),
            Self::Retransmission { cause: Cause::Silence(_), acked_by: Some(_), .. } => {
                ("rtx.spurious", Warning, Likely)
            }
            Self::Retransmission { cause: Cause::Silence(_), .. } => ("rtx.timeout", Warning, Likely),
            Self::Retransmission { cause: Cause::Tail(_), .. } => ("rtx.tail-loss", Warning, Likely),
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
            other => other.class_of_breach(),
        }
    }

    /// The first and the last PSN that it is about.
    pub(super) fn psns(&self) -> Option<(Psn, Psn)> {
        match *self {
            Self::Retransmission { from, to, .. }
            | Self::Gap { from, to, .. }
            | Self::LateArrival { from, to }
            | Self::ReadGap { from, to } => Some((from, to)),
            Self::Copy { psn, .. }
            | Self::SeenBefore { psn }
            | Self::SequenceNak { psn }
            | Self::RnrNak { psn, .. }
            | Self::FatalNak { psn, .. }
            | Self::OpcodeOrder { psn, .. }
            | Self::BadRestart { psn, .. }
            | Self::Storm { psn, .. }
            | Self::Ghost { psn, .. }
            | Self::NakAgain { psn, .. }
            | Self::NeverSent { psn, .. }
            | Self::RnrStorm { psn, .. }
            | Self::AtomicDiffers { psn, .. }
            | Self::ReadShort { psn, .. }
            | Self::Stalled { psn, .. }
            | Self::Unanswered { first: psn, .. } => Some((psn, psn)),
            _ => None,
        }
    }

    /// Kind, severity and confidence of what is not loss and its repair.
    fn class_of_breach(&self) -> (&'static str, Severity, Confidence) {
        use Confidence::{Certain, Likely};
        use Severity::{Error, Note, Warning};
        match self {
            Self::Marked { .. } => ("ecn.marked", Note, Certain),
            Self::NoNotification { .. } => ("ecn.no-cnp", Warning, Likely),
            Self::NoSlowdown { .. } => ("cnp.no-slowdown", Warning, Likely),
            Self::PauseStorm { .. } => ("pfc.storm", Warning, Likely),
            Self::Paused { .. } => ("pfc.paused", Note, Certain),
            Self::AnswerElsewhere { .. } => ("gid.differs", Error, Likely),
            Self::GidNamed { .. } => ("gid.differs", Warning, Certain),
            Self::OpcodeOrder { .. } => ("wire.opcode-order", Error, Certain),
            Self::WrongSize { .. } => ("wire.len-mtu", Error, Certain),
            Self::MtuDiffers { .. } => ("mtu.differs", Error, Likely),
            Self::Fragment => ("wire.fragmented", Warning, Certain),
            Self::BadRestart { .. } => ("gbn.bad-restart", Error, Likely),
            Self::Storm { .. } => ("rtx.storm", Error, Certain),
            Self::Ghost { nak: true, .. } => ("nak.wrong-psn", Error, Likely),
            Self::Ghost { .. } => ("ack.ghost", Error, Likely),
            Self::NeverSent { .. } => ("psn.disagree", Error, Likely),
            Self::MsnBackwards { .. } => ("msn.backwards", Warning, Certain),
            Self::NakAgain { .. } => ("nak.repeat", Error, Likely),
            Self::RnrStorm { .. } => ("rnr.storm", Error, Certain),
            Self::AtomicDiffers { .. } => ("atomic.replay-diff", Error, Certain),
            Self::ReadShort { .. } => ("read.short", Error, Certain),
            Self::Stalled { .. } => ("ack.stalled", Warning, Likely),
            Self::OneSided { .. } => ("cap.one-sided", Note, Likely),
            Self::PkeyDiffers { .. } => ("pkey.differs", Error, Certain),
            Self::QkeyDiffers { .. } => ("qkey.differs", Warning, Likely),
            Self::OnePort { .. } => ("ecmp.low-entropy", Note, Certain),
            Self::Rejected { .. } | Self::SidrRefused { .. } => ("cm.rejected", Error, Certain),
            Self::CmUnanswered { sends: 2.. } => ("cm.unanswered", Error, Certain),
            Self::CmUnanswered { .. } => ("cm.unanswered", Note, Certain),
            _ => ("other", Note, Likely),
        }
    }
}
