//! What a NIC is made from.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ferroce_engine::{CmConfig, Device, DeviceConfig, Limits, PathMtu, Personality, Seed, Time, TraceSink};

use super::core::Core;
use super::monitor::Monitor;
use super::progress::{Kicker, Progress};
use super::{Clock, Nic, Shared};
use crate::attachment::Attachment;
use crate::error::{HEADROOM, NetError};
use crate::ethernet::{Ethernet, EthernetLink};
use crate::faults::{Faults, FaultyLink};
use crate::hub::Hub;
use crate::interface::Interface;
use crate::link::{IcrcCheck, Link, PortInfo};
use crate::record::{self, Format, Medium, RecordedLink, RunTrace, Wanted};
use crate::sys;
use crate::sys::fork::{Gate, register};
use crate::udp::UdpLink;

/// Describes a [`Nic`] and opens it.
///
/// ```no_run
/// use ferroce_net::Nic;
///
/// let nic = Nic::builder().address("127.0.0.1".parse().unwrap()).open()?;
/// # Ok::<_, ferroce_net::NetError>(())
/// ```
pub struct NicBuilder<T = RunTrace> {
    name: String,
    addresses: Vec<IpAddr>,
    interface: Option<String>,
    hub: Option<Hub>,
    ethernet: Option<Ethernet>,
    personality: Personality,
    limits: Limits,
    cm: CmConfig,
    path_mtu: Option<PathMtu>,
    seed: Option<Seed>,
    icrc: IcrcCheck,
    shared_memory: bool,
    faults: Faults,
    recording: Option<Wanted>,
    visible: bool,
    trace: T,
}

impl NicBuilder {
    pub(super) fn new() -> NicBuilder {
        NicBuilder {
            name: "ferroce0".to_owned(),
            addresses: Vec::new(),
            interface: None,
            hub: None,
            ethernet: None,
            personality: Personality::default(),
            limits: Limits::default(),
            cm: CmConfig::default(),
            path_mtu: None,
            seed: None,
            icrc: IcrcCheck::default(),
            shared_memory: true,
            faults: Faults::default(),
            recording: None,
            visible: false,
            trace: RunTrace::default(),
        }
    }
}

