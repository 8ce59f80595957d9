//! A RoCEv2 NIC as a value.
//!
//! [`Device`] is a deterministic state machine: verbs calls, packets and the time go in; packets, completions,
//! events and the next deadline come out. Put it on a UDP socket and it talks to other NICs; put two into a
//! simulated fabric and every run can be had again from a seed.
//!
//! It offers the reliable connection: SEND, WRITE and READ in all variants, atomics, memory windows, everything
//! that can go wrong with them, and recovery from loss; shared receive queues and the extended reliable connection; the unreliable connection; datagrams with multicast; and the
//! management of connections ([`Cm`]).

mod cm;
mod config;
mod congestion;
mod counters;
mod cq;
mod device;
mod error;
mod event;
mod grh;
mod io;
mod memory;
mod policy;
mod qp;
mod qps;
mod rng;
mod snapshot;
mod srq;
mod table;
mod time;
mod trace;
mod work;

pub use cm::{
    Cm, CmAccept, CmConfig, CmConnect, CmCounters, CmEvent, CmEventKind, CmId, CmListener, CmSidrReply,
    CmState, CmTransport,
};
pub use config::{DeviceConfig, Limits};
pub use congestion::{CnpPolicy, Congestion, Dcqcn, DcqcnParams, RateControl, Timely, TimelyParams};
pub use counters::Counters;
pub use cq::{Arm, CompletionQueue, Cq, CqInfo, Moderation};
pub use device::{AddressHandle, Ah, Device};
pub use error::{PostError, TransitionFault, VerbsError};
pub use event::{AsyncEvent, Backlog, Event, QpEvent};
pub use ferroce_wire::{ImmDt, PathMtu, Psn, Qpn, RnrTimer};
pub use grh::GRH_LEN;
pub use io::{DONT_FRAGMENT, Flow, Ident, RxMeta, Train, TxLimits};
pub use memory::{
    Access, AccessDenied, AddressSpace, Advice, Bind, Buffer, DeviceMemory, Dm, Domain, Mr, MrChange, MrInit,
    MwType, Pd, Region,
};
pub use policy::{AckRequests, GoBack0, GoBackN, Loss, LossCause, Numbering, Personality, Recovery};
pub use qp::{
    AddressVector, AltPath, AttrMask, EndCause, MigState, QpAttr, QpCap, QpEnding, QpInfo, QpInit, QpState,
    QpType, SelectiveRepeat, Transition, transitions,
};
pub use qps::qpns_of;
pub use rng::Seed;
pub use snapshot::{
    CqSnapshot, MrSnapshot, QpSnapshot, RecvSlot, RequesterSnapshot, ResponderSnapshot, SendProgress,
    SendSlot, Snapshot, SrqSnapshot,
};
pub use srq::{SharedReceiveQueue, Srq, SrqInfo, SrqInit, XrcDomain, Xrcd, XrcdOpen};
pub use table::Id;
pub use time::Time;
pub use trace::{DropReason, NoTrace, TraceEvent, TraceSink};
pub use work::{Payload, RecvWr, Remote, SendFlags, SendOp, SendWr, Sge, To, Wc, WcOpcode, WcStatus};
