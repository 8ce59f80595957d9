//! Programs of perftest in one virtual machine, on Ferroce and on the kernel's soft-RoCE in turns.
//!
//! Client and server are two processes on one device at one address, on a machine with two (emulated) processors. The
//! commands are the same but for the device and its GID.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::Report;
use crate::program::{Place, ferroce};
use crate::vm::{Guest, Kernel, World, missing_packages, sandbox};

/// One for the client, and one for the server.
const PROCESSORS: u32 = 2;

/// Of one program. They take seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Where clients find their servers.
const PORT: u16 = 18_515;

/// How often perftest is asked for a result.
const TRIES: usize = 5;

/// Something that perftest measures. The iterations take seconds on an emulated processor.
struct Command {
    line: &'static str,
    unit: &'static str,
    /// Of the line with the results.
    column: usize,
}

/// Columns: bandwidth programs write size, iterations, peak, average, and millions of messages per second; latency
/// programs size, iterations, least, most, and typical (the median).
const COMMANDS: &[Command] = &[
    Command { line: "ib_write_bw -s 1048576 -n 100 --report_gbits", unit: "Gbit/s", column: 3 },
    Command { line: "ib_read_bw -s 1048576 -n 100 --report_gbits", unit: "Gbit/s", column: 3 },
    Command { line: "ib_write_bw -s 8 -n 64000 --post_list 32 --cq-mod 32", unit: "million/s", column: 4 },
    Command { line: "ib_write_lat -s 8 -n 4000", unit: "µs", column: 4 },
    Command { line: "ib_send_lat -s 8 -n 4000", unit: "µs", column: 4 },
];

/// To be called before anything is printed: downloads the kernel on first use, and comes back inside a [sandbox] only.
///
/// # Errors
/// When the host lacks packages, the kernel cannot be had, or the system allows no sandbox.
pub fn prepare(kernel: Kernel) -> Result<()> {
    let missing = missing_packages();
    ensure!(missing.is_empty(), "virtual machines need Debian packages: install {}", missing.join(" "));
    kernel.fetch()?;
    sandbox::enter().map_err(|refused| anyhow!("{}", refused.0))
}

/// Every command through shared memory and through UDP sockets, beside soft-RoCE.
///
/// # Errors
/// When the machine does not come up or a program fails; the error has what it wrote.
pub fn run(report: &mut Report, kernel: Kernel) -> Result<()> {
    let world = World::start(&[kernel], PROCESSORS)?;
    let stage = Stage::new(world.guest(kernel))?;
    for (way, shared_memory) in [("shared memory", "on"), ("UDP", "off")] {
        for command in COMMANDS {
            report.try_figure(
                &format!("{}, {way}", command.name()),
                command.unit,
                &format!("soft-RoCE, Linux {}", stage.guest.release),
                || stage.ferroce(command, shared_memory),
                || stage.soft_roce(command),
            )?;
        }
    }
    for command in COMMANDS.iter().filter(|command| command.unit == "µs") {
        report.try_figure(
            &format!("{}, UDP", command.name()),
            command.unit,
            "UDP ping-pong, both ends polling, same machine",
            || stage.ferroce(command, "off"),
            || stage.udp_latency(),
        )?;
    }
    Ok(())
}

impl Command {
    /// Without what is only about how to measure.
    fn name(&self) -> String {
        self.line.split(" -n ").next().unwrap_or(self.line).to_owned()
    }

    /// Reads what a client wrote. It did something, so that a zero is no result.
    fn result(&self, text: &str) -> Option<f64> {
        let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with("#bytes"));
        lines.nth(1)?.split_whitespace().nth(self.column)?.parse().ok().filter(|value| *value > 0.0)
    }
}

/// The machine, without soft-RoCE between measurements.
struct Stage<'a> {
    guest: &'a Guest,
}

impl<'a> Stage<'a> {
    fn new(guest: &'a Guest) -> Result<Stage<'a>> {
        guest.unload_soft_roce()?;
        Ok(Stage { guest })
    }

    fn soft_roce(&self, command: &Command) -> Result<f64> {
        self.guest.load_soft_roce()?;
        let result = self.play(command, "", "-d rxe0 -x 1");
        self.guest.unload_soft_roce()?;
        result
    }

    fn ferroce(&self, command: &Command, shared_memory: &str) -> Result<f64> {
        let run = format!(
            "env FERROCE_SHARED_MEMORY={shared_memory} {} run --address {} --",
            ferroce(),
            self.guest.kernel.ipv4()
        );
        self.play(command, &run, "-d ferroce0 -x 0")
    }

    /// What its plain sockets take: this program measures it there, as a reference of the group loopback.
    fn udp_latency(&self) -> Result<f64> {
        let bench = std::env::current_exe()?;
        let measure = format!(
            "{} loopback --rounds 1 --only 'WRITE of 8 bytes, half' --json /tmp/sockets >/tmp/log && cat /tmp/sockets",
            bench.display()
        );
        let output = self.guest.run(&measure, LIMIT)?;
        let report: serde_json::Value = serde_json::from_str(&output.text).context(output.text)?;
        report["figures"][0]["theirs"]["median"].as_f64().context("the report has a figure")
    }

    /// Server and client; gives what the client says. Where perftest could not find out how fast the processor's
    /// clock goes, which is not easy in a virtual machine, it says 0, and is asked again.
    fn play(&self, command: &Command, run: &str, device: &str) -> Result<f64> {
        let serve = format!("{run} {} {device} -F", command.line);
        let mut said = String::new();
        for _ in 0..TRIES {
            said = self.play_once(&serve)?;
            if let Some(result) = command.result(&said) {
                return Ok(result);
            }
        }
        bail!("no result in what {serve} wrote, {TRIES} times:\n{said}")
    }

    fn play_once(&self, serve: &str) -> Result<String> {
        let place = Place::Guest(self.guest);
        let server = place.start(&[serve.to_owned()])?;
        place.wait_for_listener(PORT)?;
        let client = self.guest.run(&format!("{serve} {}", self.guest.kernel.ipv4()), LIMIT)?;
        let server = server.wait(LIMIT)?;
        ensure!(
            client.status == 0 && server.status == 0,
            "{serve}\nserver ended with {}:\n{}\nclient ended with {}:\n{}",
            server.status,
            server.text,
            client.status,
            client.text
        );
        Ok(client.text)
    }
}
