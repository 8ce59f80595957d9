//! The structures of libibverbs as data that can travel.
//!
//! Names and meanings are those of `<infiniband/verbs.h>` and its man pages. Flags and masks have the numbers of
//! that header. Immediate data are in host order. Lengths and offsets are bytes, time limits milliseconds.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A registered region: where it is and its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mr {
    /// Virtual address of the first byte.
    pub addr: u64,
    /// Key for local use.
    pub lkey: u32,
    /// Key for the peer.
    pub rkey: u32,
}

impl Mr {
    /// `len` bytes at `offset`, which need not lie inside.
    pub fn sge(&self, offset: u64, len: u32) -> Sge {
        Sge { addr: self.addr.wrapping_add(offset), len, lkey: self.lkey }
    }
}

/// `struct ibv_sge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sge {
    /// Virtual address.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
    /// Local key.
    pub lkey: u32,
}

/// Numbers of `enum ibv_access_flags`.
#[derive(Debug)]
pub struct Access;

impl Access {
    /// The device may write it for a local request.
    pub const LOCAL_WRITE: u32 = 1;
    /// The peer may write it.
    pub const REMOTE_WRITE: u32 = 2;
    /// The peer may read it.
    pub const REMOTE_READ: u32 = 4;
    /// The peer may do atomics in it.
    pub const REMOTE_ATOMIC: u32 = 8;
    /// Memory windows may be bound to it.
    pub const MW_BIND: u32 = 16;
    /// Everything a peer can be allowed, and local writes.
    pub const ALL: u32 = 15;
}

/// Numbers of `enum ibv_send_flags`.
#[derive(Debug)]
pub struct SendFlags;

impl SendFlags {
    /// Wait for earlier READs and atomics.
    pub const FENCE: u32 = 1;
    /// Give a completion.
    pub const SIGNALED: u32 = 2;
    /// Wake the peer's solicited notification.
    pub const SOLICITED: u32 = 4;
    /// Take the data at the time of the post.
    pub const INLINE: u32 = 8;
}

/// `struct ibv_qp_cap`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Caps {
    /// Requests in the send queue.
    pub send_wr: u32,
    /// Requests in the receive queue.
    pub recv_wr: u32,
    /// Elements of a send request.
    pub send_sge: u32,
    /// Elements of a receive request.
    pub recv_sge: u32,
    /// Bytes of inline data.
    pub inline: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { send_wr: 64, recv_wr: 64, send_sge: 4, recv_sge: 4, inline: 64 }
    }
}

/// Transport service of a queue pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum QpType {
    Rc,
    Uc,
    Ud,
}

/// State of a queue pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum QpState {
    Reset,
    Init,
    Rtr,
    Rts,
    Sqd,
    Sqe,
    Err,
}

/// `struct ibv_qp_attr`: what is `None` is not named in the mask.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of ibv_modify_qp(3)")]
pub struct QpAttr {
    pub state: Option<QpState>,
    pub cur_state: Option<QpState>,
    /// `en_sqd_async_notify`.
    pub sqd_notify: Option<u8>,
    /// `qp_access_flags`.
    pub access: Option<u32>,
    pub pkey_index: Option<u16>,
    pub port: Option<u8>,
    pub qkey: Option<u32>,
    /// `ah_attr`.
    pub path: Option<Path>,
    /// Bytes; a number that is no MTU is handed on as the enum value.
    pub path_mtu: Option<u32>,
    pub timeout: Option<u8>,
    pub retry_cnt: Option<u8>,
    pub rnr_retry: Option<u8>,
    pub rq_psn: Option<u32>,
    pub max_rd_atomic: Option<u8>,
    pub min_rnr_timer: Option<u8>,
    pub sq_psn: Option<u32>,
    pub max_dest_rd_atomic: Option<u8>,
    pub dest_qpn: Option<u32>,
}

/// `struct ibv_ah_attr` of RoCE: the way to a peer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Path {
    /// The peer's address; IPv4 stands for the mapped GID.
    pub gid: IpAddr,
    /// As asked for; RoCE v2 implementations may send another.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// 20 bits.
    pub flow_label: u32,
    /// Service level.
    pub sl: u8,
}

/// Operation of a send request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of ibv_post_send(3)")]
pub enum Opcode {
    Send,
    SendImm,
    SendInv,
    Write,
    WriteImm,
    Read,
    CmpSwap,
    FetchAdd,
    LocalInv,
    AtomicWrite,
}

