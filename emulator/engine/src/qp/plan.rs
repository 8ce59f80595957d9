//! What the next packet of a send request looks like.

use ferroce_wire::{AtomicEth, Feth, Headers, Ieth, Opcode, Reth, Xrceth};

use super::{Conn, Ctx, QpType};
use crate::memory::Access;
use crate::work::{Remote, SendOp, SendWqe};

/// A request packet, complete but for its payload and what depends on the moment.
pub(super) struct Plan {
    /// All headers; PSN, AckReq and SE are still to be set.
    pub headers: Headers,
    /// Bytes of payload, and where in the message they begin.
    pub payload: usize,
    pub offset: u64,
    /// PSNs that it uses up.
    pub psns: u32,
    /// It is the last of its request.
    pub ends: bool,
    /// It is answered by data, not by an ACK.
    pub wants_response: bool,
}

impl Plan {
    /// Packet `index` of `wqe`, which has its PSNs. A READ asks for at most `chunk` packets at a time.
    #[inline]
    pub(super) fn new<T>(wqe: &SendWqe, index: u32, chunk: u32, conn: &Conn, ctx: &Ctx<'_, T>) -> Plan {
        let operation = wqe.op.packet_operation(index, wqe.psns);
        let opcode = conn.opcode(operation);
        let headers = conn.headers(opcode, wqe.first, ctx.policy);
        let wants_response = wqe.op.wants_response();
        let mut plan =
            Plan { headers, payload: 0, offset: 0, psns: 1, ends: index + 1 == wqe.psns, wants_response };
        if conn.init.qp_type == QpType::XrcInitiator {
            plan.headers.xrceth = Some(Xrceth { reserved: 0, srqn: wqe.srqn });
        }
        match wqe.op {
            SendOp::Read(remote) => plan.read(remote, wqe, index, conn, chunk),
            SendOp::CompareSwap { remote, compare, swap } => plan.atomic(remote, swap, compare),
            SendOp::FetchAdd { remote, add } => plan.atomic(remote, add, 0),
            SendOp::Flush { remote, len, placement, whole_region } => {
                plan.headers.reth = Some(reth(remote, len.into()));
                plan.headers.feth = Some(feth(placement, whole_region));
            }
            _ => plan.data(wqe, index, conn),
        }
        plan
    }

    pub(super) fn opcode(&self) -> Opcode {
        self.headers.bth.opcode
    }

    fn data(&mut self, wqe: &SendWqe, index: u32, conn: &Conn) {
        let mtu = conn.mtu.bytes() as u64;
        self.offset = u64::from(index) * mtu;
        self.payload = (wqe.len - self.offset).min(mtu) as usize;
        let first = index == 0;
        match wqe.op {
            SendOp::Write(remote) | SendOp::WriteImm(remote, _) | SendOp::AtomicWrite(remote) if first => {
                self.headers.reth = Some(reth(remote, wqe.len));
            }
            _ => {}
        }
        match wqe.op {
            SendOp::SendImm(imm) | SendOp::WriteImm(_, imm) if self.ends => self.headers.imm = Some(imm),
            SendOp::SendInv(rkey) if self.ends => self.headers.ieth = Some(Ieth { rkey }),
            _ => {}
        }
    }

    /// A READ that resumes in the middle asks for the rest only. A long one asks for one chunk at a time.
    fn read(&mut self, remote: Remote, wqe: &SendWqe, index: u32, conn: &Conn, chunk: u32) {
        let mtu = conn.mtu.bytes() as u64;
        let skipped = u64::from(index) * mtu;
        self.psns = wqe.psns_at(index, chunk);
        self.ends = index + self.psns == wqe.psns;
        let len = (wqe.len - skipped).min(u64::from(self.psns) * mtu);
        self.headers.reth = Some(reth(Remote { addr: remote.addr.wrapping_add(skipped), ..remote }, len));
    }

    fn atomic(&mut self, remote: Remote, swap_or_add: u64, compare: u64) {
        let Remote { addr: va, rkey } = remote;
        self.headers.atomic = Some(AtomicEth { va, rkey, swap_or_add, compare });
    }
}

fn feth(placement: Access, whole_region: bool) -> Feth {
    let bit = |right, bit| if placement.contains(right) { bit } else { 0 };
    Feth {
        placement: bit(Access::FLUSH_GLOBAL, Feth::GLOBAL) | bit(Access::FLUSH_PERSISTENT, Feth::PERSISTENT),
        selectivity: if whole_region { Feth::MEMORY_REGION } else { Feth::RANGE },
        reserved: 0,
    }
}

fn reth(remote: Remote, len: u64) -> Reth {
    Reth { va: remote.addr, rkey: remote.rkey, len: len as u32 }
}
