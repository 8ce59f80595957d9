//! A run as a capture file, for Wireshark and other readers of packets.

use std::io::{self, Write};
use std::net::IpAddr;

use ferroce_engine::{Flow, Time};
use ferroce_wire::frame::Frame;
use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header, Ipv6Header};

use crate::fabric::HostId;
use crate::log::{Log, Sent};

/// Classic pcap with timestamps in nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;
const SNAPLEN: u32 = 1 << 16;

impl Log {
    /// Writes all packets as their senders sent them, lost ones included, as a pcap file of Ethernet frames.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_pcap(&self, out: &mut impl Write) -> io::Result<()> {
        for word in [MAGIC, 4 << 16 | 2, 0, 0, SNAPLEN, LINKTYPE_ETHERNET] {
            out.write_all(&word.to_le_bytes())?;
        }
        for (at, host, sent) in self.packets() {
            write_record(out, at, &frame(host, sent))?;
        }
        Ok(())
    }
}

fn write_record(out: &mut impl Write, at: Time, frame: &[u8]) -> io::Result<()> {
    let (seconds, nanos) = (at.nanos() / 1_000_000_000, at.nanos() % 1_000_000_000);
    let len = frame.len() as u32;
    for word in [seconds as u32, nanos as u32, len, len] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(frame)
}

/// The Ethernet frame that a packet travels in.
fn frame(from: HostId, sent: &Sent) -> Vec<u8> {
    let ip = ip_header(&sent.flow, sent.ident);
    let datagram = Datagram::new(ip, sent.flow.src_port, &sent.bytes).expect("packets are far below 64 KiB");
    let frame =
        Frame { dst: sent.to.map_or([0xff; 6], mac), src: mac(from), tag_bytes: &[], datagram, trailer: &[] };
    let mut bytes = vec![0; frame.wire_len()];
    frame.emit(&mut bytes).expect("the buffer is as long as the frame");
    bytes
}

fn ip_header(flow: &Flow, ident: u16) -> IpHeader {
    let Flow { src, dst, traffic_class, hop_limit, flow_label, .. } = *flow;
    match (src, dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            IpHeader::V6(Ipv6Header { traffic_class, flow_label, hop_limit, ..Ipv6Header::new(src, dst) })
        }
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header::new(src, dst);
            IpHeader::V4(Ipv4Header { tos: traffic_class, ident, ttl: hop_limit, ..header })
        }
        _ => unreachable!("the device checks that both addresses are of one version"),
    }
}

/// A locally administered address.
fn mac(host: HostId) -> [u8; 6] {
    let [a, b, c, d] = (host.0 as u32).to_be_bytes();
    [2, 0, a, b, c, d]
}
