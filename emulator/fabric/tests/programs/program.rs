//! What a random test does, as plain data: it can be printed, cut down and run again.

use std::time::Duration;

use ferroce_engine::{AckRequests, Arm, PathMtu, Personality};
use ferroce_fabric::{Link, Port, Rule};

/// A test run: hosts, connections, and what the programs on the hosts do in which order.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Decides faults and data.
    pub(crate) seed: u64,
    /// All addresses are IPv6.
    pub(crate) ipv6: bool,
    pub(crate) hosts: Vec<HostPlan>,
    /// Switches between the hosts, if there are any.
    pub(crate) wiring: Option<Wiring>,
    /// All links or cables; their faults end when the plan says so.
    pub(crate) link: Link,
    pub(crate) rules: Vec<Rule>,
    pub(crate) conns: Vec<ConnPlan>,
    pub(crate) steps: Vec<Step>,
    /// What goes wrong for good, if anything does.
    pub(crate) trouble: Option<Trouble>,
}

/// Hosts hang on the leaves in turn, and every leaf on every top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring {
    pub(crate) leaves: usize,
    /// Switches above the leaves.
    pub(crate) tops: usize,
    /// Of all cables, in bits per second.
    pub(crate) rate: u64,
    /// Switches pause who sends; otherwise they hold all there is.
    pub(crate) lossless: bool,
    /// Bytes from one sender at which a switch pauses it.
    pub(crate) pause_at: u64,
    pub(crate) outage: Option<Outage>,
}

/// A cable, or a switch above the leaves, that fails for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// Which of them.
    pub(crate) what: usize,
    /// When it begins, in sixteenths of the time until the faults end.
    pub(crate) from: u32,
    /// How long it lasts, in the same unit.
    pub(crate) lasts: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct HostPlan {
    pub(crate) personality: &'static str,
    pub(crate) read_chunk: u32,
    pub(crate) window: u32,
    pub(crate) ack_coalescing: u32,
    pub(crate) ack_requests: AckRequests,
    pub(crate) port: Port,
    pub(crate) polling: Polling,
    /// All queue pairs complete to one queue; otherwise each has one for sends and one for receives.
    pub(crate) shared_cq: bool,
}

impl HostPlan {
    pub(crate) fn personality(&self) -> Personality {
        Personality {
            read_chunk: self.read_chunk,
            window: self.window,
            ack_coalescing: self.ack_coalescing,
            ack_requests: self.ack_requests,
            placement: true,
            ..Personality::by_name(self.personality).expect("one of the named sets")
        }
    }
}

/// When a host's program looks at its completion queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polling {
    /// All the time.
    Busy,
    /// When the queue it armed tells it to.
    Events,
    /// All the time, with queues armed for solicited completions, whose events it counts.
    Solicited,
    /// When nothing else is left to do.
    Late,
}

