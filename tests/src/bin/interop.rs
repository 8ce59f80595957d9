//! Interop runner: Ferroce and kernel soft-RoCE on one Ethernet.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use ferroce_net::Attachment;
use ferroce_tests::connecting;
use ferroce_tests::far;
use ferroce_tests::lab;
use ferroce_tests::pairs::Pair;
use ferroce_tests::pingpong;
use ferroce_tests::results::{self, Met, Results, Role};
use ferroce_tests::scenarios::{Bulk, Scenario};
use ferroce_tests::stand_in;
use ferroce_tests::station;
use ferroce_tests::table;
use ferroce_tests::tally::{Tally, Verdict};
use ferroce_tests::vm::{Direction, Guest, Kernel, World, missing_packages, sandbox};

/// Side channels of ping-pongs use the ports behind it, one each.
const FIRST_PORT: u16 = 18_515;
/// Programs on the stand-in library use the ports behind it.
const FIRST_STAND_IN_PORT: u16 = 21_000;
/// Programs that connect by librdmacm use the ports behind it, in its own port space.
const FIRST_CM_PORT: u16 = 7_500;

/// Of each guest.
const PROCESSORS: u32 = 1;

/// Plays the interop cases: against kernel soft-RoCE in virtual machines, or with --peer against the RDMA device of
/// any machine that ssh leads to.
#[derive(Parser)]
struct Arguments {
    /// Only cases with this kernel (6.1 or 6.12).
    #[arg(long)]
    kernel: Option<Kernel>,
    /// The long matrices too. A complete run of these writes the interop table of the book.
    #[arg(long)]
    full: bool,
    /// Put what a part of --full gives, chosen by a kernel or a filter, in place of what the results in the tree say
    /// about those cases, and make the table again.
    #[arg(long, requires = "full", conflicts_with = "peer")]
    update: bool,
    /// Only make the interop table of the book from the results in tests/data/interop.
    #[arg(long)]
    table: bool,
    /// Play each case so many times, or until it fails: for what fails seldom.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Run a shell line in each guest instead, and print what it writes.
    #[arg(long, value_name = "LINE")]
    shell: Option<String>,
    /// Play with the RDMA device of this machine, as ssh takes it. It needs python3-pyverbs and rdma-core there;
    /// nothing is installed, and nothing stays behind.
    #[arg(long, value_name = "HOST")]
    peer: Option<String>,
    /// Which device there [default: the first one with an active Ethernet port]
    #[arg(long, value_name = "NAME", requires = "peer")]
    peer_device: Option<String>,
    /// Index of its GID to use, see `ibv_devinfo -v` [default: the first of RoCEv2 with an IPv4 address, and with IPv6]
    #[arg(long, value_name = "INDEX", requires = "peer")]
    peer_gid: Option<u8>,
    /// How our NIC is attached, such as udp:ADDRESS or raw:INTERFACE,ADDRESS/LENGTH [default: the addresses that lead
    /// to the peer]
    #[arg(long, value_name = "LINK", requires = "peer")]
    link: Option<Attachment>,
    /// The ssh client with its options.
    #[arg(long, value_name = "COMMAND", default_value = "ssh", requires = "peer")]
    ssh: String,
    /// Your folder of labs: its packets are played, instead of those of the solutions. With a filter such as
    /// "lab go-back-n" nothing else is.
    #[arg(long, value_name = "DIR", conflicts_with = "peer")]
    labs: Option<PathBuf>,
    /// Write the results to this file, for a table of this device.
    #[arg(long, value_name = "FILE", requires = "peer")]
    results: Option<PathBuf>,
    /// Only cases whose name contains this.
    filter: Option<String>,
}

