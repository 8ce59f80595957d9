//! Ferroce on real networks: a device, sockets, a clock and a thread make a NIC that other NICs can talk to.
//!
//! ```
//! use ferroce_engine::{Access, Buffer, MrInit, VerbsError};
//! use ferroce_net::{Hub, Nic};
//!
//! // In a program this would be an address of this machine, and no hub.
//! let nic = Nic::builder().address("192.0.2.1".parse()?).hub(&Hub::new()).open()?;
//! let buffer = Buffer::new(4096);
//! let mr = nic.with(|device, _now| {
//!     let pd = device.alloc_pd()?;
//!     device.reg_mr(pd, MrInit::new(&buffer, Access::LOCAL_WRITE))
//! })?;
//! # assert!(mr.lkey != 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`Nic`] drives a device: any thread may call it, threads that poll do the network's work themselves, and a
//!   thread of its own serves peers when nobody polls.
//! * [`Link`] is what a device is connected to. [`UdpLink`] needs no privileges; an [`EthernetLink`] makes the NIC a
//!   station of its own beside the kernel; [`Hub`] joins devices inside one process. [`FaultyLink`] and
//!   [`RecordedLink`] are middleware that fits around any link.
//! * [`ThisProcess`] is memory in which pages may be missing, for on-demand regions.
//! * NICs of one user share an address, in one process or in several, and may talk to each other there.
//! * [`NetError`] says why a NIC could not be opened, and what to do about it.
//!
//! This crate is for Linux: segmentation offload, packet sockets and eventfd have no portable counterpart. The
//! crates below it run anywhere.

#[cfg(not(target_os = "linux"))]
compile_error!("ferroce-net uses sockets as only Linux has them; the crates below it run anywhere");

mod attachment;
mod control;
mod error;
mod ethernet;
mod faults;
mod hub;
mod interface;
mod link;
mod local;
mod look;
mod nic;
mod pieces;
mod record;
mod share;
#[expect(unsafe_code, reason = "sending and receiving in batches exist as system calls only")]
mod sys;
mod udp;
mod vnet;

pub use attachment::Attachment;
pub use control::Control;
pub use error::{HEADROOM, NetError};
pub use ethernet::{Ethernet, EthernetLink, MacAddr, Subnet};
pub use faults::{FaultRates, Faults, FaultyLink};
pub use hub::{Hub, HubLink};
pub use interface::Interface;
pub use link::{Burst, IcrcCheck, IcrcMode, Layer, Link, LinkCounters, LinkInfo, PortInfo};
pub use look::{Look, QpLook};
pub use nic::{Nic, NicBuilder};
pub use record::{Format, Medium, PcapWriter, RecordedLink, RunTrace};
pub use share::runtime_directory;
pub use sys::ThisProcess;
pub use sys::fork::last_words;
pub use udp::UdpLink;
