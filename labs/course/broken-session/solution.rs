//! Broken sessions. Read README.md, write `diagnose`, then: ferroce lab check

/// A packet of a reliable connection, as a capture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// From the requester to the responder, or back.
    pub to_responder: bool,
    pub kind: Kind,
    pub psn: u32,
    /// Bytes of payload.
    pub payload: u32,
    /// Whether the ICRC is that of the packet.
    pub icrc_is_right: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SendFirst,
    SendMiddle,
    SendLast,
    SendOnly,
    WriteOnly,
    Ack,
    /// Receiver not ready.
    RnrNak,
    /// PSN sequence error: the PSN is the one that the responder expects.
    SequenceNak,
    InvalidRequestNak,
    RemoteAccessNak,
}

/// What must be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: what was lost has been made good.
    Nothing,
    /// The responder drops what it gets: the requester computes the ICRC wrongly.
    Icrc,
    /// Nobody answers: wrong address, GID or queue pair number, or the responder's queue pair is not ready.
    Unreachable,
    /// The responder's first PSN is not what the requester begins with.
    FirstPsn,
    /// The requester's path MTU is larger than the responder's.
    PathMtu,
    /// The responder's program posts no receives.
    NoReceive,
    /// Key, address, length or right of a WRITE are wrong.
    Key,
}

/// What is wrong with a session whose capture begins with the first packet of the connection.
pub fn diagnose(packets: &[Packet]) -> Fault {
    let answers = || packets.iter().filter(|packet| !packet.to_responder);
    let has = |kind: Kind| answers().any(|packet| packet.kind == kind);
    let is_acked = has(Kind::Ack);
    let requests = || packets.iter().filter(|packet| packet.to_responder);

    if has(Kind::RemoteAccessNak) {
        return Fault::Key;
    }
    if has(Kind::InvalidRequestNak) {
        return Fault::PathMtu;
    }
    if answers().count() == 0 {
        let is_wrong = requests().all(|packet| !packet.icrc_is_right);
        return if is_wrong { Fault::Icrc } else { Fault::Unreachable };
    }
    if has(Kind::RnrNak) && !is_acked {
        return Fault::NoReceive;
    }
    // A responder that asks for a PSN that was never sent.
    let asked = answers().filter(|packet| packet.kind == Kind::SequenceNak);
    if asked.map(|nak| nak.psn).any(|psn| requests().all(|packet| packet.psn != psn)) {
        return Fault::FirstPsn;
    }
    Fault::Nothing
}
