//! Recording what a link carries: as a capture file that Wireshark opens, or together with what the device does, as a
//! [recording](ferroce_recording).

mod pcap;
mod pcapng;
mod run;
mod sighting;
mod tape;

use std::any::Any;
use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::Path;

use ferroce_engine::{Device, RxMeta, Time, TraceSink, TxLimits};
use ferroce_wire::cm::ServiceId;

use crate::link::{Burst, Layer, Link, LinkCounters, LinkInfo, seal, sealed};

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
    /// A capture (pcapng) that has two interfaces, `network` and `shared memory`, and tells of each packet by which it
    /// went, and which way.
    PcapNg,
    /// A [recording](ferroce_recording) of packets and of what the device does, for `ferroce replay`.
    Run,
}

impl Format {
    /// The one that a file name asks for: `.frec` is a recording, `.pcapng` and everything else a capture.
    pub fn of(path: &Path) -> Format {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("frec") => Format::Run,
            Some("pcapng") => Format::PcapNg,
            _ => Format::Pcap,
        }
    }
}

/// What a recording goes into.
pub struct Medium(Kind);

enum Kind {
    Pcap(Box<dyn Write + Send>),
    PcapNg(Box<dyn Write + Send>),
    /// The device writes into it too.
    Run(RunLog),
}

/// A recording that is wanted: its format, and where it goes.
pub(crate) type Wanted = (Format, Box<dyn Write + Send>);

/// Begins a recording of `device`, of which the link is to tell the rest; `now` is the time of both.
pub(crate) fn begin<T: TraceSink + 'static>(
    (format, out): Wanted,
    device: &mut Device<T>,
    now: Time,
) -> io::Result<Medium> {
    Ok(Medium(match format {
        Format::Pcap => Kind::Pcap(out),
        Format::PcapNg => Kind::PcapNg(out),
        Format::Run => {
            let log = RunLog::begin(out, device, now)?;
            trace_into(device, Some(log.clone()));
            Kind::Run(log)
        }
    }))
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
        RecordedLink::into_medium(inner, Medium(Kind::Pcap(out)), now)
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
        self.inner.tx_limits()
    }

    fn goes_through_memory(&self, burst: &Burst<'_>) -> bool {
        self.inner.goes_through_memory(burst)
    }

    fn retry_at(&self, now: Time) -> Option<Time> {
        self.inner.retry_at(now)
    }

    fn send(&mut self, now: Time, bursts: &[Burst<'_>]) -> usize {
        if !self.tape.is_wanted() {
            return self.inner.send(now, bursts);
        }
        let src_port = self.inner.tx_limits().src_port;
        let local: Vec<bool> = bursts.iter().map(|burst| self.inner.goes_through_memory(burst)).collect();
        let done = self.inner.send(now, bursts);
        for (burst, local) in bursts[..done].iter().zip(local) {
            for (index, packet) in burst.packets().enumerate() {
                let seen = Sighting::sent(burst, index, src_port, local);
                self.tape.add(now, Way::Out, &seen, &readable(burst, packet));
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

/// A packet of a burst as those expect it who read captures: with an ICRC.
fn readable<'a>(burst: &Burst<'_>, packet: &'a [u8]) -> Cow<'a, [u8]> {
    if burst.sealed { Cow::Borrowed(packet) } else { Cow::Owned(seal(burst.flow, packet)) }
}