impl<T: TraceSink + Send + 'static> NicBuilder<T> {
    /// The device's name; `ferroce0` if nothing is said.
    pub fn name(self, name: impl Into<String>) -> Self {
        NicBuilder { name: name.into(), ..self }
    }

    /// Adds an address. The first one gets GID index 0. Other NICs of this user, of this process or another, may
    /// have the same.
    pub fn address(mut self, addr: IpAddr) -> Self {
        self.addresses.push(addr);
        self
    }

    /// Adds the addresses of a network interface, as [`Interface::addresses`] lists them.
    pub fn interface(self, name: impl Into<String>) -> Self {
        NicBuilder { interface: Some(name.into()), ..self }
    }

    /// Makes the NIC a station of its own on an Ethernet, with the addresses that are named there.
    ///
    /// ```no_run
    /// use ferroce_net::Nic;
    ///
    /// let nic = Nic::builder().ethernet("tap:ferroce0,10.0.0.2/24".parse()?).open()?;
    /// # Ok::<_, ferroce_net::NetError>(())
    /// ```
    pub fn ethernet(self, ethernet: Ethernet) -> Self {
        NicBuilder { ethernet: Some(ethernet), ..self }
    }

    /// Attaches the NIC to a network as a text of a user's says, which names its addresses too.
    pub fn attach(self, attachment: Attachment) -> Self {
        match attachment {
            Attachment::Udp(addresses) => addresses.into_iter().fold(self, NicBuilder::address),
            Attachment::Ethernet(ethernet) => self.ethernet(ethernet),
        }
    }

    /// Connects the NIC to others in this process instead of a network.
    pub fn hub(self, hub: &Hub) -> Self {
        NicBuilder { hub: Some(hub.clone()), ..self }
    }

    /// The choices on which NICs differ.
    pub fn personality(self, personality: Personality) -> Self {
        NicBuilder { personality, ..self }
    }

    /// How much of everything there can be.
    pub fn limits(self, limits: Limits) -> Self {
        NicBuilder { limits, ..self }
    }

    /// How connections are managed; as Linux does it if nothing is said.
    pub fn connection_management(self, cm: CmConfig) -> Self {
        NicBuilder { cm, ..self }
    }

    /// The largest path MTU; if nothing is said, the largest that fits through the interface.
    pub fn path_mtu(self, mtu: PathMtu) -> Self {
        NicBuilder { path_mtu: Some(mtu), ..self }
    }

    /// Decides queue-pair numbers and memory keys; if nothing is said, the operating system's randomness does.
    /// Whoever knows the seed can guess them.
    pub fn seed(self, seed: impl Into<Seed>) -> Self {
        NicBuilder { seed: Some(seed.into()), ..self }
    }

    /// How much of the ICRC of received IPv4 packets is to be checked.
    pub fn icrc(self, icrc: IcrcCheck) -> Self {
        NicBuilder { icrc, ..self }
    }

    /// Whether packets to and from NICs of this user on this machine, of this process or another, go through shared
    /// memory, if the other NIC allows it too; the usual way, by UDP, remains for all others. On if nothing is said:
    /// turn it off to see all packets where sockets are watched. It has no meaning for a NIC on an Ethernet or at a
    /// hub.
    pub fn shared_memory(self, on: bool) -> Self {
        NicBuilder { shared_memory: on, ..self }
    }

    /// Faults between the device and the network.
    pub fn faults(self, faults: Faults) -> Self {
        NicBuilder { faults, ..self }
    }

    /// Lets other processes of this user look at the NIC, and ask for faults and recordings: [`Look`](crate::Look),
    /// [`Control`](crate::Control) and `ferroce top`. Where that cannot be, the NIC works without.
    pub fn visible(self) -> Self {
        NicBuilder { visible: true, ..self }
    }

    /// Records what is sent and received, after faults on the way out and before faults on the way in, as pcap
    /// into `out`.
    pub fn record(self, out: impl Write + Send + 'static) -> Self {
        self.record_as(Format::Pcap, out)
    }

    /// Records in this format into `out`. In [`Format::Run`] what the device does is recorded as well, unless it has
    /// another [trace sink](Self::trace).
    ///
    /// What was recorded is handed to `out` whenever the network falls silent, and every few kilobytes. When `out`
    /// takes no more, the NIC goes on without: [`LinkInfo::layers`](crate::LinkInfo::layers) says so, and
    /// [`LinkCounters::unrecorded`](crate::LinkCounters::unrecorded) counts what is missing. `out` is written to
    /// while the NIC is busy; it should be a file, not something that makes its writer wait.
    pub fn record_as(self, format: Format, out: impl Write + Send + 'static) -> Self {
        NicBuilder { recording: Some((format, Box::new(out))), ..self }
    }

    /// Records into a new file, in the [format](Format::of) that its name asks for.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn record_to(self, path: impl AsRef<Path>) -> Result<Self, NetError> {
        let format = Format::of(path.as_ref());
        let file = File::create(path).map_err(NetError::system("create the capture file"))?;
        Ok(self.record_as(format, BufWriter::new(file)))
    }

    /// Where the device's trace events go, instead of into a [recording](Self::record_as).
    pub fn trace<U: TraceSink + Send + 'static>(self, trace: U) -> NicBuilder<U> {
        NicBuilder {
            trace,
            name: self.name,
            addresses: self.addresses,
            interface: self.interface,
            hub: self.hub,
            ethernet: self.ethernet,
            personality: self.personality,
            limits: self.limits,
            cm: self.cm,
            path_mtu: self.path_mtu,
            seed: self.seed,
            icrc: self.icrc,
            shared_memory: self.shared_memory,
            faults: self.faults,
            recording: self.recording,
            visible: self.visible,
        }
    }

    /// Opens the NIC.
    ///
    /// # Errors
    /// As [`NetError`] tells.
    pub fn open(mut self) -> Result<Nic<T>, NetError> {
        if let Some(name) = &self.interface {
            self.addresses.extend(Interface::addresses(name)?);
        }
        let link: Box<dyn Link> = match (&self.hub, &self.ethernet) {
            (Some(hub), _) => Box::new(hub.link(&self.addresses)?),
            (None, Some(ethernet)) => {
                self.addresses = ethernet.addresses().collect();
                Box::new(EthernetLink::open(ethernet)?)
            }
            (None, None) => {
                let mut link = UdpLink::open(&self.addresses, self.icrc)?;
                if self.shared_memory {
                    link.share_memory()?;
                }
                Box::new(link)
            }
        };
        let ports = link.info().ports;
        let mtu = path_mtu(&ports, self.path_mtu)?;
        self.personality = suited(self.personality, &ports, mtu);
        let seed = match self.seed {
            Some(seed) => seed,
            None => Seed(sys::random().map_err(NetError::system("get random bytes"))?),
        };
        let clock = Clock::start();
        let config = DeviceConfig {
            lane: link.info().lane,
            mtu,
            personality: self.personality,
            limits: self.limits,
            cm: self.cm,
            ..DeviceConfig::new(self.name.clone(), self.addresses)
        };
        let mut device = Device::new(config, seed, self.trace);
        let now = clock.now();
        let begun = self.recording.map(|wanted| record::begin(wanted, &mut device, now)).transpose();
        let medium = begun.map_err(NetError::system("write the recording"))?;
        let link = middleware(link, medium, &self.faults, self.visible, now)?;
        let info = link.info();
        let core = Core::new(device, link);
        let shared = Arc::new(Shared { core: Gate::new(core), kicker: Kicker::new()?, clock });
        register(&shared);
        let _progress = Progress::start(&shared, &self.name)?;
        // A NIC works as well where nobody can look at it.
        let _monitor = self.visible.then(|| Monitor::start(&shared).ok()).flatten();
        Ok(Nic { shared, _progress, _monitor, info })
    }
}

