//! Sending: trains go out as one datagram that the kernel cuts up (`UDP_SEGMENT`), or packet by packet where
//! that is not to be had.

use std::io;
use std::os::fd::AsFd;

use ferroce_engine::{Flow, Time};
use ferroce_wire::{ICRC_LEN, UDP_PORT};

use super::UdpLink;
use crate::link::{Burst, Failure};
use crate::local::Passed;
use crate::sys::{self, BATCH, Control, Outgoing, SockAddr};

/// TTL or hop limit of packets that do not ask for another.
pub(super) const USUAL_HOP_LIMIT: u8 = 64;

/// `IPV6_FLOWINFO` of linux/in6.h.
const IPV6_FLOWINFO: i32 = 11;

impl UdpLink {
    pub(super) fn send_bursts(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        let mut done = 0;
        while done < bursts.len() {
            let rest = &bursts[done..];
            match self.send_locally(now, &rest[0]) {
                Passed::By => {}
                Passed::Full => {
                    self.counters.tx_full += 1;
                    break;
                }
                Passed::Through | Passed::Lost => {
                    done += 1;
                    continue;
                }
            }
            let src = rest[0].flow.src;
            let trains = rest.iter().take_while(|burst| burst.flow.src == src && self.is_one_piece(burst));
            // What comes behind may be for a NIC on this machine.
            let most = if self.local.is_some() { 1 } else { BATCH };
            let trains = trains.take(most).count();
            let Some(port) = self.port_of(src) else {
                self.refuse(&rest[0], libc::EADDRNOTAVAIL);
                done += 1;
                continue;
            };
            let sent = match trains {
                0 => self.send_in_pieces(port, &rest[0]),
                _ => self.send_trains(port, &rest[..trains]),
            };
            match sent {
                Some(sent) => done += sent,
                None => {
                    self.counters.tx_full += 1;
                    break;
                }
            }
        }
        done
    }

    /// Sends a burst through shared memory, if that is its way.
    #[inline]
    fn send_locally(&mut self, now: Time, burst: &Burst<'_>) -> Passed {
        let Some(local) = &mut self.local else { return Passed::By };
        // The scope of an address that is not link-local is 0.
        let scope = self.ports.iter().find(|port| port.addr == burst.flow.src).map_or(0, |port| port.scope);
        let passed = local.send(now, burst, scope);
        match passed {
            Passed::Through => {
                self.count(burst.len(), burst.bytes.len());
                self.counters.tx_local += burst.len() as u64;
            }
            Passed::Lost => self.refuse(burst, libc::ENOBUFS),
            Passed::Full | Passed::By => {}
        }
        passed
    }

    /// True when the kernel can be given all of the burst at once.
    fn is_one_piece(&self, burst: &Burst<'_>) -> bool {
        let idents_fit = burst.ident_step == 1 || burst.flow.src.is_ipv6();
        burst.bytes.len() <= burst.segment || (self.segmentation && idents_fit)
    }

