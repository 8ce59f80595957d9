//! The vocabulary between a test and a peer: libibverbs in data.
//!
//! Names and meanings are those of `<infiniband/verbs.h>` and its man pages. Flags and masks have the numbers of
//! that header. Immediate data are in host order. Lengths and offsets are bytes, time limits milliseconds.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::verbs::{Bytes, Caps, Completion, Mr, Path, QpAttr, QpType, RecvWr, SendWr};

/// What a peer can be asked to do. The doc of each says which [`Reply`] it gets; [`Reply::Done`] if none is named.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant says what its fields are for")]
pub enum Request {
    /// Opens the device and chooses the source GID of all paths: [`Reply::Device`]. Must come first.
    Open { gid_index: u8 },
    /// `ibv_alloc_pd`.
    AllocPd { pd: String },
    /// `ibv_reg_mr` over fresh zeroed memory of `len` bytes, page aligned: [`Reply::Mr`].
    RegMr { mr: String, pd: String, len: usize, access: u32 },
    /// Writes registered memory as the application.
    WriteMem { mr: String, offset: usize, data: Bytes },
    /// Reads registered memory as the application, deregistered or not: [`Reply::Memory`].
    ReadMem { mr: String, offset: usize, len: usize },
    /// CRC-32 (as in zlib) of registered memory: [`Reply::Crc`].
    CrcMem { mr: String, offset: usize, len: usize },
    /// `ibv_alloc_mw`; its key opens nothing before it is bound.
    AllocMw { mw: String, pd: String, type2: bool },
    /// Binds a window to part of a region, signaled, with the key after the one that it has: `ibv_bind_mw` for type 1,
    /// `ibv_wr_bind_mw` for type 2: [`Reply::Mw`].
    BindMw { qp: String, wr_id: u64, mw: String, mr: String, offset: u64, len: u64, access: u32 },
    /// `ibv_create_ah`.
    CreateAh { ah: String, pd: String, path: Path },
    /// Destroys the object of that name, whatever it is.
    Destroy { name: String },
    /// `ibv_create_cq`, with a completion channel of its own if `channel`: [`Reply::Cq`].
    CreateCq { cq: String, depth: u32, channel: bool },
    /// `ibv_poll_cq` until `max` completions are there or the time is up: [`Reply::Completions`].
    PollCq { cq: String, max: usize, timeout_ms: u32 },
    /// `ibv_req_notify_cq`.
    ReqNotify { cq: String, solicited_only: bool },
    /// `ibv_get_cq_event` if one comes in time: [`Reply::Notified`].
    WaitNotify { cq: String, timeout_ms: u32 },
    /// `ibv_get_async_event` until the first comes, and those queued behind it: [`Reply::Events`].
    PollAsync { timeout_ms: u32 },
    /// `ibv_create_srq` with four elements for each receive.
    CreateSrq { srq: String, pd: String, depth: u32 },
    /// `ibv_modify_srq`: an event is due when fewer receives than this are left.
    LimitSrq { srq: String, limit: u32 },
    /// `ibv_query_srq`: [`Reply::Srq`].
    QuerySrq { srq: String },
    /// `ibv_post_srq_recv` of a list.
    PostSrqRecv { srq: String, wrs: Vec<RecvWr> },
    /// `ibv_create_qp`: [`Reply::Qp`].
    CreateQp {
        qp: String,
        pd: String,
        #[serde(rename = "type")]
        kind: QpType,
        send_cq: String,
        recv_cq: String,
        srq: Option<String>,
        caps: Caps,
        sq_sig_all: bool,
    },
    /// `ibv_modify_qp`. Without a `mask` it names exactly the attributes that are given.
    ModifyQp { qp: String, attr: QpAttr, mask: Option<u32> },
    /// `ibv_query_qp`: [`Reply::QpAttr`].
    QueryQp { qp: String },
    /// `ibv_post_send` of a list; `extended`: through `ibv_wr_start` and so on, which some providers check less.
    PostSend { qp: String, wrs: Vec<SendWr>, extended: bool },
    /// `ibv_post_recv` of a list.
    PostRecv { qp: String, wrs: Vec<RecvWr> },
}

/// What a peer answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant says what its fields are for")]
pub enum Reply {
    /// It was done and there is nothing to say.
    Done,
    /// The address behind the chosen GID, and the port's active MTU in bytes.
    Device { gid: IpAddr, active_mtu: u32 },
    /// A memory region.
    Mr(Mr),
    /// The key that a memory window has once it is bound.
    Mw { rkey: u32 },
    /// Bytes of memory.
    Memory { data: Bytes },
    /// A checksum.
    Crc { crc32: u32 },
    /// The depth that the implementation chose, at least what was asked for.
    Cq { depth: u32 },
    /// Completions in the order of the queue.
    Completions { completions: Vec<Completion> },
    /// Whether an event came.
    Notified { notified: bool },
    /// Names of events, such as `SQ_DRAINED`.
    Events { events: Vec<String> },
    /// The limit of a shared receive queue; 0 when it is not armed.
    Srq { limit: u32 },
    /// A queue pair number.
    Qp { qpn: u32 },
    /// All attributes but the path.
    QpAttr { attr: QpAttr, sq_draining: bool, caps: Caps },
}