fn main() -> ExitCode {
    run(&Arguments::parse()).unwrap_or_else(|error| {
        println!("FAIL  {error:#}\n0 passed, 1 failed, 0 skipped");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.table {
        table::write()?;
        println!("{}\n1 passed, 0 failed, 0 skipped", table::path().display());
        return Ok(ExitCode::SUCCESS);
    }
    let tally = match &arguments.peer {
        Some(host) => far::run(&arguments.far(host))?,
        None => match in_machines(arguments)? {
            Ok(tally) => tally,
            Err(code) => return Ok(code),
        },
    };
    println!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn far(&self, host: &str) -> far::Options {
        far::Options {
            target: far::Target {
                host: host.to_owned(),
                ssh: self.ssh.split_whitespace().map(str::to_owned).collect(),
                device: self.peer_device.clone(),
            },
            gid: self.peer_gid,
            link: self.link.clone(),
            filter: self.filter.clone().unwrap_or_default(),
            full: self.full,
            repeat: self.repeat,
            record: self.results.clone(),
        }
    }

    /// The guests that are wanted.
    fn guests<'a>(&self, world: &'a World) -> impl Iterator<Item = &'a Guest> + use<'a> {
        let wanted = self.kernel;
        world.guests.iter().filter(move |guest| wanted.is_none_or(|kernel| kernel == guest.kernel))
    }

    /// Whether everything is played that there is.
    fn is_complete(&self) -> bool {
        self.full && self.kernel.is_none() && self.filter.is_none()
    }
}

/// All cases with guests; or the exit code, where there are none to be played.
fn in_machines(arguments: &Arguments) -> Result<Result<Tally, ExitCode>> {
    let missing = missing_packages();
    if !missing.is_empty() {
        return Ok(Err(sandbox::report(&sandbox::Refused(format!("install {}", missing.join(" "))))));
    }
    for kernel in Kernel::ALL {
        kernel.fetch()?;
    }
    if let Err(refused) = sandbox::enter() {
        return Ok(Err(sandbox::report(&refused)));
    }
    let world = World::start(&Kernel::ALL, PROCESSORS)?;
    if let Some(line) = &arguments.shell {
        for guest in &world.guests {
            let output = guest.run(line, Duration::from_secs(600))?;
            println!("[{}] status {}\n{}", guest.kernel, output.status, output.text);
        }
        return Ok(Err(ExitCode::SUCCESS));
    }
    let mut run = Run {
        arguments,
        world: &world,
        tally: Tally::repeating(arguments.repeat),
        results: world.guests.iter().map(met).collect(),
    };
    for guest in &world.guests {
        println!("kernel {} ({}) up in {:.1} s", guest.kernel, guest.release, guest.boot_time.as_secs_f64());
        run.tally.case(&format!("boot {}", guest.kernel), || has_device(guest));
    }
    let start = Instant::now();
    run.scenarios();
    run.bulk();
    run.station();
    run.labs();
    far::rehearse(world.guest(Kernel::V6_12), run.filter(), &mut run.tally);
    let middle = Instant::now();
    run.pingpong();
    run.connecting();
    run.stand_in();
    let (scenarios, pingpong) = (middle - start, middle.elapsed());
    println!("scenarios took {:.0} s, ping-pongs {:.0} s", scenarios.as_secs_f64(), pingpong.as_secs_f64());
    if arguments.is_complete() || arguments.update {
        for (kernel, played) in run.results {
            let path = results::directory().join(format!("rxe-{kernel}.json"));
            let mut results = if arguments.update { Results::read(&path)? } else { Results::default() };
            results.update(played);
            results.write(&path)?;
        }
        table::write()?;
    }
    Ok(Ok(run.tally))
}

fn met(guest: &Guest) -> (Kernel, Results) {
    let device = Met {
        title: format!("soft-RoCE, Linux {}", guest.kernel),
        model: "soft-RoCE in a virtual machine".to_owned(),
        driver: "rdma_rxe".to_owned(),
        firmware: String::new(),
        kernel: guest.release.clone(),
    };
    (guest.kernel, Results::with(device))
}

fn has_device(guest: &Guest) -> Result<Verdict> {
    let text = guest.check("ibv_devinfo -v -d rxe0")?;
    ensure!(text.contains("PORT_ACTIVE") && text.contains("active_mtu:\t\t4096"), "{text}");
    Ok(Verdict::Passed)
}

/// A run with guests.
struct Run<'a> {
    arguments: &'a Arguments,
    world: &'a World,
    tally: Tally,
    results: Vec<(Kernel, Results)>,
}

