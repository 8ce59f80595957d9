//! Interop runner: Ferroce and kernel soft-RoCE on one Ethernet.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use ferroce_tests::peer::{Peer, RemotePeer};
use ferroce_tests::scenarios::Scenario;
use ferroce_tests::tally::{Tally, Verdict};
use ferroce_tests::vm::{Guest, Kernel, World, missing_packages, sandbox};

/// Boots kernel soft-RoCE peers in virtual machines and runs the interop cases against them.
#[derive(Parser)]
struct Arguments {
    /// Only cases that have this kernel (6.1 or 6.12) as their requester.
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
    println!("scenarios took {:.1} s", start.elapsed().as_secs_f64());
    println!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn has_device(guest: &Guest) -> Result<Verdict> {
    let text = guest.check("ibv_devinfo -v -d rxe0")?;
    ensure!(text.contains("PORT_ACTIVE") && text.contains("active_mtu:\t\t4096"), "{text}");
    Ok(Verdict::Passed)
}

/// Every scenario between the two kernels, in both directions: the expectations and the scenarios must be right
/// before anything else is measured by them.
fn play_scenarios(arguments: &Arguments, world: &World, tally: &mut Tally) {
    let filter = arguments.filter.as_deref().unwrap_or("");
    let directions = [(Kernel::V6_1, Kernel::V6_12), (Kernel::V6_12, Kernel::V6_1)];
    for (from, to) in
        directions.into_iter().filter(|(from, _)| arguments.kernel.is_none_or(|kernel| kernel == *from))
    {
        for scenario in Scenario::all() {
            let name = format!("{} rxe-{from} to rxe-{to}", scenario.name);
            if name.contains(filter) {
                tally.case(&name, || play(scenario, world.guest(from), world.guest(to)));
            }
        }
    }
}

fn play(scenario: &Scenario, from: &Guest, to: &Guest) -> Result<Verdict> {
    let (mut requester, mut responder) = (RemotePeer::open(from)?, RemotePeer::open(to)?);
    let (requester, responder): (&mut dyn Peer, &mut dyn Peer) = (&mut requester, &mut responder);
    scenario.run(requester, responder)
}
