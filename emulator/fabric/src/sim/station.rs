//! A host's part: its memory, its queues, and what their completions lead to.

use ferroce_engine::{Access, Arm, Buffer, Cq, Mr, MrInit, Pd, QpCap, QpInit, QpType, Qpn, Sge, VerbsError};

use super::Simulation;
use crate::fabric::{Fabric, HostId};
use crate::log::Watch;

/// What a host has for its applications.
pub(super) struct Station {
    pub id: HostId,
    pd: Pd,
    pub cq: Cq,
    /// Messages go out of the first half and come into the second.
    mr: Mr,
    half: u64,
}

/// The address of every host's memory, so that packets do not depend on where the program has it.
const IOVA: u64 = 0x1_0000;

/// Entries of a completion queue.
const CQ_ENTRIES: u32 = 1 << 18;

impl Station {
    pub(super) fn new<T: Watch>(
        fabric: &mut Fabric<T>,
        id: HostId,
        buffer: &Buffer,
    ) -> Result<Station, VerbsError> {
        let half = buffer.len() as u64 / 2;
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
        fabric.with(id, |device, _| {
            let pd = device.alloc_pd()?;
            let cq = device.create_cq(CQ_ENTRIES)?;
            device.req_notify_cq(cq, Arm::Next)?;
            let init = MrInit { iova: IOVA, ..MrInit::new(buffer, access) };
            let mr = device.reg_mr(pd, init)?;
            Ok(Station { id, pd, cq, mr, half })
        })
    }

    pub(super) fn create_qp<T: Watch>(&self, fabric: &mut Fabric<T>, depth: u32) -> Result<Qpn, VerbsError> {
        let (max_send_wr, max_recv_wr) = (depth, 2 * depth + 2);
        let cap = QpCap { max_send_wr, max_recv_wr, max_send_sge: 1, max_recv_sge: 1, max_inline_data: 0 };
        let init = QpInit { cap, signal_all: true, ..QpInit::new(QpType::Rc, self.pd, self.cq) };
        fabric.with(self.id, |device, _| device.create_qp(&init))
    }

    pub(super) fn outgoing(&self, len: u64) -> Sge {
        Sge { addr: IOVA, len: len as u32, lkey: self.mr.lkey }
    }

    pub(super) fn incoming(&self) -> Sge {
        Sge { addr: IOVA + self.half, len: self.half as u32, lkey: self.mr.lkey }
    }

    /// The half that peers write to, or read from, as they name it.
    pub(super) fn remote(&self) -> ferroce_engine::Remote {
        ferroce_engine::Remote { addr: IOVA + self.half, rkey: self.mr.rkey }
    }
}

impl<T: Watch> Simulation<T> {
    /// Gives all hosts memory and queues.
    pub(super) fn furnish(&mut self, hosts: &[HostId]) {
        let flows = self.scenario.flow.iter().map(|flow| flow.size.most().max(flow.response.0));
        let reduces = self.scenario.all_reduce.iter().map(|reduce| reduce.size.0);
        let longest = flows.chain(reduces).max().unwrap_or(0).max(64);
        // One for all hosts: nobody reads what is in a message, and what a thousand hosts copy stays in the cache.
        let buffer = Buffer::new(2 * longest.next_multiple_of(4096) as usize);
        for id in hosts {
            let station = Station::new(&mut self.fabric, *id, &buffer).expect("a new device has room");
            self.stations.push(station);
        }
    }

    /// A host has completions.
    pub(super) fn collect(&mut self, id: HostId) {
        self.fabric.hosts[id.0].events.clear();
        let mut completions = std::mem::take(&mut self.completions);
        let cq = self.stations[id.0].cq;
        loop {
            let device = &mut self.fabric.hosts[id.0].device;
            let count = device.poll_cq(cq, &mut completions).expect("the queue exists");
            for wc in &completions[..count] {
                self.completed(wc);
            }
            if count < completions.len() {
                break;
            }
        }
        let device = &mut self.fabric.hosts[id.0].device;
        device.req_notify_cq(cq, Arm::Next).expect("the queue exists");
        self.completions = completions;
    }
}
