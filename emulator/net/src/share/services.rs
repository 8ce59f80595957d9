//! Which NIC of an address answers requests for which service.

use std::os::unix::fs::FileExt;

use ferroce_wire::Packet;
use ferroce_wire::cm::{CmMad, CmMessage, ServiceId};

use super::book::{Book, LANES};
use super::registry::{Locked, Registry};

/// Services of one address that can have an owner.
const SERVICES: usize = 16_384;

/// Bytes of an entry: never written in part, because it does not cross a page.
const ENTRY: usize = 16;

/// Where the entries begin in the file, behind the book.
const BEGIN: usize = Book::LEN;

/// An entry: the service, and the lane of its owner.
type Entry = Option<(ServiceId, u8)>;

impl Registry {
    /// The lane of the NIC that has claimed a service. It may have died since.
    pub(super) fn owner_of(&self, service: ServiceId) -> Option<u8> {
        self.entries().into_iter().flatten().find(|(claimed, _)| *claimed == service).map(|(_, lane)| lane)
    }

    fn entries(&self) -> Vec<Entry> {
        let len = self.file().metadata().map_or(0, |file| file.len()).saturating_sub(BEGIN as u64);
        let mut bytes = vec![0; (len as usize).min(SERVICES * ENTRY)];
        let read = self.file().read_at(&mut bytes, BEGIN as u64).unwrap_or(0);
        bytes[..read].as_chunks().0.iter().map(parse).collect()
    }
}

impl Locked<'_> {
    /// Makes the NIC with this lane the owner of a service; false when another is, or there is no room.
    pub(super) fn claim(&self, service: ServiceId, lane: u8) -> bool {
        let entries = self.registry().entries();
        let alive = |entry: &Entry| entry.is_some_and(|(_, owner)| self.book.order.contains(&owner));
        if entries.iter().filter(|entry| alive(entry)).flatten().any(|(claimed, _)| *claimed == service) {
            return false;
        }
        let place = entries.iter().position(|entry| !alive(entry)).unwrap_or(entries.len());
        place < SERVICES && self.write(place, Some((service, lane)))
    }

    /// Gives back the services of a lane that `which` names.
    pub(super) fn release(&self, lane: u8, which: impl Fn(ServiceId) -> bool) {
        for (place, entry) in self.registry().entries().into_iter().enumerate() {
            if entry.is_some_and(|(service, owner)| owner == lane && which(service)) {
                self.write(place, None);
            }
        }
    }

    fn write(&self, place: usize, entry: Entry) -> bool {
        self.registry().file().write_all_at(&emit(entry), (BEGIN + place * ENTRY) as u64).is_ok()
    }
}

fn parse(bytes: &[u8; ENTRY]) -> Entry {
    let [s0, s1, s2, s3, s4, s5, s6, s7, used, lane, ..] = *bytes;
    let service = ServiceId(u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]));
    (used == 1 && usize::from(lane) < LANES).then_some((service, lane))
}

fn emit(entry: Entry) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    if let Some((service, lane)) = entry {
        bytes[..8].copy_from_slice(&service.0.to_le_bytes());
        bytes[8..10].copy_from_slice(&[1, lane]);
    }
    bytes
}

/// To whom a packet for QP1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressee {
    /// Who has given the name by which the packet calls a connection.
    Lane(u8),
    /// Who answers requests for this service.
    Service(ServiceId),
    /// It does not say.
    Anybody,
}

impl Addressee {
    /// Reads the message of connection management in a packet for QP1.
    pub(super) fn of(packet: &[u8]) -> Addressee {
        let Some(mad) = Packet::parse(packet).ok().and_then(|packet| CmMad::parse(packet.payload).ok())
        else {
            return Addressee::Anybody;
        };
        let name = match mad.message {
            CmMessage::Req(req) => return Addressee::Service(req.service_id),
            CmMessage::SidrReq(req) => return Addressee::Service(req.service_id),
            CmMessage::SidrRep(rep) => rep.request_id,
            CmMessage::Mra(mra) => mra.remote_id,
            CmMessage::Rej(rej) => rej.remote_id,
            CmMessage::Rep(rep) => rep.remote_id,
            CmMessage::Rtu(rtu) => rtu.remote_id,
            CmMessage::Dreq(dreq) => dreq.remote_id,
            CmMessage::Drep(drep) => drep.remote_id,
            CmMessage::Lap(lap) => lap.remote_id,
            CmMessage::Apr(apr) => apr.remote_id,
        };
        // A peer that was told no name calls us 0.
        if name == 0 { Addressee::Anybody } else { Addressee::Lane((name >> 24) as u8) }
    }
}

#[cfg(test)]
mod tests {
    use ferroce_wire::cm::{PortSpace, Rep, Req};
    use ferroce_wire::{Bth, Deth, Headers, Opcode, Psn, Qpn};

    use super::*;

    fn packet(message: CmMessage) -> Vec<u8> {
        let bth = Bth::new(Opcode::UD_SEND_ONLY, Qpn::new(1), Psn::new(0));
        let headers =
            Headers { deth: Some(Deth { qkey: 0, reserved: 0, src_qp: Qpn::new(1) }), ..Headers::new(bth) };
        let mut bytes = vec![0; headers.len()];
        headers.emit(&mut bytes).unwrap();
        bytes.extend(CmMad { transaction_id: 1, modifier: 0, message }.emit());
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn messages_go_to_who_listens_or_has_given_the_name() {
        let service_id = ServiceId::ip(PortSpace::Tcp, 7174);
        let req = packet(CmMessage::Req(Req { local_id: 0x0300_0001, service_id, ..Req::default() }));
        assert_eq!(Addressee::of(&req), Addressee::Service(service_id));
        let rep = Rep { local_id: 0x0300_0001, remote_id: 0x0500_0007, ..Rep::default() };
        assert_eq!(Addressee::of(&packet(CmMessage::Rep(rep))), Addressee::Lane(5));
        assert_eq!(Addressee::of(&req[..100]), Addressee::Anybody);
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let entry = Some((ServiceId(0x0106_1c06), 9));
        assert_eq!(parse(&emit(entry)), entry);
        assert_eq!(parse(&emit(None)), None);
        assert_eq!(parse(&[0xff; ENTRY]), None);
    }
}
