//! The first file system of a guest: a static busybox, the drivers, and the guest's own scripts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::kernel::Image;

const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_net",
    "virtio_rng",
    "9pnet_virtio",
    "9p",
    "overlay",
    "crc32_pclmul",
    "crc32_generic",
    "rdma_rxe",
    "ib_uverbs",
    "rdma_ucm",
    "ib_umad",
    "sch_netem",
    "sch_prio",
    "sch_ingress",
    "cls_flower",
    "act_gact",
    "af_packet",
];

const SCRIPTS: &[(&str, &str)] = &[
    ("start.sh", include_str!("../../guest/start.sh")),
    ("server.py", include_str!("../../guest/server.py")),
    ("agent.py", include_str!("../../guest/agent.py")),
];

/// Writes the archive that `image`'s kernel boots from.
pub(super) fn write(image: &Image, path: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for directory in ["bin", "modules", "guest"] {
        archive.directory(directory);
    }
    archive.file("bin/busybox", 0o755, &fs::read("/usr/bin/busybox").context("package busybox-static")?);
    archive.file("init", 0o755, include_bytes!("../../guest/init.sh"));
    for (name, text) in SCRIPTS {
        archive.file(&format!("guest/{name}"), 0o644, text.as_bytes());
    }
    let mut order = String::new();
    for file in image.modules(MODULES)? {
        let name = file.file_name().context("a module has a name")?.to_string_lossy().into_owned();
        let name = name.trim_end_matches(".xz");
        archive.file(&format!("modules/{name}"), 0o644, &module_bytes(&file)?);
        order.push_str(name);
        order.push('\n');
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    fs::write(path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))
}

/// A module as the kernel loads it; newer packages compress them.
fn module_bytes(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let result = Command::new("xz").arg("-dc").arg(file).output().context("package xz-utils")?;
        ensure!(result.status.success(), "xz cannot unpack {}", file.display());
        return Ok(result.stdout);
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A cpio archive in the "newc" format (Linux, buffer-format.rst).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, permissions: u32, data: &[u8]) {
        self.entry(name, 0o100_000 | permissions, data);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(data.len()).expect("a module is smaller than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        // inode, mode, uid, gid, links, mtime, size, device and rdev major/minor, name size, checksum
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