impl<'a> Run<'a> {
    fn filter(&self) -> &'a str {
        self.arguments.filter.as_deref().unwrap_or("")
    }

    /// Whether the four pairs of kernel and role share the cases instead of playing all of them.
    fn is_short(&self) -> bool {
        !self.arguments.full && self.arguments.kernel.is_none() && self.arguments.filter.is_none()
    }

    fn record(&mut self, met: Option<(Kernel, Role)>, case: &str, about: &str, verdict: &Verdict) {
        let Some((kernel, role)) = met else { return };
        if let Some((_, results)) = self.results.iter_mut().find(|(known, _)| *known == kernel) {
            results.add(case, about, role, verdict);
        }
    }

    /// Every scenario with Ferroce in both roles. A short run takes one kernel for each role and changes them from
    /// scenario to scenario; a full one takes both, and lets them play with each other too.
    fn scenarios(&mut self) {
        let [short_even, short_odd] = Pair::short();
        for (index, scenario) in Scenario::all().enumerate() {
            let short = if index % 2 == 0 { short_even } else { short_odd };
            for pair in if self.is_short() { short.to_vec() } else { Pair::all() } {
                let name = format!("{} {pair}", scenario.name);
                let is_wanted = self.arguments.kernel.is_none_or(|kernel| pair.has(kernel));
                if is_wanted && name.contains(self.filter()) {
                    let verdict = self.tally.case(&name, || pair.play(scenario, self.world));
                    self.record(pair.met(), scenario.name, scenario.about, &verdict);
                }
            }
        }
    }

    /// Ferroce as a machine of its own on the Ethernet: found, pinged, and one of each operation.
    fn station(&mut self) {
        for guest in &self.world.guests {
            let name = format!("station: pinged by rxe-{}", guest.kernel);
            if self.arguments.kernel.is_none_or(|kernel| kernel == guest.kernel)
                && name.contains(self.filter())
            {
                let verdict = self.tally.case(&name, || station::is_pinged(guest));
                let about = "a machine of its own at a TAP interface: ARP, neighbour discovery, ping";
                self.record(Some((guest.kernel, Role::Responder)), "station: pinged", about, &verdict);
            }
        }
        for scenario in Scenario::all().filter(|scenario| station::SCENARIOS.contains(&scenario.name)) {
            for pair in Pair::stations() {
                let case = format!("station: {}", scenario.name);
                let name = format!("{case} {pair}");
                let is_wanted = self.arguments.kernel.is_none_or(|kernel| pair.has(kernel));
                if is_wanted && name.contains(self.filter()) {
                    let verdict = self.tally.case(&name, || pair.play(scenario, self.world));
                    self.record(pair.met(), &case, scenario.about, &verdict);
                }
            }
        }
    }

    /// What is written in the labs of the wire, with each kernel.
    fn labs(&mut self) {
        let folder = self.arguments.labs.as_deref();
        for guest in self.arguments.guests(self.world) {
            for case in lab::CASES {
                let name = format!("lab {}, rxe-{}", case.lab, guest.kernel);
                if name.contains(self.filter()) {
                    self.tally.case(&name, || case.run(guest, folder));
                }
            }
        }
    }

    /// Data in both directions between Ferroce and each kernel.
    fn bulk(&mut self) {
        for pair in Pair::all().into_iter().filter(Pair::has_ferroce) {
            if self.arguments.kernel.is_some_and(|kernel| !pair.has(kernel)) {
                continue;
            }
            for (bulk, loss) in Bulk::cases(self.arguments.full) {
                let lost = match loss {
                    None => "nothing lost",
                    Some(Direction::Sent) => "peer's packets lost",
                    Some(Direction::Received) => "packets to the peer lost",
                };
                let case = format!("{bulk}, {lost}");
                let name = format!("{case}, {pair}");
                if name.contains(self.filter()) {
                    let verdict = self.tally.case(&name, || pair.move_data(&bulk, loss, self.world));
                    self.record(pair.met(), &case, "every operation, messages of many sizes", &verdict);
                }
            }
        }
    }

    /// Programs that connect by librdmacm, in each guest, against Ferroce in the other role.
    fn connecting(&mut self) {
        let mut port = FIRST_CM_PORT;
        let world = self.world;
        for guest in self.arguments.guests(world) {
            // Of three cases with IPv4, IPv6 and losses, the last takes long, most of it in timers of librdmacm.
            let (first, step) = if self.is_short() { (guest.kernel as usize, 3) } else { (0, 1) };
            // Datagrams to a group get lost, so several senders are started, which takes long.
            let is_short = self.is_short();
            let played = |case: &connecting::Case| !is_short || case.program != connecting::Program::Mckey;
            for case in connecting::cases().into_iter().skip(first).step_by(step).filter(played) {
                let name = format!("connecting, rxe-{}: {case}", guest.kernel);
                port += 1;
                if name.contains(self.filter()) {
                    let verdict = self.tally.case(&name, || case.run(guest, port));
                    let about = "programs of librdmacm, with the original in the other role";
                    let role = if case.guest_serves { Role::Requester } else { Role::Responder };
                    self.record(Some((guest.kernel, role)), &format!("connecting: {case}"), about, &verdict);
                }
            }
        }
    }

    /// Unmodified programs on both sides, one of them on the stand-in library. A short run shares a few of them among
    /// kernels and roles.
    fn stand_in(&mut self) {
        const SHORT_STEP: usize = 12;
        let mut port = FIRST_STAND_IN_PORT;
        let is_short = self.is_short();
        let world = self.world;
        for guest in self.arguments.guests(world) {
            for (who, guest_serves, role) in
                [("server", true, Role::Requester), ("client", false, Role::Responder)]
            {
                let share = 3 * (guest.kernel as usize + 2 * usize::from(guest_serves));
                for (index, case) in stand_in::CASES.iter().enumerate() {
                    let name = format!("program, rxe-{} {who}: {}", guest.kernel, case.name());
                    port += 1;
                    if name.contains(self.filter()) && (!is_short || index % SHORT_STEP == share) {
                        let verdict = match case.obstacle(guest_serves) {
                            Some(why) => Verdict::Skipped(why.to_owned()),
                            None => self.tally.case(&name, || case.run(guest, guest_serves, port)),
                        };
                        let about = "the program of the distribution on both sides, one under ferroce run";
                        let case = format!("program: {}", case.name());
                        self.record(Some((guest.kernel, role)), &case, about, &verdict);
                    }
                }
            }
        }
    }

    /// `ferroce pingpong` against the original in each guest, in both roles. In a full run also the original on both
    /// sides: what the cases expect of it must be right.
    fn pingpong(&mut self) {
        let mut port = FIRST_PORT;
        let is_short = self.is_short();
        for pairing in pairings(self.arguments, self.world) {
            let Pairing { who, guest, guest_serves, other, met, full, share } = pairing;
            let (first, step) = if is_short { share } else { (0, 1) };
            // The original does not wait for its peer to learn that all has arrived. Where packets are lost, two of
            // them end well or not by chance.
            let can_end = |case: &pingpong::Case| met.is_some() || case.loss.is_none();
            for case in pingpong::cases(full).into_iter().skip(first).step_by(step).filter(can_end) {
                let name = format!("pingpong, {who}: {case}");
                if name.contains(self.filter()) {
                    port += 1;
                    let verdict = self.tally.case(&name, || case.run(guest, guest_serves, &other, port));
                    let about =
                        "ferroce pingpong as client (requests) and server (responds) of ibv_rc_pingpong";
                    let station = if other.first_gid == 0 { "station: " } else { "" };
                    self.record(met, &format!("{station}pingpong, {case}"), about, &verdict);
                }
            }
        }
    }
}

