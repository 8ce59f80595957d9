//! Programs of the host that the machines need, and the Debian packages that have them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A file that shows that a package is there, and the package's name.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/busybox", "busybox-static"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/sbin/depmod", "kmod"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/bin/ibv_rc_pingpong", "ibverbs-utils"),
    ("/usr/bin/ib_write_bw", "perftest"),
    ("/usr/lib/python3/dist-packages/pyverbs", "python3-pyverbs"),
    ("/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav34.so", "ibverbs-providers"),
];

/// Either place is fine: Debian has moved these programs between releases.
const NEEDED_EITHER: &[([&str; 2], &str)] =
    &[(["/usr/sbin/ip", "/usr/bin/ip"], "iproute2"), (["/usr/sbin/tc", "/usr/bin/tc"], "iproute2")];

/// Debian packages that a run of the machines needs and this host lacks.
pub fn missing_packages() -> Vec<&'static str> {
    let here = |path: &str| Path::new(path).exists();
    let mut missing: Vec<_> = NEEDED.iter().filter(|(path, _)| !here(path)).map(|&(_, name)| name).collect();
    missing.extend(NEEDED_EITHER.iter().filter(|(paths, _)| !paths.iter().any(|p| here(p))).map(|&(_, n)| n));
    missing.dedup();
    missing
}

/// Runs a program and returns its standard output; a failure carries its standard error.
pub(super) fn output(program: &str, args: &[&str]) -> Result<String> {
    output_in(Path::new("."), program, args)
}

/// As [`output`], in a directory.
pub(super) fn output_in(directory: &Path, program: &str, args: &[&str]) -> Result<String> {
    let result = Command::new(program)
        .args(args)
        .current_dir(directory)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !result.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&result.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}
