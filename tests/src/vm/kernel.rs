//! Debian kernels with a soft-RoCE driver, downloaded once and unpacked into the cache directory.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use super::{directory, tools};

/// A kernel that a guest can run. The two differ in their soft-RoCE driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Debian 12's own kernel.
    V6_1,
    /// The newest 6.12 that Debian 12 has.
    V6_12,
}

impl Kernel {
    /// Every kernel there is, in the order of their addresses.
    pub const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// The guest's address in the test network.
    pub const fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.host_number())
    }

    /// The guest's address in the test network, IPv6.
    pub const fn ipv6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self.host_number() as u16)
    }

    /// Downloads and unpacks the kernel unless that was done before. Call it before entering the sandbox, which
    /// has no way to the archive.
    ///
    /// # Errors
    /// When apt knows no such package or cannot download it.
    pub fn fetch(self) -> Result<()> {
        let root = self.root();
        if root.exists() {
            return Ok(());
        }
        download(self, &root).with_context(|| format!("cannot get kernel {self}"))
    }

    pub(super) fn root(self) -> PathBuf {
        directory().join(format!("linux-{self}"))
    }

    pub(super) fn mac(self) -> String {
        format!("02:f0:e0:77:00:{:02x}", self.host_number())
    }

    pub(super) fn tap(self) -> String {
        format!("tap-{self}")
    }

    const fn host_number(self) -> u8 {
        match self {
            Self::V6_1 => 2,
            Self::V6_12 => 3,
        }
    }

    /// The newest Debian package of this kernel that apt knows; never a `cloud` flavour, which has no rdma_rxe.
    fn package(self) -> Result<String> {
        match self {
            Self::V6_1 => {
                let text = tools::output("apt-cache", &["depends", "linux-image-amd64"])?;
                text.split_whitespace()
                    .find(|word| word.starts_with("linux-image-6.1.0-") && word.ends_with("-amd64"))
                    .map(str::to_owned)
            }
            Self::V6_12 => {
                let text = tools::output("apt-cache", &["pkgnames", "linux-image-6.12."])?;
                let patch = |name: &str| -> Option<u32> {
                    name.strip_prefix("linux-image-6.12.")?
                        .strip_suffix("+deb12-amd64-unsigned")?
                        .parse()
                        .ok()
                };
                text.lines()
                    .filter(|name| patch(name).is_some())
                    .max_by_key(|name| patch(name))
                    .map(str::to_owned)
            }
        }
        .with_context(|| {
            format!(
                "apt knows no package of kernel {self}: needs Debian 12's archive; try apt-get update as root"
            )
        })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kernel| kernel.to_string() == text)
            .ok_or_else(|| format!("no kernel {text}; there are 6.1 and 6.12"))
    }
}

/// An unpacked kernel package.
#[derive(Debug)]
pub(super) struct Image {
    /// As `uname -r` says.
    pub(super) release: String,
    root: PathBuf,
}

impl Image {
    /// The kernel that [`Kernel::fetch`] unpacked.
    pub(super) fn find(kernel: Kernel) -> Result<Self> {
        let root = kernel.root();
        let mut releases = fs::read_dir(root.join("lib/modules"))
            .with_context(|| format!("kernel {kernel} was not fetched"))?;
        let release = releases.next().context("the package has no modules")??.file_name();
        Ok(Self { release: release.to_string_lossy().into_owned(), root })
    }

    pub(super) fn vmlinuz(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.release))
    }

    /// Files of the named modules and of all that they need, in loading order.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let root = self.root.to_string_lossy();
        let mut files = Vec::new();
        for name in names {
            let args = ["--show-depends", "-d", &root, "-S", &self.release, name];
            for line in tools::output("modprobe", &args)?.lines() {
                let Some(file) = line.strip_prefix("insmod ") else { continue };
                let file = PathBuf::from(file.trim());
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        if files.is_empty() {
            bail!("kernel {} has none of the modules {}", self.release, names.join(" "));
        }
        Ok(files)
    }
}

fn download(kernel: Kernel, root: &Path) -> Result<()> {
    let package = kernel.package()?;
    println!("downloading {package} into {}", directory().display());
    let work = directory().join(format!("linux-{kernel}.new"));
    fs::remove_dir_all(&work).ok();
    fs::create_dir_all(&work)?;
    tools::output_in(&work, "apt-get", &["download", &package])?;
    let archive = fs::read_dir(&work)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")?;
    tools::output_in(&work, "dpkg", &["-x", &archive.to_string_lossy(), "."])?;
    fs::remove_file(archive)?;
    let release = fs::read_dir(work.join("lib/modules"))?.next().context("the package has no modules")??;
    tools::output("depmod", &["-b", &work.to_string_lossy(), &release.file_name().to_string_lossy()])?;
    fs::rename(&work, root)?;
    Ok(())
}
