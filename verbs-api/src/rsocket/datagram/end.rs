//! The queue pair by which a datagram socket is reached at one address.

use std::net::SocketAddr;

use ferroce_engine::{Access, GRH_LEN, Qpn, Wc, WcStatus};

use crate::cm::{EventChannel, Id, Manager, PortSpace, UD_QKEY};
use crate::completion::CompletionQueue;
use crate::datagram::AddressHandle;
use crate::error::Error;
use crate::memory::MemoryRegion;
use crate::queue_pair::QueuePair;

use super::super::SocketError;
use super::format::{source_header, split_source};

/// Bytes of a datagram with its header, as librdmacm has it.
pub(super) const MOST: usize = 2048;

/// Datagrams that can be on their way out, and as many that can wait to be taken in.
pub(super) const SLOTS: usize = 64;

/// Room for a datagram and the network header before it.
const SLOT: usize = GRH_LEN + MOST;

/// Receives are told from sends by this bit.
const RECV: u64 = 1 << 32;

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub from: SocketAddr,
    pub data: Vec<u8>,
}

pub(super) struct End {
    pub local: SocketAddr,
    pub cq: CompletionQueue,
    pub qp: QueuePair,
    /// Receives first, then sends.
    memory: MemoryRegion,
    free: Vec<usize>,
    /// Keeps the port.
    _id: Id,
}

impl End {
    pub(super) fn new(
        manager: &Manager,
        channel: &EventChannel,
        local: SocketAddr,
    ) -> Result<End, SocketError> {
        let id = channel.create_id(PortSpace::Udp);
        id.bind(local)?;
        let context = id.context().or_else(|| manager.contexts().into_iter().next());
        let context = context.ok_or(SocketError::NotConnected)?;
        let place = context.addresses().iter().position(|own| *own == local.ip());
        let made = || -> Result<_, Error> {
            let pd = context.protection_domain()?;
            let cq = context.completion_queue(2 * SLOTS as u32)?;
            let qp = pd.queue_pair(&cq).datagrams(UD_QKEY).gid_index(place.unwrap_or(0) as u8);
            let qp = qp.max_send_wr(SLOTS as u32).max_recv_wr(SLOTS as u32).build()?;
            let memory = pd.register(2 * SLOTS * SLOT, Access::LOCAL_WRITE)?;
            for slot in 0..SLOTS {
                qp.receive(RECV | slot as u64, &[memory.slice(slot * SLOT..(slot + 1) * SLOT)])?;
            }
            Ok((cq, qp, memory))
        };
        let (cq, qp, memory) = made().map_err(|_| SocketError::Io)?;
        Ok(End { local, cq, qp, memory, free: (SLOTS..2 * SLOTS).collect(), _id: id })
    }

    /// Most bytes of data that one datagram can have.
    pub(super) fn most_data(&self) -> usize {
        MOST.min(self.qp.context().path_mtu().bytes()) - source_header(self.local).len()
    }

    pub(super) fn can_send(&self) -> bool {
        !self.free.is_empty()
    }

    /// Sends a datagram, for which there must be room.
    pub(super) fn send(&mut self, way: &AddressHandle, qpn: Qpn, data: &[u8]) -> Result<(), SocketError> {
        let slot = self.free.pop().ok_or(SocketError::WouldBlock)?;
        let (at, header) = (slot * SLOT, source_header(self.local));
        self.memory.write(at, &header);
        self.memory.write(at + header.len(), data);
        let sge = [self.memory.slice(at..at + header.len() + data.len())];
        let posted = self.qp.post().send(slot as u64, &sge).to(way, qpn, UD_QKEY).submit();
        posted.map_err(|_| SocketError::Io)
    }

    /// What a completion has brought: a datagram, or room to send another.
    pub(super) fn completed(&mut self, wc: &Wc) -> Option<Datagram> {
        let slot = (wc.wr_id & (RECV - 1)) as usize;
        if wc.wr_id & RECV == 0 {
            self.free.push(slot);
            return None;
        }
        if wc.status != WcStatus::Success {
            return None;
        }
        let bytes = self.memory.to_vec(slot * SLOT..slot * SLOT + (wc.byte_len as usize).min(SLOT));
        let datagram = bytes.get(GRH_LEN..).and_then(split_source);
        let datagram = datagram.map(|(from, data)| Datagram { from, data: data.to_vec() });
        // Refused only if the queue pair is in error, and then nothing arrives any more.
        self.qp.receive(wc.wr_id, &[self.memory.slice(slot * SLOT..(slot + 1) * SLOT)]).ok();
        datagram
    }
}
