//! Which packets are ours, and what becomes of the others.

use std::os::fd::{AsFd, BorrowedFd};

use ferroce_engine::{RxMeta, Time, qpns_of};

use super::Port;
use crate::link::LinkCounters;
use crate::pieces::Pieces;
use crate::share::{HandedOver, Seat};

/// How packets came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Through the UDP socket.
    Socket,
    /// Through the tap. It shows all packets to the address, and those of other NICs reach them too.
    Tap,
    /// Through the UDP socket beside the tap, which shows ours.
    BesideTap,
    /// From another NIC on this address.
    Door,
}

/// Whose a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Ours, or the device knows best why it drops it.
    Us,
    /// That of the NIC which has this lane.
    Lane(u8),
    /// It is for QP1, which every NIC has.
    General,
}

impl Owner {
    #[inline]
    fn of(packet: &[u8], lane: u8) -> Owner {
        let Some(&[_, high, middle, low]) = packet.get(4..8).and_then(<[u8]>::first_chunk) else {
            return Owner::Us;
        };
        let qpn = u32::from_be_bytes([0, high, middle, low]);
        if qpns_of(lane).contains(&qpn) {
            Owner::Us
        } else if qpn == 1 {
            Owner::General
        } else if high == lane || high == u8::MAX || !qpns_of(high).contains(&qpn) {
            Owner::Us
        } else {
            Owner::Lane(high)
        }
    }
}

/// What is done with what came in.
pub(super) struct Sorter<'a> {
    pub(super) entrance: Entrance,
    pub(super) now: Time,
    pub(super) counters: &'a mut LinkCounters,
    pub(super) deliver: &'a mut dyn FnMut(&RxMeta, &[u8]),
}

impl Sorter<'_> {
    /// Delivers packets that are the device's, and hands over those that are not. Says how many were delivered.
    pub(super) fn sort(&mut self, port: &mut Port, pieces: &Pieces<'_>) -> usize {
        let Some(seat) = port.seat.as_mut().filter(|_| self.entrance != Entrance::Door) else {
            return pieces.deliver(self.deliver);
        };
        let lane = seat.lane();
        let (count, mut start, mut delivered) = (pieces.len(), 0, 0);
        // The kernel may have joined packets of one sender for different receivers.
        while start < count {
            let owner = Owner::of(pieces.packet(start), lane);
            let end = (start + 1..count).find(|index| Owner::of(pieces.packet(*index), lane) != owner);
            let end = end.unwrap_or(count);
            let run = pieces.part(start, end);
            delivered += match (owner, self.entrance) {
                (Owner::Us, Entrance::BesideTap) | (Owner::Lane(_), Entrance::Tap) => 0,
                (Owner::Us, _) => run.deliver(self.deliver),
                (Owner::General, _) => {
                    let packets = (0..run.len()).map(|index| run.part(index, index + 1));
                    packets.map(|packet| self.sort_general(seat, &packet)).sum()
                }
                (Owner::Lane(lane), _) => self.hand_over_stray(seat, lane, port.socket.as_fd(), &run),
            };
            start = end;
        }
        delivered
    }

    /// One packet for QP1. Where there is a tap, it shows ours; what is for nobody in particular comes once, through
    /// the socket.
    fn sort_general(&mut self, seat: &Seat, packet: &Pieces<'_>) -> usize {
        match (seat.lane_of_message(packet.bytes), self.entrance) {
            (Some(lane), Entrance::BesideTap) if lane == seat.lane() => 0,
            (Some(lane), _) if lane == seat.lane() => packet.deliver(self.deliver),
            (_, Entrance::Tap) => 0,
            (Some(lane), _) => self.hand_over(seat, lane, packet).unwrap_or(0),
            (None, _) => packet.deliver(self.deliver),
        }
    }

    /// Packets for another lane.
    fn hand_over_stray(
        &mut self,
        seat: &mut Seat,
        lane: u8,
        socket: BorrowedFd<'_>,
        pieces: &Pieces<'_>,
    ) -> usize {
        let delivered = self.hand_over(seat, lane, pieces);
        if delivered.is_none() {
            seat.misdirected(lane, socket, self.now);
        }
        delivered.unwrap_or(0)
    }

    /// `None` when they are somebody's; else how many the device got, which counts what is for nobody.
    fn hand_over(&mut self, seat: &Seat, lane: u8, pieces: &Pieces<'_>) -> Option<usize> {
        match seat.hand_over(lane, pieces) {
            HandedOver::Done => self.counters.rx_handed_over += pieces.len() as u64,
            HandedOver::Lost => self.counters.rx_errors += pieces.len() as u64,
            HandedOver::Nobody => return Some(pieces.deliver(self.deliver)),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_belong_to_lanes_by_their_destination() {
        let owner = |qpn: u32, lane| {
            let mut packet = [0; 16];
            packet[4..8].copy_from_slice(&(0xab00_0000 | qpn).to_be_bytes());
            Owner::of(&packet, lane)
        };
        assert_eq!(owner(0x07_1234, 7), Owner::Us);
        assert_eq!(owner(0x07_1234, 8), Owner::Lane(7));
        assert_eq!(owner(0x00_1234, 8), Owner::Lane(0));
        assert_eq!(owner(0xff_ffff, 8), Owner::Us, "multicast is for everybody");
        assert_eq!(owner(0xff_1234, 8), Owner::Us, "nobody has lane 255");
        assert_eq!([owner(1, 8), owner(1, 0)], [Owner::General; 2]);
        assert_eq!(Owner::of(&[0; 7], 8), Owner::Us);
    }
}
