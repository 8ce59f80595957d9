//! Recording what a link carries: as a capture file that Wireshark opens, or together with what the device does, as a
//! [recording](ferroce_recording).

mod pcap;
mod run;
mod sighting;
mod tape;

use std::any::Any;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::Path;

use ferroce_engine::{Device, RxMeta, Time, TraceSink, TxLimits};
use ferroce_wire::cm::ServiceId;

use crate::link::{Burst, Layer, Link, LinkCounters, LinkInfo, sealed};

pub use pcap::PcapWriter;
pub(crate) use run::RunLog;
pub use run::RunTrace;
use sighting::Sighting;
use tape::{Tape, Way};

/// The formats that NICs record in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// A capture of the packets (pcap), for any program that reads captures.
    #[default]
    Pcap,
    /// A [recording](ferroce_recording) of packets and of what the device does, for `ferroce replay`.
    Run,
}

impl Format {
    /// The one that a file name asks for: `.frec` is a recording, everything else a capture.
    pub fn of(path: &Path) -> Format {
        if path.extension().is_some_and(|extension| extension == "frec") { Format::Run } else { Format::Pcap }
    }
}

/// What a recording goes into.
pub struct Medium(Kind);

enum Kind {
    Pcap(Box<dyn Write + Send>),
    /// The device writes into it too.
    Run(RunLog),
}

impl Medium {
    /// A file that gets the packets as pcap.
    pub fn pcap(out: Box<dyn Write + Send>) -> Medium {
        Medium(Kind::Pcap(out))
    }
}

/// A recording that is wanted: its format, and where it goes.
pub(crate) type Wanted = (Format, Box<dyn Write + Send>);

/// Begins a recording of `device`, of which the link is to tell the rest; `now` is the time of both.
pub(crate) fn begin<T: TraceSink + 'static>(
    (format, out): Wanted,
    device: &mut Device<T>,
    now: Time,
) -> io::Result<Medium> {
    if format == Format::Pcap {
        return Ok(Medium::pcap(out));
    }
    let log = RunLog::begin(out, device, now)?;
    trace_into(device, Some(log.clone()));
    Ok(Medium(Kind::Run(log)))
}

/// Has a device's events go into this recording, or none. A device with another trace sink keeps that: the recording
/// has only packets then.
pub(crate) fn trace_into<T: TraceSink + 'static>(device: &mut Device<T>, log: Option<RunLog>) {
    let sink: &mut dyn Any = device.trace_mut();
    if let Some(trace) = sink.downcast_mut::<RunTrace>() {
        trace.set(log);
    }
}

/// A link that records what passes. A record that cannot be written ends the recording, not the traffic.
pub struct RecordedLink<L: Link> {
    inner: L,
    tape: Tape,
}

impl<L: Link> RecordedLink<L> {
    /// Records what `inner` carries, as pcap. `now` is the link's time at this moment.
    ///
    /// # Errors
    /// When `out` does not take the header of the file.
    pub fn new(inner: L, out: Box<dyn Write + Send>, now: Time) -> io::Result<RecordedLink<L>> {
        RecordedLink::into_medium(inner, Medium::pcap(out), now)
    }

    /// Records what `inner` carries into this.
    pub(crate) fn into_medium(inner: L, medium: Medium, now: Time) -> io::Result<RecordedLink<L>> {
        let mut link = RecordedLink::idle(inner);
        link.tape.begin(medium, now)?;
        Ok(link)
    }

    /// Records nothing until it is told to.
    pub(crate) fn idle(inner: L) -> RecordedLink<L> {
        RecordedLink { inner, tape: Tape::new() }
    }
}

impl<L: Link> Link for RecordedLink<L> {
    fn tx_limits(&self) -> TxLimits {
        // A capture is read by those who check ICRCs.
        let limits = self.inner.tx_limits();
        TxLimits { seal: limits.seal || self.tape.is_on(), ..limits }
    }

    fn takes_unsealed(&self, burst: &Burst<'_>) -> bool {
        !self.tape.is_on() && self.inner.takes_unsealed(burst)
    }

    fn retry_at(&self, now: Time) -> Option<Time> {
        self.inner.retry_at(now)
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        let src_port = self.inner.tx_limits().src_port;
        let done = self.inner.send(now, bursts);
        if self.tape.is_wanted() {
            for burst in &bursts[..done] {
                for (index, packet) in burst.packets().enumerate() {
                    self.tape.add(now, Way::Out, &Sighting::sent(burst, index, src_port), packet);
                }
            }
        }
        done
    }

    fn receive(&mut self, now: Time, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        if !self.tape.is_wanted() {
            return self.inner.receive(now, deliver);
        }
        let tape = &mut self.tape;
        let received = self.inner.receive(now, &mut |meta, packet| {
            match sealed(meta, packet) {
                Some((meta, packet)) => tape.add(now, Way::In, &Sighting::received(&meta, &packet), &packet),
                None => tape.add(now, Way::In, &Sighting::received(meta, packet), packet),
            }
            deliver(meta, packet);
        });
        if received == 0 {
            self.tape.flush();
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
        let Layer::Recording(medium) = layer else { return self.inner.change(layer, now) };
        self.tape.change(medium.take(), now);
        true
    }

    fn counters(&self) -> LinkCounters {
        LinkCounters { unrecorded: self.tape.unrecorded(), ..self.inner.counters() }
    }

    fn info(&self) -> LinkInfo {
        let mut info = self.inner.info();
        if self.tape.has_failed() {
            info.layers.insert(0, "record (stopped: write error)");
        } else if self.tape.is_on() {
            info.layers.insert(0, "record");
        }
        info
    }
}
