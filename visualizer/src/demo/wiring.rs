//! Connecting two NICs: what an application does before the first message.

use std::net::IpAddr;

use ferroce_engine::{
    Access, AddressVector, Buffer, Cq, Mr, MrInit, PathMtu, Pd, Psn, QpAttr, QpCap, QpInit, QpType, Qpn,
    Remote, RnrTimer, Sge, VerbsError,
};

use super::host::Host;

/// What all connections of a NIC share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub addr: IpAddr,
    pub pd: Pd,
    pub cq: Cq,
}

impl Side {
    pub(crate) fn open(host: &mut impl Host, addr: IpAddr, cqe: u32) -> Result<Side, VerbsError> {
        host.with(|device, _| Ok(Side { addr, pd: device.alloc_pd()?, cq: device.create_cq(cqe)? }))
    }
}

/// One end of a connection, with memory of its own.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub qp: Qpn,
    pub buffer: Buffer,
    mr: Mr,
}

impl End {
    /// Bytes `len` from `offset`, for a work request of this end.
    pub(crate) fn sge(&self, offset: usize, len: usize) -> Sge {
        Sge { addr: self.buffer.addr() + offset as u64, len: len as u32, lkey: self.mr.lkey }
    }

    /// Takes down this end.
    pub(crate) fn close(&self, host: &mut impl Host) -> Result<(), VerbsError> {
        host.with(|device, _| {
            device.destroy_qp(self.qp)?;
            device.dereg_mr(self.mr.lkey)
        })
    }

    /// The memory at `offset`, for a work request of the peer's.
    pub(crate) fn remote(&self, offset: usize) -> Remote {
        Remote { addr: self.buffer.addr() + offset as u64, rkey: self.mr.rkey }
    }
}

/// What both ends of a connection agree on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub mtu: PathMtu,
    /// Bytes of registered memory at each end.
    pub memory: usize,
    /// Requests that each queue has room for.
    pub depth: u32,
    /// First PSN of each end.
    pub psns: [Psn; 2],
    /// Code of the local ACK timeout.
    pub timeout: u8,
    pub retry_cnt: u8,
    pub min_rnr_timer: RnrTimer,
}

impl Terms {
    /// Bytes that may be posted inline.
    pub(crate) const INLINE: usize = 64;
    /// Pieces of a scatter/gather list.
    pub(crate) const PIECES: usize = 4;
}

/// Makes a connection, both ends ready to send.
pub(crate) fn connect<H: Host>(
    hosts: &mut [H; 2],
    sides: &[Side; 2],
    terms: &Terms,
) -> Result<[End; 2], VerbsError> {
    let [a, b] = hosts;
    let ends = [open_end(a, &sides[0], terms)?, open_end(b, &sides[1], terms)?];
    for (host, own, peer) in [(a, 0, 1), (b, 1, 0)] {
        let av = AddressVector::new(0, sides[peer].addr);
        let rtr = QpAttr {
            min_rnr_timer: Some(terms.min_rnr_timer),
            ..QpAttr::rtr(av, ends[peer].qp, terms.psns[peer], terms.mtu)
        };
        let rts = QpAttr {
            timeout: Some(terms.timeout),
            retry_cnt: Some(terms.retry_cnt),
            ..QpAttr::rts(terms.psns[own])
        };
        let everything = Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
        host.with(|device, now| {
            device.modify_qp(now, ends[own].qp, &QpAttr::init(everything))?;
            device.modify_qp(now, ends[own].qp, &rtr)?;
            device.modify_qp(now, ends[own].qp, &rts)
        })?;
    }
    Ok(ends)
}

fn open_end(host: &mut impl Host, side: &Side, terms: &Terms) -> Result<End, VerbsError> {
    let buffer = Buffer::new(terms.memory);
    let remote = Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
    let access = Access::LOCAL_WRITE | Access::MW_BIND | remote;
    let pieces = Terms::PIECES as u32;
    let cap = QpCap {
        max_send_wr: terms.depth,
        max_recv_wr: terms.depth,
        max_send_sge: pieces,
        max_recv_sge: pieces,
        max_inline_data: Terms::INLINE as u32,
    };
    let init = QpInit { cap, ..QpInit::new(QpType::Rc, side.pd, side.cq) };
    host.with(|device, _| {
        let mr = device.reg_mr(side.pd, MrInit::new(&buffer, access))?;
        let qp = device.create_qp(&init)?;
        Ok(End { qp, buffer, mr })
    })
}
