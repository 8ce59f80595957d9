//! One running virtual machine: boot it, run programs in it, switch it off.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::kernel::{Image, Kernel};
use super::{GUEST_PORT, MTU, directory, initramfs};
use crate::stream::Stream;

/// Ten seconds on an idle machine; a busy one may take much longer.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
const LOG_TAIL_LINES: usize = 25;

/// A guest that answers commands. Dropping it switches the machine off.
#[derive(Debug)]
pub struct Guest {
    /// What it runs.
    pub kernel: Kernel,
    /// Its `uname -r`.
    pub release: String,
    /// From the start of QEMU to the first answer.
    pub boot_time: Duration,
    machine: Machine,
}

/// What a command in a guest left behind.
#[derive(Debug)]
pub struct Output {
    /// Exit status; negative: killed by that signal.
    pub status: i32,
    /// Standard output and standard error, as they came.
    pub text: String,
}

impl Guest {
    pub(super) fn launch(kernel: Kernel, processors: u32) -> Result<Booting> {
        let image = Image::find(kernel)?;
        let initramfs = directory().join(format!("initramfs-{kernel}.cpio"));
        initramfs::write(&image, &initramfs)?;
        let machine = Machine::start(kernel, processors, &image, &initramfs)?;
        Ok(Booting { kernel, release: image.release, machine, started: Instant::now() })
    }

    /// Runs a shell line to its end.
    ///
    /// # Errors
    /// When the guest is gone or the command did not end within `limit`; it is killed then. A command that fails
    /// is not an error: see [`Output::status`].
    pub fn run(&self, command: &str, limit: Duration) -> Result<Output> {
        self.spawn(command)?.wait(limit)
    }

    /// As [`Guest::run`] with half a minute, but a status other than 0 is an error with the command's output.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self, command: &str) -> Result<String> {
        let output = self.run(command, Duration::from_secs(30))?;
        if output.status != 0 {
            bail!("`{command}` on {} ended with {}:\n{}", self.kernel, output.status, output.text);
        }
        Ok(output.text)
    }

    /// Starts a shell line and comes back at once. Dropping the process kills it.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn spawn(&self, command: &str) -> Result<Process> {
        let mut stream = self.connect()?;
        writeln!(stream, "{}", serde_json::json!({ "run": command }))?;
        Ok(Process {
            command: command.to_owned(),
            lines: BufReader::new(stream),
            text: String::new(),
            status: None,
        })
    }

    /// A new connection to the command server.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub(crate) fn connect(&self) -> Result<Stream> {
        let stream = TcpStream::connect_timeout(&address(self.kernel), Duration::from_secs(10))
            .with_context(|| format!("guest {} does not answer\n{}", self.kernel, self.machine.log_tail()))?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }
}

/// A command that runs in a guest.
#[derive(Debug)]
pub struct Process {
    command: String,
    lines: BufReader<Stream>,
    text: String,
    status: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Out(String),
    Exit(i32),
}

impl Process {
    /// Waits for the end of the command. It is killed when it takes longer than `limit` from now.
    ///
    /// # Errors
    /// When the limit passes or the guest is gone; carries what the command wrote.
    pub fn wait(mut self, limit: Duration) -> Result<Output> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status {
                return Ok(Output { status, text: self.text });
            }
            self.read(deadline)?;
        }
    }

    /// Waits until the command's output contains `text`: for instance until a server listens.
    ///
    /// # Errors
    /// When `limit` passes or the command ends without having written it.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.text.contains(text) {
            if let Some(status) = self.status {
                bail!("`{}` ended with {status} before it wrote {text:?}:\n{}", self.command, self.text);
            }
            self.read(deadline)?;
        }
        Ok(())
    }

    fn read(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.lines.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => bail!("the guest went away during `{}`:\n{}", self.command, self.text),
            Ok(_) => match serde_json::from_str(&line)? {
                Message::Out(text) => self.text.push_str(&text),
                Message::Exit(status) => self.status = Some(status),
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("`{}` took too long; it wrote:\n{}", self.command, self.text)
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// A guest that was started and may not answer yet.
pub(super) struct Booting {
    kernel: Kernel,
    release: String,
    machine: Machine,
    started: Instant,
}

impl Booting {
    /// Waits for the command server.
    pub(super) fn ready(mut self) -> Result<Guest> {
        let kernel = self.kernel;
        loop {
            if TcpStream::connect_timeout(&address(kernel), Duration::from_millis(500)).is_ok() {
                let boot_time = self.started.elapsed();
                return Ok(Guest { kernel, release: self.release, boot_time, machine: self.machine });
            }
            if let Some(status) = self.machine.qemu.try_wait()? {
                bail!("QEMU of kernel {kernel} ended with {status}\n{}", self.machine.log_tail());
            }
            if self.started.elapsed() > BOOT_LIMIT {
                bail!("kernel {kernel} did not come up in {BOOT_LIMIT:?}\n{}", self.machine.log_tail());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn address(kernel: Kernel) -> SocketAddr {
    (kernel.ipv4(), GUEST_PORT).into()
}

/// A QEMU process; killed on drop.
#[derive(Debug)]
struct Machine {
    qemu: Child,
    log: PathBuf,
}

impl Machine {
    fn start(kernel: Kernel, processors: u32, image: &Image, initramfs: &Path) -> Result<Self> {
        let log = directory().join(format!("serial-{kernel}.log"));
        let stderr = File::create(&log)?;
        let append = format!(
            // The last two flags: on a busy host the kernel's test of its timer fails, and it would give up; and the clock
            // that it takes in place of the TSC is emulated under a lock, for which processors wait.
            "console=ttyS0 panic=-1 quiet mitigations=off nokaslr no_timer_check tsc=reliable \
             GUEST_IPV4={} GUEST_IPV6={} GUEST_MTU={MTU} GUEST_PORT={GUEST_PORT}",
            kernel.ipv4(),
            kernel.ipv6()
        );
        // Without a virtualising CPU: a test must run wherever QEMU does. Without CMPXCHG16B: until version 8, QEMU
        // leaves garbage in EFLAGS behind one that fails, and the kernel panics where an interrupt follows at once.
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg,thread=multi", "-cpu", "max,cx16=off", "-m", "1024"])
            .args(["-smp", &processors.to_string()])
            .args(["-display", "none", "-monitor", "none", "-no-reboot", "-serial"])
            .arg(format!("file:{}", log.display()))
            .args(["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"])
            .args(["-device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot"])
            .arg("-netdev")
            .arg(format!("tap,id=net,ifname={},script=no,downscript=no", kernel.tap()))
            .arg("-device")
            .arg(format!("virtio-net-pci,netdev=net,mac={},host_mtu={MTU}", kernel.mac()))
            .args(["-device", "virtio-rng-pci"])
            .arg("-kernel")
            .arg(image.vmlinuz())
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &append])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .context("cannot start qemu-system-x86_64 (package qemu-system-x86)")?;
        Ok(Self { qemu, log })
    }

    fn log_tail(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        format!("end of {}:\n{tail}", self.log.display())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Nothing in a guest outlives the run, so there is nothing to shut down in order.
        self.qemu.kill().ok();
        self.qemu.wait().ok();
    }
}