/// Recording next to the network, faults next to the device. Who lets himself be looked at may be asked for both later,
/// and has layers that do nothing until then.
fn middleware(
    link: Box<dyn Link>,
    recording: Option<Medium>,
    faults: &Faults,
    visible: bool,
    now: Time,
) -> Result<Box<dyn Link>, NetError> {
    let link: Box<dyn Link> = match recording {
        Some(medium) => {
            let recorded = RecordedLink::into_medium(link, medium, now);
            Box::new(recorded.map_err(NetError::system("write the recording"))?)
        }
        None if visible => Box::new(RecordedLink::idle(link)),
        None => link,
    };
    Ok(if faults.is_none() && !visible { link } else { Box::new(FaultyLink::new(link, faults)) })
}

/// The path MTU of the device: the one asked for, or the largest that fits everywhere.
fn path_mtu(ports: &[PortInfo], asked: Option<PathMtu>) -> Result<PathMtu, NetError> {
    let narrowest = ports.iter().min_by_key(|port| port.mtu).ok_or(NetError::NoAddress)?;
    let fits = Interface::largest_path_mtu(narrowest.mtu);
    let wanted = asked.or(fits).unwrap_or(PathMtu::Mtu256);
    if wanted.bytes() + HEADROOM > narrowest.mtu {
        let (interface, mtu) = (narrowest.interface.clone(), narrowest.mtu);
        return Err(NetError::MtuTooSmall { interface, mtu, wanted, fits });
    }
    Ok(wanted)
}

/// What the kernel's accounting adds to a packet that waits, at least, in bytes.
const BUFFER_OVERHEAD: usize = 512;

/// Sends no more at once than the receive buffer holds, assuming that the peer's is like ours: what does not
/// fit is lost, and every loss costs more than a smaller window does.
fn suited(personality: Personality, ports: &[PortInfo], mtu: PathMtu) -> Personality {
    let smallest = ports.iter().map(|port| port.receive_buffer).min().unwrap_or(0);
    let fits = smallest / 2 / (mtu.bytes() + BUFFER_OVERHEAD);
    let window = personality.window.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(16);
    // A READ is started whenever the window is not full, and then counts with all of its responses.
    let read_chunk = personality.read_chunk.min(window / 2);
    Personality { window, read_chunk, ..personality }
}
