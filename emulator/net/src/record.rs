//! Recording what a link carries, as a capture file that Wireshark opens.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferroce_engine::{DONT_FRAGMENT, Ident, RxMeta, Time, TxLimits};
use ferroce_wire::cm::ServiceId;
use ferroce_wire::ip::{Datagram, IpHeader, Ipv4Header, Ipv6Header};
use ferroce_wire::{PseudoHeader, UDP_PORT};
use std::net::IpAddr;

use crate::link::{Burst, Layer, Link, LinkCounters, LinkInfo, sealed};
use crate::sys::fork;

/// Writes IP packets into a capture file (pcap with nanoseconds, link type 101 "raw IP").
pub struct PcapWriter<W: Write> {
    out: W,
    scratch: Vec<u8>,
}

impl<W: Write> PcapWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// When `out` does not take its header.
    pub fn new(mut out: W) -> io::Result<PcapWriter<W>> {
        const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
        const VERSION: [u16; 2] = [2, 4];
        const SNAP_LEN: u32 = 0x4_0000;
        const LINKTYPE_RAW: u32 = 101;
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC_NANOSECONDS.to_le_bytes());
        header.extend(VERSION.map(u16::to_le_bytes).concat());
        header.extend([0; 8]);
        header.extend(SNAP_LEN.to_le_bytes());
        header.extend(LINKTYPE_RAW.to_le_bytes());
        out.write_all(&header)?;
        Ok(PcapWriter { out, scratch: Vec::new() })
    }

    /// Adds a packet seen `at` a time since 1970.
    ///
    /// # Errors
    /// When the packet is longer than IP allows, or the file does not take it.
    pub fn write(&mut self, at: Duration, datagram: &Datagram<'_>) -> io::Result<()> {
        let len = datagram.wire_len();
        let length = u32::try_from(len).map_err(io::Error::other)?.to_le_bytes();
        self.scratch.clear();
        // The format counts seconds in 32 unsigned bits, which suffice until 2106.
        self.scratch.extend((at.as_secs() as u32).to_le_bytes());
        self.scratch.extend(at.subsec_nanos().to_le_bytes());
        self.scratch.extend(length);
        self.scratch.extend(length);
        self.scratch.resize(16 + len, 0);
        datagram.emit(&mut self.scratch[16..]).map_err(io::Error::other)?;
        self.out.write_all(&self.scratch)
    }

    /// Makes what was written so far visible to others.
    ///
    /// # Errors
    /// When the file does not take it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A link that records what passes. A record that cannot be written ends the recording, not the traffic.
pub struct RecordedLink<L: Link> {
    inner: L,
    file: Option<PcapWriter<Box<dyn Write + Send>>>,
    /// The link's time 0, since 1970.
    origin: Duration,
    unflushed: bool,
    /// Recording ended because the file took no more.
    failed: bool,
    /// The process that records.
    born: u32,
}

impl<L: Link> RecordedLink<L> {
    /// Records what `inner` carries. `now` is the link's time at this moment.
    ///
    /// # Errors
    /// When `out` does not take the header of the file.
    pub fn new(inner: L, out: Box<dyn Write + Send>, now: Time) -> io::Result<RecordedLink<L>> {
        let mut link = RecordedLink::idle(inner);
        link.begin(out, now)?;
        Ok(link)
    }

    /// Records nothing until it is told to.
    pub(crate) fn idle(inner: L) -> RecordedLink<L> {
        RecordedLink {
            inner,
            file: None,
            origin: Duration::ZERO,
            unflushed: false,
            failed: false,
            born: fork::generation(),
        }
    }

    /// Begins to record into this.
    pub(crate) fn begin(&mut self, out: Box<dyn Write + Send>, now: Time) -> io::Result<()> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.end();
        self.origin = wall.saturating_sub(now.since(Time::ZERO));
        self.file = Some(PcapWriter::new(out)?);
        self.failed = false;
        Ok(())
    }

    fn end(&mut self) {
        self.flush();
        self.file = None;
    }

    fn flush(&mut self) {
        if self.unflushed && self.file.as_mut().is_some_and(|file| file.flush().is_err()) {
            self.file = None;
            self.failed = true;
        }
        self.unflushed = false;
    }
}

impl<L: Link> Link for RecordedLink<L> {
    fn tx_limits(&self) -> TxLimits {
        // A capture is read by those who check ICRCs.
        let limits = self.inner.tx_limits();
        TxLimits { seal: limits.seal || self.file.is_some(), ..limits }
    }

    fn takes_unsealed(&self, burst: &Burst<'_>) -> bool {
        self.file.is_none() && self.inner.takes_unsealed(burst)
    }