impl Polling {
    /// What its queues are armed for.
    pub(crate) fn arm(self) -> Option<Arm> {
        match self {
            Polling::Busy | Polling::Late => None,
            Polling::Events => Some(Arm::Next),
            Polling::Solicited => Some(Arm::Solicited),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ConnPlan {
    pub(crate) ends: [EndPlan; 2],
    pub(crate) mtu: PathMtu,
}

#[derive(Clone, Debug)]
pub(crate) struct EndPlan {
    pub(crate) host: usize,
    pub(crate) first_psn: u32,
    pub(crate) send_depth: u32,
    pub(crate) recv_depth: u32,
    pub(crate) max_rd_atomic: u8,
    /// How many more than its peer has outstanding it could serve.
    pub(crate) spare_rd_atomic: u8,
    pub(crate) rnr_timer: u8,
    pub(crate) signal_all: bool,
    /// Receives that are posted and never used.
    pub(crate) spare_recvs: u8,
    /// Its receives come from a shared queue, which no one else uses, so that their order stays certain.
    pub(crate) shared_receives: bool,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndRef {
    pub(crate) conn: usize,
    pub(crate) side: usize,
}

impl EndRef {
    pub(crate) fn peer(self) -> EndRef {
        EndRef { side: 1 - self.side, ..self }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Time since the step before.
    pub(crate) gap: Duration,
    pub(crate) end: EndRef,
    pub(crate) act: Act,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send(Message),
    /// Posts so many of the receives that the peer's messages need. Those that no step posts are posted last.
    Recv(u8),
    /// To SQD, and back as soon as the queue has drained.
    Drain,
    /// Calls verbs that must be refused and change nothing.
    Misuse,
    /// Gives the completion queues of its host more room, or takes that away again.
    Resize(u8),
    /// Registers the memory that messages come from anew, as it is.
    Reregister,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) len: u32,
    /// Scatter/gather entries, on either side.
    pub(crate) pieces: [u8; 2],
    /// Decides about addresses.
    pub(crate) place: u32,
    /// Operand of atomics, immediate data.
    pub(crate) value: u32,
    pub(crate) signaled: bool,
    pub(crate) fence: bool,
    pub(crate) solicited: bool,
    pub(crate) inline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Send,
    SendImm,
    /// Shuts a window of the peer's that was bound for it.
    SendInv,
    Write,
    WriteImm,
    Read,
    /// On a word of its own direction.
    CompareSwap,
    FetchAdd,
    /// On a word that all of the host's peers add to.
    SharedAdd,
    /// On a word that all of the host's peers try to replace.
    SharedSwap,
    /// 8 bytes at once.
    AtomicWrite,
    /// A part of what the peer's messages can change.
    Flush,
    /// Binds a memory window of its own.
    BindMw,
    /// Registers memory of its own.
    RegMr,
    /// Shuts the window that was bound last, or takes the memory that was registered last out of use.
    LocalInv,
}

impl Kind {
    pub(crate) fn consumes_receive(self) -> bool {
        self.is_send() || self == Kind::WriteImm
    }

    pub(crate) fn is_send(self) -> bool {
        matches!(self, Kind::Send | Kind::SendImm | Kind::SendInv)
    }

    /// Nothing of it leaves the device.
    pub(crate) fn is_local(self) -> bool {
        matches!(self, Kind::BindMw | Kind::RegMr | Kind::LocalInv)
    }

    /// Puts its data into the peer's window.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Kind::Write | Kind::WriteImm | Kind::AtomicWrite)
    }

    pub(crate) fn is_atomic(self) -> bool {
        matches!(self, Kind::CompareSwap | Kind::FetchAdd | Kind::SharedAdd | Kind::SharedSwap)
    }

    pub(crate) fn has_imm(self) -> bool {
        matches!(self, Kind::SendImm | Kind::WriteImm)
    }
}

/// Something that ends a connection, on the end where it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) end: EndRef,
    /// For what befalls a message: the first from this one on that it fits. For all else: after so many steps.
    pub(crate) at: usize,
    pub(crate) kind: TroubleKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// A scatter/gather entry with a key that opens nothing.
    BadLkey,
    /// A scatter/gather entry that leaves its region.
    BadLocalRange,
    /// An atomic whose result has no room, or an ATOMIC WRITE of less than 8 bytes.
    ShortAtomic,
    /// A remote key that opens nothing.
    BadRkey,
    /// A range that leaves the peer's region.
    BadRemoteRange,
    /// A region without the right that is needed.
    NoRight,
    /// A region of another protection domain.
    OtherDomain,
    /// An atomic, or ATOMIC WRITE, on an address that is no multiple of 8.
    Unaligned,
    /// The peer's receive is too short.
    ShortReceive,
    /// The peer's receive names memory that its key does not open.
    BadReceive,
    /// A SEND that invalidates a key.
    Invalidate,
    /// The peer posts no receive, and `rnr_retry` is finite.
    NoReceive,
    /// `modify_qp` to ERR.
    ToError,
    /// `modify_qp` to RESET.
    ToReset,
    /// `destroy_qp`.
    Destroy,
    /// The network between all hosts fails for good.
    Cut,
    /// `dereg_mr` of the memory that messages come from and results go to.
    DeregLocal,
    /// `dereg_mr` of the memory of the peer's that messages name.
    DeregRemote,
}

impl TroubleKind {
    /// It befalls a message, not the connection as such.
    pub(crate) fn is_about_message(self) -> bool {
        !matches!(
            self,
            TroubleKind::ToError
                | TroubleKind::ToReset
                | TroubleKind::Destroy
                | TroubleKind::Cut
                | TroubleKind::DeregLocal
                | TroubleKind::DeregRemote
        )
    }

    /// Whether it can befall this message.
    pub(crate) fn fits(self, message: &Message) -> bool {
        let kind = message.kind;
        let has_data = message.len > 0;
        match self {
            TroubleKind::BadLkey | TroubleKind::BadLocalRange => has_data && !message.inline,
            TroubleKind::ShortAtomic | TroubleKind::Unaligned => {
                kind.is_atomic() || kind == Kind::AtomicWrite
            }
            TroubleKind::BadRkey
            | TroubleKind::BadRemoteRange
            | TroubleKind::NoRight
            | TroubleKind::OtherDomain => (has_data && !kind.is_send()) || kind == Kind::Flush,
            TroubleKind::ShortReceive | TroubleKind::BadReceive => kind.is_send() && message.len > 0,
            TroubleKind::Invalidate => matches!(kind, Kind::Send),
            TroubleKind::NoReceive => kind.consumes_receive(),
            _ => false,
        }
    }

    pub(crate) const ALL: [TroubleKind; 18] = [
        TroubleKind::BadLkey,
        TroubleKind::BadLocalRange,
        TroubleKind::ShortAtomic,
        TroubleKind::BadRkey,
        TroubleKind::BadRemoteRange,
        TroubleKind::NoRight,
        TroubleKind::OtherDomain,
        TroubleKind::Unaligned,
        TroubleKind::ShortReceive,
        TroubleKind::BadReceive,
        TroubleKind::Invalidate,
        TroubleKind::NoReceive,
        TroubleKind::ToError,
        TroubleKind::ToReset,
        TroubleKind::Destroy,
        TroubleKind::Cut,
        TroubleKind::DeregLocal,
        TroubleKind::DeregRemote,
    ];
}
