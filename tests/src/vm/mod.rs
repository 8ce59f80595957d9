//! Kernel soft-RoCE peers in small virtual machines.
//!
//! A test enters the [sandbox](sandbox::enter), starts a [`World`] with the kernels it wants, and talks to each
//! [`Guest`]. The guests run on an emulated CPU (no `/dev/kvm` needed), see the host's root directory read-only
//! as their own, and share one Ethernet with the host's test address. A NIC at the TAP interface `nic0` is a machine of
//! its own there. Nothing is installed on the host.
//!
//! ```text
//!   host 10.77.0.1 fd77::1        6.1 guest 10.77.0.2 fd77::2      6.12 guest 10.77.0.3 fd77::3
//!        |                              | rxe0 on eth0                   | rxe0 on eth0
//!   ----- bridge ferroce0 ------------ tap-6.1 ----------------------- tap-6.12 ------- nic0 -----
//! ```

mod driver;
mod guest;
mod initramfs;
mod kernel;
mod loss;
mod network;
pub mod sandbox;
mod tools;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use guest::{Guest, Output, Process};
pub use kernel::Kernel;
pub use loss::{Direction, Loss};
pub(crate) use network::BRIDGE;
pub use network::{HOST_IPV4, HOST_IPV6, MTU, STATION, STATION_IPV4, STATION_IPV6};
pub use tools::missing_packages;

/// TCP port of the command server in every guest.
pub const GUEST_PORT: u16 = 7471;

/// The guests of one test run and the network they share with the host's test address.
#[derive(Debug)]
pub struct World {
    /// In the order of the kernels asked for; all are ready.
    pub guests: Vec<Guest>,
    _only_one: File,
}

impl World {
    /// Makes the network and boots one guest per kernel, all at once, each with so many processors.
    ///
    /// Blocks while another run on this checkout has its guests up: they would compete for the CPU. Kernels are
    /// downloaded on first use into [`directory`]. Must be called inside the [sandbox](sandbox::enter).
    ///
    /// # Errors
    /// A missing kernel, a failing `ip` command, or a guest that does not come up; the error then carries the
    /// end of its serial log.
    pub fn start(kernels: &[Kernel], processors: u32) -> Result<Self> {
        let only_one = lock_directory()?;
        network::create(kernels)?;
        let booting: Vec<_> =
            kernels.iter().map(|&kernel| Guest::launch(kernel, processors)).collect::<Result<_>>()?;
        let guests = booting.into_iter().map(guest::Booting::ready).collect::<Result<Vec<_>>>()?;
        Ok(Self { guests, _only_one: only_one })
    }

    /// The guest that runs `kernel`.
    ///
    /// # Panics
    /// When this world was started without it.
    pub fn guest(&self, kernel: Kernel) -> &Guest {
        self.guests.iter().find(|guest| guest.kernel == kernel).expect("a guest for every kernel asked for")
    }
}

/// Where kernels are unpacked and serial logs are kept: `target/vm` of the repository.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").join("target/vm")
}

fn lock_directory() -> Result<File> {
    let directory = directory();
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("waiting for another run that has guests up ({}/lock)", directory.display());
        file.lock()?;
    }
    Ok(file)
}