    fn retry_at(&self, now: Time) -> Option<Time> {
        self.inner.retry_at(now)
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        let src_port = self.inner.tx_limits().src_port;
        let done = self.inner.send(now, bursts);
        if self.file.is_none() {
            return done;
        }
        for burst in &bursts[..done] {
            let flow = burst.flow;
            for (index, packet) in burst.packets().enumerate() {
                let sent = Sighting {
                    src: flow.src,
                    dst: flow.dst,
                    src_port: src_port.unwrap_or(flow.src_port),
                    traffic_class: flow.traffic_class,
                    hop_limit: flow.hop_limit,
                    flow_label: flow.flow_label,
                    ident: burst.ident_step.wrapping_mul(index as u16),
                    flags_fragment: DONT_FRAGMENT,
                };
                sent.record(&mut self.file, self.origin + now.since(Time::ZERO), packet);
                self.unflushed = true;
            }
        }
        self.failed |= self.file.is_none();
        done
    }

    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        if self.file.is_none() {
            return self.inner.receive(now, deliver);
        }
        let (file, at) = (&mut self.file, self.origin + now.since(Time::ZERO));
        let received = self.inner.receive(now, &mut |meta, packet| {
            match sealed(meta, packet) {
                Some((meta, packet)) => Sighting::received(&meta, &packet).record(file, at, &packet),
                None => Sighting::received(meta, packet).record(file, at, packet),
            }
            deliver(meta, packet);
        });
        self.failed |= self.file.is_none();
        if received > 0 {
            self.unflushed = true;
        } else {
            self.flush();
        }
        received
    }

    fn next_timeout(&self) -> Option<Time> {
        self.inner.next_timeout()
    }

    fn join(&mut self, group: IpAddr) {
        self.inner.join(group);
    }

    fn leave(&mut self, group: IpAddr) {
        self.inner.leave(group);
    }

    fn claim(&mut self, service: ServiceId, addr: Option<IpAddr>) -> bool {
        self.inner.claim(service, addr)
    }

    fn release(&mut self, service: ServiceId) {
        self.inner.release(service);
    }

    fn descriptors(&self, to: &mut Vec<RawFd>) {
        self.inner.descriptors(to);
    }

    fn change(&mut self, layer: &mut Layer, now: Time) -> bool {
        let Layer::Recording(out) = layer else { return self.inner.change(layer, now) };
        self.end();
        if let Some(out) = out.take() {
            self.failed = self.begin(out, now).is_err();
        }
        true
    }

    fn counters(&self) -> LinkCounters {
        self.inner.counters()
    }

    fn info(&self) -> LinkInfo {
        let mut info = self.inner.info();
        match (&self.file, self.failed) {
            (Some(_), _) => info.layers.insert(0, "record"),
            (None, true) => info.layers.insert(0, "record (stopped: write error)"),
            (None, false) => {}
        }
        info
    }
}

impl<L: Link> Drop for RecordedLink<L> {
    fn drop(&mut self) {
        if self.born != fork::generation() {
            // A forked child has a copy of what is yet to be written. The parent will write it.
            return std::mem::forget(self.file.take());
        }
        self.flush();
    }
}

/// The header fields of a packet that passed.
struct Sighting {
    src: IpAddr,
    dst: IpAddr,
    src_port: u16,
    traffic_class: u8,
    hop_limit: u8,
    flow_label: u32,
    ident: u16,
    flags_fragment: u16,
}

impl Sighting {
    /// Where the link hides the Identification, the one that makes the ICRC right is as good as seen. Hop limit
    /// and flow label are not told.
    fn received(meta: &RxMeta, packet: &[u8]) -> Sighting {
        let (ident, flags_fragment) = match (meta.ident, meta.src, meta.dst) {
            (Ident::Known { ident, flags_fragment }, ..) => (ident, flags_fragment),
            (Ident::Hidden { likely }, IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (flags_fragment, src_port) = (DONT_FRAGMENT, meta.src_port);
                let pseudo = PseudoHeader::V4 {
                    src,
                    dst,
                    ident: likely,
                    flags_fragment,
                    src_port,
                    dst_port: UDP_PORT,
                };
                (pseudo.solve_ident(packet).unwrap_or(0), flags_fragment)
            }
            (Ident::Hidden { .. } | Ident::Vouched, ..) => (0, 0),
        };
        let RxMeta { src, dst, src_port, traffic_class, .. } = *meta;
        let (hop_limit, flow_label) = (64, 0);
        Sighting { src, dst, src_port, traffic_class, hop_limit, flow_label, ident, flags_fragment }
    }

    fn record(&self, file: &mut Option<PcapWriter<impl Write>>, at: Duration, packet: &[u8]) {
        let Some(writer) = file else { return };
        let ip = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => IpHeader::V4(Ipv4Header {
                tos: self.traffic_class,
                ident: self.ident,
                flags_fragment: self.flags_fragment,
                ttl: self.hop_limit,
                ..Ipv4Header::new(src, dst)
            }),
            (IpAddr::V6(src), IpAddr::V6(dst)) => IpHeader::V6(Ipv6Header {
                traffic_class: self.traffic_class,
                flow_label: self.flow_label,
                hop_limit: self.hop_limit,
                ..Ipv6Header::new(src, dst)
            }),
            _ => return,
        };
        let Ok(datagram) = Datagram::new(ip, self.src_port, packet) else { return };
        if writer.write(at, &datagram).is_err() {
            *file = None;
        }
    }
}