    /// Sends bursts from one address; tells how many are done with, or `None` when the socket is full.
    fn send_trains(&mut self, port: usize, bursts: &[Burst<'_>]) -> Option<usize> {
        let scope = self.ports[port].scope;
        let sent = match bursts {
            [one] => sys::send(self.ports[port].socket.as_fd(), &[message(one, scope)]),
            many => {
                let messages: [Outgoing<'_>; BATCH] =
                    std::array::from_fn(|i| message(many.get(i).unwrap_or(&many[0]), scope));
                sys::send(self.ports[port].socket.as_fd(), &messages[..many.len()])
            }
        };
        match sent {
            Ok(sent) => {
                for burst in &bursts[..sent] {
                    self.count(burst.len(), burst.bytes.len());
                }
                Some(sent)
            }
            Err(error) if is_full(&error) => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(0),
            // A device without checksum offload (EIO), a segment that exceeds the MTU of the route or a kernel
            // that knows no segmentation (EINVAL): from now on everything goes packet by packet.
            Err(error) if bursts[0].len() > 1 && refuses_segmentation(&error) => {
                self.segmentation = false;
                Some(0)
            }
            Err(error) => {
                self.refuse(&bursts[0], error.raw_os_error().unwrap_or(0));
                Some(1)
            }
        }
    }

    /// Sends the packets of a burst one by one. `None` when the socket is full: the burst will be offered
    /// again, and goes on where it stopped.
    fn send_in_pieces(&mut self, port: usize, burst: &Burst<'_>) -> Option<usize> {
        let to = SockAddr::ip(burst.flow.dst, UDP_PORT, self.ports[port].scope);
        let control = control(burst.flow, None);
        let resealed = (burst.ident_step != 0 && burst.flow.src.is_ipv4()).then(|| reseal(burst));
        let burst = Burst { bytes: resealed.as_deref().unwrap_or(burst.bytes), ..*burst };
        while self.sent_of_first < burst.len() {
            let rest = &burst.bytes[self.sent_of_first * burst.segment..];
            let messages: Vec<Outgoing<'_>> =
                rest.chunks(burst.segment).take(BATCH).map(|bytes| Outgoing { to, control, bytes }).collect();
            match sys::send(self.ports[port].socket.as_fd(), &messages) {
                Ok(sent) => {
                    self.sent_of_first += sent;
                    for message in &messages[..sent] {
                        self.count(1, message.bytes.len());
                    }
                }
                Err(error) if is_full(&error) => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.sent_of_first += 1;
                    self.refuse(
                        &Burst::single(burst.flow, messages[0].bytes),
                        error.raw_os_error().unwrap_or(0),
                    );
                }
            }
        }
        self.sent_of_first = 0;
        Some(1)
    }

    fn count(&mut self, packets: usize, bytes: usize) {
        self.counters.tx_packets += packets as u64;
        self.counters.tx_bytes += bytes as u64;
        self.counters.tx_pieces += 1;
    }

    fn refuse(&mut self, burst: &Burst<'_>, errno: i32) {
        self.counters.tx_errors += burst.len() as u64;
        self.failure = Some(Failure { what: "sending to", peer: Some(burst.flow.dst), errno });
    }
}

/// A whole burst as one datagram.
fn message<'a>(burst: &Burst<'a>, scope: u32) -> Outgoing<'a> {
    Outgoing {
        to: SockAddr::ip(burst.flow.dst, UDP_PORT, scope),
        control: control(burst.flow, (burst.bytes.len() > burst.segment).then_some(burst.segment)),
        bytes: burst.bytes,
    }
}

/// What the socket's own settings do not say already.
fn control(flow: &Flow, segment: Option<usize>) -> Control {
    let mut control = Control::EMPTY;
    let v4 = flow.src.is_ipv4();
    if flow.traffic_class != 0 {
        let value = i32::from(flow.traffic_class).to_ne_bytes();
        match v4 {
            true => control.push(libc::IPPROTO_IP, libc::IP_TOS, &value),
            false => control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &value),
        }
    }
    if flow.hop_limit != USUAL_HOP_LIMIT {
        let value = i32::from(flow.hop_limit).to_ne_bytes();
        match v4 {
            true => control.push(libc::IPPROTO_IP, libc::IP_TTL, &value),
            false => control.push(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &value),
        }
    }
    if !v4 && flow.flow_label != 0 {
        control.push(libc::IPPROTO_IPV6, IPV6_FLOWINFO, &flow.flow_label.to_be_bytes());
    }
    if let Some(segment) = segment {
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &(segment as u16).to_ne_bytes());
    }
    control
}

/// The bytes of a burst with ICRCs for Identification 0 in every packet.
fn reseal(burst: &Burst<'_>) -> Vec<u8> {
    let mut bytes = burst.bytes.to_vec();
    let pseudo_header = Flow { src_port: UDP_PORT, ..*burst.flow }.pseudo_header(0);
    for packet in bytes.chunks_mut(burst.segment) {
        if let Some((covered, icrc)) = packet.split_last_chunk_mut::<ICRC_LEN>() {
            *icrc = pseudo_header.compute(covered).to_le_bytes();
        }
    }
    bytes
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn refuses_segmentation(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOPROTOOPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resealing_makes_every_packet_of_a_train_right_on_its_own() {
        let (src, dst) = ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        let flow = Flow { src, dst, src_port: UDP_PORT, traffic_class: 0, hop_limit: 64, flow_label: 0 };
        let mut bytes = vec![7_u8; 3 * 100 - 20];
        for (ident, packet) in bytes.chunks_mut(100).enumerate() {
            let (covered, icrc) = packet.split_last_chunk_mut::<ICRC_LEN>().unwrap();
            *icrc = flow.pseudo_header(ident as u16).compute(covered).to_le_bytes();
        }
        let burst = Burst { flow: &flow, bytes: &bytes, segment: 100, ident_step: 1, sealed: true };
        let right = |bytes: &[u8]| bytes.chunks(100).filter(|p| flow.pseudo_header(0).verify(p)).count();
        assert_eq!(right(&bytes), 1);
        assert_eq!(right(&reseal(&burst)), 3);
    }
}
