//! Interop runner: Ferroce and kernel soft-RoCE on one Ethernet.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use ferroce_tests::connecting;
use ferroce_tests::pairs::Pair;
use ferroce_tests::pingpong;
use ferroce_tests::scenarios::{Bulk, Scenario};
use ferroce_tests::tally::{Tally, Verdict};
use ferroce_tests::vm::{Direction, Guest, Kernel, World, missing_packages, sandbox};

/// Side channels of ping-pongs use the ports behind it, one each.
const FIRST_PORT: u16 = 18_515;
/// Programs that connect by librdmacm use the ports behind it, in its own port space.
const FIRST_CM_PORT: u16 = 7_500;

/// Boots kernel soft-RoCE peers in virtual machines and runs the interop cases against them.
#[derive(Parser)]
struct Arguments {
    /// Only cases with this kernel (6.1 or 6.12).
    #[arg(long)]
    kernel: Option<Kernel>,
    /// The long matrices too.
    #[arg(long)]
    full: bool,
    /// Run a shell line in each guest instead, and print what it writes.
    #[arg(long, value_name = "LINE")]
    shell: Option<String>,
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
    let missing = missing_packages();
    if !missing.is_empty() {
        return Ok(sandbox::report(&sandbox::Refused(format!("install {}", missing.join(" ")))));
    }
    for kernel in Kernel::ALL {
        kernel.fetch()?;
    }
    if let Err(refused) = sandbox::enter() {
        return Ok(sandbox::report(&refused));
    }
    let world = World::start(&Kernel::ALL)?;
    if let Some(line) = &arguments.shell {
        for guest in &world.guests {
            let output = guest.run(line, Duration::from_secs(600))?;
            println!("[{}] status {}\n{}", guest.kernel, output.status, output.text);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut tally = Tally::default();
    for guest in &world.guests {
        println!("kernel {} ({}) up in {:.1} s", guest.kernel, guest.release, guest.boot_time.as_secs_f64());
        tally.case(&format!("boot {}", guest.kernel), || has_device(guest));
    }
    let start = Instant::now();
    play_scenarios(arguments, &world, &mut tally);
    play_bulk(arguments, &world, &mut tally);
    let middle = Instant::now();
    play_pingpong(arguments, &world, &mut tally);
    play_connecting(arguments, &world, &mut tally);
    let (scenarios, pingpong) = (middle - start, middle.elapsed());
    println!("scenarios took {:.0} s, ping-pongs {:.0} s", scenarios.as_secs_f64(), pingpong.as_secs_f64());
    println!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn has_device(guest: &Guest) -> Result<Verdict> {
    let text = guest.check("ibv_devinfo -v -d rxe0")?;
    ensure!(text.contains("PORT_ACTIVE") && text.contains("active_mtu:\t\t4096"), "{text}");
    Ok(Verdict::Passed)
}

/// Every scenario with Ferroce in both roles. A short run takes one kernel for each role and changes them from
/// scenario to scenario; a full one takes both, and lets them play with each other too.
fn play_scenarios(arguments: &Arguments, world: &World, tally: &mut Tally) {
    let filter = arguments.filter.as_deref().unwrap_or("");
    let is_short = !arguments.full && arguments.filter.is_none();
    let [short_even, short_odd] = Pair::short();
    for (index, scenario) in Scenario::all().enumerate() {
        let short = if index % 2 == 0 { short_even } else { short_odd };
        for pair in if is_short { short.to_vec() } else { Pair::all() } {
            let name = format!("{} {pair}", scenario.name);
            let is_wanted = arguments.kernel.is_none_or(|kernel| pair.has(kernel));
            if is_wanted && name.contains(filter) {
                tally.case(&name, || pair.play(scenario, world));
            }
        }
    }
}

/// Data in both directions between Ferroce and each kernel.
fn play_bulk(arguments: &Arguments, world: &World, tally: &mut Tally) {
    let filter = arguments.filter.as_deref().unwrap_or("");
    for pair in Pair::all().into_iter().filter(Pair::has_ferroce) {
        if arguments.kernel.is_some_and(|kernel| !pair.has(kernel)) {
            continue;
        }
        for (bulk, loss) in Bulk::cases(arguments.full) {
            let lost = match loss {
                None => "nothing lost",
                Some(Direction::Sent) => "guest's packets lost",
                Some(Direction::Received) => "packets to the guest lost",
            };
            let name = format!("{bulk}, {lost}, {pair}");
            if name.contains(filter) {
                tally.case(&name, || pair.move_data(&bulk, loss, world));
            }
        }
    }
}

/// Programs that connect by librdmacm, in each guest, against Ferroce in the other role.
fn play_connecting(arguments: &Arguments, world: &World, tally: &mut Tally) {
    let filter = arguments.filter.as_deref().unwrap_or("");
    let mut port = FIRST_CM_PORT;
    for guest in world.guests.iter().filter(|g| arguments.kernel.is_none_or(|kernel| kernel == g.kernel)) {
        for case in connecting::cases() {
            let name = format!("connecting, rxe-{}: {case}", guest.kernel);
            port += 1;
            if name.contains(filter) {
                tally.case(&name, || case.run(guest, port));
            }
        }
    }
}

/// `ferroce pingpong` against the original in each guest, in both roles. In a full run also the original on both
/// sides: what the cases expect of it must be right.
fn play_pingpong(arguments: &Arguments, world: &World, tally: &mut Tally) {
    let filter = arguments.filter.as_deref().unwrap_or("");
    let guests = || world.guests.iter().filter(|g| arguments.kernel.is_none_or(|kernel| kernel == g.kernel));
    let mut games = Vec::new();
    for guest in guests() {
        let ferroce = pingpong::Other::ferroce();
        let rxe = format!("rxe-{}", guest.kernel);
        games.push((format!("server ferroce, client {rxe}"), guest, false, ferroce.clone()));
        games.push((format!("server {rxe}, client ferroce"), guest, true, ferroce));
        for other in world.guests.iter().filter(|other| arguments.full && other.kernel != guest.kernel) {
            let name = format!("server {rxe}, client rxe-{}", other.kernel);
            games.push((name, guest, true, pingpong::Other::original(other)));
        }
    }
    let mut port = FIRST_PORT;
    for (who, guest, guest_serves, other) in games {
        for case in pingpong::cases(arguments.full) {
            let name = format!("pingpong, {who}: {case}");
            if name.contains(filter) {
                port += 1;
                tally.case(&name, || case.run(guest, guest_serves, &other, port));
            }
        }
    }
}
