//! The devices of this process, which live as long as it does.

use std::ffi::{OsStr, c_char};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use ferroce_engine::DeviceConfig;

use super::engine::Engine;
use super::explain;
use super::own::Own;
use super::settings::Settings;
use crate::abi::{self, Plain};
use crate::border::{Errno, INVALID};

/// A device as `ibv_get_device_list` shows it.
#[repr(C)]
pub(crate) struct Device {
    c: abi::Device,
    /// Drivers of other devices look behind `struct ibv_device` for a pointer to their own functions.
    behind: [u64; 128],
    /// Position in the list.
    pub(crate) index: usize,
    /// Its addresses; the index is the GID index.
    pub(crate) addresses: Vec<IpAddr>,
    /// Its EUI-64.
    pub(crate) guid: [u8; 8],
    /// The NIC, while anything in this process uses it.
    engine: Own<Weak<Engine>>,
}

// SAFETY: the C part holds no pointers but to itself, and nothing is written to it after it was made.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

struct Process {
    settings: Settings,
    devices: Vec<&'static Device>,
}

fn process() -> &'static Process {
    static PROCESS: OnceLock<Process> = OnceLock::new();
    PROCESS.get_or_init(|| {
        let settings = Settings::read();
        let settings = settings.unwrap_or_else(|why| {
            explain(why);
            Settings::nothing()
        });
        let devices = settings.devices.iter().enumerate();
        let devices = devices.map(|(index, addresses)| Device::new(index, addresses, &settings)).collect();
        Process { settings, devices }
    })
}

/// All devices.
pub(crate) fn devices() -> &'static [&'static Device] {
    &process().devices
}

/// The device behind a pointer.
pub(crate) fn device(pointer: *const abi::Device) -> Result<&'static Device, Errno> {
    let of_it = |device: &&&'static Device| std::ptr::eq(&raw const device.c, pointer);
    devices().iter().find(of_it).copied().ok_or(INVALID)
}

impl Device {
    fn new(index: usize, addresses: &[IpAddr], settings: &Settings) -> &'static Device {
        let mut c = abi::Device::zeroed();
        (c.node_type, c.transport_type) = (abi::NODE_CA, abi::TRANSPORT_IB);
        let name = format!("ferroce{index}");
        let sysfs = settings.sysfs.clone().unwrap_or_else(|| PathBuf::from("/sys"));
        fill(&mut c.name, name.as_ref());
        fill(&mut c.dev_name, format!("uverbs{index}").as_ref());
        fill(&mut c.dev_path, sysfs.join(format!("class/infiniband_verbs/uverbs{index}")).as_os_str());
        fill(&mut c.ibdev_path, sysfs.join("class/infiniband").join(name).as_os_str());
        let guid = DeviceConfig::new("", addresses).guid().to_be_bytes();
        let (addresses, engine) = (addresses.to_vec(), Own::new());
        Box::leak(Box::new(Device { c, behind: [0; 128], index, guid, addresses, engine }))
    }

    /// The pointer by which C programs name it.
    pub(crate) fn pointer(&self) -> *mut abi::Device {
        (&raw const self.c).cast_mut()
    }

    /// Its name.
    pub(crate) fn name(&self) -> *const c_char {
        self.c.name.as_ptr()
    }

    /// The directory that is `/sys` for its users.
    pub(crate) fn sysfs() -> PathBuf {
        process().settings.sysfs.clone().unwrap_or_else(|| PathBuf::from("/sys"))
    }

    /// The number of its model.
    pub(crate) fn part_id() -> u32 {
        process().settings.part_id.unwrap_or(FERROCE_PART)
    }

    /// Its NIC, which is opened when nothing in this process uses it yet.
    pub(crate) fn open(&'static self) -> Result<Arc<Engine>, Errno> {
        self.engine.get_or_make(Weak::upgrade, || {
            let engine = Engine::open(self, &process().settings)?;
            Ok((Arc::downgrade(&engine), engine))
        })
    }
}

/// `vendor_part_id` of a NIC that is a program.
const FERROCE_PART: u32 = 1;

fn fill<const N: usize>(field: &mut [c_char; N], text: &OsStr) {
    for (to, from) in field.iter_mut().zip(text.as_bytes().iter().take(N - 1)) {
        *to = *from as c_char;
    }
}
