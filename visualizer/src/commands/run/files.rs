//! Files that programs look for: the libraries under the names that programs know, and what the kernel would say
//! about the devices.
//!
//! They lie in the directory in which the user's processes meet. It belongs to the user alone, because who could write
//! there could have programs load what they like; and every run finds again what another has made.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::time::SystemTime;

use ferroce_net::runtime_directory;

use super::{Addresses, wishes};
use crate::failure::Failure;

/// The names by which programs know the library.
const NAMES: [&str; 4] = ["libibverbs.so.1", "librdmacm.so.1", "libibverbs.so", "librdmacm.so"];

/// The directories of a run.
pub(super) struct Files {
    /// In which the others lie.
    root: PathBuf,
    /// With the libraries.
    lib: PathBuf,
    /// What stands for `/sys`.
    sys: PathBuf,
}

impl Files {
    /// Finds or makes the files for these devices.
    pub(super) fn make(library: &Path, devices: &[Addresses]) -> Result<Files, Failure> {
        let next = "set FERROCE_RUNTIME_DIR to a directory of yours, for all your Ferroce programs";
        let root = runtime_directory().map_err(|error| Failure::new(error, next))?;
        let failed = |error: io::Error| {
            Failure::new(format_args!("cannot make files in {}: {error}", root.display()), next)
        };
        // Programs may change their working directory.
        let root = absolute(&root).map_err(failed)?;
        let text: Vec<String> = devices.iter().map(wishes::text).collect();
        let lib = root.join(format!("lib-{}", name_of(&library.to_string_lossy())));
        let sys = root.join(format!("sys-{}", name_of(&text.join(" "))));
        private(&lib).and_then(|()| link(library, &lib)).map_err(failed)?;
        describe_all(&root, &sys, devices).map_err(failed)?;
        Ok(Files { root, lib, sys })
    }

    /// Has a program find them, and preload `another` library besides.
    pub(super) fn use_in(&self, command: &mut Command, another: Option<&Path>) {
        command.env("LD_LIBRARY_PATH", before(&self.lib, "LD_LIBRARY_PATH"));
        // Preloaded it is found even by programs that know where they want to look, and can show device files.
        let mut preload = self.lib.join(NAMES[0]).into_os_string();
        if let Some(another) = another {
            preload.push(":");
            preload.push(another);
        }
        command.env("LD_PRELOAD", before(Path::new(&preload), "LD_PRELOAD"));
        command.env("FERROCE_SYSFS", &self.sys);
        if env::var_os("FERROCE_RUNTIME_DIR").is_some_and(|told| !told.is_empty()) {
            command.env("FERROCE_RUNTIME_DIR", &self.root);
        }
    }
}

/// `first`, and then what the variable says already.
fn before(first: &Path, variable: &str) -> OsString {
    let mut all = first.as_os_str().to_owned();
    if let Some(rest) = env::var_os(variable).filter(|rest| !rest.is_empty()) {
        all.push(":");
        all.push(rest);
    }
    all
}

fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn link(library: &Path, lib: &Path) -> io::Result<()> {
    for name in NAMES {
        match symlink(library, lib.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A short name that differs from text to text (FNV-1a).
fn name_of(text: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Descriptions of devices that are kept, at most: of as many sets of addresses programs can run at the same time and
/// find theirs.
const DESCRIPTIONS: usize = 256;

/// What `/sys` would hold, while no other run makes or removes such files.
fn describe_all(root: &Path, sys: &Path, devices: &[Addresses]) -> io::Result<()> {
    let alone = File::open(root)?;
    alone.lock()?;
    for (number, addresses) in devices.iter().enumerate() {
        describe(sys, number, addresses)?;
    }
    File::open(sys)?.set_modified(SystemTime::now())?;
    forget_oldest(root)
}

/// Removes the descriptions that were used least recently, if there are too many.
fn forget_oldest(root: &Path) -> io::Result<()> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("sys-") {
            all.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    all.sort();
    for (_, description) in &all[..all.len().saturating_sub(DESCRIPTIONS)] {
        fs::remove_dir_all(description)?;
    }
    Ok(())
}

/// What `/sys` would hold about device `number`.
fn describe(sys: &Path, number: usize, addresses: &Addresses) -> io::Result<()> {
    let device = sys.join(format!("class/infiniband/ferroce{number}"));
    let port = device.join("ports/1");
    let file = |path: PathBuf, text: &str| {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, format!("{text}\n"))
    };
    for (name, text) in [("node_type", "1: CA"), ("board_id", "FERROCE"), ("hca_type", "ferroce")] {
        file(device.join(name), text)?;
    }
    file(device.join("device/numa_node"), "-1")?;
    for (name, text) in [("state", "4: ACTIVE"), ("phys_state", "5: LinkUp"), ("link_layer", "Ethernet")] {
        file(port.join(name), text)?;
    }
    file(port.join("rate"), "100 Gb/sec (4X EDR)")?;
    for (index, address) in addresses.0.iter().enumerate() {
        let v6 = match address {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            std::net::IpAddr::V6(v6) => *v6,
        };
        let words: Vec<String> = v6.segments().iter().map(|word| format!("{word:04x}")).collect();
        file(port.join(format!("gids/{index}")), &words.join(":"))?;
        file(port.join(format!("gid_attrs/types/{index}")), "RoCE v2")?;
    }
    let verbs = sys.join(format!("class/infiniband_verbs/uverbs{number}"));
    file(verbs.join("ibdev"), &format!("ferroce{number}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn descriptions_of_devices_do_not_pile_up() {
        let root = env::temp_dir().join(format!("ferroce-descriptions-{}", std::process::id()));
        let sys = |number: usize| root.join(format!("sys-{number}"));
        for number in 0..DESCRIPTIONS + 9 {
            fs::create_dir_all(sys(number).join("class")).unwrap();
            let then = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            File::open(sys(number)).unwrap().set_modified(then).unwrap();
        }
        fs::create_dir(root.join("lib-0")).unwrap();
        let devices = [Addresses(vec![[127, 0, 0, 1].into()])];
        // The oldest is in use again.
        describe_all(&root, &sys(0), &devices).unwrap();
        let left = fs::read_dir(&root).unwrap().count();
        assert_eq!(left, DESCRIPTIONS + 1, "and the library");
        assert!(sys(0).join("class/infiniband/ferroce0/ports/1/gids/0").is_file());
        assert!(!sys(1).exists() && sys(DESCRIPTIONS + 8).exists() && root.join("lib-0").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