/// `struct ibv_send_wr`. Fields that the operation does not use are ignored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendWr {
    /// Comes back in the completion.
    pub wr_id: u64,
    /// What to do.
    pub opcode: Opcode,
    /// See [`SendFlags`].
    pub flags: u32,
    /// Local memory.
    pub sges: Vec<Sge>,
    /// Address in the peer's memory.
    pub remote_addr: u64,
    /// Its key.
    pub rkey: u32,
    /// Immediate data.
    pub imm: u32,
    /// Key to invalidate.
    pub inv_rkey: u32,
    /// Atomics: what to compare with, or to add.
    pub compare_add: u64,
    /// Atomics: what to store.
    pub swap: u64,
    /// Datagrams: where to.
    pub to: Option<Destination>,
}

/// `wr.ud` of `struct ibv_send_wr`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Destination {
    /// Name of the address handle.
    pub ah: String,
    /// The queue pair.
    pub qpn: u32,
    /// The key that it demands.
    pub qkey: u32,
}

impl SendWr {
    /// A signaled request without data.
    pub fn new(wr_id: u64, opcode: Opcode) -> Self {
        Self {
            wr_id,
            opcode,
            flags: SendFlags::SIGNALED,
            sges: Vec::new(),
            remote_addr: 0,
            rkey: 0,
            imm: 0,
            inv_rkey: 0,
            compare_add: 0,
            swap: 0,
            to: None,
        }
    }

    /// Adds local memory.
    #[must_use]
    pub fn sge(mut self, sge: Sge) -> Self {
        self.sges.push(sge);
        self
    }

    /// Names the peer's memory, `offset` bytes from the start of `mr`, which need not lie inside.
    #[must_use]
    pub fn remote(mut self, mr: &Mr, offset: i64) -> Self {
        self.remote_addr = mr.addr.wrapping_add_signed(offset);
        self.rkey = mr.rkey;
        self
    }

    /// Replaces the peer's key.
    #[must_use]
    pub fn rkey(mut self, rkey: u32) -> Self {
        self.rkey = rkey;
        self
    }

    /// Sets the immediate data.
    #[must_use]
    pub fn imm(mut self, imm: u32) -> Self {
        self.imm = imm;
        self
    }

    /// Sets further [`SendFlags`].
    #[must_use]
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags |= flags;
        self
    }

    /// No completion on success.
    #[must_use]
    pub fn unsignaled(mut self) -> Self {
        self.flags &= !SendFlags::SIGNALED;
        self
    }
}

/// `struct ibv_recv_wr`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecvWr {
    /// Comes back in the completion.
    pub wr_id: u64,
    /// Where the message goes.
    pub sges: Vec<Sge>,
}

/// `struct ibv_wc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// Of the request.
    pub wr_id: u64,
    /// What became of it.
    pub status: Status,
    /// Only with [`Status::Success`].
    pub opcode: WcOpcode,
    /// Bytes received; undefined for sends and writes.
    pub byte_len: u32,
    /// Immediate data or invalidated key, as the flags say.
    pub imm: u32,
    /// Numbers of `enum ibv_wc_flags`.
    pub flags: u32,
    /// The local queue pair.
    pub qpn: u32,
}

/// `enum ibv_wc_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of ibv_poll_cq(3)")]
pub enum Status {
    Success,
    LocLenErr,
    LocQpOpErr,
    LocEecOpErr,
    LocProtErr,
    WrFlushErr,
    MwBindErr,
    BadRespErr,
    LocAccessErr,
    RemInvReqErr,
    RemAccessErr,
    RemOpErr,
    RetryExcErr,
    RnrRetryExcErr,
    LocRddViolErr,
    RemInvRdReqErr,
    RemAbortErr,
    InvEecnErr,
    InvEecStateErr,
    FatalErr,
    RespTimeoutErr,
    GeneralErr,
}

/// `enum ibv_wc_opcode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of ibv_poll_cq(3)")]
pub enum WcOpcode {
    Send,
    RdmaWrite,
    RdmaRead,
    CompSwap,
    FetchAdd,
    BindMw,
    LocalInv,
    AtomicWrite,
    Recv,
    RecvRdmaWithImm,
}

/// Bytes, as hexadecimal text on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Bytes(pub Vec<u8>);

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(format!("not hexadecimal: {text}"));
        }
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|error| error.to_string());
        (0..digits.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_travel_as_hexadecimal_text() {
        let bytes = Bytes(vec![0, 7, 255]);
        let text = serde_json::to_string(&bytes).unwrap();
        assert_eq!(text, "\"0007ff\"");
        assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap(), bytes);
        assert!(serde_json::from_str::<Bytes>("\"00g0\"").is_err());
        assert!(serde_json::from_str::<Bytes>("\"é0\"").is_err());
    }
}
