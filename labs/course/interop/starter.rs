//! Interop. Read README.md, write `read`, `explain` and `mend`, then: ferroce lab check

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub opcode: u8,
    /// The queue pair that it goes to.
    pub dest_qp: u32,
    pub psn: u32,
    /// The syndrome of an answer; requests have none.
    pub syndrome: Option<u8>,
}

/// What must be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: everything was acknowledged in the end.
    Nothing,
    /// Nobody answers: wrong address, GID or queue pair number, or the responder's queue pair is not ready.
    Unreachable,
    /// The responder's first PSN is not what the requester begins with.
    FirstPsn,
    /// The requester's path MTU is larger than the responder's.
    PathMtu,
    /// The responder's program posts no receives.
    NoReceive,
    /// Key, address, length or right are wrong.
    Key,
}

/// How the requester's queue pair is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub first_psn: u32,
    pub path_mtu: u32,
    /// How often it tries again after "receiver not ready"; 7 is for ever.
    pub rnr_retry: u8,
}

/// Reads an Ethernet frame; `None` if there is no RoCEv2 packet over IPv4 in it, or not all of its headers.
pub fn read(frame: &[u8]) -> Option<Packet> {
    let _ = frame;
    None
}

/// What is wrong with a session, whose frames these are from the first on.
pub fn explain(frames: &[Vec<u8>]) -> Fault {
    let _ = frames;
    Fault::Nothing
}

/// The session with these settings failed, and these were its frames: what should the settings be?
pub fn mend(settings: Settings, frames: &[Vec<u8>]) -> Settings {
    let _ = frames;
    settings
}
