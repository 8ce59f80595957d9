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
    let _ = packets;
    Fault::Nothing
}