/// Who plays ping-pong with whom.
struct Pairing<'a> {
    who: String,
    guest: &'a Guest,
    guest_serves: bool,
    other: pingpong::Other<'a>,
    met: Option<(Kernel, Role)>,
    /// The long matrix.
    full: bool,
    /// First case and step of a short run: as a socket every case meets both roles, as a station one of four.
    share: (usize, usize),
}

fn pairings<'a>(arguments: &Arguments, world: &'a World) -> Vec<Pairing<'a>> {
    let full = arguments.full;
    let mut pairings = Vec::new();
    for guest in arguments.guests(world) {
        let rxe = format!("rxe-{}", guest.kernel);
        let kernel = guest.kernel as usize;
        for (name, other, full, step) in [
            ("ferroce", pingpong::Other::ferroce(), full, 2),
            ("ferroce-tap", pingpong::Other::station(), false, 4),
        ] {
            for (who, guest_serves, role) in [
                (format!("server {name}, client {rxe}"), false, Role::Responder),
                (format!("server {rxe}, client {name}"), true, Role::Requester),
            ] {
                let met = Some((guest.kernel, role));
                let share = ((kernel + 2 * usize::from(guest_serves)) % step, step);
                pairings.push(Pairing { who, guest, guest_serves, other: other.clone(), met, full, share });
            }
        }
        for other in world.guests.iter().filter(|other| full && other.kernel != guest.kernel) {
            let who = format!("server {rxe}, client rxe-{}", other.kernel);
            let other = pingpong::Other::original(other);
            pairings.push(Pairing { who, guest, guest_serves: true, other, met: None, full, share: (0, 1) });
        }
    }
    pairings
}
