//! Findings in plain language.

use std::fmt;

use ferroce_wire::{NakCode, Psn};

use super::detail::{Cause, Detail, Fate, Peer, Target};
use super::finding::{Duration, Mac, Rate};

/// A finding in words; the two names are those of the requester and the responder.
pub(super) fn sentence(detail: &Detail, requester: &str, responder: &str) -> String {
    Sentence { detail, requester, responder }.to_string()
}

struct Sentence<'a> {
    detail: &'a Detail,
    requester: &'a str,
    responder: &'a str,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { detail, requester, responder } = *self;
        match detail {
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
            Detail::FatalNak { psn, code, target } => {
                write!(f, "{responder} refuses PSN {psn}: {code}. {} ", meaning(*code))?;
                if let Some(target) = target {
                    write!(f, "It is about {}. ", about(target))?;
                }
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
            other => self.breach(other, f),
        }
    }
}

impl Sentence<'_> {
    fn retransmission(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail::Retransmission { from, to, cause, acked_by } = self.detail else { return Ok(()) };
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
            Cause::Tail(nanos) => write!(
                f,
                ", {} after its last packet: a timeout. Only the answer to that last packet was due. It was lost, or \
                 the end of the burst was: no packet came after it to show the responder that one is missing.",
                Duration(*nanos)
            )?,
        }
        match acked_by {
            Some(ack) => write!(f, " Packet {ack} had acknowledged this; that came late or was lost."),
            None => Ok(()),
        }
    }

    fn gap(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail::Gap { from, to, fate } = self.detail else { return Ok(()) };
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
        let Detail::Unanswered { requests, sends, first, idle, peer } = self.detail else {
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

impl Sentence<'_> {
    /// Rules that somebody broke.
    fn breach(&self, detail: &Detail, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requester, responder, .. } = self;
        match detail {
            Detail::OpcodeOrder { opcode, psn, inside: true } => write!(
                f,
                "{opcode} with PSN {psn} comes while another message of {requester} is not finished: a \
                 responder refuses it."
            ),
            Detail::OpcodeOrder { opcode, psn, .. } => write!(
                f,
                "{opcode} with PSN {psn} continues a message that {requester} has not begun: a responder \
                 refuses it."
            ),
            Detail::BadRestart { psn, asked } => write!(
                f,
                "{requester} resends from PSN {psn}, but the NAK asked for PSN {asked}: what lies between is \
                 missing still, or is sent for nothing."
            ),
            Detail::Storm { psn, sends } => write!(
                f,
                "{requester} has sent PSN {psn} {sends} times in a row: nothing gets through, or the answers \
                 do not come back."
            ),
            Detail::Ghost { psn, next, nak } => write!(
                f,
                "{responder} {} PSN {psn}, but {requester} has not sent more than up to the one before {next}.",
                if *nak { "asks for" } else { "acknowledges" }
            ),
            Detail::NeverSent { psn, first } => write!(
                f,
                "{responder} waits for PSN {psn}, but the first packet of {requester} has PSN {first}: the two \
                 ends were told different first PSNs, or the capture began too late."
            ),
            Detail::MsnBackwards { from, to } => {
                write!(f, "the message sequence number of {responder} falls from {from} to {to}.")
            }
            Detail::NakAgain { psn, first } => write!(
                f,
                "{responder} asks for PSN {psn} once more, as in packet {first}, before anything was resent: \
                 there must be one NAK per gap."
            ),
            Detail::RnrStorm { psn, times } => write!(
                f,
                "{responder} was not ready {times} times for PSN {psn}: its program posts no receives, or too \
                 late."
            ),
            Detail::Stalled { psn, request, delay, usual } => write!(
                f,
                "stalled: the answer to PSN {psn} (packet {request}) took {}; {} are usual here. A timeout \
                 would have been a false alarm.",
                Duration(*delay),
                Duration(*usual)
            ),
            other => self.ends(other, f),
        }
    }

    /// Two ends that do not fit each other, or do not hear each other.
    fn ends(&self, detail: &Detail, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requester, responder, .. } = self;
        match detail {
            Detail::OneSided { requests } => write!(
                f,
                "{requests} requests of {requester} and no answer of {responder}, yet nothing is sent again: \
                 the capture has one direction only, so little can be said about losses."
            ),
            Detail::PkeyDiffers { keys: [one, other] } => write!(
                f,
                "{requester} sends in partition {one:#06x}, {responder} in {other:#06x}: each drops the \
                 other's packets without a word. Both need one P_Key, and one of them full membership."
            ),
            Detail::NoSlowdown { asked, before, after } => write!(
                f,
                "{responder} asked {requester} {asked} times to slow down (CNP), but it sends {} as before {}: it does \
                 not react to congestion.",
                Rate(*after),
                Rate(*before)
            ),
            Detail::AnswerElsewhere { to, from, back_to } => write!(
                f,
                "{requester} sends to {to}, but what looks like the answer comes from {from} and goes to {back_to}: \
                 each queue pair drops what is not from the address that it was given. Give both ends GIDs of the \
                 same two addresses (GID index, IPv4 or IPv6)."
            ),
            Detail::GidNamed { named, address } => write!(
                f,
                "this connection request names the GID {named}, but the packet has the address {address}: the queue \
                 pairs will not take each other's packets."
            ),
            other => self.contents(other, f),
        }
    }

    /// Packets that do not say what they should.
    fn contents(&self, detail: &Detail, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requester, responder, .. } = self;
        match detail {
            Detail::AtomicDiffers { psn, first, again } => write!(
                f,
                "{responder} answers the atomic with PSN {psn} with {again:#x}, and {first:#x} before: it \
                 carried it out twice instead of repeating its answer."
            ),
            Detail::ReadShort { psn, asked, came } => write!(
                f,
                "the READ with PSN {psn} asks for {asked} bytes; the response of {responder} ends after {came}."
            ),
            Detail::WrongSize { opcode, len, mtu: Some(mtu) } => {
                write!(f, "{opcode} with {len} bytes of payload, which cannot be at a path MTU of {mtu}.")
            }
            Detail::WrongSize { opcode, len, .. } => {
                write!(f, "{opcode} with {len} bytes of payload, and no path MTU is so large.")
            }
            Detail::MtuDiffers { len, mtu, responder: from_responder } => write!(
                f,
                "{} fills packets with {len} bytes where the other end has a path MTU of {mtu}. Both queue \
                 pairs need the same.",
                if *from_responder { responder } else { requester }
            ),
            Detail::QkeyDiffers { other, gsi: true, .. } => {
                write!(f, "{requester} sends to QP1 with Q_Key {other:#010x}; it drops all but 0x80010000.")
            }
            Detail::QkeyDiffers { first, other, .. } => write!(
                f,
                "datagrams to this queue pair of {responder} carry Q_Key {other:#010x}, before it was \
                 {first:#010x}: it drops one or the other."
            ),
            Detail::Marked { packets } => {
                write!(
                    f,
                    "{packets} packets of {requester} met a full queue (ECN \"congestion experienced\")."
                )
            }
            Detail::NoNotification { packets } => write!(
                f,
                "{packets} packets of {requester} were marked, but {responder} never sent a CNP: {requester} \
                 cannot know that it should slow down."
            ),
            other => about_file(other, f),
        }
    }
}

/// A request in a few words.
pub(super) fn about(target: &Target) -> String {
    let Target { packet, opcode, memory } = target;
    match memory {
        Some(memory) => format!(
            "{opcode} in packet {packet}: {} bytes at {:#x}, R_Key {:#010x}",
            memory.len, memory.va, memory.rkey
        ),
        None => format!("{opcode} in packet {packet}"),
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
        Detail::UnknownLink { count, link } => {
            write!(
                f,
                "{count} packets were captured on a link of type {link} (www.tcpdump.org/linktypes.html), under which \
                 no IP is looked for here. Capture on the Ethernet device, or with 'tcpdump -i any'."
            )
        }
        Detail::PauseStorm { port, priority, frames, paused, of } => write!(
            f,
            "the port {} asks its neighbour to pause priority {priority} for {} of {}, in {frames} frames, if the \
             link has 10 Gb/s: a pause storm. It stops all who send to it, and those who share a queue with them; look \
             for a host that does not take its packets.",
            Mac(*port),
            Duration(*paused),
            Duration(*of)
        ),
        Detail::Paused { port, frames, paused } => write!(
            f,
            "the port {} asks its neighbour in {frames} frames to pause, for {} at most in any priority if the link has \
             10 Gb/s.",
            Mac(*port),
            Duration(*paused)
        ),
        Detail::Undecodable { reason } => write!(f, "not a packet: {reason}."),
        Detail::Fragment => write!(
            f,
            "an IP fragment. RoCE packets are never fragmented: the path MTU is larger than a link on the way \
             carries."
        ),
        Detail::OnePort { connections, port } => write!(
            f,
            "{connections} connections between two hosts share the UDP source port {port}: routers that choose \
             among equal paths send all of them over one."
        ),
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
